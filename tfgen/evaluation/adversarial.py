"""The value of the GAN's game where both densities are known. Pure NumPy.

A distribution is a histogram here: `(bins,)` float, the probability of each bin, non-negative and adding up to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def optimal_discriminator(p_data: ArrayLike, p_g: ArrayLike) -> np.ndarray:
    """Returns D*(x) = p_data(x) / (p_data(x) + p_g(x)), the best discriminator against a fixed generator.

    Args:
        p_data: `(...)` float >= 0: densities, or probabilities of the same bins.
        p_g: `(...)` float >= 0.

    Returns:
        `(...)` float64 in [0, 1]. It is 1/2 where both are 0: the paper leaves D* undefined there, and no value changes
        the objective.

    Source: Goodfellow et al. 2014, proposition 1.
    """
    p_data, p_g = np.asarray(p_data, np.float64), np.asarray(p_g, np.float64)
    total = p_data + p_g
    return np.where(total > 0, p_data / np.where(total > 0, total, 1), 0.5)


def value(discriminator: ArrayLike, p_data: ArrayLike, p_g: ArrayLike) -> float:
    """Returns V(D, G) = E_{x~p_data}[log D(x)] + E_{x~p_g}[log(1 - D(x))].

    Args:
        discriminator: `(bins,)` float in [0, 1], D in each bin. A bin that p_data (p_g) never reaches contributes
            nothing to the first (second) expectation, even where its logarithm is infinite.
        p_data: `(bins,)`, a distribution.
        p_g: `(bins,)`, a distribution.

    Returns:
        Float <= 0, nats. -log 4 where D is 1/2 everywhere.

    Source: Goodfellow et al. 2014, equation 1; lecture D2.
    """
    discriminator = np.asarray(discriminator, np.float64)
    return _expected_log(p_data, discriminator) + _expected_log(p_g, 1 - discriminator)


def jensen_shannon_divergence(p: ArrayLike, q: ArrayLike) -> float:
    """Returns JSD(p || q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2.

    The optimal discriminator leaves the generator with C(G) = max_D V(D, G) = -log 4 + 2 JSD(p_data || p_g). For binned
    densities this is a lower bound on the divergence of the densities. It approaches it as the bins get narrower.

    Args:
        p: `(bins,)`, a distribution.
        q: `(bins,)`, a distribution.

    Returns:
        Float from 0, where they are equal, to log 2, where they never meet; nats.

    Source: Goodfellow et al. 2014, theorem 1.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    m = (p + q) / 2
    kl = [_expected_log(r, np.divide(r, m, out=np.ones_like(m), where=m > 0)) for r in (p, q)]
    return sum(kl) / 2


def _expected_log(p, values):
    """Returns sum_i p_i log(values_i), where 0 log 0 = 0."""
    p = np.asarray(p, np.float64)
    reached = p > 0
    return float(np.sum(p[reached] * np.log(values[reached])))


def discriminator_error(discriminator: np.ndarray, p_data: np.ndarray, p_g: np.ndarray) -> float:
    """Returns the mean of |D(x) - D*(x)| over the x that train the discriminator, x ~ (p_data + p_g) / 2.

    Args:
        discriminator: `(bins,)` float in [0, 1], D in each bin.
        p_data: `(bins,)`, a distribution.
        p_g: `(bins,)`, a distribution.
    """
    weights = (np.asarray(p_data, np.float64) + p_g) / 2
    return float(np.sum(weights * np.abs(discriminator - optimal_discriminator(p_data, p_g))))


def histogram(x: ArrayLike, edges: np.ndarray) -> np.ndarray:
    """Returns the fraction of the points in each bin, `(bins,)`. Points beyond the edges go to the outermost bins."""
    counts, _ = np.histogram(np.clip(x, edges[0], edges[-1]), edges)
    return counts / np.size(x)


def normal_histogram(edges: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Returns the probability of each bin under N(mean, std^2), with the tails in the outermost bins."""
    cumulative = stats.norm.cdf(edges, mean, std)
    cumulative[0], cumulative[-1] = 0, 1
    return np.diff(cumulative)
