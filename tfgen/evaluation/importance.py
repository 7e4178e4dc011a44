"""The log-likelihood of a variational autoencoder by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgen.distributions import stateless_normal


class ImportanceSamples(NamedTuple):
    """What importance sampling says of each image.

    Attributes:
        nll: estimate of -log p(x), `(n,)` float64, nats.
        effective_samples: (sum w)^2 / sum w^2 of its weights w, `(n,)` float64, from 1 to K. Where it is small, few
            draws make the estimate, and in expectation it lies further above the true value.
    """

    nll: np.ndarray
    effective_samples: np.ndarray


def importance_sample(
    log_weights: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    noise_dim: int,
    images: np.ndarray,
    num_samples: int,
    seed: Sequence[int] | tf.Tensor,
    batch_size: int = 100,
    chunk: int = 50,
) -> ImportanceSamples:
    """Estimates the negative log-likelihood of each image with samples from the approximate posterior.

    -log p(x) is estimated by -log 1/K sum_k w_k, w_k = p(x, z_k) / q(z_k|x), with z_k ~ q(z|x). In expectation the
    estimate is an upper bound on the true value and at most the negative ELBO, which it equals for K = 1.

    The sum over K is accumulated chunk by chunk, so memory holds `batch_size * chunk` images, whatever K is.

    Args:
        log_weights: function from `(batch, pixels)` and standard normal noise `(k, batch, noise_dim)`, which becomes
            draws of z, to log w `(k, batch)`, nats; for example `VAE.log_weights`.
        noise_dim: of a draw.
        images: `(n, pixels)` float32, binary for a Bernoulli likelihood.
        num_samples: K, a multiple of `chunk` or less than `chunk`.
        seed: `(2,)` integers. Each chunk of each batch gets its own draws.
        batch_size: images evaluated together.
        chunk: samples per image evaluated together.

    Returns:
        `ImportanceSamples`.

    Raises:
        ValueError: if `num_samples` is above `chunk` and not a multiple of it, or either is below 1.

    Source: Burda et al. 2015, section 3 and appendix; Rezende et al. 2014, appendix E; for the effective number of
    samples Kong 1992.
    """
    if num_samples < 1 or chunk < 1 or num_samples % min(chunk, num_samples):
        raise ValueError(f"`num_samples` must be a positive multiple of `chunk` ({chunk}), got {num_samples}.")
    chunk = min(chunk, num_samples)

    @tf.function(reduce_retracing=True)
    def log_sums(x, batch):
        """Returns log sum_k w_k and log sum_k w_k^2 of each image, `(2, batch)`."""
        n = tf.shape(x)[0]

        def add(j, totals):
            key = tf.stack([tf.cast(seed[0], tf.int64), tf.cast(seed[1], tf.int64) + batch * num_samples + j])
            log_w = log_weights(x, stateless_normal((chunk, n, noise_dim), key))
            powers = tf.stack([log_w, 2 * log_w], axis=1)
            return j + 1, tf.reduce_logsumexp(tf.concat([totals[None], powers], axis=0), axis=0)

        start = (tf.constant(0, tf.int64), tf.fill([2, n], tf.constant(-math.inf, tf.float32)))
        _, totals = tf.while_loop(lambda j, _: j < num_samples // chunk, add, start, parallel_iterations=1)
        return totals

    batches = range(0, len(images), batch_size)
    values = [
        log_sums(tf.constant(images[i : i + batch_size]), tf.constant(i // batch_size, tf.int64)).numpy()
        for i in batches
    ]
    log_sum, log_sum_of_squares = np.concatenate(values, axis=1).astype(np.float64)
    return ImportanceSamples(math.log(num_samples) - log_sum, np.exp(2 * log_sum - log_sum_of_squares))
