"""A training's checkpoints and its log, and going on from them: bit for bit as if nothing had happened."""

import json
import math
import os
import time
import zipfile
import zlib

import keras

from tfgen.errors import InputError, RunError
from tfgen.files import named_difference, sync, write_atomically

# Of a training's time, the most that its checkpoints may take: where epochs are short, some are not saved.
MOST_TIME_SAVING = 0.02
# What a checkpoint holds beside Keras's own files: whose it is, and the log until then.
MEMBER = "tfgen.json"


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
            kept = "the last checkpoint is kept" if epoch else "there is no checkpoint yet"
            raise RunError(
                f"training diverged in epoch {epoch + 1} ({logs}); {kept}. "
                "Try another --seed, or a lower learning rate with --set"
            )


class Checkpoint(keras.callbacks.Callback):
    """Saves the model with its optimizers, the log and the run's identity after an epoch, and keeps the last two.

    A checkpoint is whole and on disk before it takes its name, so that neither a kill nor a power failure leaves half
    of one. It is saved after the first epoch, the last one, and each one that ends when saving takes less than
    `MOST_TIME_SAVING` of the time.

    Args:
        path: of the `.keras` file.
        log: path of the training's CSV log.
        identity: dict of what decides the training's result; only the same run goes on with its checkpoint.
        epochs: of the whole training.
    """

    def __init__(self, path, log, identity, epochs):
        super().__init__()
        self.path = path
        self.log = log
        self.identity = identity
        self.epochs = epochs
        self.saved_at = self.cost = None

    def on_epoch_end(self, epoch, logs=None):
        started = time.monotonic()
        due = self.saved_at is None or self.cost < MOST_TIME_SAVING * (started - self.saved_at)
        if due or epoch + 1 == self.epochs:
            self.save()
            self.saved_at = time.monotonic()
            self.cost = self.saved_at - started

    def save(self):
        temporary = self.path.with_name(f".{self.path.name}")
        self.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, json.dumps({"identity": self.identity, "log": self.log.read_bytes().decode()}))
        sync(temporary)
        if self.path.exists():
            os.replace(self.path, previous(self.path))
        os.replace(temporary, self.path)
        sync(self.path.parent)


def previous(path):
    """Returns the path of the checkpoint before the one at `path`."""
    return path.with_suffix(f".previous{path.suffix}")


def read_member(path):
    """Returns `(identity, log)` of a checkpoint after a check that the whole file is as it was written.

    Raises:
        InputError: if it is torn or damaged, or tfgen has not written it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} is damaged")
            contents = json.loads(archive.read(MEMBER))
            return contents["identity"], contents["log"]
    # zipfile raises the last two for what no program has written.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def optimizers_of(model):
    """Returns a compiled model's optimizers, a GAN's generator's first."""
    if hasattr(model, "generator_optimizer"):
        return [model.generator_optimizer, model.discriminator_optimizer]
    return [model.optimizer]


def build_optimizers(model):
    """Makes the variables of a compiled model's optimizers, which Keras makes at the first step."""
    for optimizer in optimizers_of(model):
        if not optimizer.built:
            optimizer.build(model.trainable_variables)


def restore(model, checkpoint, log, steps_per_epoch, identity, defaults):
    """Restores weights, optimizers and iterations into a compiled model, and the log as it was at the checkpoint.

    The checkpoint's own copy of the log is written: a run killed between the line of an epoch and its checkpoint has
    logged an epoch too many, and lines may have been lost or changed since.

    Args:
        model: `keras.Model`, compiled as when the checkpoint was saved.
        checkpoint: path of what `Checkpoint` has saved. If it is torn, the one before is restored, which is printed.
        log: path of its CSV log.
        steps_per_epoch: updates of the first optimizer in an epoch.
        identity: of the run that is to go on.
        defaults: those of the configuration's fields; the checkpoint of a run from before a field was there lacks it.

    Returns:
        The number of epochs done.

    Raises:
        InputError: if neither checkpoint can be read, or it is that of another model or another run.
    """
    path, (found, lines) = _last_whole(checkpoint)
    difference = named_difference(found, identity, defaults)
    if difference:
        raise InputError(f"{path} is of a run with {difference}; delete {checkpoint.parent.parent} to start over")
    build_optimizers(model)  # Keras would leave their state out.
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete {checkpoint.parent.parent} to start over") from error
    if path != checkpoint:
        os.replace(path, checkpoint)
    if not (log.exists() and log.read_bytes().startswith(lines.encode())):
        print(f"{log} is not as the run left it: it is written again from {checkpoint.name}", flush=True)
    write_atomically(log, lines.encode())
    return int(optimizers_of(model)[0].iterations) // steps_per_epoch


def _last_whole(checkpoint):
    """Returns the path and the `read_member` of a training's last checkpoint, or of the one before if it is torn."""
    try:
        return checkpoint, read_member(checkpoint)
    except InputError as error:
        earlier = previous(checkpoint)
        try:
            kept = read_member(earlier)
        except InputError:
            raise InputError(f"{error}; delete {checkpoint.parent.parent} to start over") from error
        print(f"{error}: going on from {earlier.name}", flush=True)
        return earlier, kept


def start_anew(model, weights):
    """Sets a compiled model's weights and the state of its optimizer back to a beginning.

    Many trainings of one architecture would spend most of their time on compilation: they share a compiled model.

    Args:
        model: `keras.Model`, compiled with Adam; a learning rate that is no schedule stays as it is.
        weights: the initial ones, as `get_weights()` of a new model returns them.
    """
    model.set_weights(weights)
    # Adam's moments and its count of iterations, on which a schedule of the rate and a VAE's noise depend.
    for variable in model.optimizer.variables:
        if variable.name != "learning_rate":
            variable.assign(keras.ops.zeros_like(variable))
