"""The digit classifier: the images that it is given, its layers, and its error from its checkpoint."""

import itertools

import keras
import numpy as np
import pytest

from tfgen.data.batches import Batches
from tfgen.recipes import RECIPES

NAME = "digit-classifier"


@pytest.fixture(scope="module")
def fitted(untrained):
    """What the recipe's one training is given."""
    (fitted,) = untrained(NAME, first_only=True, filters=(2, 2)).fitted
    return fitted


def moves(shifted, images, distance=2):
    """Returns by how many rows and columns each image was moved, or fails if one is not such a move of its own."""
    found = []
    for one, image in zip(shifted.reshape(-1, 28, 28), images.reshape(-1, 28, 28), strict=True):
        padded = np.pad(image, distance)
        offsets = itertools.product(range(2 * distance + 1), repeat=2)
        found.append(next((i, j) for i, j in offsets if np.array_equal(padded[i : i + 28, j : j + 28], one)))
    return found


def test_the_classifier_sees_every_training_image_moved_anew_under_its_own_label(fitted, digits):
    shifted = [tuple(part.numpy() for part in batch) for batch in fitted.batches.stream().take(3)]
    plain = Batches(digits.train.images, 128, 0, labels=digits.train.labels).stream()
    of_batches = []
    for (images, labels), (true, true_labels) in zip(shifted, plain.take(3).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(labels, true_labels)
        of_batches.append(moves(images, true))
    assert set(itertools.chain(*of_batches)) == set(itertools.product(range(5), repeat=2))
    # Wrong: the same draw in every step.
    assert of_batches[0] != of_batches[1] != of_batches[2]


def test_a_resumed_classifier_sees_the_batches_that_are_left(fitted):
    whole = [[part.numpy() for part in batch] for batch in fitted.batches.stream().take(5)]
    for k in (1, 3):
        for part, expected in zip(next(iter(fitted.batches.stream(k))), whole[k], strict=True):
            np.testing.assert_array_equal(part.numpy(), expected)
    assert np.any(whole[1][0] != whole[0][0])


def test_the_classifier_is_judged_on_validation_images_that_are_not_moved(fitted, digits):
    images, labels = fitted.validation
    np.testing.assert_allclose(images, digits.validation.images / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, digits.validation.labels)


@pytest.fixture(scope="module")
def model(smoke):
    return keras.models.load_model(smoke(NAME).directory / "checkpoints" / "model.keras")


def test_the_model_is_what_the_recipe_says(model):
    config = RECIPES[NAME].presets["smoke"]
    layers = model.get_layer("features").layers
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    assert tuple(layer.filters for layer in convolutions) == config.filters == (32, 64)
    assert layers[-1].units == config.units == 128
    rate = model.optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
    assert rate == config.learning_rate == 2e-3


def test_the_digit_classifier_s_error_is_that_of_its_checkpoint(smoke, digits, model):
    wrong = np.argmax(model(digits.test.images / np.float32(255)), axis=1) != digits.test.labels
    metric = smoke(NAME).results["metrics"]["test_error"]
    assert metric["value"] == pytest.approx(wrong.mean(), abs=1.1 / 297)
    assert (metric["split"], metric["n"]) == ("test", 297)
    # A classifier that had not learnt would err on nine images in ten.
    assert wrong.mean() < 0.1


def test_the_picture_of_mistakes_shows_them(smoke, digits, model):
    (images, *_), _ = smoke(NAME).figures["image_grid"][0]
    wrong = np.argmax(model(digits.test.images / np.float32(255)), axis=1) != digits.test.labels
    shown = {image.tobytes() for image in np.float32(images)}
    expected = {
        image.tobytes() for image in np.float32(digits.pictures(digits.test.images[wrong][:40]) / np.float32(255))
    }
    assert len(shown & expected) >= len(expected) - 1 and len(shown) <= len(expected) + 1
