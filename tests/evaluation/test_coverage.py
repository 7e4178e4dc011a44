"""Class fractions and the classifier score, by hand and by entropies."""

import numpy as np
import pytest

from tfgen.evaluation.coverage import class_fractions, classifier_score


def test_class_fractions_count_the_largest_entry_of_each_row():
    logits = np.array([[0, 5, 1], [9, 0, 1], [-1, -2, -3], [0, 0.1, 0]])
    np.testing.assert_allclose(class_fractions(logits), [0.5, 0.5, 0.0])


def test_a_collapsed_generator_has_a_class_without_samples():
    even = np.eye(10)[np.arange(1000) % 10]
    collapsed = np.eye(10)[np.arange(1000) % 9]
    assert class_fractions(even).min() == pytest.approx(0.1)
    assert class_fractions(collapsed).min() == 0
    assert class_fractions(collapsed).sum() == pytest.approx(1)


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
def test_values_that_are_not_finite_have_no_classes(wrong):
    x = np.array([[0.2, 0.8], [0.7, 0.3]])
    assert class_fractions(x).tolist() == [0.5, 0.5]
    x[1, 0] = wrong
    with pytest.raises(ValueError, match="`probabilities` must be finite"):
        class_fractions(x)
