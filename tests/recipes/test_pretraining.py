"""Statistics of a code, and greedy layer-wise pre-training: its epochs, its stack, its stages."""

import dataclasses
import types

import keras
import numpy as np
import pytest
from conftest import Killed
from tfgen.lecture import part_a

from tfgen import datasets, experiment, figures
from tfgen.evaluation.codes import covariance_spectrum, near_dead_share, participation_ratio
from tfgen.models.autoencoder import ShallowAutoencoder, stack, stacked_autoencoder
from tfgen.recipes import RECIPES

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

NAME = "stacked-autoencoder"


# Statistics of the code.


@pytest.mark.parametrize(
    "eigenvalues, expected", [([2, 2, 2, 2], 4), ([5, 0, 0], 1), ([3, 1], 16 / 10), ([1, 1, 0, 0], 2), ([7], 1)]
)
def test_participation_ratio_by_hand(eigenvalues, expected):
    assert participation_ratio(np.array(eigenvalues, np.float64)) == pytest.approx(expected)


def test_participation_ratio_is_the_trace_s_form_and_knows_neither_scale_nor_rotation():
    """(tr C)^2 / tr(C^2), without eigenvalues; between 1 and the number of units."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 6)) * [5, 1, 1, 1, 1, 0.5]
    covariance = np.cov(x.T)
    expected = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    assert 1 < expected < 6
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    for codes in (x, 100 * x @ rotation + 7):
        assert participation_ratio(covariance_spectrum(codes)) == pytest.approx(expected)
    assert participation_ratio(covariance_spectrum(x * [0.2, 1, 1, 1, 1, 2])) > 2 * expected


def test_the_spectrum_of_independent_units_is_their_variances_the_largest_first():
    x = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 3, 0], [0, -3, 0]])
    np.testing.assert_allclose(covariance_spectrum(x.astype(np.float32)), [18 / 3, 2 / 3, 0], atol=1e-12)
    assert np.all(covariance_spectrum(np.random.default_rng(0).standard_normal((5, 20))) >= 0)  # of rank 4
    np.testing.assert_allclose(covariance_spectrum(x[:, 1:2]), [6])


def test_near_dead_units_are_those_that_hardly_vary_whatever_their_mean():
    alternating = np.where(np.arange(100) % 2, 1.0, -1.0)
    code = np.stack([alternating, 2 * alternating, 0.005 * alternating + 50, np.full(100, 9.0), 0.5 * alternating], 1)
    # Standard deviations 1, 2, 0.005, 0 and 0.5; their median is 0.5.
    assert near_dead_share(code, 0.011) == 2 / 5
    assert near_dead_share(code, 0.009) == 1 / 5
    assert near_dead_share(1e6 * code, 0.011) == 2 / 5
    assert near_dead_share(np.zeros((10, 3)), 0.01) == 1


def test_code_statistics_are_drawn_as_shares_and_in_order():
    figure = figures.code_statistics(
        {"a": np.array([3.0, 1.0]), "b": np.array([8.0, 2.0])}, np.array([5.0, 6.0]), np.array([1.0, 2.0]), "title"
    )
    left, right = figure.axes
    np.testing.assert_allclose([line.get_ydata() for line in left.lines], [[0.75, 0.25], [0.8, 0.2]])
    assert left.get_yscale() == "log" and [text.get_text() for text in left.get_legend().get_texts()] == ["a", "b"]
    np.testing.assert_array_equal(right.containers[0].lines[0].get_ydata(), [6, 5])


# Pre-training.


@pytest.mark.parametrize("epochs", [3, 4, 5, 40, 200])
def test_pretraining_and_the_rest_make_as_many_epochs_as_without_it(epochs):
    each, together = part_a.pretraining_epochs(epochs, 0.25, layers=2)
    assert 2 * each + together == epochs
    assert each >= 1 and together >= 1 and abs(each - epochs / 4) <= 0.5


def test_every_stage_has_one_epoch_at_least():
    assert part_a.pretraining_epochs(1, 0.25, layers=2) == part_a.pretraining_epochs(2, 0.25, layers=2) == (1, 1)
    for share in (0.5, 0.9, 0, -0.1):
        with pytest.raises(ValueError, match=f"between 0 and 1/2; got {share}"):
            part_a.pretraining_epochs(40, share, layers=2)


def test_a_stack_does_what_its_layers_do_one_after_the_other():
    """x -> s(V x + a) -> W h + b -> s(W' . + b') -> sigmoid(V' . + a'), in float64 from the layers' weights."""
    rng = np.random.default_rng(0)
    layers = [ShallowAutoencoder(5, 6, "relu", "sigmoid"), ShallowAutoencoder(3, 5, "linear", "relu")]
    for layer in layers:
        for weight in layer.weights:
            weight.assign(rng.standard_normal(weight.shape))
    weights = [{weight.name: np.asarray(weight, np.float64) for weight in layer.weights} for layer in layers]
    x = rng.random((7, 6)).astype(np.float32)
    hidden = np.maximum(x @ weights[0]["kernel"] + weights[0]["bias"], 0)
    code = hidden @ weights[1]["kernel"] + weights[1]["bias"]
    hidden = np.maximum(code @ weights[1]["decoder_kernel"] + weights[1]["decoder_bias"], 0)
    expected = 1 / (1 + np.exp(-(hidden @ weights[0]["decoder_kernel"] + weights[0]["decoder_bias"])))

    model = stacked_autoencoder((5, 3, 5), input_dim=6)
    assert not np.allclose(model(x), expected, atol=0.01)
    stack(model, layers)
    np.testing.assert_allclose(model(x), expected, rtol=1e-4)
    np.testing.assert_allclose(model.get_layer("encoder")(x), code, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError):
        stack(model, layers[::-1])


