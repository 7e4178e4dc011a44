"""One hidden layer: the errors of the four networks by the lecture's formula, what they see, what is drawn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.data.batches import scale
from tfgen.recipes import RECIPES

NAME = "shallow-autoencoder"
CONFIG = RECIPES[NAME].presets["smoke"]
TRAININGS = {
    "relu_untied": "model",
    "relu_tied": "relu_tied",
    "sigmoid_untied": "sigmoid_untied",
    "sigmoid_tied": "sigmoid_tied",
}


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


def test_every_network_learns_from_the_training_images_at_the_rate_of_its_activation(run, digits):
    assert len(run.batches) == len(run.first_batches) == len(run.validations) == len(TRAININGS)
    for batches, (x, target), validation in zip(run.batches, run.first_batches, run.validations, strict=True):
        assert batches.images is digits.train.images and (batches.seed, batches.binarized) == (0, False)
        np.testing.assert_array_equal(x, target)
        np.testing.assert_array_equal(validation, scale(digits.validation.images))
    for name, file in TRAININGS.items():
        optimizer = keras.models.load_model(run.directory / "checkpoints" / f"{file}.keras").optimizer
        rate = optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
        assert rate == dict(zip(CONFIG.activations, CONFIG.learning_rates, strict=True))[name.split("_")[0]]
        assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-9)  # the cosine's end


@pytest.mark.parametrize("name, file", TRAININGS.items())
def test_each_shallow_autoencoder_s_numbers_are_those_of_its_checkpoint(run, digits, name, file):
    """The error recomputed in float64 from the weights alone, by the lecture's formula."""
    model = keras.models.load_model(run.directory / "checkpoints" / f"{file}.keras")
    weights = {weight.name: np.asarray(weight, np.float64) for weight in model.weights}
    assert ("decoder_kernel" in weights) is ("untied" in name)
    x = digits.test.images / 255.0
    h = x @ weights["kernel"] + weights["bias"]
    h = np.maximum(h, 0) if "relu" in name else 1 / (1 + np.exp(-h))
    decoder_kernel = weights.get("decoder_kernel", weights["kernel"].T)
    reconstruction = 1 / (1 + np.exp(-(h @ decoder_kernel + weights["decoder_bias"])))
    metrics = run.results["metrics"]
    expected = np.mean(np.sum((x - reconstruction) ** 2, axis=1))
    assert metrics[f"test_squared_error__{name}"]["value"] == pytest.approx(expected, rel=1e-4)
    assert metrics[f"parameters__{name}"]["value"] == sum(weight.size for weight in weights.values())


def test_the_pca_error_is_that_of_the_leading_eigenvectors_of_all_training_images(run, digits):
    train = np.concatenate([digits.train.images, digits.validation.images]) / 255.0
    test = digits.test.images / 255.0 - train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train.T))
    residual = test - test @ vectors[:, -64:] @ vectors[:, -64:].T
    expected = np.mean(np.sum(residual**2, axis=1))
    assert run.results["metrics"]["pca_squared_error__64"]["value"] == pytest.approx(expected, rel=1e-4)


def test_the_exported_network_is_the_first(run, digits):
    x = scale(digits.test.images)
    signature = tf.saved_model.load(str(run.directory / "saved_model")).signatures["reconstruct"]
    exported = signature(image=x)["reconstruction"].numpy()
    networks = {
        file: keras.models.load_model(run.directory / f"checkpoints/{file}.keras") for file in TRAININGS.values()
    }
    np.testing.assert_allclose(exported, networks["model"](x), atol=1e-5)
    assert not np.allclose(exported, networks["relu_tied"](x), atol=0.01)


def test_the_features_drawn_are_the_rows_of_w_and_the_reconstructions_those_of_each_network(run, digits):
    (((features, _), _),) = run.figures["features"]
    (((rows, _), _),) = run.figures["rows_of_images"]
    x = scale(digits.test.images[:10])
    np.testing.assert_array_equal(np.reshape(rows["test image"], (10, 784)), x)
    for name, file in TRAININGS.items():
        model = keras.models.load_model(run.directory / "checkpoints" / f"{file}.keras")
        label = name.replace("_", ", ")
        np.testing.assert_array_equal(features[label].reshape(64, 784), model.kernel.numpy().T)
        np.testing.assert_allclose(rows[label].reshape(10, 784), model(x), atol=1e-5)
