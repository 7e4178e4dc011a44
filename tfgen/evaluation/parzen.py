"""Parzen-window log-likelihood: how Goodfellow et al. 2014 measured samples, and why to distrust it.

A Gaussian of width sigma stands on every sample; what images have under that density says little in 784 dimensions:
centres of k-means get a better value than true images do (Theis et al. 2015). So the baselines belong beside it.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

SIGMAS = np.logspace(-1, 0, 10)
CHUNK = 1000


def parzen_log_density(samples, images, sigmas):
    """Returns log p(x) under p(x) = 1/m sum_j N(x; s_j, sigma^2 I), for several sigmas at once.

    The squared distances are matrix products, one chunk of images after the other; each serves every sigma.

    Args:
        samples: `(m, pixels)` float in [0, 1], the centres.
        images: `(n, pixels)` float in [0, 1].
        sigmas: positive floats.

    Returns:
        `(len(sigmas), n)` float64, nats per image.

    Source: Breuleux et al. 2011; Goodfellow et al. 2014, section 5.
    """
    # Distances do not change, and float32 loses less of them, where the mean is 0.
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


@tf.function(reduce_retracing=True)
def _log_mean_exp(x, centres, precisions):
    squared_distances = (
        tf.reduce_sum(tf.square(x), axis=1)[:, None]
        - 2 * tf.matmul(x, centres, transpose_b=True)
        + tf.reduce_sum(tf.square(centres), axis=1)
    )
    squared_distances = tf.maximum(squared_distances, 0)  # rounding takes those of equal images below 0
    m = tf.cast(tf.shape(centres)[0], tf.float32)
    return tf.map_fn(lambda p: tf.reduce_logsumexp(-p * squared_distances, axis=1) - tf.math.log(m), precisions)


@dataclasses.dataclass(frozen=True)
class ParzenResult:
    """A Parzen log-likelihood and what it rests on.

    Attributes:
        log_likelihood: mean over the test images, nats per image.
        standard_error: of that mean, over test images.
        sigma: the width chosen.
        at_edge: whether sigma is the grid's smallest or largest, so that a better one may lie outside.
    """

    log_likelihood: float
    standard_error: float
    sigma: float
    at_edge: bool


def parzen_log_likelihood(samples, validation, test, sigmas=SIGMAS):
    """Returns the `ParzenResult` of test images under samples, sigma being the best one for validation images.

    Args:
        samples: `(m, pixels)` float in [0, 1]; the paper takes 10,000.
        validation: `(k, pixels)` float in [0, 1]; the paper's code takes 1,000.
        test: `(n, pixels)` float in [0, 1].
        sigmas: positive floats to choose from.

    Raises:
        ValueError: for values outside [0, 1] or not finite: on another scale the number means something else.

    Source: Goodfellow et al. 2014, table 1; the grid is that of the authors' code.
    """
    for name, points in (("samples", samples), ("validation", validation), ("test", test)):
        # Up to rounding, such as that of the centres of k-means; false for a NaN.
        if not (np.min(points) >= -1e-6 and np.max(points) <= 1 + 1e-6):
            raise ValueError(f"`{name}` must lie in [0, 1], got [{np.min(points):.3g}, {np.max(points):.3g}].")
    best = int(np.argmax(np.mean(parzen_log_density(samples, validation, sigmas), axis=1)))
    log_p = parzen_log_density(samples, test, sigmas[best : best + 1])[0]
    error = np.std(log_p, ddof=1) / np.sqrt(len(log_p))
    at_edge = sigmas[best] in (np.min(sigmas), np.max(sigmas))
    return ParzenResult(float(np.mean(log_p)), float(error), float(sigmas[best]), bool(at_edge))


def kmeans_centres(images, num, seed):
    """Returns `(num, pixels)` centres of k-means: the baseline that beats true images.

    They start at images taken at random and move in at most five iterations: a window needs no better ones.

    Source: Theis et al. 2015, "A note on the evaluation of generative models".
    """
    return KMeans(num, init="random", n_init=1, max_iter=5, random_state=seed).fit(images).cluster_centers_