def test_rows_come_in_the_order_of_the_images_that_they_belong_to():
    images = np.random.default_rng(0).integers(0, 256, (40, 784), np.uint8)
    train, validation = datasets.scale(images).numpy(), np.zeros((3, 784))
    data = types.SimpleNamespace(train=types.SimpleNamespace(images=images))
    run = types.SimpleNamespace(config=types.SimpleNamespace(batch_size=8), data=data, seed=2)
    for first_step in (0, 7):
        batches, (x, y) = part_a._rows(run, train, validation)
        assert x is validation and y is validation
        rows = list(batches(first_step).take(12).as_numpy_iterator())
        expected = list(datasets.training_batches(images, 8, 2, first_step=first_step).take(12).as_numpy_iterator())
        for (row, target), image in zip(rows, expected, strict=True):
            np.testing.assert_array_equal(row, image)
            np.testing.assert_array_equal(target, image)


# Enough for two epochs of each layer by itself.
EPOCHS = 6


@pytest.fixture(scope="module")
def drawn():
    """The curves that the run of `whole` drew: a history and its panels for each figure."""
    return []


@pytest.fixture(scope="module")
def whole(digits, drawn, tmp_path_factory):
    directory, original = tmp_path_factory.mktemp("whole"), figures.curves

    def curves(history, panels, **options):
        drawn.append((history, panels))
        return original(history, panels, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "curves", curves)
        return directory / NAME, experiment.run(NAME, digits, "smoke", directory, epochs=EPOCHS)


def checkpoint(directory, name):
    return keras.models.load_model(directory / "checkpoints" / f"{name}.keras")


def test_the_stages_have_their_epochs_and_each_layer_learns_from_the_one_before(whole, digits):
    directory, results = whole
    epochs = {path.stem: len(path.read_text().splitlines()) - 1 for path in directory.glob("training*.csv")}
    assert epochs == {"training": 6, "training_layer_1": 2, "training_layer_2": 2, "training_pretrained": 2}
    layers = [checkpoint(directory, f"layer_{i}") for i in (1, 2)]
    assert [(layer.input_dim, layer.code_dim) for layer in layers] == [(784, 300), (300, 150)]

    # The second one's validation error, from the saved weights: that of the first one's codes.
    hidden = layers[0].encode(datasets.scale(digits.validation.images)).numpy()
    residual = hidden - layers[1].predict(hidden, verbose=0)
    log = experiment._read_log(directory / "training_layer_2.csv")
    assert log["val_loss"][-1] == pytest.approx(np.mean(np.sum(residual**2, axis=1)), rel=1e-4)
    assert log["val_loss"][-1] < 0.8 * np.mean(np.sum(hidden**2, axis=1))

    metric = results["metrics"]["test_squared_error__pretrained"]
    assert "2 layers of 2 epochs each, then 2 end to end" in metric["unit"]


