"""What the model families share: fully connected layers, and the check of what `fit` passes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

# A Keras dtype policy: None is the global one.
Policy: TypeAlias = str | keras.DTypePolicy | None
# What a SavedModel offers: from a signature's name to its function and the specs of its inputs.
Endpoints: TypeAlias = dict[str, tuple[Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]]


def hidden_layers(
    x: keras.KerasTensor, units: Sequence[int], activation: str, dtype: Policy = None
) -> keras.KerasTensor:
    """Returns `x` passed through one `Dense` layer per entry of `units`.

    Args:
        x: `(batch, dim)` Keras tensor.
        units: widths of the layers, in order; empty returns `x` itself.
        activation: activation of each of them.
        dtype: their Keras dtype policy, such as "mixed_bfloat16"; None means the global one.

    Returns:
        `(batch, units[-1])` Keras tensor.
    """
    for width in units:
        x = keras.layers.Dense(width, activation, dtype=dtype)(x)
    return x


def dense_layers(model: keras.Model) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns what a chain of fully connected layers computes with.

    Args:
        model: functional model from one input to one output, made of `Dense` layers and sub-models of such alone;
            dropout, which evaluates to its input, is left out.

    Returns:
        From the input on, for each layer, `(activation, kernel, bias)`: its Keras name, `(inputs, outputs)` and
        `(outputs,)`, both float32.

    Raises:
        ValueError: for a layer of another kind, or layers that do not follow one another.
    """
    layers: list[tuple[str, np.ndarray, np.ndarray]] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            layers.append((layer.activation.__name__, kernel.astype("float32"), bias.astype("float32")))
        elif isinstance(layer, keras.Model):
            layers += dense_layers(layer)
        elif not isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout)):
            raise ValueError(f"only chains of Dense layers are kept, got {type(layer).__name__} {layer.name!r}.")
    for (_, before, _), (_, after, _) in itertools.pairwise(layers):
        if before.shape[1] != after.shape[0]:
            raise ValueError(
                f"a layer of {before.shape[1]} units cannot be followed by one of {after.shape[0]} inputs."
            )
    return layers


def layer_arrays(networks: dict[str, keras.Model | list[tuple[str, np.ndarray, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Returns what networks compute with, as one dict of arrays: NETWORK/LAYER/ACTIVATION/kernel, and the same /bias.

    Args:
        networks: dict from a name to a model, or to what `dense_layers` returns of one.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, network in networks.items():
        layers = dense_layers(network) if isinstance(network, keras.Model) else network
        for i, (activation, kernel, bias) in enumerate(layers):
            arrays |= {f"{name}/{i}/{activation}/kernel": kernel, f"{name}/{i}/{activation}/bias": bias}
    return arrays


def in_float32(network: Callable[[str], keras.Model], trained: keras.Model) -> keras.Model:
    """Returns a model that computes in float32 with the weights of one that was trained with other products.

    Args:
        network: function from a Keras dtype policy to the model.
        trained: what `network` has returned for some policy, trained.
    """
    model = network("float32")
    model.set_weights(trained.get_weights())
    return model


def images_of(data: Any) -> tf.Tensor:
    """Returns the images of a batch that `fit` or `evaluate` passes to a model which trains on images alone.

    Raises:
        ValueError: if there are targets or sample weights, which would be ignored, or if the images are integers.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if y is not None or sample_weight is not None:
        raise ValueError("this model trains on images alone: pass neither targets nor sample weights.")
    if not x.dtype.is_floating:
        raise ValueError(f"images must be float in [0, 1], got {x.dtype.name}; see `data.batches.scale`.")
    return x
