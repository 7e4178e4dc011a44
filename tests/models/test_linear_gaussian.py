"""log p(x) = ELBO + KL(q || p(z|x)), on a model where every term is exact, and found here by integration too."""

import numpy as np
import pytest

from tfgen.models import linear_gaussian

RNG = np.random.default_rng(0)
MODEL = (RNG.normal(size=(5, 2)), RNG.normal(size=5), 0.3)
X = RNG.normal(size=5)
Z_MEAN, Z_VARIANCE = np.array([0.4, -0.7]), np.array([0.5, 0.2])


def grid():
    """Returns points `(n, 2)` of a fine grid of latents, and the area that each stands for."""
    axis = np.linspace(-7, 7, 701)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return z, (axis[1] - axis[0]) ** 2


def log_normal(z, mean, variance):
    return np.sum(-0.5 * np.log(2 * np.pi * variance) - (z - mean) ** 2 / (2 * variance), axis=-1)


def log_joint(z):
    weights, bias, noise_variance = MODEL
    return log_normal(X, z @ weights.T + bias, noise_variance) + log_normal(z, 0.0, 1.0)


def test_log_likelihood_is_the_integral_of_the_joint():
    z, area = grid()
    assert linear_gaussian.log_likelihood(X, *MODEL) == pytest.approx(np.log(np.sum(np.exp(log_joint(z))) * area))


def test_posterior_has_the_moments_of_the_normalised_joint():
    z, _ = grid()
    p = np.exp(log_joint(z))
    p /= p.sum()
    mean, covariance = linear_gaussian.posterior(X, *MODEL)
    np.testing.assert_allclose(mean, p @ z, atol=1e-8)
    np.testing.assert_allclose(covariance, (z - mean).T @ (p[:, None] * (z - mean)), atol=1e-8)


def test_terms_are_their_integrals():
    z, area = grid()
    q = np.exp(log_normal(z, Z_MEAN, Z_VARIANCE)) * area
    expected, kl = linear_gaussian.elbo_terms(X, Z_MEAN, Z_VARIANCE, *MODEL)
    log_prior = log_normal(z, 0.0, 1.0)
    assert expected == pytest.approx(q @ (log_joint(z) - log_prior), rel=1e-8)
    assert kl == pytest.approx(q @ (log_normal(z, Z_MEAN, Z_VARIANCE) - log_prior), rel=1e-8)
    log_posterior = log_joint(z) - linear_gaussian.log_likelihood(X, *MODEL)
    gap = q @ (log_normal(z, Z_MEAN, Z_VARIANCE) - log_posterior)
    assert linear_gaussian.kl_to_posterior(X, Z_MEAN, Z_VARIANCE, *MODEL) == pytest.approx(gap, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_log_likelihood_is_elbo_plus_gap_for_every_q(seed):
    """Lecture B3, to numerical precision; with the KL to the prior left out, or its sign turned, it does not hold."""
    rng = np.random.default_rng(seed)
    q = (3 * rng.normal(size=2), np.exp(rng.normal(size=2)))
    expected, kl = linear_gaussian.elbo_terms(X, *q, *MODEL)
    gap = linear_gaussian.kl_to_posterior(X, *q, *MODEL)
    log_p = linear_gaussian.log_likelihood(X, *MODEL)
    assert expected - kl + gap == pytest.approx(log_p, rel=1e-12)
    assert gap > 0 and kl > 0
    assert abs(expected + gap - log_p) > 1e-3 and abs(expected + kl + gap - log_p) > 1e-3


def test_the_bound_is_tight_at_the_posterior():
    """With orthogonal columns of W the posterior's covariance is diagonal, so that q can be the posterior."""
    weights, bias, noise_variance = np.linalg.qr(MODEL[0])[0] * [2.0, 0.5], *MODEL[1:]
    mean, covariance = linear_gaussian.posterior(X, weights, bias, noise_variance)
    q = (mean, np.diag(covariance))
    assert linear_gaussian.kl_to_posterior(X, *q, weights, bias, noise_variance) == pytest.approx(0, abs=1e-12)
    expected, kl = linear_gaussian.elbo_terms(X, *q, weights, bias, noise_variance)
    assert expected - kl == pytest.approx(linear_gaussian.log_likelihood(X, weights, bias, noise_variance), rel=1e-12)


def test_what_the_bound_loses_as_q_moves_away_is_the_gap_that_its_distance_costs():
    """log p(x) by hand: x ~ N(0, W W^T + I / 2) with W = (1, 1/2). KL of two normals of one variance: d^2 / (2 v)."""
    z_means, elbo, gap, log_likelihood = linear_gaussian.bound_as_q_moves()
    x, covariance = np.array([1.5, -0.2]), np.array([[1.5, 0.5], [0.5, 0.75]])
    assert log_likelihood == pytest.approx(
        -0.5 * x @ np.linalg.inv(covariance) @ x - np.log(2 * np.pi * np.sqrt(1.5 * 0.75 - 0.25)), rel=1e-12
    )
    np.testing.assert_allclose(elbo + gap, log_likelihood, rtol=1e-12)
    # The posterior's precision is 1 + (1 + 1/4) / (1/2) = 3.5 and its mean (1.5 - 0.1) / (1/2) / 3.5 = 0.8.
    np.testing.assert_allclose(gap, 3.5 * (z_means - 0.8) ** 2 / 2, atol=1e-12)
    assert z_means[np.argmax(elbo)] == pytest.approx(0.8) and z_means.min() < 0 < 1.6 < z_means.max()
