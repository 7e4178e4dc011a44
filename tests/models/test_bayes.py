"""Bayes' rule on densities: against fractions, against a boundary found by hand, far out in the tails."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from tfgen.joint import joint
from tfgen.models.bayes import generative_classifier, log_joint


def test_the_rule_decides_as_the_exact_tables_of_the_lecture_s_example_do():
    """Class 0 at x = 1; at x = 2 both classes are as likely, and p(x, y) is 1/4 for either."""
    sample = [(1, 0), (1, 0), (2, 0), (2, 1)]
    p_xy = joint(sample)
    with np.errstate(divide="ignore"):
        log_likelihoods = [
            lambda x, y=y, p_y=p_y: np.log([float(p_xy[int(v), y]) / p_y for v in x[:, 0]])
            for y, p_y in ((0, 0.75), (1, 0.25))
        ]
        log_p_xy = log_joint(np.array([[1], [2]]), log_likelihoods, np.log([0.75, 0.25]))
        classify = generative_classifier(log_likelihoods, np.array([y for _, y in sample]))
        assert classify(np.array([[1]])).tolist() == [0]
    np.testing.assert_allclose(np.exp(log_p_xy), [[0.5, 0], [0.25, 0.25]], rtol=1e-15)


def test_the_joint_integrates_to_1_and_over_x_to_the_priors():
    x = np.linspace(-15, 15, 3001)[:, None]
    densities = [lambda x: norm(-1, 0.5).logpdf(x[:, 0]), lambda x: norm(2, 2).logpdf(x[:, 0])]
    log_p_xy = log_joint(x, densities, np.log([0.3, 0.7]))
    assert np.exp(log_p_xy).sum() * 0.01 == pytest.approx(1, abs=1e-6)
    assert np.exp(log_p_xy[:, 0]).sum() * 0.01 == pytest.approx(0.3, abs=1e-6)


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


def test_a_classifier_counts_its_priors_and_decides_where_every_density_underflows():
    """Equal densities of e^-5000: the more frequent class wins; a density larger by e^2 outweighs 3 : 1."""
    labels = np.array([7, 7, 7, 9])
    classify = generative_classifier([lambda x: x[:, 0], lambda x: x[:, 1]], labels)
    x = np.array([[-5000.0, -5000.0], [-5000.0, -4998.0], [-5000.0, -4999.0]])
    # log 3 = 1.0986: a lead of 1 does not suffice, one of 2 does.
    assert classify(x).tolist() == [7, 9, 7]
