"""Statistics of a code by hand: its spectrum, the dimensions it fills, its dead units, how noise moves it."""

import numpy as np
import pytest

from tfgen.evaluation.codes import code_shift, covariance_spectrum, near_dead_fraction, participation_ratio


@pytest.mark.parametrize(
    "eigenvalues, expected", [([2, 2, 2, 2], 4), ([5, 0, 0], 1), ([3, 1], 16 / 10), ([1, 1, 0, 0], 2), ([7], 1)]
)
def test_participation_ratio_by_hand(eigenvalues, expected):
    assert participation_ratio(np.array(eigenvalues, np.float64)) == pytest.approx(expected)


def test_participation_ratio_is_the_trace_s_form_and_knows_neither_scale_nor_rotation():
    """(tr C)^2 / tr(C^2), without eigenvalues; between 1 and the number of units."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 6)) * [5, 1, 1, 1, 1, 0.5]
    covariance = np.cov(x.T)
    expected = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    assert 1 < expected < 6
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    for codes in (x, 100 * x @ rotation + 7):
        assert participation_ratio(covariance_spectrum(codes)) == pytest.approx(expected)
    assert participation_ratio(covariance_spectrum(x * [0.2, 1, 1, 1, 1, 2])) > 2 * expected


def test_the_spectrum_of_independent_units_is_their_variances_the_largest_first():
    x = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 3, 0], [0, -3, 0]])
    np.testing.assert_allclose(covariance_spectrum(x.astype(np.float32)), [18 / 3, 2 / 3, 0], atol=1e-12)
    assert np.all(covariance_spectrum(np.random.default_rng(0).standard_normal((5, 20))) >= 0)  # of rank 4
    np.testing.assert_allclose(covariance_spectrum(x[:, 1:2]), [6])


def test_near_dead_units_are_those_that_hardly_vary_whatever_their_mean():
    alternating = np.where(np.arange(100) % 2, 1.0, -1.0)
    code = np.stack([alternating, 2 * alternating, 0.005 * alternating + 50, np.full(100, 9.0), 0.5 * alternating], 1)
    # Standard deviations 1, 2, 0.005, 0 and 0.5; their median is 0.5.
    assert near_dead_fraction(code, 0.011) == 2 / 5
    assert near_dead_fraction(code, 0.009) == 1 / 5
    assert near_dead_fraction(1e6 * code, 0.011) == 2 / 5
    assert near_dead_fraction(np.zeros((10, 3)), 0.01) == 1


def test_code_shift_is_that_of_known_codes():
    codes = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])  # squared distances of 2 from the mean (1, 1)
    assert code_shift(codes, codes) == 0
    moved = codes + np.array([1.0, 0])
    assert code_shift(codes, moved) == code_shift(10 * codes, 10 * moved) == pytest.approx(1 / 2)
    # Codes of other images in place of these: noise that leaves nothing.
    rng = np.random.default_rng(0)
    assert code_shift(*rng.standard_normal((2, 5000, 3))) == pytest.approx(2, rel=0.05)
