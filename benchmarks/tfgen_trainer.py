"""Training as in `tfgen run`: the same model, compilation and stream of batches, in Keras's `fit`."""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.models import network
from benchmarks.workloads import load_images, sized
from tfgen.data import Dataset, Split
from tfgen.data.batches import Batches, blocks, pairs
from tfgen.losses import squared_error
from tfgen.models.gan import GAN
from tfgen.recipes import RECIPES
from tfgen.training.blocks import use_blocks
from tfgen.training.gan import adam_optimizers
from tfgen.training.run import Run


def recipe(workload, images):
    """Returns what the workload's recipe passes to `Run.fit`, and the length of an epoch.

    A test checks that this agrees with the recipe's file.

    Args:
        workload: a `Workload`.
        images: `(n, 784)` uint8, the training set.

    Returns:
        `(model, batches, steps_per_epoch)`.
    """
    config = workload.config
    train, unused = (Split(part, np.zeros(len(part), np.int64)) for part in (images, images[:1]))
    data = Dataset("mnist", train, unused, unused, comparable=False)
    run = Run(RECIPES[workload.recipe], config, data, directory=None, preset=None)  # It writes nothing.
    run.set_random_seed()
    model = network(workload)
    if workload.model == "gan":
        batches = Batches(images, config.batch_size * config.discriminator_steps, run.seed)
        model.compile(
            *adam_optimizers(run, batches, use_ema=True, ema_momentum=config.ema_momentum),
            **run.compile_options(batches, config.precision),
        )
    elif workload.model == "vae":
        batches = Batches(images, config.batch_size, run.seed, binarized=True)
        model.compile(run.decaying_adam(config.learning_rate, batches), **run.compile_options(batches))
    else:
        batches = Batches(images, config.batch_size, run.seed, transform=pairs)
        model.compile(
            run.decaying_adam(config.learning_rate, batches),
            loss=squared_error,
            **run.compile_options(batches, config.precision),
        )
    return model, batches, run.steps_per_epoch(batches)


class Trainer:
    """Trains a workload as `tfgen run` does, in whole epochs.

    Args:
        images: path of the training images, `(n, 784)` uint8.
        precision: "float32" or "mixed_bfloat16".
        workload, **size: see `workloads.sized`.
    """

    def __init__(self, images, workload, precision="float32", **size):
        self.workload = sized(workload, **size)
        if precision != "float32":
            self.workload = dataclasses.replace(self.workload, config=self.workload.config.replace(precision=precision))
        self.model, self.batches, self.steps_per_epoch = recipe(self.workload, load_images(images, self.workload))
        use_blocks(self.model, self.batches)
        self.blocks = blocks(self.batches, 0, self.model.steps_per_execution)
        self.description = {
            "unit": self.steps_per_epoch,
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        }

    def train(self, steps):
        """Takes `steps` training steps, in whole epochs; returns the number of images."""
        epochs = steps // self.steps_per_epoch
        self.model.fit(self.blocks, epochs=epochs, steps_per_epoch=self.steps_per_epoch, shuffle=False, verbose=0)
        return epochs * self.steps_per_epoch * self.workload.config.batch_size

    def breakdown(self):
        """Returns the seconds of a training step, "whole", and of its parts, each measured alone.

        "input" reads the rows of an epoch's blocks. "compute" takes the epoch's steps on one block, with the cheapest
        update that needs every gradient, plain gradient descent. "update" is the additional time with the recipe's
        optimizer. "rest" is Python and the remainder of `fit`: the whole without these parts. It is below 0 if the
        input was read during the computation.
        """
        steps, calls = self.steps_per_epoch, self.steps_per_epoch // self.model.steps_per_execution
        whole = _seconds(lambda: self.train(steps)) / steps
        epoch, block = self.blocks.take(calls), next(iter(self.blocks))
        read = _seconds(lambda: epoch.reduce(0.0, lambda total, block: total + _first(block[1]))) / steps

        def again():
            for _ in range(calls):
                logs = self.model.train_function(iter([block]))
            tf.nest.map_structure(np.asarray, logs)

        with_update = _seconds(again) / steps
        _use_gradient_descent(self.model)
        use_blocks(self.model, self.batches)
        compute = _seconds(again) / steps
        update = with_update - compute
        return {"whole": whole, "input": read, "compute": compute, "update": update, "rest": whole - read - with_update}


def _seconds(function):
    """Returns the seconds of the faster of two calls, after one that is not timed."""
    function()
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _first(rows):
    """Returns the first pixel of a block's rows."""
    return tf.cast(tf.reshape(rows[0], [-1])[0], tf.float32)


def _use_gradient_descent(model):
    """Compiles the model again with plain gradient descent, at a learning rate that leaves the weights in place."""
    optimizers = [keras.optimizers.SGD(1e-30) for _ in range(2 if isinstance(model, GAN) else 1)]
    loss = {} if model.loss is None else {"loss": model.loss}
    model.compile(
        *optimizers, **loss, jit_compile=model.jit_compile, steps_per_execution=int(model.steps_per_execution)
    )
