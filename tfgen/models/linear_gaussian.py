"""A model small enough to know everything of: z ~ N(0, I), x|z ~ N(W z + b, noise_variance I), in float64.

Its log p(x) and its posterior are exact, so the decomposition that the lecture trains by can be seen to hold.
"""

from __future__ import annotations

import numpy as np


def _normal_log_prob(x, mean, covariance):
    residual = x - mean
    _, log_determinant = np.linalg.slogdet(covariance)
    mahalanobis = residual @ np.linalg.solve(covariance, residual)
    return -0.5 * (len(x) * np.log(2 * np.pi) + log_determinant + mahalanobis)


def log_likelihood(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, noise_variance: float) -> float:
    """Returns log p(x) = log N(x; b, W W^T + noise_variance I).

    Args:
        x: `(pixels,)` float.
        weights: `(pixels, latents)` float, W.
        bias: `(pixels,)` float, b.
        noise_variance: float > 0.

    Returns:
        float, nats.

    Source: Bishop, Pattern Recognition and Machine Learning, section 12.2 (probabilistic PCA).
    """
    return _normal_log_prob(x, bias, weights @ weights.T + noise_variance * np.eye(len(x)))


def posterior(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray, noise_variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean `(latents,)` and covariance `(latents, latents)` of p(z|x), a normal distribution."""
    precision = np.eye(weights.shape[1]) + weights.T @ weights / noise_variance
    covariance = np.linalg.inv(precision)
    return covariance @ weights.T @ (x - bias) / noise_variance, covariance


def elbo_terms(
    x: np.ndarray,
    z_mean: np.ndarray,
    z_variance: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    noise_variance: float,
) -> tuple[float, float]:
    """Returns E_q[log p(x|z)] and KL(q || p(z)) for q = N(z_mean, diag(z_variance)), both exact.

    Source: lecture B3; the expectation of a quadratic form under q.
    """
    covariance = noise_variance * np.eye(len(x))
    spread = np.sum(weights**2 @ z_variance) / noise_variance
    expected = _normal_log_prob(x, weights @ z_mean + bias, covariance) - 0.5 * spread
    kl = 0.5 * np.sum(z_mean**2 + z_variance - np.log(z_variance) - 1)
    return expected, kl


def kl_to_posterior(
    x: np.ndarray,
    z_mean: np.ndarray,
    z_variance: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    noise_variance: float,
) -> float:
    """Returns KL(q || p(z|x)), the term of the decomposition that no VAE can compute: here it is exact."""
    mean, covariance = posterior(x, weights, bias, noise_variance)
    inverse = np.linalg.inv(covariance)
    difference = mean - z_mean
    trace, quadratic = np.sum(np.diag(inverse) * z_variance), difference @ inverse @ difference
    log_ratio = np.linalg.slogdet(covariance)[1] - np.sum(np.log(z_variance))
    return 0.5 * (trace + quadratic - len(z_mean) + log_ratio)


def bound_as_q_moves() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Returns lecture B3's decomposition for one latent and two pixels, exact, as the mean of q moves.

    q has the posterior's variance, so that the bound is tight where it has the posterior's mean too.

    Returns:
        `(z_means, elbo, gap, log_likelihood)`: the means of q and, for each, ELBO and KL(q || p(z|x)), `(81,)` each;
        and log p(x), which is their sum everywhere. Nats.
    """
    weights, bias, noise_variance, x = np.array([[1.0], [0.5]]), np.zeros(2), 0.5, np.array([1.5, -0.2])
    model = (weights, bias, noise_variance)
    mean, covariance = posterior(x, *model)
    z_means = np.linspace(mean[0] - 2, mean[0] + 2, 81)
    terms = [elbo_terms(x, np.array([z]), np.diag(covariance), *model) for z in z_means]
    gap = np.array([kl_to_posterior(x, np.array([z]), np.diag(covariance), *model) for z in z_means])
    elbo = np.array([expected - kl for expected, kl in terms])
    return z_means, elbo, gap, log_likelihood(x, *model)
