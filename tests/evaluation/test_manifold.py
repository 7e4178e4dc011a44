"""Precision and recall of sets whose balls are known."""

import numpy as np
import pytest
import sklearn
from scipy.spatial.distance import cdist

from tfgen.evaluation.manifold import precision_and_recall


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
    rng = np.random.default_rng(0)
    real = rng.standard_normal((500, 4))
    collapsed = 0.01 * rng.standard_normal((500, 4))
    precision, recall = precision_and_recall(collapsed, real)
    assert precision > 0.99 and recall < 0.05
    precision, recall = precision_and_recall(real + 100, real)
    assert (precision, recall) == (0, 0)
    # Two sets from one distribution cover one another, up to the outermost points.
    assert min(precision_and_recall(rng.standard_normal((500, 4)), real)) > 0.8


def test_distances_are_compared_in_parts_as_at_once():
    """In parts of 50 of the 300 samples, which spread more and more: a part with another's radii has another recall."""
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((400, 4)), np.linspace(0.1, 4, 300)[:, None] * rng.standard_normal((300, 4))
    precision, recall = precision_and_recall(generated, real)
    with sklearn.config_context(working_memory=50 * 400 * 8 / 2**20):
        assert precision_and_recall(generated, real) == (precision, recall)
    between, within = cdist(generated, real), np.sort(cdist(generated, generated), axis=1)[:, 3]
    assert recall == np.mean(np.any(between <= within[:, None], axis=0)) < 1
    assert recall != np.mean(np.any(between <= np.tile(within[:50], 6)[:, None], axis=0))
    assert 0.3 < precision < 1
