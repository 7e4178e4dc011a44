"""What `tfgen run` trains: its model, its compilation, its stream of batches, in Keras's `fit`."""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.families import load_images, sized
from benchmarks.models import network
from tfgen.data import Dataset, Split
from tfgen.data.batches import Batches, pairs
from tfgen.losses import squared_error
from tfgen.models.gan import GAN
from tfgen.recipes import RECIPES
from tfgen.training.gan import adam_optimizers
from tfgen.training.run import Run


def recipe(family, images):
    """Returns what the family's recipe gives to `Run.fit`, and an epoch's length.

    A test holds this and the recipe's file together.

    Args:
        family: a `Family`.
        images: `(n, 784)` uint8, the training set.

    Returns:
        `(model, batches, steps_per_epoch)`.
    """
    config = family.config
    train, none = (Split(part, np.zeros(len(part), np.int64)) for part in (images, images[:0]))
    data = Dataset("mnist", train, none, none, comparable=False)
    run = Run(RECIPES[family.recipe], config, data, directory=None, preset=None)  # It writes nothing.
    run.set_random_seed()
    model = network(family)
    if family.model == "gan":
        batches = Batches(images, config.batch_size * config.discriminator_steps, run.seed)
        model.compile(
            *adam_optimizers(run, batches, use_ema=True, ema_momentum=config.ema_momentum),
            **run.compile_options(batches, config.precision),
        )
    elif family.model == "vae":
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
    """Trains a family as `tfgen run` does, whole epochs at a time.

    Args:
        images: path of the training images, `(n, 784)` uint8.
        precision: "float32" or "mixed_bfloat16".
        family, **size: see `families.sized`.
    """

    def __init__(self, images, family, precision="float32", **size):
        self.family = sized(family, **size)
        if precision != "float32":
            self.family = dataclasses.replace(self.family, config=self.family.config.replace(precision=precision))
        self.model, batches, self.steps_per_epoch = recipe(self.family, load_images(images, self.family))
        self.batches = batches.stream()
        self.description = {
            "unit": self.steps_per_epoch,
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        }

    def train(self, steps):
        """Takes `steps` training steps, whole epochs; returns how many images that were."""
        epochs = steps // self.steps_per_epoch
        self.model.fit(self.batches, epochs=epochs, steps_per_epoch=self.steps_per_epoch, shuffle=False, verbose=0)
        return epochs * self.steps_per_epoch * self.family.config.batch_size

    def breakdown(self):
        """Returns seconds a training step: whole, and those of its parts, each measured alone.

        "input" is the stream of batches, which training reads ahead of; "compute" a compiled loop of steps over one
        batch with the cheapest update that needs every gradient (plain gradient descent); "update" what that loop takes
        more with the recipe's optimizer; "rest", Python and what else `fit` does, is the whole without these, below 0
        where the input was prepared beside the computation.
        """
        whole = _seconds(lambda: self.train(self.steps_per_epoch)) / self.steps_per_epoch
        element = next(iter(self.batches))
        calls, jit_compile = min(self.steps_per_epoch, 100), self.model.jit_compile
        stream = self.batches.take(calls)
        read = _seconds(lambda: stream.reduce(0.0, lambda total, x: total + _first(x))) / calls
        with_update = _seconds(_loop(self.model, element, calls, jit_compile)) / calls
        _descend(self.model)
        compute = _seconds(_loop(self.model, element, calls, jit_compile)) / calls
        update = with_update - compute
        return {"whole": whole, "input": read, "compute": compute, "update": update, "rest": whole - read - with_update}


def _seconds(function):
    """Returns the fewer of two calls' seconds, after one that is not counted."""
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
    """Returns a function that trains so many times on one element of the stream, in one call."""

    @tf.function(jit_compile=jit_compile)
    def loop():
        for _ in tf.range(calls):
            model.train_step(element)

    return loop


def _descend(model):
    """Compiles the model anew with plain gradient descent, so slow that nothing moves."""
    optimizers = [keras.optimizers.SGD(1e-30) for _ in range(2 if isinstance(model, GAN) else 1)]
    model.compile(*optimizers, **({} if model.loss is None else {"loss": model.loss}))
