"""Autoencoders: an encoder to a code, a decoder back, trained on the squared reconstruction error (lecture A2-A5)."""

import keras
import tensorflow as tf

from tfgen.models.networks import hidden_layers


def stacked_autoencoder(hidden_units=(300, 150, 300), input_dim=784, activation="relu", code_activation="linear"):
    """Returns the stacked autoencoder 784-300-150-300-784 as a functional model.

    The code is linear by default: a ReLU there switches code units off for good, and what they could have carried
    is lost. The output is a sigmoid, since pixels lie in [0, 1].

    Args:
        hidden_units: an odd number of layer widths; the middle one is the code.
        input_dim: number of pixels.
        activation: activation of the hidden layers.
        code_activation: activation of the code layer.

    Returns:
        `keras.Model` from `(batch, input_dim)` float32 in [0, 1] to reconstructions of the same shape and range,
        made of two sub-models: `get_layer("encoder")` and `get_layer("decoder")`.

    Raises:
        ValueError: if the number of hidden layers is even, so that none is the middle one.

    Source: lecture A5.
    """
    if len(hidden_units) % 2 == 0:
        raise ValueError(
            f"`hidden_units` needs an odd number of layers, the middle one being the code; got {hidden_units}."
        )
    middle = len(hidden_units) // 2

    image = keras.Input((input_dim,), name="image")
    hidden = hidden_layers(image, hidden_units[:middle], activation)
    encoder = keras.Model(image, keras.layers.Dense(hidden_units[middle], code_activation)(hidden), name="encoder")

    code = keras.Input((hidden_units[middle],), name="code")
    hidden = hidden_layers(code, hidden_units[middle + 1 :], activation)
    decoder = keras.Model(code, keras.layers.Dense(input_dim, "sigmoid")(hidden), name="decoder")

    return keras.Model(image, decoder(encoder(image)), name="stacked_autoencoder")


def endpoints(model):
    """Returns what a SavedModel of an autoencoder offers: signature name -> (function, input specs).

    `reconstruct` image -> reconstruction (also the default), `encode` image -> code, `decode` code -> image.
    """
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    image = tf.TensorSpec((None, encoder.input_shape[-1]), tf.float32, name="image")
    code = tf.TensorSpec((None, decoder.input_shape[-1]), tf.float32, name="code")
    reconstruct = (lambda image: {"reconstruction": decoder(encoder(image))}, [image])
    return {
        "serving_default": reconstruct,
        "reconstruct": reconstruct,
        "encode": (lambda image: {"code": encoder(image)}, [image]),
        "decode": (lambda code: {"image": decoder(code)}, [code]),
    }
