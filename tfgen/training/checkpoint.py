"""A training's checkpoint and its log, and going on from them: bit for bit as if nothing had happened."""

import csv
import math
import os
import time
import zipfile

import keras

from tfgen.errors import InputError, RunError
from tfgen.files import write_atomically


class EpochSeconds(keras.callbacks.Callback):
    """Adds `seconds`, those that the epoch took, to what is logged."""

    def on_train_begin(self, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        logs["seconds"] = now - self.started
        self.started = now


class StopWhereItDiverges(keras.callbacks.Callback):
    """Ends a training whose logged values are no longer finite with a `RunError`."""

    def on_epoch_end(self, epoch, logs=None):
        if not all(math.isfinite(value) for value in logs.values()):
            kept = f"the checkpoint is of epoch {epoch}" if epoch else "there is no checkpoint yet"
            raise RunError(
                f"training diverged in epoch {epoch + 1} ({logs}); {kept}. "
                "Try another --seed, or a lower learning rate with --set"
            )


class Checkpoint(keras.callbacks.Callback):
    """Saves the model with its optimizers after each epoch: whole, and then renamed, so that a kill leaves no half.

    Args:
        path: of the `.keras` file.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        temporary = self.path.with_name(f".{self.path.name}")
        self.model.save(temporary)
        os.replace(temporary, self.path)


def optimizers_of(model):
    """Returns a compiled model's optimizers, a GAN's generator's first."""
    if hasattr(model, "generator_optimizer"):
        return [model.generator_optimizer, model.discriminator_optimizer]
    return [model.optimizer]


def restore(model, checkpoint, log, steps_per_epoch):
    """Restores weights, optimizers and iterations into a compiled model, and the log to the checkpoint's epoch.

    Args:
        model: `keras.Model`, compiled as when the checkpoint was saved.
        checkpoint: path of what `Checkpoint` has saved.
        log: path of its CSV log.
        steps_per_epoch: updates of the first optimizer in an epoch.

    Returns:
        The number of epochs done.

    Raises:
        InputError: if one of the files cannot be read, or is that of another model.
    """
    try:
        for optimizer in optimizers_of(model):
            if not optimizer.built:  # Keras would leave its state out.
                optimizer.build(model.trainable_variables)
        model.load_weights(checkpoint)
        lines = log.read_text().splitlines(keepends=True)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{checkpoint} or its log {log} cannot be read ({error}); delete {checkpoint.parent.parent} to start over"
        ) from error
    epochs = int(optimizers_of(model)[0].iterations) // steps_per_epoch
    # A run killed between the line of an epoch and its checkpoint has logged an epoch too many.
    write_atomically(log, "".join(lines[: 1 + epochs]).encode())
    return epochs


def read_log(path):
    """Returns a CSV log as a dict from column to its values, one an epoch."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def start_anew(model, weights):
    """Sets a compiled model's weights and the state of its optimizer back to a beginning.

    Many trainings of one architecture would spend most of their time on compilation: they share a compiled model.

    Args:
        model: `keras.Model`, compiled with Adam.
        weights: the initial ones, as `get_weights()` of a new model returns them.
    """
    model.set_weights(weights)
    # Adam's moments and its count of iterations, on which a schedule of the rate and a VAE's noise depend.
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
