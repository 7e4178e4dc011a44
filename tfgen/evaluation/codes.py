"""Statistics of a code over a set of images: how its units vary, how many are used, how far noise moves it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def covariance_spectrum(codes: ArrayLike) -> np.ndarray:
    """Returns the eigenvalues of the codes' covariance matrix, `(dim,)` float64, the largest first.

    Args:
        codes: `(n, dim)` float.
    """
    covariance = np.atleast_2d(np.cov(np.asarray(codes, np.float64), rowvar=False))
    # Rounding leaves eigenvalues of a singular matrix a little below 0.
    return np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0)


def participation_ratio(eigenvalues: ArrayLike) -> float:
    """Returns (sum_i lambda_i)^2 / sum_i lambda_i^2, the effective number of dimensions that the variance fills.

    It is k if k eigenvalues are equal and the others 0. Scaling or rotating the code does not change it. Stretching
    some directions does, though a decoder can undo that.

    Args:
        eigenvalues: `(dim,)` >= 0, of a covariance matrix, not all 0.

    Returns:
        float from 1 to dim.

    Source: Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement".
    """
    return float(np.square(np.sum(eigenvalues)) / np.sum(np.square(eigenvalues)))


def near_dead_fraction(codes: np.ndarray, threshold: float) -> float:
    """Returns the fraction of units whose standard deviation is at most `threshold` times the median unit's.

    Args:
        codes: `(n, dim)` float.
        threshold: float in (0, 1).
    """
    standard_deviation = np.std(codes, axis=0, dtype=np.float64)
    return float(np.mean(standard_deviation <= threshold * np.median(standard_deviation)))


def code_shift(codes: ArrayLike, noisy_codes: ArrayLike) -> float:
    """Returns how far noise moves the code: E||f(x~) - f(x)||^2 / E||f(x) - E f(x)||^2.

    It is 0 if the encoder f ignores the noise, and 1 if noise moves a code as much as codes vary between images.

    Args:
        codes: `(n, dim)`, f(x), the codes of n clean images.
        noisy_codes: `(n, dim)`, f(x~), of the same images corrupted.

    Returns:
        float >= 0.
    """
    codes, noisy_codes = np.asarray(codes, np.float64), np.asarray(noisy_codes, np.float64)
    return float(np.sum(np.square(noisy_codes - codes)) / np.sum(np.square(codes - codes.mean(axis=0))))


def active_units(z_means: np.ndarray, threshold: float = 0.01) -> int:
    """Returns the number of latents a VAE uses: those whose posterior mean has a variance above `threshold`.

    Args:
        z_means: `(n, latent_dim)` float, the means of q(z|x) of n images.
        threshold: variance over the images that a latent must exceed.

    Raises:
        ValueError: if some mean is not finite.

    Source: Burda et al. 2015, section 5.2.
    """
    if not np.isfinite(z_means).all():
        raise ValueError("`z_means` must be finite.")
    return int(np.sum(np.var(z_means, axis=0) > threshold))
