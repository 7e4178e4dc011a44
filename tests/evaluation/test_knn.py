"""The error of nearest neighbours, by hand and by chance."""

import numpy as np

from tfgen.evaluation.knn import knn_errors


def test_knn_error_is_the_share_of_wrong_votes():
    """On a line, by hand: training codes at 0 (class 0), 1 (1), 2.1 (1), 10 (0)."""
    train, labels = np.array([[0.0], [1.0], [2.1], [10.0]]), np.array([0, 1, 1, 0])
    test, truth = np.array([[0.1], [1.2], [9.0], [3.0]]), np.array([0, 1, 0, 0])
    # One neighbour says 0, 1, 0, 1; the last is wrong. Three say 1, 1, 1, 1, of which only the second is right.
    assert knn_errors(train, labels, test, truth, (1, 3)) == [0.25, 0.75]
    assert knn_errors(train, labels, test, truth, (3, 1)) == [0.75, 0.25]


def test_of_equally_many_votes_the_smallest_class_is_taken():
    train, labels = np.array([[0.0], [1.0], [2.0]]), np.array([2, 1, 4])
    assert knn_errors(train, labels, np.array([[0.1], [1.9]]), np.array([1, 1]), (2, 1)) == [0, 1]


def test_nearest_neighbours_of_codes_without_structure_are_right_by_chance_only():
    """The error is 0.9 within four standard errors; judged on its own training codes it would be 0."""
    rng = np.random.default_rng(0)
    codes, labels = rng.standard_normal((4000, 2)), rng.integers(10, size=4000)
    (error,) = knn_errors(codes[:2000], labels[:2000], codes[2000:], labels[2000:], [1])
    assert abs(error - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 2000)
    assert knn_errors(codes, labels, codes, labels, [1]) == [0]
