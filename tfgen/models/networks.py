"""The fully connected layers that the models are made of."""

import keras


def hidden_layers(x, units, activation):
    """Returns `x` passed through one `Dense` layer per entry of `units`.

    Args:
        x: `(batch, dim)` Keras tensor.
        units: widths of the layers, in order; empty returns `x` itself.
        activation: activation of each of them.

    Returns:
        `(batch, units[-1])` Keras tensor.
    """
    for width in units:
        x = keras.layers.Dense(width, activation)(x)
    return x
