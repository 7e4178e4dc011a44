"""Runs a recipe: seed, data, fit, evaluate, draw, export, write `results.json`.

What a recipe does stands in `tfgen.lecture`, one file a part of the lecture; `Run` is what all of them share.
"""

import csv
import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shutil
import sys
import time

import keras
import tensorflow as tf

import tfgen
from tfgen import export, figures
from tfgen.checks import check_run
from tfgen.errors import InputError, RunError
from tfgen.files import write_atomically
from tfgen.lecture import part_a, part_b, part_c, part_d
from tfgen.models.gan import GAN
from tfgen.recipes import RECIPES

EXPERIMENTS = {
    "shallow-autoencoder": part_a.shallow_autoencoder,
    "stacked-autoencoder": part_a.stacked_autoencoder,
    "clustering-autoencoder": part_a.clustering_autoencoder,
    "vae": part_b.vae,
    "vae-gaussian": part_b.vae_gaussian,
    "vae-2d": part_b.vae_2d,
    "gan": part_d.gan,
    "discriminative-vs-generative": part_c.discriminative_vs_generative,
}


def run(
    name,
    data,
    preset="quick",
    output_dir="runs",
    seed=0,
    epochs=None,
    resume=False,
    deterministic=False,
    tensorboard=False,
):
    """Runs one recipe and writes `<output_dir>/<name>/`.

    Args:
        name: a key of `recipes.RECIPES`.
        data: a `datasets.Dataset`, such as `datasets.load("mnist")`.
        preset: "smoke", "quick" or "paper".
        output_dir: directory of runs; made if missing.
        seed: int >= 0: initial weights, order of the data and all noise are functions of it.
        epochs: instead of the recipe's, or None.
        resume: go on from the last checkpoint; a run that is already finished is left as it is.
        deterministic: let TensorFlow use deterministic kernels only, and no XLA.
        tensorboard: log to `<output_dir>/<name>/tensorboard/` as well.

    Returns:
        The contents of `results.json`.

    Raises:
        InputError: for a request that cannot be run, or that would discard an unfinished run.
        RunError: if training diverges.
    """
    check_run([name], preset, output_dir, seed, epochs, resume)
    recipe = RECIPES[name]
    config = recipe.presets[preset]
    if epochs is not None:
        config = dataclasses.replace(config, epochs=epochs)
    directory = pathlib.Path(output_dir) / name
    request = {
        "tfgen": tfgen.__version__,
        "recipe": name,
        "dataset": data.name,
        "preset": preset,
        "seed": seed,
        "deterministic": deterministic,
        "config": dataclasses.asdict(config),
    }
    request = json.loads(json.dumps(request))  # as it will be read back: tuples become lists
    finished = _prepare_directory(directory, request, resume)
    if finished:
        print(f"{name}: already finished, see {directory / 'results.json'}", flush=True)
        return finished
    return Run(directory, recipe, config, data, request, tensorboard).execute(EXPERIMENTS[name])


def _prepare_directory(directory, request, resume):
    """Returns the results of a finished run to be kept, or None with the directory ready to be written to."""
    request_path, results_path = directory / "checkpoints" / "request.json", directory / "results.json"
    if resume and request_path.exists():
        earlier = json.loads(request_path.read_text())
        if earlier != request:
            changed = [key for key in request if earlier.get(key) != request[key]]
            raise InputError(
                f"{directory} was started with another {' and '.join(changed)} "
                f"({', '.join(f'{key} {earlier.get(key)!r}' for key in changed)}); "
                "give the same options to resume it, or leave out --resume and delete it to start over"
            )
        return json.loads(results_path.read_text()) if results_path.exists() else None
    # Only what a run writes is removed, results first: whatever else lies there is the user's.
    results_path.unlink(missing_ok=True)
    for path in directory.glob("training*.csv"):
        path.unlink()
    for name in ("checkpoints", "figures", "saved_model", "tensorboard"):
        if (directory / name).exists():
            shutil.rmtree(directory / name)
    write_atomically(request_path, json.dumps(request, indent=1).encode())
    return None


