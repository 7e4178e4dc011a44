"""Greedy layer-wise pre-training: its epochs, the order of its rows, and the stack of the trained layers."""

import itertools

import numpy as np
import pytest

from tfgen.data.batches import Batches, pairs, scale
from tfgen.models.autoencoder import ShallowAutoencoder, stack, stacked_autoencoder
from tfgen.training.pretraining import pretraining_epochs


@pytest.mark.parametrize("epochs", [3, 4, 5, 40, 200])
def test_pretraining_and_the_rest_make_as_many_epochs_as_without_it(epochs):
    each, together = pretraining_epochs(epochs, 0.25, layers=2)
    assert 2 * each + together == epochs
    assert each >= 1 and together >= 1 and abs(each - epochs / 4) <= 0.5


def test_every_stage_has_one_epoch_at_least():
    assert pretraining_epochs(1, 0.25, layers=2) == pretraining_epochs(2, 0.25, layers=2) == (1, 1)
    for share in (0.5, 0.9, 0, -0.1):
        with pytest.raises(ValueError, match=f"between 0 and 1/2; got {share}"):
            pretraining_epochs(40, share, layers=2)


def test_a_stack_does_what_its_layers_do_one_after_the_other():
    """x -> s(V x + a) -> W h + b -> s(W' . + b') -> sigmoid(V' . + a'), in float64 from the layers' weights."""
    rng = np.random.default_rng(0)
    layers = [ShallowAutoencoder(6, 5, "relu", "sigmoid"), ShallowAutoencoder(5, 3, "linear", "relu")]
    for layer in layers:
        for weight in layer.weights:
            weight.assign(rng.standard_normal(weight.shape))
    weights = [{weight.name: np.asarray(weight, np.float64) for weight in layer.weights} for layer in layers]
    x = rng.random((7, 6)).astype(np.float32)
    hidden = np.maximum(x @ weights[0]["kernel"] + weights[0]["bias"], 0)
    code = hidden @ weights[1]["kernel"] + weights[1]["bias"]
    hidden = np.maximum(code @ weights[1]["decoder_kernel"] + weights[1]["decoder_bias"], 0)
    expected = 1 / (1 + np.exp(-(hidden @ weights[0]["decoder_kernel"] + weights[0]["decoder_bias"])))

    model = stacked_autoencoder(6, (5, 3, 5))
    assert not np.allclose(model(x), expected, atol=0.01)
    stack(model, layers)
    np.testing.assert_allclose(model(x), expected, rtol=1e-4)
    np.testing.assert_allclose(model.get_layer("encoder")(x), code, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError):
        stack(model, layers[::-1])


def test_rows_of_codes_come_in_the_order_of_the_images_that_they_belong_to():
    """A layer's batches are rows of the codes before it, each epoch in the order in which the images come."""
    images = np.random.default_rng(0).integers(0, 256, (40, 784), np.uint8)
    codes = 3 * scale(images).numpy()
    for first_step in (0, 7):
        rows = Batches(codes, 8, 2, transform=pairs).stream(first_step)
        expected = Batches(images, 8, 2).stream(first_step)
        for (row, target), image in itertools.islice(zip(rows, expected, strict=False), 12):
            np.testing.assert_array_equal(row, 3 * image)
            np.testing.assert_array_equal(target, row)
