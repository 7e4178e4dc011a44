"""The same Keras model in a plain `fit`, with the `compile` options and the input pipeline of tutorials."""

import keras
import tensorflow as tf

from benchmarks.models import network
from benchmarks.workloads import load_images, sized
from tfgen.losses import squared_error


class Trainer:
    """Trains a workload in whole epochs; see `tfgen_trainer.Trainer`.

    `compile` gets the optimizer and the loss only: a step is a TensorFlow graph, not compiled by XLA, and Python starts
    each. A `map` binarises each batch of a VAE anew.
    """

    def __init__(self, images, workload, **size):
        self.workload = sized(workload, **size)
        images = load_images(images, self.workload)
        self.model = network(self.workload)
        self.model.compile(
            *[keras.optimizers.Adam(1e-3) for _ in range(2 if self.workload.model == "gan" else 1)],
            **({"loss": squared_error} if self.workload.model == "autoencoder" else {}),
        )
        pixels = images.astype("float32") / 255
        data = (pixels, pixels) if self.workload.model == "autoencoder" else pixels
        self.batches = (
            tf.data.Dataset.from_tensor_slices(data).shuffle(len(pixels)).batch(self.workload.config.batch_size)
        )
        if self.workload.model == "vae":
            self.batches = self.batches.map(lambda x: tf.cast(tf.random.uniform(tf.shape(x)) < x, tf.float32))
        self.description = {
            "unit": len(self.batches),
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        }

    def train(self, steps):
        """Takes `steps` training steps, in whole epochs; returns the number of images."""
        epochs = steps // len(self.batches)
        self.model.fit(self.batches, epochs=epochs, shuffle=False, verbose=0)  # The dataset shuffles.
        return epochs * self.workload.num_images
