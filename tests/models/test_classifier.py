"""An encoder with a linear layer of logits, by its formula, and what its SavedModel says of an image."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

from tfgen.models import autoencoder, classifier


def test_the_classifier_is_the_encoder_and_a_linear_layer_of_logits():
    """By hand in float64, from the weights in the order that the recipe relies on."""
    keras.utils.set_random_seed(0)
    network = classifier.feature_classifier(7, 4, (5, 3))
    rng = np.random.default_rng(0)
    network.set_weights([rng.standard_normal(weight.shape) for weight in network.get_weights()])
    w1, b1, w2, b2, kernel, bias = network.get_weights()
    assert kernel.shape == (3, 4)
    x = rng.random((6, 7)).astype(np.float32)
    code = np.maximum(x.astype(np.float64) @ w1 + b1, 0) @ w2 + b2
    expected = code @ kernel + bias
    outputs = {name: function(x) for name, (function, _) in classifier.endpoints(network).items()}
    np.testing.assert_allclose(outputs["encode"]["code"], code, rtol=1e-4, atol=1e-5)
    for name in ("serving_default", "classify"):
        np.testing.assert_allclose(outputs[name]["logits"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs[name]["probabilities"], softmax(expected, axis=1), rtol=1e-4, atol=1e-6)


def test_probabilities_stay_finite_at_extreme_logits():
    network = classifier.feature_classifier(4, 3, (3,))
    network.set_weights([np.zeros((4, 3)), np.zeros(3), np.zeros((3, 3)), np.array([-1e4, 0.0, 1e4])])
    outputs = classifier.endpoints(network)["classify"][0](np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(outputs["probabilities"], [[0, 0, 1]], atol=1e-6)


def test_a_stacked_autoencoder_s_encoder_fits_into_the_classifier():
    keras.utils.set_random_seed(0)
    encoder = autoencoder.stacked_autoencoder(9, (6, 4, 6)).get_layer("encoder")
    network = classifier.feature_classifier(9, 10, (6, 4))
    network.set_weights([*encoder.get_weights(), np.zeros((4, 10)), np.zeros(10)])
    x = np.random.default_rng(0).random((5, 9)).astype(np.float32)
    np.testing.assert_array_equal(network.get_layer("encoder")(x), encoder(x))


@pytest.mark.parametrize(
    "network",
    [
        lambda: classifier.feature_classifier(64, 4, (5, 3)),
        lambda: classifier.convolutional_classifier((8, 8), 4, (2, 3), 5),
    ],
    ids=["features", "convolutional"],
)
def test_xla_takes_the_step_that_uncompiled_code_takes(network):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 64)).astype(np.float32), np.arange(20) % 4
    stepped = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        model = network()
        before = model.get_weights()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jit_compile)
        model.train_on_batch(x, y)
        stepped.append(model.get_weights())
    for a, b in zip(*stepped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert sum(np.any(a != old) for a, old in zip(stepped[0], before, strict=True)) == len(before)
