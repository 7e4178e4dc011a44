"""One run of a recipe, as its `experiment` sees it: configuration, data, training, and what is kept of it."""

import json
import math
import zlib

import keras
import numpy as np
import sklearn
import tensorflow as tf

import tfgen
from tfgen import figures
from tfgen.console import stop_if_asked
from tfgen.data.batches import blocks, without_tuning
from tfgen.export import export
from tfgen.files import npz, read_log, write_atomically
from tfgen.models.networks import layer_arrays
from tfgen.training.baselines import kept
from tfgen.training.blocks import use_blocks
from tfgen.training.checkpoint import (
    Checkpoint,
    EpochSeconds,
    StopWhereItDiverges,
    previous,
    restore,
)
from tfgen.training.progress import Progress
from tfgen.training.replicas import use_replicas
from tfgen.training.workers import from_chief

# Images evaluated at a time: enough to fill the cores, few enough for the memory.
EVALUATION_BATCH = 1000
# Of the test images, kept beside the networks that the report shows alive.
REPORT_IMAGES = 1000


def predict(model, x):
    """Returns a model's output for the rows of an array, as an array, or its outputs as a list of them."""
    outputs = []
    for i in range(0, len(x), EVALUATION_BATCH):
        stop_if_asked()
        # Of a small network Keras's `predict` spends most of its time on reading the array.
        outputs.append(model.predict_on_batch(x[i : i + EVALUATION_BATCH]))
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *outputs)


class StopWhereItIsAsked(keras.callbacks.Callback):
    """Ends the training between two calls of TensorFlow if a signal asks for it; see `console.deferred`."""

    def on_train_batch_end(self, batch, logs=None):
        stop_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        stop_if_asked()


