"""Autoencoders: an encoder to a code, a decoder back, trained on the squared reconstruction error (lecture A2-A5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgen.losses import squared_error
from tfgen.models.networks import Endpoints, Policy, hidden_layers


def stacked_autoencoder(
    input_dim: int,
    hidden_units: Sequence[int],
    activation: str = "relu",
    code_activation: str = "linear",
    dtype: Policy = None,
) -> keras.Model:
    """Returns a stacked autoencoder, such as 784-300-150-300-784, as a functional model.

    The code is linear by default: a ReLU there switches code units off for good, and what they could have carried
    is lost. The output is a sigmoid, since pixels lie in [0, 1].

    Args:
        input_dim: number of pixels.
        hidden_units: an odd number of layer widths; the middle one is the code.
        activation: activation of the hidden layers.
        code_activation: activation of the code layer.
        dtype: Keras dtype policy, such as "mixed_bfloat16" (bfloat16 products, float32 weights); None: the global one.

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
    hidden = hidden_layers(image, hidden_units[:middle], activation, dtype)
    output = keras.layers.Dense(hidden_units[middle], code_activation, dtype=dtype)(hidden)
    encoder = keras.Model(image, output, name="encoder")

    code = keras.Input((hidden_units[middle],), name="code")
    hidden = hidden_layers(code, hidden_units[middle + 1 :], activation, dtype)
    output = keras.layers.Dense(input_dim, "sigmoid", dtype=dtype)(hidden)
    decoder = keras.Model(code, output, name="decoder")

    return keras.Model(image, decoder(encoder(image)), name="stacked_autoencoder")


@keras.saving.register_keras_serializable("tfgen")
class ShallowAutoencoder(keras.Model):
    """One hidden layer: h = s(W x + b), x' = s'(W' h + b'), with W' = W^T if `tied`, else a matrix of its own.

    `kernel` is W transposed, as Keras stores matrices: its columns, the rows of W, are the features that the hidden
    units answer to. Compile and fit it on `(images, images)` with `losses.squared_error`.

    Args:
        input_dim: d, the number of pixels.
        code_dim: p, the number of hidden units.
        activation: s; "linear" makes the code a projection.
        output_activation: s'; the default, a sigmoid, suits pixels in [0, 1].
        tied: whether the decoder's matrix is the encoder's, transposed.

    Source: lecture A3.
    """

    def __init__(
        self,
        input_dim: int,
        code_dim: int,
        activation: str = "relu",
        output_activation: str = "sigmoid",
        tied: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.code_dim = code_dim
        self.activation = activation
        self.output_activation = output_activation
        self.tied = tied

        self.kernel = self.add_weight((input_dim, code_dim), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((code_dim,), "zeros", name="bias")
        if not tied:
            self.decoder_kernel = self.add_weight((code_dim, input_dim), "glorot_uniform", name="decoder_kernel")
        self.decoder_bias = self.add_weight((input_dim,), "zeros", name="decoder_bias")
        # Its weights exist from the start: without this Keras takes the model for unbuilt on loading and drops the
        # optimizer's state.
        self.built = True

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """Returns h = s(W x + b): codes `(batch, code_dim)` of images `(batch, input_dim)`."""
        return keras.activations.get(self.activation)(tf.matmul(x, self.kernel) + self.bias)

    def decode(self, h: tf.Tensor) -> tf.Tensor:
        """Returns x' = s'(W' h + b'): images `(batch, input_dim)` from codes `(batch, code_dim)`."""
        kernel = tf.transpose(self.kernel) if self.tied else self.decoder_kernel
        return keras.activations.get(self.output_activation)(tf.matmul(h, kernel) + self.decoder_bias)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.decode(self.encode(x))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "code_dim": self.code_dim,
            "activation": self.activation,
            "output_activation": self.output_activation,
            "tied": self.tied,
        }

    def endpoints(self) -> Endpoints:
        """Returns what the SavedModel offers: the same signatures as `endpoints(model)` below."""
        return _signatures(self.encode, self.decode, self.input_dim, self.code_dim)


def stack(model: keras.Model, layers: Sequence[ShallowAutoencoder]) -> None:
    """Gives a stacked autoencoder the weights of its layers: shallow autoencoders, each of the codes of the one before.

    Its output is then that of the layers: all encoders in their order, then all decoders in the reverse order.

    Args:
        model: what `stacked_autoencoder` returns; each pair of its layers has the widths and activations of one of
            `layers`.
        layers: untied `ShallowAutoencoder`s, the outermost first.

    Source: Hinton & Salakhutdinov 2006, figure 1, "unrolling"; Bengio et al. 2007, section 3.
    """
    encoder = [weight for layer in layers for weight in (layer.kernel, layer.bias)]
    decoder = [weight for layer in reversed(layers) for weight in (layer.decoder_kernel, layer.decoder_bias)]
    model.get_layer("encoder").set_weights([weight.numpy() for weight in encoder])
    model.get_layer("decoder").set_weights([weight.numpy() for weight in decoder])


def parts(model: keras.Model) -> dict[str, keras.Model]:
    """Returns a stacked autoencoder's networks by name: `encoder`, image -> code, and `decoder`, code -> image."""
    return {name: model.get_layer(name) for name in ("encoder", "decoder")}


def endpoints(model: keras.Model) -> Endpoints:
    """Returns what a SavedModel of a stacked autoencoder offers: signature name -> (function, input specs).

    `reconstruct` image -> reconstruction (also the default), `encode` image -> code, `decode` code -> image.
    """
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    return _signatures(encoder, decoder, encoder.input_shape[-1], decoder.input_shape[-1])


def scoring_endpoints(model: keras.Model) -> Endpoints:
    """Returns a stacked autoencoder's endpoints and `score`, image -> squared_error: high for an anomaly."""
    image = tf.TensorSpec((None, model.input_shape[-1]), tf.float32, name="image")
    return endpoints(model) | {"score": (lambda image: {"squared_error": squared_error(image, model(image))}, [image])}


def _signatures(encode, decode, input_dim, code_dim):
    image = tf.TensorSpec((None, input_dim), tf.float32, name="image")
    code = tf.TensorSpec((None, code_dim), tf.float32, name="code")
    reconstruct = (lambda image: {"reconstruction": decode(encode(image))}, [image])
    return {
        "serving_default": reconstruct,
        "reconstruct": reconstruct,
        "encode": (lambda image: {"code": encode(image)}, [image]),
        "decode": (lambda code: {"image": decode(code)}, [code]),
    }
