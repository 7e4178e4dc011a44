"""PCA against eigenvalues found independently."""

import itertools

import numpy as np
import pytest

from tfgen.evaluation.pca import fit_pca, pca_squared_error


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


def test_pca_codes_are_projections_on_the_leading_eigenvectors():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 3)) * [1, 5, 3] + 7
    eigenvectors = np.linalg.eigh(np.cov(x.T))[1][:, ::-1]
    expected = (x - x.mean(axis=0)) @ eigenvectors[:, :2]
    codes = fit_pca(x, 2).transform(x)
    np.testing.assert_allclose(np.abs(codes), np.abs(expected), atol=1e-9)  # an eigenvector's sign means nothing
