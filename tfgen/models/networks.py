"""What the model families share: fully connected layers, and the check of what `fit` passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
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