class Run:
    """One run under way: its configuration, data and directory, and the results collected so far."""

    EVALUATION_BATCH = 1000

    def __init__(self, directory, recipe, config, data, request, tensorboard):
        self.directory = directory
        self.recipe = recipe
        self.config = config
        self.data = data
        self.seed = request["seed"]
        self.jit_compile = not request["deterministic"]
        self.request = request
        self.tensorboard = tensorboard
        self.metrics = {}
        self.figures = []
        self.seconds_before = 0.0

    def execute(self, experiment):
        """Runs the recipe's function and writes `results.json`."""
        started = time.monotonic()
        if self.request["deterministic"]:
            tf.config.experimental.enable_op_determinism()
        experiment(self)
        results = {
            "recipe": self.request["recipe"],
            "lecture_items": list(self.recipe.lecture_items),
            "dataset": self.data.name,
            "comparable": self.data.comparable,
            "preset": self.request["preset"],
            "seed": self.seed,
            "metrics": self.metrics,
            "figures": self.figures,
            "saved_model": "saved_model" if (self.directory / "saved_model").exists() else None,
            "seconds": round(self.seconds_before + time.monotonic() - started, 1),
            "environment": environment(),
            "config": self.request["config"],
        }
        write_atomically(self.directory / "results.json", json.dumps(results, indent=1, allow_nan=False).encode())
        return results

    def fit(self, build, batches, batch_size, validation, on_epoch_end=None, name=None, epochs=None):
        """Trains with `keras.Model.fit`, from the last checkpoint if there is one.

        Args:
            build: function that returns the compiled model; its initial weights are a function of the run's seed.
            batches: function from the number of batches already consumed to an endless `tf.data.Dataset`.
            batch_size: size of these batches.
            validation: the held-out arrays that `fit` takes as `validation_data`.
            on_epoch_end: function of `(model, number of epochs done)` called after each epoch, or None.
            name: which of a recipe's several models this is, or None for the only one; names its log and checkpoint.
            epochs: how long to train, or None for as long as the configuration says.

        Returns:
            `(model, history)`: the trained model, and from each logged name its values, one an epoch.
        """
        steps, epochs = self.steps_per_epoch(batch_size), epochs or self.config.epochs
        checkpoint = self.directory / "checkpoints" / f"{name or 'model'}.keras"
        log = self.directory / (f"training_{name}.csv" if name else "training.csv")
        first_epoch = 0
        # Before every model: what a resumed run has loaded instead of built must not change the next one's weights.
        keras.utils.set_random_seed(self.seed)
        if not checkpoint.exists():
            model = build()
        else:
            model = keras.models.load_model(checkpoint)
            first_epoch = int(_optimizer(model).iterations) // steps
            # A run killed between the line of an epoch and its checkpoint has logged an epoch too many.
            lines = log.read_text().splitlines(keepends=True)
            write_atomically(log, "".join(lines[: 1 + first_epoch]).encode())
            self.seconds_before += sum(_read_log(log)["seconds"])
            print(f"resuming after epoch {first_epoch} of {epochs}", flush=True)

        epoch_started = time.monotonic()

        def time_epoch(epoch, logs):
            nonlocal epoch_started
            logs["seconds"] = time.monotonic() - epoch_started
            epoch_started = time.monotonic()

        def save(epoch, logs):
            if not all(math.isfinite(value) for value in logs.values()):
                raise RunError(
                    f"training diverged in epoch {epoch + 1} ({logs}); the checkpoint is of epoch {epoch}. "
                    "Try another --seed, or a lower learning rate in the recipe"
                )
            if on_epoch_end is not None:
                on_epoch_end(model, epoch + 1)
            # Written whole and then renamed, which keras.callbacks.ModelCheckpoint does not do.
            temporary = checkpoint.with_name(f".{checkpoint.name}")
            model.save(temporary)
            os.replace(temporary, checkpoint)

        callbacks = [
            keras.callbacks.LambdaCallback(on_epoch_end=time_epoch),
            keras.callbacks.CSVLogger(log, append=first_epoch > 0),
            keras.callbacks.LambdaCallback(on_epoch_end=save),
        ]
        if self.tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(self.directory / "tensorboard" / (name or "")))
        if first_epoch < epochs:
            model.fit(
                batches(first_epoch * steps),
                initial_epoch=first_epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                validation_data=validation,
                validation_batch_size=self.EVALUATION_BATCH,
                shuffle=False,
                verbose=1 if sys.stdout.isatty() else 2,
                callbacks=callbacks,
            )
        return model, _read_log(log)

    def steps_per_epoch(self, batch_size):
        """Returns the batches of an epoch: one pass, or several through a set too small to make 100 batches.

        They also are `steps_per_execution`: an epoch runs as one TensorFlow call without returning to Python.
        """
        return max(len(self.data.train) // batch_size, 100)

    @staticmethod
    def adam(learning_rate, steps):
        """Returns Adam with a rate that falls from `learning_rate` to 0 along a cosine over `steps` iterations."""
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))

    def metric(self, name, value, unit, split, n):
        """Records a metric; a published value is put beside it only where the data are the paper's."""
        value = float(value)
        self.metrics[name] = {"value": value if math.isfinite(value) else None, "unit": unit, "split": split, "n": n}
        published = self.recipe.published.get(name)
        if published and self.data.comparable:
            self.metrics[name] |= {"published": published.value, "source": published.source}

    def figure(self, name, figure):
        """Writes a figure to `figures/<name>.png`."""
        write_atomically(self.directory / "figures" / f"{name}.png", figures.png(figure))
        self.figures.append(f"figures/{name}.png")

    def export(self, model, endpoints):
        """Writes the run's SavedModel."""
        export.export(model, endpoints, self.directory / "saved_model")


def environment():
    """Returns the versions and the hardware that a result was computed with."""
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")
    return {
        "tfgen": tfgen.__version__,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _read_log(path):
    """Returns `training.csv` as a dict from column to its values, one an epoch."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def _optimizer(model):
    return model.generator_optimizer if isinstance(model, GAN) else model.optimizer