def test_the_pretrained_curve_begins_after_all_the_epochs_of_the_layers_and_ends_with_the_other_one(whole, drawn):
    """Two layers of two epochs each come before it: both networks have then made six passes through the images."""
    directory, _ = whole
    logs = {
        name: experiment._read_log(directory / f"training{name}.csv")["val_loss"]
        for name in ("", "_layer_1", "_pretrained")
    }
    ((history, panels),) = drawn
    curves = [history[name] for name in panels[-1][2]]
    expected = [logs[""], logs["_layer_1"], [np.nan] * 4 + logs["_pretrained"]]
    assert len(curves) == 3 and len(expected[2]) == len(expected[0]) == EPOCHS
    for a, b in zip(curves, expected, strict=True):
        np.testing.assert_allclose(a, b, equal_nan=True)


def test_errors_and_statistics_are_those_of_the_saved_networks(whole, digits):
    directory, results = whole
    metrics = {name: metric["value"] for name, metric in results["metrics"].items()}
    x = datasets.scale(digits.test.images).numpy()

    def error(reconstruction):
        return pytest.approx(np.mean(np.sum((x - np.asarray(reconstruction, np.float64)) ** 2, axis=1)), rel=1e-4)

    first, second = (checkpoint(directory, f"layer_{i}") for i in (1, 2))
    assert metrics["test_squared_error__layerwise"] == error(first.decode(second.call(first.encode(x))))
    assert metrics["test_squared_error__pretrained"] == error(checkpoint(directory, "pretrained")(x))
    end_to_end = checkpoint(directory, "model")
    assert metrics["test_squared_error"] == error(end_to_end(x))

    code = end_to_end.get_layer("encoder")(x).numpy().astype(np.float64)
    covariance = np.cov(code.T)
    ratio = np.trace(covariance) ** 2 / np.sum(covariance**2)
    assert metrics["participation_ratio__code"] == pytest.approx(ratio, rel=1e-3)
    assert metrics["code_standard_deviation"] == pytest.approx(np.mean(np.std(code, axis=0)), rel=1e-3)
    assert metrics["code_mean"] == pytest.approx(np.mean(np.abs(np.mean(code, axis=0))), rel=1e-3)
    assert metrics["code_near_dead_share"] == 0
    # Of 784 pixels the leading 150 components hold nearly all the variance.
    images = np.cov(x.T.astype(np.float64))
    ratio = np.trace(images) ** 2 / np.sum(images**2)
    assert metrics["participation_ratio__pca_150"] == pytest.approx(ratio, rel=0.1)


def test_training_end_to_end_begins_with_the_stack(whole):
    """Its first epoch is a better one than the first epoch from random weights, by far."""
    directory, _ = whole
    logs = {name: experiment._read_log(directory / f"{name}.csv") for name in ("training", "training_pretrained")}
    assert logs["training_pretrained"]["loss"][0] < 0.7 * logs["training"]["loss"][0]


def test_without_a_share_for_it_nothing_is_pretrained(digits, tmp_path, monkeypatch):
    config = dataclasses.replace(RECIPES[NAME].presets["smoke"], pretraining_share=0.0)
    monkeypatch.setitem(RECIPES[NAME].presets, "smoke", config)
    results = experiment.run(NAME, digits, "smoke", tmp_path)
    assert "test_squared_error" in results["metrics"]
    assert not any("pretrained" in name for name in results["metrics"])
    assert [path.name for path in (tmp_path / NAME).glob("checkpoints/*.keras")] == ["model.keras"]


def test_a_run_killed_in_every_stage_equals_an_uninterrupted_one_bit_for_bit(whole, digits, tmp_path, monkeypatch):
    directory, results = whole
    original = keras.callbacks.CSVLogger.on_epoch_end
    for stage, last_epoch in (("layer_1", 0), ("layer_2", 0), ("pretrained", 1)):

        def killed(self, epoch, logs=None, stage=stage, last_epoch=last_epoch):
            original(self, epoch, logs)
            if f"training_{stage}.csv" in str(self.filename) and epoch == last_epoch:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed)
            with pytest.raises(Killed):
                experiment.run(NAME, digits, "smoke", tmp_path, epochs=EPOCHS, resume=stage != "layer_1")
    resumed = experiment.run(NAME, digits, "smoke", tmp_path, epochs=EPOCHS, resume=True)
    assert resumed["metrics"] == results["metrics"]
    for name in ("model", "layer_1", "layer_2", "pretrained"):
        for a, b in zip(*(checkpoint(path, name).get_weights() for path in (directory, tmp_path / NAME)), strict=True):
            np.testing.assert_array_equal(a, b)
