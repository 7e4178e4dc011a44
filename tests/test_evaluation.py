"""The metrics against values found independently."""

import itertools

import numpy as np
import pytest

from tfgen.evaluation.coverage import class_shares
from tfgen.evaluation.pca import pca_squared_error


def test_pca_error_is_the_sum_of_the_eigenvalues_left_out():
    """On the training data themselves: n - 1 over n of the covariance's trailing eigenvalues."""
    x = np.random.default_rng(0).random((200, 12)) @ np.random.default_rng(1).random((12, 12))
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
    for components in (1, 5, 11):
        assert pca_squared_error(x, x, components) == pytest.approx(eigenvalues[components:].sum() * 199 / 200)
    assert pca_squared_error(x, x, 12) == pytest.approx(0, abs=1e-18)


def test_pca_error_takes_mean_and_components_from_the_training_images():
    train = np.array([[-1.0, 0.0], [1.0, 0.0], [-2.0, 0.0], [2.0, 0.0]])
    # The component is the first axis through the origin: what is left of (3, 4) is the 4, of (0, 1) the 1.
    assert pca_squared_error(train, np.array([[3.0, 4.0], [0.0, 1.0]]), 1) == pytest.approx((16 + 1) / 2)


def test_pca_error_falls_with_every_component():
    rng = np.random.default_rng(0)
    train, test = rng.random((300, 20)), rng.random((100, 20))
    errors = [pca_squared_error(train, test, components) for components in range(1, 21)]
    assert all(a > b for a, b in itertools.pairwise(errors))


def test_class_shares_count_the_largest_entry_of_each_row():
    logits = np.array([[0, 5, 1], [9, 0, 1], [-1, -2, -3], [0, 0.1, 0]])
    np.testing.assert_allclose(class_shares(logits), [0.5, 0.5, 0.0])


def test_a_collapsed_generator_has_a_class_without_samples():
    even = np.eye(10)[np.arange(1000) % 10]
    collapsed = np.eye(10)[np.arange(1000) % 9]
    assert class_shares(even).min() == pytest.approx(0.1)
    assert class_shares(collapsed).min() == 0
    assert class_shares(collapsed).sum() == pytest.approx(1)
