"""The same Keras model in a plain `fit`: the options of `compile` and the input pipeline that tutorials have."""

import keras
import tensorflow as tf

from benchmarks.families import load_images, sized
from benchmarks.models import network
from tfgen.losses import squared_error


class Trainer:
    """Trains a family whole epochs at a time; see `ours.Trainer`.

    Nothing is asked of `compile` but optimizer and loss: steps are TensorFlow graphs, not compiled by XLA, and Python
    starts each. A VAE's batch is binarised anew by a `map`.
    """

    def __init__(self, images, family, **size):
        self.family = sized(family, **size)
        images = load_images(images, self.family)
        self.model = network(self.family)
        self.model.compile(
            *[keras.optimizers.Adam(1e-3) for _ in range(2 if self.family.model == "gan" else 1)],
            **({"loss": squared_error} if self.family.model == "autoencoder" else {}),
        )
        pixels = images.astype("float32") / 255
        data = (pixels, pixels) if self.family.model == "autoencoder" else pixels
        self.batches = (
            tf.data.Dataset.from_tensor_slices(data).shuffle(len(pixels)).batch(self.family.config.batch_size)
        )
        if self.family.model == "vae":
            self.batches = self.batches.map(lambda x: tf.cast(tf.random.uniform(tf.shape(x)) < x, tf.float32))
        self.description = {
            "unit": len(self.batches),
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        }

    def train(self, steps):
        """Takes `steps` training steps, whole epochs; returns how many images that were."""
        epochs = steps // len(self.batches)
        self.model.fit(self.batches, epochs=epochs, shuffle=False, verbose=0)  # The dataset shuffles.
        return epochs * self.family.num_images
