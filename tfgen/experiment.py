"""Runs a recipe: seed, data, fit, evaluate, draw, export, write `results.json`.

What a recipe does stands in `tfgen.lecture`, one file a part of the lecture; `Run` is what all of them share.
"""

import contextlib
import csv
import dataclasses
import fcntl
import importlib.metadata
import importlib.util
import itertools
import json
import math
import os
import pathlib
import platform
import shutil
import sys
import time
import zipfile
import zlib

import keras
import tensorflow as tf

import tfgen
from tfgen import datasets, export, figures
from tfgen.checks import check_run
from tfgen.errors import InputError, RunError
from tfgen.files import locked, read_json, write_atomically
from tfgen.lecture import judge, part_a, part_a_uses, part_b, part_c, part_d, published
from tfgen.models.gan import GAN
from tfgen.recipes import RECIPES

EXPERIMENTS = {
    "shallow-autoencoder": part_a.shallow_autoencoder,
    "stacked-autoencoder": part_a.stacked_autoencoder,
    "denoising-autoencoder": part_a.denoising_autoencoder,
    "clustering-autoencoder": part_a.clustering_autoencoder,
    "feature-classifier": part_a_uses.feature_classifier,
    "anomaly-detection": part_a_uses.anomaly_detection,
    "vae": part_b.vae,
    "vae-gaussian": part_b.vae_gaussian,
    "vae-2d": part_b.vae_2d,
    "digit-classifier": judge.digit_classifier,
    "gan": part_d.gan,
    "gan-variants": part_d.gan_variants,
    "gan-1d": part_d.gan_1d,
    "discriminative-vs-generative": part_c.discriminative_vs_generative,
    "autoencoder-30d": published.autoencoder_30d,
    "vae-burda": published.burda,
    "iwae-burda": published.burda,
    "gan-goodfellow": published.gan_goodfellow,
}


def run(
    name,
    data,
    preset="quick",
    output_dir="runs",
    seed=0,
    epochs=None,
    precision=None,
    resume=False,
    deterministic=False,
    tensorboard=False,
):
    """Runs one recipe and writes `<output_dir>/<name>/`.

    What the same request has left there is replaced; a finished run of another one is moved to `<name>.1`, or so on.

    Args:
        name: a key of `recipes.RECIPES`.
        data: a `datasets.Dataset`, such as `datasets.load("mnist")`.
        preset: "smoke", "quick" or "paper".
        output_dir: directory of runs; made if missing.
        seed: int >= 0: initial weights, order of the data and all noise are functions of it.
        epochs: instead of the recipe's, or None.
        precision: "float32" or "mixed_bfloat16" instead of the recipe's, where it has one, or None.
        resume: go on from the last checkpoint; a run that is already finished is left as it is.
        deterministic: let TensorFlow use deterministic kernels only, and no XLA. It stays so in this process.
        tensorboard: log to `<output_dir>/<name>/tensorboard/` as well.

    Returns:
        The contents of `results.json`.

    Raises:
        InputError: for a request that cannot be run, or that would discard an unfinished run.
        RunError: if training diverges.
    """
    config, request = check_request(name, data, preset, output_dir, seed, epochs, precision, resume, deterministic)
    if tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise InputError("TensorBoard is not installed; install tfgen with its extra: pip install 'tfgen[tensorboard]'")
    for needed in _missing(name, data, preset, output_dir):
        print(f"{name} needs {needed}: running it first", flush=True)
        run(needed, data, preset, output_dir, resume=True, deterministic=deterministic)
    directory = pathlib.Path(output_dir) / name
    if (directory / "results.json").exists():
        difference = _difference(directory, request)
        if difference:
            numbered = (directory.with_name(f"{name}.{number}") for number in itertools.count(1))
            kept = next(path for path in numbered if not path.exists())
            with _locked(directory):
                directory.rename(kept)
            print(f"{directory} held a finished run with {difference}: moved to {kept}", flush=True)
        elif resume:
            print(f"{name}: already finished, see {directory / 'results.json'}", flush=True)
            return read_json(directory / "results.json")
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        _clear(directory, keep_unfinished=resume)
        write_atomically(directory / "request.json", json.dumps(request, indent=1).encode())
        return Run(directory, RECIPES[name], config, data, request, tensorboard).execute(EXPERIMENTS[name])


