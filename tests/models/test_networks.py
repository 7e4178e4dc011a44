"""Chains of fully connected layers as arrays, with which other programs compute what the model does."""

import keras
import numpy as np
import pytest

from tfgen.models.networks import dense_layers, layer_arrays

FUNCTIONS = {"relu": lambda x: np.maximum(x, 0), "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "linear": lambda x: x}


def chain(*widths):
    """Returns a model whose biases are not zero, with a sub-model and dropout in it."""
    x = keras.Input((widths[0],))
    hidden = keras.layers.Dense(widths[1], "relu", bias_initializer="random_normal")(x)
    first = keras.Model(x, keras.layers.Dropout(0.5)(hidden))
    last = keras.layers.Dense(widths[2], "sigmoid", bias_initializer="random_normal")
    image = keras.Input((widths[0],))
    return keras.Model(image, last(first(image)))


def test_the_layers_compute_what_the_model_does():
    keras.utils.set_random_seed(0)
    model, x = chain(6, 4, 3), np.random.default_rng(0).random((5, 6), np.float32)
    layers = dense_layers(model)
    assert [activation for activation, _, _ in layers] == ["relu", "sigmoid"]
    y = x.astype(np.float64)
    for activation, kernel, bias in layers:
        y = FUNCTIONS[activation](y @ kernel + bias)
    np.testing.assert_allclose(y, model(x), rtol=1e-5)
    assert not np.allclose(FUNCTIONS["sigmoid"](x @ layers[0][1] @ layers[1][1]), model(x), rtol=1e-3)


def test_the_arrays_have_the_names_of_networks_layers_and_activations():
    model = chain(6, 4, 3)
    arrays = layer_arrays({"encoder": model, "other": dense_layers(model)[1:]})
    assert list(arrays) == [
        *(f"encoder/{layer}/{part}" for layer in ("0/relu", "1/sigmoid") for part in ("kernel", "bias")),
        "other/0/sigmoid/kernel",
        "other/0/sigmoid/bias",
    ]
    np.testing.assert_array_equal(arrays["other/0/sigmoid/kernel"], arrays["encoder/1/sigmoid/kernel"])


def test_a_layer_of_another_kind_is_refused():
    image = keras.Input((4, 4, 1))
    with pytest.raises(ValueError, match="only chains of Dense layers are kept, got Conv2D"):
        dense_layers(keras.Model(image, keras.layers.Conv2D(2, 3)(image)))


def test_two_layers_beside_each_other_are_refused():
    image = keras.Input((4,))
    hidden = keras.layers.Dense(3)(image)
    model = keras.Model(image, [keras.layers.Dense(2)(hidden), keras.layers.Dense(2)(hidden)])
    with pytest.raises(ValueError, match="a layer of 2 units cannot be followed by one of 3 inputs"):
        dense_layers(model)
