"""What test files import from each other: a stub recipe, a run of every recipe, directories of finished runs."""

import dataclasses
import html
import io
import json
import pathlib
import re
import shutil

import keras
import markdown_it
import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tfgen import recipe, recipes, schema


class Killed(BaseException):
    """Stands for a kill: no handler of the package may catch it."""


@dataclasses.dataclass(frozen=True)
class StubConfig(recipe.Config):
    """A linear model on the mean pixel, which trains in a second.

    Attributes:
        batch_size: images of an update.
        learning_rate: of gradient descent.
    """

    batch_size: recipe.Count = 50
    learning_rate: recipe.Positive = 0.1


class StubModule:
    """Stands for a recipe's file: one `Dense(1)`, no XLA. What is done around an experiment is tested with it."""

    RECIPE = recipe.Recipe(
        title="One linear unit",
        lecture_items=("A1",),
        headline=("test_squared_error",),
        presets={"smoke": StubConfig(epochs=1), "quick": StubConfig(epochs=2)},
    )

    @staticmethod
    def experiment(run):
        import tensorflow as tf

        from tfgen import figures
        from tfgen.data.batches import Batches, scale

        def mean_and_label(step, images, labels):
            return tf.reduce_mean(images, axis=1, keepdims=True), tf.cast(labels, tf.float32)[:, None]

        data, config = run.data, run.config
        batches = Batches(data.train.images, config.batch_size, run.seed, labels=data.train.labels)
        batches = batches.map(mean_and_label)
        run.set_random_seed()
        image = keras.Input((1,), name="image")
        model = keras.Model(image, keras.layers.Dense(1)(image))
        model.compile(keras.optimizers.SGD(config.learning_rate), loss="mean_squared_error")
        x, y = mean_and_label(0, scale(data.test.images), data.test.labels)
        history = run.fit(model, batches, (x, y))
        value = np.mean((model(x) - y) ** 2)
        run.metric("test_squared_error", value, "squared error per image", "test", len(data.test))
        run.figure("training", figures.curves(history, [("Error", "squared", ["loss", "val_loss"])]))
        spec = tf.TensorSpec((None, 1), tf.float32, name="x")
        run.export({name: (lambda x: {"logit": model(x)}, [spec]) for name in ("serving_default", "predict")})


@dataclasses.dataclass(frozen=True)
class SmokeRun:
    """A run of a recipe that is shared by all tests.

    Attributes:
        directory: of the run; no test changes it.
        options: that it was run with.
        results: contents of `results.json`.
        batches: every `Batches` that was streamed.
        validations: the inputs of the validation data of each training.
        first_batches: the first batch of each training.
        trainings: names of the trainings in their order.
        figures: from the name of each function of `tfgen.figures` that was called to the arguments of its calls.
    """

    directory: object
    options: dict
    results: dict
    batches: list
    validations: list
    first_batches: list
    trainings: list
    figures: dict


def training_of(logger):
    """Returns the name of the training that a `CSVLogger` logs: "model" of training.csv."""
    return pathlib.Path(logger.filename).stem.removeprefix("training").strip("_") or "model"


def results_of(name, **changed):
    """Returns what the results file of a run of a recipe holds."""
    metric = {"value": 0.25, "unit": "share", "split": "test", "n": 10_000, "published": 0.5, "source": "Someone 1999"}
    return {
        "recipe": name,
        "lecture_items": list(recipes.RECIPES[name].lecture_items),
        "dataset": "mnist",
        "comparable": True,
        "preset": "quick",
        "seed": 3,
        "deterministic": False,
        "metrics": {"some_metric": metric, "another": {"value": 1.5, "unit": "nats", "split": "generated", "n": 7}},
        "figures": [],
        "saved_model": "saved_model",
        "seconds": 61.5,
        "environment": {"tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1", "cpus": 2},
        "config": {"epochs": recipes.RECIPES[name].presets["quick"].epochs},
        **changed,
    }


def finished_run(directory, saved_model, name="gan", **changed):
    """Makes the directory of a finished run of a recipe, with a copy of a SavedModel. Returns it."""
    directory.mkdir(parents=True)
    shutil.copytree(saved_model, directory / "saved_model")
    (directory / "results.json").write_text(json.dumps(results_of(name, **changed)))
    return directory


def contents(directory):
    """Returns everything below a directory: relative path -> bytes, or False for a directory."""
    return {path.relative_to(directory): path.is_file() and path.read_bytes() for path in directory.rglob("*")}


def last_checkpoints(directory):
    """Returns the paths of each training's last checkpoint. Which epochs those before hold depends on the time."""
    return sorted(path for path in (directory / "checkpoints").glob("*.keras") if ".previous" not in path.name)


def decoded(files):
    """Returns the images in PNG files `(batch,)` as `(batch, pixels)` floats in [0, 1]."""
    images = [Image.open(io.BytesIO(bytes(file))) for file in files]
    assert {(image.format, image.mode) for image in images} <= {("PNG", "L")}
    return np.stack([np.asarray(image).reshape(-1) for image in images]) / 255


# Texts that a results file may hold, most of them with what Markdown or HTML would take for markup.
MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></tr></table>",
    "<!-- end of results -->",
    "![picture](a.png)",
    "[link](javascript:alert(1))",
    "<mailto:a>",
    "a | b | c",
    "\\| a \\",
    "`code` ``|``",
    "**bold** _emphasis_ ~~gone~~ $x^2$",
    "# Title",
    "- item",
    "1. item",
    "1)",
    "&lt;b&gt; &#60;",
    "\\<b>",
    "--- | ---",
)
CHARACTERS = st.text(st.sampled_from("\\`*_{}[]()#+-.!|<>&;~$:=/\"' ab1é"), min_size=1, max_size=30)
FREE_TEXTS = st.sampled_from(MARKUP) | st.builds(str.strip, CHARACTERS | st.text(min_size=1)).filter(schema.TEXT.allows)


def rendered(markdown):
    """Returns the tags and the texts of Markdown as HTML, each a list; HTML in it would be taken over as it is."""
    written = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    tags = re.findall("<[^>]*>", written)
    return tags, [html.unescape(text) for text in re.split("<[^>]*>", written) if text.strip()]