def _missing(name, data, preset, output_dir):
    """Returns the recipes that one needs of which no finished run of the same data and preset is there.

    Raises:
        InputError: if one that is there has lost its model.
    """
    missing = []
    for needed in RECIPES[name].needs:
        directory = pathlib.Path(output_dir) / needed
        path = directory / "results.json"
        if not path.exists() or [read_json(path)[key] for key in ("dataset", "preset")] != [data.name, preset]:
            missing.append(needed)
        elif not (directory / "saved_model" / "saved_model.pb").exists():
            raise InputError(
                f"{name} needs the model of {directory}, which is gone; delete {directory} to train it anew"
            )
    return missing


def check_request(name, data, preset, output_dir, seed, epochs, precision, resume, deterministic):
    """Returns `(configuration, what request.json is to hold)`; see `run`.

    Raises:
        InputError: if the request cannot be run, or is to resume what another one has begun.
    """
    check_run([name], preset, output_dir, seed, epochs, precision, resume)
    for needed in _missing(name, data, preset, output_dir):
        check_request(needed, data, preset, output_dir, 0, None, None, True, deterministic)
    config = RECIPES[name].presets[preset]
    if epochs is not None:
        config = dataclasses.replace(config, epochs=epochs)
    if precision is not None:
        config = dataclasses.replace(config, precision=precision)
    request = {
        "tfgen": tfgen.__version__,
        "recipe": name,
        "dataset": data.name,
        "preset": preset,
        "seed": seed,
        "deterministic": deterministic,
        **dataclasses.asdict(config),
    }
    request = json.loads(json.dumps(request))  # as it will be read back: tuples become lists
    directory = pathlib.Path(output_dir) / name
    if resume and (directory / "request.json").exists() and not (directory / "results.json").exists():
        difference = _difference(directory, request)
        if difference:
            raise InputError(
                f"{directory} holds an unfinished run with {difference}: give the same options to resume it, "
                "name another --output-dir, or delete it"
            )
    return config, request


def _difference(directory, request):
    """Returns in what the request that a directory's run was made for differs from this one; empty if in nothing."""
    if not (directory / "request.json").exists():
        return "no request.json"
    earlier = read_json(directory / "request.json")
    return "; ".join(
        f"{key} {earlier.get(key)!r}, not {request.get(key)!r}"
        for key in {**request, **earlier}
        if earlier.get(key) != request.get(key)
    )


