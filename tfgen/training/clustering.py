"""What the training of deep embedded clustering takes beside its step: targets that are refreshed."""

import keras

from tfgen.training.run import predict


class RefreshTargets(keras.callbacks.Callback):
    """Sets the targets of deep embedded clustering anew after every epoch, from the assignments of all its images.

    Args:
        clustering: the `DeepEmbeddedClustering` that is trained.
        images: `(examples, pixels)` float32 in [0, 1], those that it is trained on, in the order of their numbers.
    """

    def __init__(self, clustering, images):
        super().__init__()
        self.clustering = clustering
        self.images = images

    def on_epoch_end(self, epoch, logs=None):
        self.clustering.refresh_targets(predict(self.clustering, self.images))
