"""The 30-D autoencoder: the images that it is given, its layers, and its numbers from its checkpoint."""

import keras
import numpy as np
import pytest

from tfgen.data.batches import Batches
from tfgen.recipes import RECIPES

NAME = "autoencoder-30d"


def test_the_30_d_autoencoder_reproduces_images_moved_by_a_pixel_at_most(untrained, digits):
    run = untrained(NAME, first_only=True, hidden_units=(8, 2, 8))
    (fitted,) = run.fitted
    inputs, targets = (batch.numpy() for batch in next(iter(fitted.batches.stream(3))))
    np.testing.assert_array_equal(inputs, targets)
    plain = Batches(digits.train.images, run.config.batch_size, run.seed).stream(3)
    plain = next(iter(plain)).numpy().reshape(-1, 28, 28)
    padded = np.pad(plain, ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, y : y + 28, x : x + 28].reshape(-1, 784) for y in range(3) for x in range(3)]
    chosen = [np.all(inputs == candidate, axis=1) for candidate in moved]
    # Every image is one of its nine neighbours, and each of the nine is taken by about a ninth of them.
    assert np.any(chosen, axis=0).all()
    assert np.mean(chosen, axis=1) == pytest.approx(1 / 9, abs=0.1)
    for images in fitted.validation:
        np.testing.assert_array_equal(images, digits.validation.images / np.float32(255))


@pytest.fixture(scope="module")
def model(smoke):
    return keras.models.load_model(smoke(NAME).directory / "checkpoints" / "model.keras")


def test_the_model_is_what_the_recipe_says(model):
    config = RECIPES[NAME].presets["smoke"]
    dense = [layer for half in ("encoder", "decoder") for layer in model.get_layer(half).layers[1:]]
    assert [layer.units for layer in dense] == [*config.hidden_units, 784]
    assert config.hidden_units == (1000, 500, 250, 30, 250, 500, 1000)
    hidden, code = config.activation, config.code_activation
    activations = [keras.activations.serialize(layer.activation) for layer in dense]
    assert activations == [hidden, hidden, hidden, code, hidden, hidden, hidden, "sigmoid"]
    rate = model.optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
    assert rate == config.learning_rate


def test_the_error_is_that_of_the_checkpoint_and_pca_s_that_of_a_singular_value_decomposition(model, smoke, digits):
    metrics, test = smoke(NAME).results["metrics"], digits.test.images / 255.0
    expected = np.mean(np.sum((test - model(np.float32(test)).numpy().astype(np.float64)) ** 2, axis=1))
    assert metrics["test_squared_error"]["value"] == pytest.approx(expected, rel=1e-5)
    train = np.concatenate([digits.train.images, digits.validation.images]) / 255.0
    _, _, components = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    centred = test - train.mean(axis=0)
    residual = centred - centred @ components[:30].T @ components[:30]
    expected = np.mean(np.sum(residual**2, axis=1))
    assert metrics["pca_squared_error__30"]["value"] == pytest.approx(expected, rel=1e-3)
    assert {(metric["split"], metric["n"]) for metric in metrics.values()} == {("test", 297)}