class Run:
    """What an experiment works with.

    Attributes:
        recipe: the `Recipe`.
        config: its `Config` of the run's preset, with the user's changes.
        data: the `Dataset`.
        directory: where the run writes its files.
        preset: name of the preset.
        seed: int >= 0; initial weights, the order of the data and all noise are functions of it.
        deterministic: whether TensorFlow uses deterministic kernels only, and no XLA.
        tensorboard: whether the training is logged for TensorBoard as well.
        identity: dict of what decides the result, which each checkpoint keeps: another run does not go on with it.
        metrics: recorded so far, by name.
        trainings: of each `fit` so far, by its log's name: numbers of parameters and epochs, and what was logged last.
        figures: paths of the figures written so far.
        strategy: the `tf.distribute.Strategy` of its trainings, or None.
        seconds_before: seconds of training before the run was resumed.
    """

    def __init__(
        self,
        recipe,
        config,
        data,
        directory,
        preset,
        seed=0,
        deterministic=False,
        tensorboard=False,
        identity=None,
        needed_dir=None,
        strategy=None,
    ):
        self.recipe = recipe
        self.config = config
        self.data = data
        self.directory = directory
        self.preset = preset
        self.seed = seed
        self.deterministic = deterministic
        self.tensorboard = tensorboard
        self.identity = identity or {"preset": preset, "seed": seed, "deterministic": deterministic}
        self.strategy = strategy
        self.metrics = {}
        self.trainings = {}
        self.figures = []
        self.seconds_before = 0.0
        self._needed_dir = needed_dir
        self._seeded_for = None

    # Training.

    def set_random_seed(self, name="model"):
        """Seeds what Keras draws from here on, the initial weights: call it before a model is built.

        Args:
            name: of the training that `fit` is to begin: each has initial weights of its own.
        """
        keras.utils.set_random_seed(zlib.crc32(f"{self.seed} {name}".encode()))
        self._seeded_for = name

    def fit(self, model, batches, validation, name="model", epochs=None, callbacks=()):
        """Trains a compiled model in place with `keras.Model.fit`, from its last checkpoint if there is one.

        Args:
            model: the compiled model, built after `set_random_seed(name)`.
            batches: what it is trained on, such as `data.batches.Batches`: batch_size, unit, rows and prepare.
            validation: the held-out array, or pair of arrays, that `fit` takes as `validation_data`.
            name: which of a recipe's several trainings this is; names its log and checkpoint.
            epochs: how long to train, or None for as long as the configuration says.
            callbacks: Keras callbacks, which see each epoch before it is saved.

        Returns:
            dict from each logged name to its values, one an epoch.

        Raises:
            ValueError: without `set_random_seed(name)` before: the initial weights would not follow from the seed.
            InputError: if there is a checkpoint that cannot be read.
            RunError: if training diverges.
        """
        if self._seeded_for != name:
            raise ValueError(f"call run.set_random_seed({name!r}) before the model of run.fit(name={name!r}) is built.")
        steps, epochs = self.steps_per_epoch(batches), epochs or self.config.epochs
        checkpoint = self.directory / "checkpoints" / f"{name}.keras"
        log = self.directory / ("training.csv" if name == "model" else f"training_{name}.csv")
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        first_epoch = 0
        identity = {**self.identity, "training": name}
        if checkpoint.exists() or previous(checkpoint).exists():
            first_epoch = restore(model, checkpoint, log, steps, identity, self.config.defaults())
            self.seconds_before += sum(read_log(log)["seconds"])
            done = "finished already" if first_epoch >= epochs else f"resuming after epoch {first_epoch} of {epochs}"
            print(done if name == "model" else f"{name}: {done}", flush=True)
        if self.strategy is not None:
            # Of workers that began with different weights each would train a model of its own, and none would say so.
            weights = zlib.crc32(b"".join(weight.tobytes() for weight in model.get_weights()))
            from_chief(self.strategy, {"training": name, "epochs done": first_epoch, "weights": weights})
        if first_epoch < epochs:
            callbacks = [
                StopWhereItIsAsked(),
                EpochSeconds(),
                keras.callbacks.CSVLogger(log, append=first_epoch > 0),
                StopWhereItDiverges(),
                *callbacks,
                Checkpoint(checkpoint, log, identity, epochs),
            ]
            if self.tensorboard:
                logs = self.directory / "tensorboard" / ("" if name == "model" else name)
                callbacks.append(keras.callbacks.TensorBoard(logs))
            held_out = tf.data.Dataset.from_tensor_slices(validation).batch(EVALUATION_BATCH)
            if self.strategy is None:
                use_blocks(model, batches)
            else:
                use_replicas(model, batches, self.strategy)
            label = "" if name == "model" else name
            with Progress(epochs, steps * batches.batch_size, first_epoch, label, batches.unit) as progress:
                model.fit(
                    blocks(batches, first_epoch * steps, model.steps_per_execution),
                    initial_epoch=first_epoch,
                    epochs=epochs,
                    steps_per_epoch=steps,
                    validation_data=without_tuning(held_out),
                    shuffle=False,
                    verbose=0,
                    callbacks=[*callbacks, progress],
                )
        history = read_log(log)
        last = {column: values[-1] for column, values in history.items() if column not in ("epoch", "seconds")}
        parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        self.trainings[log.stem] = {"parameters": parameters, "epochs": epochs, **last}
        return history

    def steps_per_epoch(self, batches):
        """Returns the batches of an epoch: one pass, or several through a set too small to make 100 batches."""
        return max(len(self.data.train) // batches.batch_size, 100)

    def compile_options(self, batches, precision="float32", convolutions=False):
        """Returns what every model is compiled with: XLA, and an epoch in ten TensorFlow calls at most.

        Between two calls Python shows the progress and answers Ctrl-C. Their number divides the epoch's steps: Keras
        would take the last call's surplus from the next epoch. Without XLA where products are to be of bfloat16 or the
        model has convolutions: on a CPU it does not use the units that are made for the first, and TensorFlow's own
        convolutions are four times as fast as its, and more in a loop.
        """
        steps = self.steps_per_epoch(batches)
        calls = max(calls for calls in range(1, 11) if steps % calls == 0)
        jit_compile = not self.deterministic and precision == "float32" and not convolutions
        return {"jit_compile": jit_compile, "steps_per_execution": steps // calls}

    def decaying_rate(self, learning_rate, batches, epochs=None):
        """Returns a rate that falls from `learning_rate` to 0 along a cosine over the whole training."""
        steps = (epochs or self.config.epochs) * self.steps_per_epoch(batches)
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps)

    def decaying_adam(self, learning_rate, batches, epochs=None, epsilon=1e-7):
        """Returns Adam with such a rate."""
        return keras.optimizers.Adam(self.decaying_rate(learning_rate, batches, epochs), epsilon=epsilon)

    # What is kept.

    def metric(self, name, value, unit, split, n, std=None, **details):
        """Records a metric; a published value is put beside it only where the data are the paper's.

        Args:
            name: such as "test_squared_error", with a suffix after two underscores where a recipe has several.
            value: a number; one that is not finite is kept as None.
            unit: what it counts, such as "nats per image".
            split: what it was computed on, such as "test".
            n: the number of images, or samples.
            std: of a mean over seeds, or over other draws, which the unit tells: the standard deviation over them.
            **details: facts that differ from run to run, such as the `standard_error` of a mean over the n images.
        """
        stop_if_asked()
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
        self.figure_file(f"{name}.png", figures.png(figure))

    def figure_file(self, name, content):
        """Writes the bytes of a picture to `figures/<name>`."""
        stop_if_asked()
        write_atomically(self.directory / "figures" / name, content)
        self.figures.append(f"figures/{name}")

    def export(self, endpoints):
        """Writes the run's SavedModel."""
        stop_if_asked()
        export(endpoints, self.directory / "saved_model", self.data.image_shape)

    def keep_networks(self, networks, **arrays):
        """Writes the networks that the report shows alive to `networks.npz`.

        Beside them stand the first `REPORT_IMAGES` images of the test split, and the labels of all of its images.

        Args:
            networks: dict from a name such as "encoder" to a Keras model or its layers; see `layer_arrays`.
            **arrays: what else the report needs, such as the `codes` of the test images.
        """
        stop_if_asked()
        test = self.data.test
        arrays |= {**layer_arrays(networks), "images": test.images[:REPORT_IMAGES]}
        if test.labels is not None:
            arrays["labels"] = test.labels.astype("uint8" if self.data.classes <= 256 else "int64")
        write_atomically(self.directory / "networks.npz", npz(arrays))

    # What lies beside this run.

    def baseline(self, name, compute, seed=None, **parameters):
        """Returns numbers that no training decides, computed once for this run and those beside it.

        They are kept in `baselines/<name>.json`, or `<name>_seed_<seed>.json`, beside the runs that others need.

        Args:
            name: of the file.
            compute: function without arguments to a dict from lower-case names to numbers: a function of the data, the
                seed and the parameters alone.
            seed: int >= 0, or None if no seed decides the numbers.
            **parameters: what else decides them, as JSON has it.
        """
        identity = {
            "data_sha256": self.data.sha256,
            "deterministic": self.deterministic,
            **{package.__name__: package.__version__ for package in (tfgen, np, sklearn, tf)},
            "seed": seed,
            "parameters": json.loads(json.dumps(parameters)),
        }
        file = f"{name}.json" if seed is None else f"{name}_seed_{seed}.json"
        return kept((self._needed_dir or self.directory.parent) / "baselines" / file, identity, compute)

    def directory_of(self, name):
        """Returns the directory of the finished run of a recipe that this one needs."""
        if name not in self.recipe.needs:
            raise ValueError(f"{name!r} is none of the recipe's `needs`: {self.recipe.needs}.")
        return (self._needed_dir or self.directory.parent) / name
