"""A run as its experiment sees it: training that goes on bit for bit, its seeds and steps, what is kept of it."""

import dataclasses
import gc
import json
import math

import keras
import matplotlib.figure
import numpy as np
import pytest
import tensorflow as tf
from helpers import Killed, StubModule, contents

from tfgen.data import Split
from tfgen.data.batches import Batches
from tfgen.errors import RunError
from tfgen.files import read_log
from tfgen.recipe import Published
from tfgen.training.run import EVALUATION_BATCH, Run, predict

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True, scope="module")
def collected():
    """Collects what killed trainings have left open before the tests of another file, whose warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
def make_run(digits, tmp_path):
    """Function that makes a `Run` of the stub recipe, in smoke, in a directory of its own or in the one named."""

    def make(directory="stub", epochs=1, recipe=StubModule.RECIPE, data=digits, **options):
        config = recipe.presets["smoke"].replace(epochs=epochs)
        return Run(recipe, config, data, tmp_path / directory, "smoke", **options)

    return make


def means(step, images, labels):
    """A transform: the mean pixel, and the label."""
    return tf.reduce_mean(images, axis=1, keepdims=True), tf.cast(labels, tf.float32)[:, None]


def batches_of(run):
    train = run.data.train
    return Batches(train.images, run.config.batch_size, run.seed, labels=train.labels).map(means)


def held_out(run, split="validation"):
    images, labels = dataclasses.astuple(getattr(run.data, split))
    return images.mean(axis=1, keepdims=True, dtype=np.float32) / 255, labels[:, None].astype(np.float32)


def built(run, name="model", learning_rate=0.01):
    """Returns one linear unit, trained with Adam at a rate that decays."""
    run.set_random_seed(name)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    batches = batches_of(run)
    model.compile(run.decaying_adam(learning_rate, batches), loss="mean_squared_error")
    return model


def fit(run, name="model", callbacks=(), **options):
    """Returns the trained model and its history."""
    model = built(run, name)
    return model, run.fit(model, batches_of(run), held_out(run), name, callbacks=callbacks, **options)


def state(model):
    return [np.asarray(variable) for variable in (*model.weights, *model.optimizer.variables)]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


class KilledAfter(keras.callbacks.Callback):
    """Kills the training at the end of an epoch, counted from 0; remembers which checkpoints it has seen."""

    def __init__(self, epoch, checkpoint):
        super().__init__()
        self.epoch = epoch
        self.checkpoint = checkpoint
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        # Of the epochs that have been saved.
        saved = self.checkpoint.exists() and int(keras.models.load_model(self.checkpoint).optimizer.iterations) // 100
        self.seen.append((epoch, int(saved), sorted(logs)))
        if epoch == self.epoch:
            raise Killed


# Going on.


def test_a_killed_training_goes_on_bit_for_bit_where_its_checkpoint_is(make_run, monkeypatch, capsys):
    whole, history = fit(make_run("whole", epochs=3))
    run = make_run("parts", epochs=3)
    kill = KilledAfter(1, run.directory / "checkpoints" / "model.keras")
    with pytest.raises(Killed):
        fit(run, callbacks=[kill])
    # Callbacks see each epoch, with its seconds, before it is saved.
    assert kill.seen == [(epoch, epoch, ["loss", "seconds", "val_loss"]) for epoch in (0, 1)]
    assert read_log(run.directory / "training.csv")["epoch"] == [0, 1]

    capsys.readouterr()
    resumed = make_run("parts", epochs=3)
    model, resumed_history = fit(resumed)
    assert "resuming after epoch 1 of 3" in capsys.readouterr().out
    assert_equal(state(model), state(whole))
    assert resumed_history["epoch"] == [0, 1, 2]
    for column in ("loss", "val_loss"):
        assert resumed_history[column] == history[column]
    parameters = sum(math.prod(weights.shape) for weights in model.get_weights())
    last = {column: history[column][-1] for column in ("loss", "val_loss")}
    assert resumed.trainings == {"training": {"parameters": parameters, "epochs": 3, **last}}
    assert resumed.seconds_before == resumed_history["seconds"][0] > 0 and run.seconds_before == 0

    # Wrong: the batches of the first epoch once more.
    for checkpoint in run.directory.glob("checkpoints/*.keras"):
        checkpoint.unlink()
    with pytest.raises(Killed):
        fit(make_run("parts", epochs=3), callbacks=[kill])
    rows = Batches.rows
    monkeypatch.setattr(Batches, "rows", lambda self, first_step, block: rows(self, 0, block))
    wrong, _ = fit(make_run("parts", epochs=3))
    assert int(wrong.optimizer.iterations) == 300
    assert any(np.any(a != b) for a, b in zip(wrong.get_weights(), whole.get_weights(), strict=True))


def test_a_finished_training_is_read_and_not_repeated(make_run, monkeypatch):
    model, history = fit(make_run(epochs=2))
    monkeypatch.setattr(keras.Model, "fit", None)
    again, same = fit(make_run(epochs=2))
    assert same == history
    assert_equal(state(again), state(model))


def test_each_training_has_a_log_a_checkpoint_and_as_many_epochs_as_are_asked_for(make_run):
    run = make_run(epochs=1)
    _, first = fit(run)
    second, history = fit(run, "second", epochs=2)
    assert (first["epoch"], history["epoch"]) == ([0], [0, 1])
    assert int(second.optimizer.iterations) == 200
    assert {str(path) for path in contents(run.directory)} == {
        "checkpoints",
        "checkpoints/model.keras",
        "checkpoints/second.keras",
        "checkpoints/second.previous.keras",
        "training.csv",
        "training_second.csv",
    }


def test_a_training_is_logged_as_keras_measures_it(make_run):
    """The validation loss by hand, of more images than are evaluated at a time."""
    run = make_run()
    model = built(run)
    x, y = (np.concatenate([values] * 5) for values in held_out(run))
    assert len(x) == 1250 > EVALUATION_BATCH and len(x) % EVALUATION_BATCH
    y = y + np.arange(len(y), dtype=np.float32)[:, None] / 100  # so that batches differ
    history = run.fit(model, batches_of(run), (x, y))
    error = np.mean((np.float64(model(x)) - y) ** 2)
    assert history["val_loss"] == [pytest.approx(error, rel=1e-5)]
    assert error != pytest.approx(np.mean((np.float64(model(x[:1000])) - y[:1000]) ** 2), rel=1e-2)


def test_a_model_is_trained_on_the_batches_in_their_order(make_run):
    """100 batches of gradient descent by hand, in float64."""
    run = make_run()
    run.set_random_seed()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error")
    (w, b), batches = (float(np.squeeze(value)) for value in model.get_weights()), batches_of(run)
    for x, y in batches.stream().take(100).as_numpy_iterator():
        error = w * x.astype(np.float64) + b - y
        w, b = w - 0.2 * np.mean(error * x), b - 0.2 * np.mean(error)
    run.fit(model, batches, held_out(run))
    np.testing.assert_allclose([float(np.squeeze(value)) for value in model.get_weights()], (w, b), rtol=1e-4)


def test_a_training_that_diverges_ends_in_one_error_and_keeps_the_checkpoint_before(make_run):
    run = make_run(epochs=3)

    class Wild(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.set_weights([value + np.float32(1e30) for value in self.model.get_weights()])

    with pytest.raises(RunError, match=r"training diverged in epoch 2 .*; the last checkpoint is kept\. Try another"):
        fit(run, callbacks=[Wild()])
    checkpoint = keras.models.load_model(run.directory / "checkpoints" / "model.keras")
    assert int(checkpoint.optimizer.iterations) == 100
    assert all(np.all(np.abs(value) < 100) for value in checkpoint.get_weights())


def test_a_training_is_logged_for_tensorboard_where_that_is_asked_for(make_run, monkeypatch):
    seen = []

    class TensorBoard(keras.callbacks.Callback):
        """Stands for Keras's, which needs the package tensorboard."""

        def __init__(self, directory):
            super().__init__()
            self.directory = directory

        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.directory, epoch, sorted(logs)))

    monkeypatch.setattr(keras.callbacks, "TensorBoard", TensorBoard)
    run = make_run(tensorboard=True)
    fit(run)
    fit(run, "second")
    fit(make_run("other"))
    logged = run.directory / "tensorboard"
    assert seen == [(directory, 0, ["loss", "seconds", "val_loss"]) for directory in (logged, logged / "second")]


