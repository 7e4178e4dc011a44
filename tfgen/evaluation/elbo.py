"""The evidence lower bound of single images (lecture B3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfgen.distributions import Draw, stateless_seed


def negative_elbo(
    terms: Callable[[np.ndarray, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    images: np.ndarray,
    seed: int,
    batch_size: int = 1000,
) -> np.ndarray:
    """Returns the negative ELBO of each image, `(n,)` in nats, estimated with one draw of z.

    A high value means that the image surprises the model.

    Args:
        terms: function from images and a `(2,)` integer seed to the two terms of the negative ELBO, each `(batch,)`;
            for example `VAE.negative_elbo_terms`.
        images: `(n, pixels)` float32, as the model takes them.
        seed: int >= 0, the seed of the run.
        batch_size: images evaluated together.
    """
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    parts = [terms(x, stateless_seed(seed, Draw.EVALUATION, i)) for i, x in enumerate(batches)]
    return np.concatenate([reconstruction_loss + kl for reconstruction_loss, kl in parts])
