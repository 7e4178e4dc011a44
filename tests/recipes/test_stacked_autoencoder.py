"""The stacked autoencoder: errors and statistics recomputed from what is saved, and its layer-wise pre-training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import figures
from tfgen.data.batches import scale
from tfgen.files import read_log

NAME = "stacked-autoencoder"


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


@pytest.fixture(scope="module")
def stored(run):
    """From each training's name to its checkpoint."""
    names = ("model", "layer_1", "layer_2", "pretrained")
    return {name: keras.models.load_model(run.directory / "checkpoints" / f"{name}.keras") for name in names}


@pytest.fixture(scope="module")
def logs(run):
    """From each training's name to its log."""
    names = {"model": "", "layer_1": "_layer_1", "layer_2": "_layer_2", "pretrained": "_pretrained"}
    return {name: read_log(run.directory / f"training{suffix}.csv") for name, suffix in names.items()}


@pytest.fixture(scope="module")
def metrics(run):
    return {name: metric["value"] for name, metric in run.results["metrics"].items()}


def test_the_networks_have_the_lecture_s_widths(stored):
    for name in ("model", "pretrained"):
        widths = [[layer.units for layer in stored[name].get_layer(half).layers[1:]] for half in ("encoder", "decoder")]
        assert widths == [[300, 150], [300, 784]]
    layers = [stored[f"layer_{i}"] for i in (1, 2)]
    assert [(layer.input_dim, layer.code_dim) for layer in layers] == [(784, 300), (300, 150)]


def test_the_error_is_that_of_the_saved_reconstructions(run, digits):
    """Recomputed in float64 from the exported model."""
    model = tf.saved_model.load(str(run.directory / "saved_model"))
    test = digits.test.images / 255.0
    output = model.signatures["reconstruct"](image=tf.constant(test, tf.float32))["reconstruction"].numpy()
    expected = np.mean(np.sum((test - output.astype(np.float64)) ** 2, axis=1))
    metric = run.results["metrics"]["test_squared_error"]
    assert metric["value"] == pytest.approx(expected, rel=1e-5)
    assert (metric["split"], metric["n"]) == ("test", 297)


def test_the_pca_errors_are_those_of_the_leading_eigenvectors_of_all_training_images(metrics, digits):
    train = np.concatenate([digits.train.images, digits.validation.images]) / 255.0
    test = digits.test.images / 255.0 - train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train.T))
    for k in (30, 150):
        residual = test - test @ vectors[:, -k:] @ vectors[:, -k:].T
        # Ours is in float32, and what 150 components leave of these images is small.
        expected = np.mean(np.sum(residual**2, axis=1))
        assert metrics[f"pca_squared_error__{k}"] == pytest.approx(expected, rel=1e-3)


def test_errors_and_statistics_are_those_of_the_saved_networks(metrics, stored, digits):
    x = scale(digits.test.images).numpy()

    def error(reconstruction):
        return pytest.approx(np.mean(np.sum((x - np.asarray(reconstruction, np.float64)) ** 2, axis=1)), rel=1e-4)

    first, second = stored["layer_1"], stored["layer_2"]
    assert metrics["test_squared_error__layerwise"] == error(first.decode(second.call(first.encode(x))))
    assert metrics["test_squared_error__pretrained"] == error(stored["pretrained"](x))
    assert metrics["test_squared_error"] == error(stored["model"](x))

    code = stored["model"].get_layer("encoder")(x).numpy().astype(np.float64)
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


def test_each_layer_learns_from_the_codes_of_the_one_before(run, stored, logs, digits):
    """The second one's validation error, from the saved weights: that of the first one's codes."""
    pixels = scale(digits.validation.images).numpy()
    hidden = stored["layer_1"].encode(pixels).numpy()
    for validation, expected in zip(run.validations, (pixels, pixels, hidden, pixels), strict=True):
        np.testing.assert_allclose(validation, expected, rtol=1e-5, atol=1e-6)
    # What they are trained on: pixels, and the codes of the training images, by the same images in the same order.
    end_to_end, layer_1, layer_2, pretrained = run.batches
    for batches in (end_to_end, pretrained):
        assert batches.images is digits.train.images
    train = scale(digits.train.images).numpy()
    np.testing.assert_allclose(layer_1.images, train, atol=1e-6)
    np.testing.assert_allclose(layer_2.images, stored["layer_1"].encode(train), rtol=1e-5, atol=1e-6)
    for x, target in run.first_batches:
        np.testing.assert_array_equal(x, target)

    residual = hidden - stored["layer_2"].predict(hidden, verbose=0)
    val_loss = logs["layer_2"]["val_loss"][-1]
    assert val_loss == pytest.approx(np.mean(np.sum(residual**2, axis=1)), rel=1e-4)
    assert val_loss < 0.8 * np.mean(np.sum(hidden**2, axis=1))