# Seeds.


def test_a_model_that_may_have_anyone_s_initial_weights_is_not_trained(make_run):
    run = make_run()
    model = built(run)
    for name in ("second", "model"):
        other = make_run("other")
        if name == "second":
            other.set_random_seed()
        with pytest.raises(ValueError, match=rf"call run\.set_random_seed\('{name}'\) before the model of run\.fit"):
            other.fit(model, batches_of(run), held_out(run), name)
        assert not other.directory.exists()


def test_initial_weights_are_a_function_of_the_seed_and_the_training_s_name(make_run):
    kernels = [
        float(built(make_run(seed=seed), name).get_weights()[0].item())
        for seed, name in ((0, "model"), (0, "model"), (0, "second"), (1, "model"), (1, "second"))
    ]
    assert kernels[0] == kernels[1]
    assert len(set(kernels)) == 4


# Steps.


def of_images(digits, n):
    one = Split(np.zeros((1, 1), np.uint8), np.zeros(1, np.int64))
    train = Split(np.zeros((n, 1), np.uint8), np.zeros(n, np.int64))
    return dataclasses.replace(digits, train=train, validation=one, test=one, image_shape=(1, 1))


@pytest.mark.parametrize(
    "images, steps, calls",
    # 111 is 3 times 37, and 103 is a prime.
    [(50_000, 390, 10), (1_250, 100, 10), (14_208, 111, 3), (13_300, 103, 1)],
)
def test_an_epoch_takes_ten_calls_at_most_and_no_step_of_the_next(images, steps, calls, digits, make_run):
    run = make_run(data=of_images(digits, images))
    batches = Batches(run.data.train.images, 128, 0)
    assert run.steps_per_epoch(batches) == steps
    assert run.compile_options(batches) == {"jit_compile": True, "steps_per_execution": steps // calls}


def test_xla_is_used_unless_kernels_are_to_be_deterministic_or_products_of_bfloat16(make_run):
    for options, precision, expected in (
        ({}, "float32", True),
        ({}, "mixed_bfloat16", False),
        ({"deterministic": True}, "float32", False),
        ({"deterministic": True}, "mixed_bfloat16", False),
    ):
        run = make_run(**options)
        assert run.compile_options(batches_of(run), precision)["jit_compile"] is expected
    assert not make_run().compile_options(batches_of(run), convolutions=True)["jit_compile"]


def test_the_rate_falls_to_0_along_a_cosine_over_all_epochs(make_run):
    run = make_run(epochs=4)
    for epochs, steps in ((None, 400), (2, 200)):
        adam = run.decaying_adam(0.5, batches_of(run), epochs, epsilon=1e-4)
        assert adam.epsilon == 1e-4
        for share, rate in ((0, 0.5), (0.25, 0.25 * (1 + math.sqrt(0.5))), (0.5, 0.25), (1, 0)):
            adam.iterations.assign(round(share * steps))
            assert float(adam.learning_rate) == pytest.approx(rate, abs=1e-7)
    assert run.decaying_adam(0.5, batches_of(run)).epsilon == 1e-7


# What is kept.


def test_published_values_stand_beside_ours_on_mnist_only(digits, make_run):
    recipe = dataclasses.replace(
        StubModule.RECIPE, published={"pca_squared_error__30": Published(13.87, "Hinton & Salakhutdinov 2006")}
    )
    for comparable in (True, False):
        run = make_run(recipe=recipe, data=dataclasses.replace(digits, comparable=comparable))
        run.metric("pca_squared_error__30", np.float32(13.5), "unit", "test", 1)
        run.metric("test_squared_error", 13.5, "unit", "test", 1)
        ours = {"value": 13.5, "unit": "unit", "split": "test", "n": 1}
        published = {"published": 13.87, "source": "Hinton & Salakhutdinov 2006"}
        assert run.metrics["pca_squared_error__30"] == {**ours, **(published if comparable else {})}
        assert run.metrics["test_squared_error"] == ours
        assert type(run.metrics["test_squared_error"]["value"]) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_what_is_not_finite_is_kept_as_none(make_run, value):
    run = make_run()
    run.metric("test_squared_error", value, "unit", "test", 1)
    assert run.metrics["test_squared_error"]["value"] is None


def test_a_metric_keeps_its_spread_and_its_details(make_run):
    run = make_run()
    run.metric("k", np.float64(2), "unit, mean over 3 seeds", "generated", 7, std=np.float32(0.5), sigma=0.25)
    expected = {"value": 2, "unit": "unit, mean over 3 seeds", "split": "generated", "n": 7, "std": 0.5, "sigma": 0.25}
    assert json.loads(json.dumps(run.metrics)) == {"k": expected}


def test_figures_are_files_whose_names_are_kept(make_run):
    run = make_run()
    run.figure("curve", matplotlib.figure.Figure())
    run.figure_file("film.gif", b"GIF")
    assert run.figures == ["figures/curve.png", "figures/film.gif"]
    assert (run.directory / "figures" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (run.directory / "figures" / "film.gif").read_bytes() == b"GIF"


def test_the_saved_model_is_told_the_shape_of_the_images(digits, make_run):
    run = make_run(data=dataclasses.replace(digits, image_shape=(14, 56)))
    spec = tf.TensorSpec((None, 1), tf.float32, name="x")
    run.export({name: (lambda x: {"logit": 2 * x}, [spec]) for name in ("serving_default", "predict")})
    model = tf.saved_model.load(str(run.directory / "saved_model"))
    assert model.signatures["predict"](x=tf.constant([[1.5]]))["logit"].numpy() == [[3.0]]
    metadata = json.loads((run.directory / "saved_model" / "assets.extra" / "tfgen.json").read_text())
    assert metadata["image_shape"] == [14, 56]


def test_only_runs_that_the_recipe_needs_are_beside_it(make_run):
    run = make_run("runs/stub", recipe=dataclasses.replace(StubModule.RECIPE, needs=("digit-classifier",)))
    assert run.directory_of("digit-classifier") == run.directory.parent / "digit-classifier"
    with pytest.raises(ValueError, match=r"'vae' is none of the recipe's `needs`: \('digit-classifier',\)"):
        run.directory_of("vae")


def test_predictions_are_the_model_s_outputs_however_many_rows(make_run):
    model = built(make_run())
    x = np.linspace(0, 1, EVALUATION_BATCH + 7, dtype=np.float32)[:, None]
    outputs = predict(model, x)
    assert type(outputs) is np.ndarray and outputs.shape == (EVALUATION_BATCH + 7, 1)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(outputs, x * kernel + bias, rtol=1e-6)


def test_outputs_of_more_rows_than_are_predicted_at_a_time_are_those_of_the_model():
    x = keras.Input((3,))
    first, second = keras.layers.Dense(2)(x), keras.layers.Dense(4)(x)
    rows = np.random.default_rng(0).normal(size=(2 * EVALUATION_BATCH + 7, 3)).astype(np.float32)
    np.testing.assert_allclose(predict(keras.Model(x, first), rows), keras.Model(x, first)(rows), rtol=1e-5, atol=1e-6)
    both = keras.Model(x, [first, second])
    outputs = predict(both, rows)
    assert [output.shape for output in outputs] == [(len(rows), 2), (len(rows), 4)]
    for output, expected in zip(outputs, both(rows), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
