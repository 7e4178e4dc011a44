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
        self.model, batches, self.steps_per_epoch = recipe(self.workload, load_images(images, self.workload))
        use_blocks(self.model, batches)
        self.blocks = blocks(batches, 0, self.model.steps_per_execution)
        self.batches = batches.stream()
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

        "input" reads a batch from the stream. "compute" is a step of a compiled loop over one batch, with the cheapest
        update that needs every gradient, plain gradient descent. "update" is the additional time of that loop with the
        recipe's optimizer. "rest" is Python and the remainder of `fit`: the whole without these parts. It is below 0 if
        the input was prepared during the computation.
        """
        whole = _seconds(lambda: self.train(self.steps_per_epoch)) / self.steps_per_epoch
        element = next(iter(self.batches))
        calls, jit_compile = min(self.steps_per_epoch, 100), self.model.jit_compile
        stream = self.batches.take(calls)
        read = _seconds(lambda: stream.reduce(0.0, lambda total, x: total + _first(x))) / calls
        with_update = _seconds(_loop(self.model, element, calls, jit_compile)) / calls
        _use_gradient_descent(self.model)
        compute = _seconds(_loop(self.model, element, calls, jit_compile)) / calls
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


def _first(element):
    """Returns the first pixel of an element of the stream."""
    return tf.reshape(tf.nest.flatten(element)[0], [-1])[0]


def _loop(model, element, calls, jit_compile):
    """Returns a function that takes `calls` training steps on one element of the stream."""

    @tf.function(jit_compile=jit_compile)
    def loop():
        for _ in tf.range(calls):
            model.train_step(element)

    return loop


def _use_gradient_descent(model):
    """Compiles the model again with plain gradient descent, at a learning rate that leaves the weights in place."""
    optimizers = [keras.optimizers.SGD(1e-30) for _ in range(2 if isinstance(model, GAN) else 1)]
    model.compile(*optimizers, **({} if model.loss is None else {"loss": model.loss}))