def test_training_end_to_end_begins_with_the_stack(logs):
    """Its first epoch is a better one than the first epoch from random weights, by far."""
    assert logs["pretrained"]["loss"][0] < 0.7 * logs["model"]["loss"][0]


def test_the_pretrained_curve_begins_after_all_the_epochs_of_the_layers(run, logs):
    (((history, panels), _),) = run.figures["curves"]
    curves = [history[name] for name in panels[-1][2]]
    before = len(logs["layer_1"]["loss"]) + len(logs["layer_2"]["loss"])
    expected = [logs[name]["val_loss"] for name in ("model", "layer_1", "pretrained")]
    expected[2] = [np.nan] * before + expected[2]
    assert len(curves) == 3 and before == 2
    for a, b in zip(curves, expected, strict=True):
        np.testing.assert_allclose(a, b, equal_nan=True)


def test_the_stages_have_their_epochs_and_the_metric_tells_them(untrained):
    """Six epochs: two of each layer and two end to end, at rates that fall to 0 over each of the stages."""
    run = untrained(NAME, epochs=6, hidden_units=(8, 4, 8), pca_components=(), pretraining_learning_rate=5e-3)
    assert [(fitted.name, fitted.epochs or 6) for fitted in run.fitted] == [
        ("model", 6),
        ("layer_1", 2),
        ("layer_2", 2),
        ("pretrained", 2),
    ]
    for fitted, rate, epochs in zip(run.fitted, (1e-3, 5e-3, 5e-3, 1e-3), (6, 2, 2, 2), strict=True):
        optimizer, steps = fitted.model.optimizer, epochs * run.steps_per_epoch(fitted.batches)
        for iteration, expected in ((0, rate), (steps // 2, rate / 2), (steps, 0)):
            optimizer.iterations.assign(iteration)
            assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert "2 layers of 2 epochs each, then 2 end to end" in run.metrics["test_squared_error__pretrained"]["unit"]
    assert run.metrics["test_squared_error__layerwise"]["unit"].endswith("2 layers of 2 epochs each")


def test_muon_trains_the_networks_end_to_end_and_adam_the_layers(untrained):
    small = {"epochs": 6, "hidden_units": (8, 4, 8), "pca_components": ()}
    run = untrained(NAME, optimizer="muon", learning_rate=4e-3, **small)
    kinds = [keras.optimizers.Muon, keras.optimizers.Adam, keras.optimizers.Adam, keras.optimizers.Muon]
    assert [type(fitted.model.optimizer) for fitted in run.fitted] == kinds
    for fitted, epochs in ((run.fitted[0], 6), (run.fitted[3], 2)):
        muon, steps = fitted.model.optimizer, epochs * run.steps_per_epoch(fitted.batches)
        assert muon.weight_decay is None and muon.adam_weight_decay is None
        for iteration, expected in ((0, 4e-3), (steps // 2, 2e-3), (steps, 0)):
            muon.iterations.assign(iteration)
            assert float(muon.learning_rate) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_muon_moves_a_kernel_by_a_matrix_that_is_nearly_orthogonal():
    """The first step's singular values are about equal; those of Adam's, which moves all weights alike, are not."""

    def spread(optimizer):
        rng = np.random.default_rng(0)
        gradient = rng.standard_normal((60, 1)) @ rng.standard_normal((1, 20)) + rng.standard_normal((60, 20))
        kernel = keras.Variable(np.zeros((60, 20), np.float32))
        optimizer.build([kernel])
        optimizer.apply([tf.constant(gradient, tf.float32)], [kernel])
        values = np.linalg.svd(kernel.numpy(), compute_uv=False)
        return values[0] / values[-1]

    assert spread(keras.optimizers.Muon(1e-3, weight_decay=None, adam_weight_decay=None)) < 2
    assert spread(keras.optimizers.Adam(1e-3)) > 4


def test_without_a_share_for_it_nothing_is_pretrained(untrained):
    run = untrained(NAME, hidden_units=(8, 4, 8), pca_components=(), pretraining_share=0.0)
    assert [fitted.name for fitted in run.fitted] == ["model"]
    assert "test_squared_error" in run.metrics
    assert not any("pretrained" in name or "layerwise" in name for name in run.metrics)


def test_code_statistics_are_drawn_as_shares_and_in_order():
    figure = figures.code_statistics(
        {"a": np.array([3.0, 1.0]), "b": np.array([8.0, 2.0])}, np.array([5.0, 6.0]), np.array([1.0, 2.0]), "title"
    )
    left, right = figure.axes
    np.testing.assert_allclose([line.get_ydata() for line in left.lines], [[0.75, 0.25], [0.8, 0.2]])
    assert left.get_yscale() == "log" and [text.get_text() for text in left.get_legend().get_texts()] == ["a", "b"]
    np.testing.assert_array_equal(right.containers[0].lines[0].get_ydata(), [6, 5])
