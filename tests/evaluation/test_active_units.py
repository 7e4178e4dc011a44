"""Active units: latents whose posterior mean moves with the image."""

import numpy as np
import pytest

from tfgen.evaluation.codes import active_units


def test_active_units_are_those_whose_mean_moves():
    rng = np.random.default_rng(0)
    z_means = rng.standard_normal((2000, 4)) * np.array([1.0, 0.5, 0.05, 0.0]) + np.array([0, 0, 5, 7])
    assert active_units(z_means) == 2
    # Means far from 0 that do not vary carry nothing about the image.
    assert active_units(z_means, threshold=1e-3) == 3


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_means_that_are_not_finite_have_no_active_units(wrong):
    x = np.array([[0.2, 0.8], [0.7, 0.3]])
    assert active_units(x) == 2
    x[1, 0] = wrong
    with pytest.raises(ValueError, match="`z_means` must be finite"):
        active_units(x)
