"""The digit classifier that judges generated images."""

import keras

from tfgen.models.networks import hidden_layers


def digit_classifier(input_dim=784, hidden_units=(512, 256), classes=10):
    """Returns a fully connected classifier from `(batch, input_dim)` in [0, 1] to logits `(batch, classes)`."""
    image = keras.Input((input_dim,), name="image")
    hidden = hidden_layers(image, hidden_units, "relu")
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(hidden), name="digit_classifier")
