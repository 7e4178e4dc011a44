"""The Frechet distance against values known by other means."""

import numpy as np
import pytest
from scipy import linalg

from tfgen.evaluation.frechet import frechet_distance

RNG = np.random.default_rng(0)


def with_moments(mean, covariance, n=50):
    """Returns points whose sample mean and covariance are exactly these."""
    x = RNG.standard_normal((n, len(mean)))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_commuting_covariances_is_that_of_means_and_standard_deviations():
    """Diagonal covariances: |m_1 - m_2|^2 + sum (s_1 - s_2)^2, by hand 9 + 16 + 1 + 4."""
    a = with_moments([0.0, 0.0], np.diag([1.0, 9.0]))
    b = with_moments([3.0, 4.0], np.diag([4.0, 25.0]))
    assert frechet_distance(a, b) == pytest.approx(30, rel=1e-9)


def test_frechet_distance_agrees_with_scipy_s_matrix_root():
    factors = [RNG.standard_normal((5, 5)) for _ in range(2)]
    covariances = [factor @ factor.T + 0.1 * np.eye(5) for factor in factors]
    a, b = (with_moments(RNG.standard_normal(5), covariance, 80) for covariance in covariances)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-7)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-7)
    # Wrong: the product of the roots in place of the root of the product; no root; the distance, not its square.
    roots = [linalg.sqrtm(covariance) for covariance in covariances]
    wrong = expected + 2 * np.trace(root - roots[0] @ roots[1]), expected + 2 * np.trace(root), np.sqrt(expected)
    assert all(frechet_distance(a, b) != pytest.approx(number, rel=0.02) for number in wrong)


def test_frechet_distance_is_zero_between_equal_sets_also_without_full_rank():
    x = np.concatenate([RNG.standard_normal((20, 3)), np.zeros((20, 4))], axis=1)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + np.eye(7)[6]) == pytest.approx(1, abs=1e-9)


def test_frechet_distance_refuses_sets_of_different_sizes():
    with pytest.raises(ValueError, match=r"same shape .*\(4, 2\) and \(5, 2\)"):
        frechet_distance(np.zeros((4, 2)), np.zeros((5, 2)))


def test_frechet_distance_of_one_dimension_is_of_two_points_at_least_and_of_finite_ones():
    a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [9.0]])
    # By hand: means 1 and 7, variances 2 and 8.
    assert frechet_distance(a, b) == pytest.approx(36 + 2 + 8 - 2 * 4)
    for x in (a[:1], np.full((2, 1), np.nan)):
        with pytest.raises(ValueError, match="at least 2 points, and finite"):
            frechet_distance(x, b[: len(x)])
