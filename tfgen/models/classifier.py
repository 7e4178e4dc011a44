"""Classifiers: the one that judges generated images, and an encoder with a softmax head (lecture A6)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfgen.models.networks import Endpoints, Policy, hidden_layers


def convolutional_classifier(
    image_shape: tuple[int, int], classes: int, filters: Sequence[int], units: int, dtype: Policy = None
) -> keras.Model:
    """Returns the classifier that judges generated images: 3x3 convolutions with pooling, then a layer of features.

    Args:
        image_shape: `(height, width)`.
        classes: number of classes.
        filters: of each convolution; after each, the maximum of every 2x2 pixels is taken.
        units: width of the last hidden layer, the features of the Frechet distance.
        dtype: Keras dtype policy of the hidden layers; None means the global one.

    Returns:
        `keras.Model` from `(batch, height * width)` in [0, 1] to logits `(batch, classes)`, made of the sub-model
        `get_layer("features")` and one linear layer.
    """
    height, width = image_shape
    image = keras.Input((height * width,), name="image")
    hidden = keras.layers.Reshape((height, width, 1))(image)
    for number in filters:
        hidden = keras.layers.Conv2D(number, 3, padding="same", activation="relu", dtype=dtype)(hidden)
        hidden = keras.layers.MaxPooling2D(dtype=dtype)(hidden)
    hidden = keras.layers.Dense(units, "relu", dtype=dtype)(keras.layers.Flatten(dtype=dtype)(hidden))
    features = keras.Model(image, hidden, name="features")
    logits = keras.layers.Dense(classes, dtype="float32", name="logits")(features(image))
    return keras.Model(image, logits, name="convolutional_classifier")


def feature_classifier(
    input_dim: int,
    classes: int,
    encoder_units: Sequence[int],
    activation: str = "relu",
    code_activation: str = "linear",
) -> keras.Model:
    """Returns an encoder with a linear layer of logits on its code.

    Args:
        input_dim: number of pixels.
        classes: number of classes.
        encoder_units: widths of the encoder's layers; the last is the code.
        activation: activation of the hidden layers.
        code_activation: activation of the code layer.

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


def endpoints(model: keras.Model, encode: tuple[str, str, str] = ("encoder", "encode", "code")) -> Endpoints:
    """Returns what a SavedModel of a classifier offers: signature name -> (function, input specs).

    `classify` image -> logits, probabilities, class_id (also the default), `encode` image -> code.

    Args:
        model: what `feature_classifier` or `convolutional_classifier` returns.
        encode: name of the sub-model below the logits, and of its signature and output: of a convolutional classifier
            ("features", "features", "features").
    """
    layer, signature, output = encode
    encoder = model.get_layer(layer)
    image = tf.TensorSpec((None, encoder.input_shape[-1]), tf.float32, name="image")

    def classify(image):
        logits = model(image)
        class_id = tf.argmax(logits, axis=-1, output_type=tf.int64)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class_id": class_id}

    return {
        "serving_default": (classify, [image]),
        "classify": (classify, [image]),
        signature: (lambda image: {output: encoder(image)}, [image]),
    }
