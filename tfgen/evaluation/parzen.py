"""Parzen-window log-likelihood: how Goodfellow et al. 2014 measured samples, and why to distrust it.

The density is a mixture of Gaussians of width sigma, one centred at each sample. In 784 dimensions the log-likelihood
of images under it says little: k-means centres score better than true images (Theis et al. 2015). Report it only
beside these baselines.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans

from tfgen.evaluation.clustering import fit_kmeans

SIGMAS = np.logspace(-1, 0, 10)
CHUNK = 1000
KMEANS_MOVES = 2


def parzen_log_density(samples: np.ndarray, images: np.ndarray, sigmas: ArrayLike) -> np.ndarray:
    """Returns log p(x) under p(x) = 1/m sum_j N(x; s_j, sigma^2 I), for several sigmas at once.

    The squared distances are computed by matrix products, chunk by chunk of images, and reused for every sigma.

    Args:
        samples: `(m, pixels)` float in [0, 1], the centres.
        images: `(n, pixels)` float in [0, 1].
        sigmas: positive floats.

    Returns:
        `(len(sigmas), n)` float64, nats per image.

    Source: Breuleux et al. 2011; Goodfellow et al. 2014, section 5.
    """
    # Centring leaves the distances as they are and makes float32 round them less.
    mean = np.mean(samples, axis=0)
    centres = tf.constant(samples - mean, tf.float32)
    precisions = tf.constant(0.5 / np.square(sigmas), tf.float32)
    chunks = [
        _log_mean_exp(tf.constant(images[i : i + CHUNK] - mean, tf.float32), centres, precisions).numpy()
        for i in range(0, len(images), CHUNK)
    ]
    pixels = np.shape(images)[1]
    normaliser = 0.5 * pixels * np.log(2 * np.pi * np.square(sigmas))
    return np.concatenate(chunks, axis=1).astype(np.float64) - normaliser[:, None]


@tf.function(reduce_retracing=True, autograph=False)
def _log_mean_exp(x, centres, precisions):
    squared_distances = (
        tf.reduce_sum(tf.square(x), axis=1)[:, None]
        - 2 * tf.matmul(x, centres, transpose_b=True)
        + tf.reduce_sum(tf.square(centres), axis=1)
    )
    squared_distances = tf.maximum(squared_distances, 0)  # rounding makes the distance of equal images negative
    m = tf.cast(tf.shape(centres)[0], tf.float32)
    return tf.map_fn(lambda p: tf.reduce_logsumexp(-p * squared_distances, axis=1) - tf.math.log(m), precisions)


@dataclasses.dataclass(frozen=True)
class ParzenResult:
    """A Parzen log-likelihood, its error and the sigma chosen.

    Attributes:
        log_likelihood: mean over the test images, nats per image.
        standard_error: standard error of that mean over the test images.
        sigma: the width chosen.
        at_edge: whether sigma is the smallest or largest of the grid, so that a better one may lie outside.
    """

    log_likelihood: float
    standard_error: float
    sigma: float
    at_edge: bool


def parzen_log_likelihood(
    samples: np.ndarray, validation: np.ndarray, test: np.ndarray, sigmas: np.ndarray = SIGMAS
) -> ParzenResult:
    """Returns the `ParzenResult` of test images under samples, with the sigma that suits the validation images best.

    Args:
        samples: `(m, pixels)` float in [0, 1]; the paper takes 10,000.
        validation: `(k, pixels)` float in [0, 1]; the paper's code takes 1,000.
        test: `(n, pixels)` float in [0, 1].
        sigmas: positive floats to choose from.

    Raises:
        ValueError: if values lie outside [0, 1], where the number would mean something else, or are not finite.

    Source: Goodfellow et al. 2014, table 1; the grid is that of the authors' code.
    """
    for name, points in (("samples", samples), ("validation", validation), ("test", test)):
        # The tolerance admits rounding, as in k-means centres. A NaN makes the comparison false.
        if not (np.min(points) >= -1e-6 and np.max(points) <= 1 + 1e-6):
            raise ValueError(f"`{name}` must lie in [0, 1], got [{np.min(points):.3g}, {np.max(points):.3g}].")
    best = int(np.argmax(np.mean(parzen_log_density(samples, validation, sigmas), axis=1)))
    log_p = parzen_log_density(samples, test, sigmas[best : best + 1])[0]
    error = np.std(log_p, ddof=1) / np.sqrt(len(log_p))
    at_edge = sigmas[best] in (np.min(sigmas), np.max(sigmas))
    return ParzenResult(float(np.mean(log_p)), float(error), float(sigmas[best]), bool(at_edge))


def kmeans_centres(images: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Returns `(num, pixels)` k-means centres, at most one for each different image; they beat true images.

    They start at different images, taken at random, and move `KMEANS_MOVES` times, which is enough for a baseline.

    Source: Theis et al. 2015, "A note on the evaluation of generative models".
    """
    different = list({image.tobytes(): i for i, image in enumerate(images)}.values())
    num = min(num, len(different))
    start = images[np.random.default_rng(seed).choice(different, num, replace=False)]
    return fit_kmeans(KMeans(num, init=start, n_init=1, max_iter=KMEANS_MOVES), images).cluster_centers_
