"""Classifiers: the one that judges generated images, and an encoder with a softmax head (lecture A6)."""

import keras
import tensorflow as tf

from tfgen.models.networks import hidden_layers


def digit_classifier(input_dim=784, hidden_units=(512, 256), classes=10):
    """Returns a fully connected classifier from `(batch, input_dim)` in [0, 1] to logits `(batch, classes)`."""
    image = keras.Input((input_dim,), name="image")
    hidden = hidden_layers(image, hidden_units, "relu")
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(hidden), name="digit_classifier")


def feature_classifier(
    encoder_units=(300, 150), input_dim=784, activation="relu", code_activation="linear", classes=10
):
    """Returns an encoder with a linear layer of logits on its code.

    Args:
        encoder_units: widths of the encoder's layers; the last is the code.
        input_dim: number of pixels.
        activation: activation of the hidden layers.
        code_activation: activation of the code layer.
        classes: number of classes.

    Returns:
        `keras.Model` from `(batch, input_dim)` in [0, 1] to logits `(batch, classes)`, with the sub-model
        `get_layer("encoder")`. Its weights are the encoder's, in the order of a stacked autoencoder's encoder, then
        the head's kernel and bias.

    Source: lecture A6.
    """
    image = keras.Input((input_dim,), name="image")
    hidden = hidden_layers(image, encoder_units[:-1], activation)
    encoder = keras.Model(image, keras.layers.Dense(encoder_units[-1], code_activation)(hidden), name="encoder")
    logits = keras.layers.Dense(classes, name="logits")(encoder(image))
    return keras.Model(image, logits, name="feature_classifier")


def endpoints(model):
    """Returns what a SavedModel of a feature classifier offers: signature name -> (function, input specs).

    `classify` image -> logits, probabilities, class_id (also the default), `encode` image -> code.
    """
    encoder = model.get_layer("encoder")
    image = tf.TensorSpec((None, encoder.input_shape[-1]), tf.float32, name="image")

    def classify(image):
        logits = model(image)
        class_id = tf.argmax(logits, axis=-1, output_type=tf.int64)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class_id": class_id}

    return {
        "serving_default": (classify, [image]),
        "classify": (classify, [image]),
        "encode": (lambda image: {"code": encoder(image)}, [image]),
    }