@contextlib.contextmanager
def _locked(directory):
    """Keeps a second run out of the directory for as long as the first one lives."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            message = f"another run is writing to {directory}; wait for it, or name another --output-dir"
            raise InputError(message) from None
        yield


def _clear(directory, keep_unfinished):
    """Removes what an earlier run has left, and nothing else: whatever else lies there is the user's."""
    leftovers = [*directory.glob(".saved_model.*"), *directory.glob("checkpoints/.*")]
    if not keep_unfinished:
        # Results first: a directory that has some is whole.
        leftovers += [directory / "results.json", *directory.glob("training*.csv")]
        leftovers += [directory / name for name in ("checkpoints", "figures", "saved_model", "tensorboard")]
    for path in leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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
            "deterministic": self.request["deterministic"],
            "metrics": self.metrics,
            "figures": self.figures,
            "saved_model": "saved_model" if (self.directory / "saved_model").exists() else None,
            "seconds": round(self.seconds_before + time.monotonic() - started, 1),
            "environment": environment(),
            "config": json.loads(json.dumps(dataclasses.asdict(self.config))),
        }
        write_atomically(self.directory / "results.json", json.dumps(results, indent=1, allow_nan=False).encode())
        return results

    def fit(self, build, batches, batch_size, validation, on_epoch_end=None, name=None, epochs=None):
        """Trains with `keras.Model.fit`, from the last checkpoint if there is one.

        Args:
            build: function that returns the compiled model; its initial weights follow from the run's seed and `name`.
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
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        first_epoch = 0
        # Before every model, so that a resumed run, which has built fewer, gives the next one the same weights.
        keras.utils.set_random_seed(zlib.crc32(f"{self.seed} {name or 'model'}".encode()))
        if not checkpoint.exists():
            model = build()
        else:
            model, log_lines = _load_checkpoint(checkpoint, log)
            first_epoch = int(_optimizer(model).iterations) // steps
            # A run killed between the line of an epoch and its checkpoint has logged an epoch too many.
            write_atomically(log, "".join(log_lines[: 1 + first_epoch]).encode())
            self.seconds_before += sum(_read_log(log)["seconds"])
            print(f"resuming after epoch {first_epoch} of {epochs}", flush=True)

        epoch_started = time.monotonic()

        def time_epoch(epoch, logs):
            nonlocal epoch_started
            logs["seconds"] = time.monotonic() - epoch_started
            epoch_started = time.monotonic()

        def save(epoch, logs):
            if not all(math.isfinite(value) for value in logs.values()):
                kept = f"the checkpoint is of epoch {epoch}" if epoch else "there is no checkpoint yet"
                raise RunError(
                    f"training diverged in epoch {epoch + 1} ({logs}); {kept}. "
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
            held_out = tf.data.Dataset.from_tensor_slices(validation if len(validation) > 1 else validation[0])
            model.fit(
                batches(first_epoch * steps),
                initial_epoch=first_epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                validation_data=datasets.untuned(held_out.batch(self.EVALUATION_BATCH)),
                shuffle=False,
                verbose=1 if sys.stdout.isatty() else 2,
                callbacks=callbacks,
            )
        return model, _read_log(log)

    def steps_per_epoch(self, batch_size):
        """Returns the batches of an epoch: one pass, or several through a set too small to make 100 batches."""
        return max(len(self.data.train) // batch_size, 100)

    def compile_options(self, batch_size, precision="float32"):
        """Returns what every model is compiled with: XLA, and an epoch in ten TensorFlow calls at most.

        Between two calls Python moves the progress bar and answers Ctrl-C. Their number divides the epoch's steps:
        Keras would take the last call's surplus from the next epoch. Without XLA where products are to be of bfloat16:
        on a CPU it does not use the units that are made for them.
        """
        steps = self.steps_per_epoch(batch_size)
        calls = max(calls for calls in range(1, 11) if steps % calls == 0)
        jit_compile = self.jit_compile and precision == "float32"
        return {"jit_compile": jit_compile, "steps_per_execution": steps // calls}

    @staticmethod
    def adam(learning_rate, steps, epsilon=1e-7):
        """Returns Adam with a rate that falls from `learning_rate` to 0 along a cosine over `steps` iterations."""
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps), epsilon=epsilon)

    def needed(self, name, load):
        """Returns what `load` makes of the directory of a finished run of a recipe that this one needs."""
        if name not in self.recipe.needs:
            raise ValueError(f"{name!r} is none of the recipe's `needs`: {self.recipe.needs}.")
        return load(self.directory.parent / name)

    def metric(self, name, value, unit, split, n, std=None, **details):
        """Records a metric; a published value is put beside it only where the data are the paper's.

        `std` is for a mean over seeds, which the unit tells: the standard deviation over them. `details` are facts that
        differ from run to run, such as the `standard_error` of a mean over the n images.
        """
        value = float(value)
        self.metrics[name] = {"value": value if math.isfinite(value) else None, "unit": unit, "split": split, "n": n}
        if std is not None:
            self.metrics[name]["std"] = float(std)
        self.metrics[name] |= details
        published = self.recipe.published.get(name)
        if published and self.data.comparable:
            self.metrics[name] |= {"published": published.value, "source": published.source}

    def figure(self, name, figure):
        """Writes a figure to `figures/<name>.png`."""
        write_atomically(self.directory / "figures" / f"{name}.png", figures.png(figure))
        self.figures.append(f"figures/{name}.png")

    def export(self, endpoints):
        """Writes the run's SavedModel."""
        export.export(endpoints, self.directory / "saved_model")


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


def _load_checkpoint(checkpoint, log):
    """Returns the model and the log's lines to go on from."""
    try:
        return keras.models.load_model(checkpoint), log.read_text().splitlines(keepends=True)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{checkpoint} or its log {log} cannot be read ({error}); delete {checkpoint.parent.parent} to start over"
        ) from error


def _read_log(path):
    """Returns `training.csv` as a dict from column to its values, one an epoch."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def _optimizer(model):
    return model.generator_optimizer if isinstance(model, GAN) else model.optimizer
