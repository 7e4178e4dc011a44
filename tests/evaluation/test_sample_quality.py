"""Frechet distance, precision and recall, classifier score, active units: values known by other means."""

import numpy as np
import pytest
from scipy import linalg

from tfgen.evaluation.codes import active_units
from tfgen.evaluation.coverage import class_shares, classifier_score
from tfgen.evaluation.frechet import frechet_distance
from tfgen.evaluation.manifold import precision_and_recall

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


def test_precision_and_recall_of_known_balls_on_the_line():
    """k = 1. Data 0, 1, 10, 12: radii 1, 1, 2, 2, so they cover [-1, 2] and [8, 14]; samples 1.5, 5, 13: 3.5, 3.5, 8.

    Samples within the data's balls: 1.5 and 13, not 5. Data within [-2, 5], [1.5, 8.5], [5, 21]: all four.
    """
    real, generated = np.array([[0.0], [1], [10], [12]]), np.array([[1.5], [5], [13]])
    precision, recall = precision_and_recall(generated, real, neighbors=1)
    assert precision == pytest.approx(2 / 3) and recall == 1
    recall, precision = precision_and_recall(real, generated, neighbors=1)
    assert precision == pytest.approx(2 / 3) and recall == 1
    # Wrong: the share of data whose own ball holds a sample, as those of 1 and 12 do.
    radii = np.sort(np.abs(real - real.T), axis=1)[:, 1:2]
    assert np.mean(np.any(np.abs(real - generated.T) <= radii, axis=1)) == 1 / 2


def test_balls_reach_to_the_third_neighbour_unless_told_otherwise():
    """Data 0, 1, 3, 7, 15, 31: the union of their balls is [-3, 55] for k = 2, [-7, 59] for 3, [-15, 61] for 4."""
    real = np.array([[0.0], [1], [3], [7], [15], [31]])
    generated = np.array([[-10.0], [-5], [5], [57], [60]])
    shares = [precision_and_recall(generated, real, neighbors=k)[0] for k in (2, 3, 4)]
    assert shares == [1 / 5, 3 / 5, 1]
    assert precision_and_recall(generated, real)[0] == 3 / 5
    assert precision_and_recall(real, generated)[1] == 3 / 5


def test_a_collapsed_generator_has_precision_and_no_recall_and_a_wild_one_neither():
    real = RNG.standard_normal((500, 4))
    collapsed = 0.01 * RNG.standard_normal((500, 4))
    precision, recall = precision_and_recall(collapsed, real)
    assert precision > 0.99 and recall < 0.05
    precision, recall = precision_and_recall(real + 100, real)
    assert (precision, recall) == (0, 0)
    # Two sets from one distribution cover one another, up to the outermost points.
    assert min(precision_and_recall(RNG.standard_normal((500, 4)), real)) > 0.8


def test_the_classifier_score_is_the_number_of_evenly_covered_classes():
    assert classifier_score(np.eye(10)[np.arange(100) % 10]) == pytest.approx(10)
    assert classifier_score(np.eye(10)[np.arange(100) % 4]) == pytest.approx(4)
    assert classifier_score(np.full((7, 10), 0.1)) == pytest.approx(1)
    # By hand: p(y) = (0.5, 0.5), KL of (0.9, 0.1) against it, both ways alike.
    kl = 0.9 * np.log(1.8) + 0.1 * np.log(0.2)
    assert classifier_score([[0.9, 0.1], [0.1, 0.9]]) == pytest.approx(np.exp(kl))


def test_the_classifier_score_is_the_exponential_of_a_mean_of_divergences_in_nats():
    """By entropies: the mean divergence is the mutual information H(p(y)) - E_x[H(p(y|x))]."""
    p = np.repeat([[0.97, 0.01, 0.01, 0.01], [0.1, 0.2, 0.3, 0.4]], [20, 40], axis=0)
    p_y = p.mean(axis=0)
    information = np.sum(p * np.log(p)) / 60 - np.sum(p_y * np.log(p_y))
    score = classifier_score(p)
    assert score == pytest.approx(np.exp(information), rel=1e-12)
    # Wrong: the mean of exponentials; bits in the place of nats; the divergence the other way round.
    divergences = np.sum(p * np.log(p / p_y), axis=1)
    reverse = np.sum(p_y * np.log(p_y / p), axis=1)
    wrong = np.mean(np.exp(divergences)), np.exp(information / np.log(2)), np.exp(reverse.mean())
    assert all(score != pytest.approx(number, rel=0.02) for number in wrong)
    assert 1 < score < 4


@pytest.mark.parametrize("row", [[5.0, -2.0], [2.0, -1.0], [np.nan, 1.0], [np.inf, 0.0]])
def test_rows_that_are_no_probabilities_have_no_classifier_score(row):
    with pytest.raises(ValueError, match=r"`probabilities` must lie in \[0, 1\] .* not logits"):
        classifier_score([row, [0.1, 0.9]])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_classes_and_no_active_units(wrong):
    x = np.array([[0.2, 0.8], [0.7, 0.3]])
    assert class_shares(x).tolist() == [0.5, 0.5] and active_units(x) == 2
    x[1, 0] = wrong
    with pytest.raises(ValueError, match="`probabilities` must be finite"):
        class_shares(x)
    with pytest.raises(ValueError, match="`z_means` must be finite"):
        active_units(x)


def test_active_units_are_those_whose_mean_moves():
    z_means = RNG.standard_normal((2000, 4)) * np.array([1.0, 0.5, 0.05, 0.0]) + np.array([0, 0, 5, 7])
    assert active_units(z_means) == 2
    # Means far from 0 that do not vary carry nothing about the image.
    assert active_units(z_means, threshold=1e-3) == 3
