"""Bayes' rule on densities: against fractions, against a boundary found by hand, far out in the tails."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from tfgen.joint import conditional, joint
from tfgen.models.bayes import log_joint, log_posterior


def test_the_rule_agrees_with_the_exact_tables_of_the_lecture_s_example():
    p_xy = joint([(1, 0), (1, 0), (2, 0), (2, 1)])
    with np.errstate(divide="ignore"):
        log_p_xy = np.log([[float(p_xy[x, y]) for y in (0, 1)] for x in (1, 2)])
    exact = [[float(conditional(p_xy)[x, y]) for y in (0, 1)] for x in (1, 2)]
    np.testing.assert_allclose(np.exp(log_posterior(log_p_xy)), exact, rtol=1e-15)


def test_the_joint_integrates_to_1_and_the_posterior_adds_up_to_1():
    x = np.linspace(-15, 15, 3001)[:, None]
    densities = [lambda x: norm(-1, 0.5).logpdf(x[:, 0]), lambda x: norm(2, 2).logpdf(x[:, 0])]
    log_p_xy = log_joint(x, densities, np.log([0.3, 0.7]))
    assert np.exp(log_p_xy).sum() * 0.01 == pytest.approx(1, abs=1e-6)
    assert np.exp(log_p_xy[:, 0]).sum() * 0.01 == pytest.approx(0.3, abs=1e-6)
    np.testing.assert_allclose(np.exp(log_posterior(log_p_xy)).sum(axis=1), 1, rtol=1e-12)


def test_two_normals_of_one_covariance_part_at_the_line_found_by_hand():
    """Means (0, 0) and (2, 0), unit covariance, priors 3 : 1: p(x, 0) = p(x, 1) at x_1 = 1 + (log 3) / 2."""
    densities = [multivariate_normal(mean, np.eye(2)).logpdf for mean in ([0, 0], [2, 0])]
    boundary = 1 + np.log(3) / 2
    x = np.array([[boundary, 5.0], [boundary - 0.01, -7.0], [boundary + 0.01, 0.0]])
    log_p_xy = log_joint(x, densities, np.log([0.75, 0.25]))
    assert log_p_xy[0, 0] == pytest.approx(log_p_xy[0, 1], abs=1e-12)
    assert np.argmax(log_p_xy, axis=1).tolist()[1:] == [0, 1]
    # Without the priors the boundary would lie in the middle.
    wrong = log_joint(x, densities, np.zeros(2))
    assert np.argmax(wrong, axis=1).tolist() == [1, 1, 1]


def test_the_posterior_stays_finite_where_every_density_underflows():
    posterior = log_posterior(np.array([[-5000.0, -5001.0], [-1e6, 0.0]]))
    np.testing.assert_allclose(posterior[0], [-np.log1p(np.exp(-1)), -1 - np.log1p(np.exp(-1))], rtol=1e-12)
    np.testing.assert_allclose(posterior[1], [-1e6, 0.0])
