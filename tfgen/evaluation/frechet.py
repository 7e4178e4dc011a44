"""The Frechet distance between two sets of features: FID, but with any features instead of Inception's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def frechet_distance(features: ArrayLike, other: ArrayLike) -> float:
    """Returns the squared Frechet distance between two Gaussians, each with the mean and covariance of a set.

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)).

    A small n biases it upwards. Compare distances only if they were computed from the same n.

    Args:
        features: `(n, dim)` float, of generated images.
        other: `(n, dim)` float, of real images.

    Returns:
        float >= 0, in squared units of the features.

    Raises:
        ValueError: if the sets differ in shape, have fewer than two points, or hold a value that is not finite.

    Source: Heusel et al. 2017, equation 6; Dowson & Landau 1982.
    """
    features, other = np.asarray(features, np.float64), np.asarray(other, np.float64)
    if features.shape != other.shape:
        raise ValueError(f"both sets must have the same shape (n, dim), got {features.shape} and {other.shape}.")
    if len(features) < 2 or not np.isfinite([features, other]).all():
        raise ValueError("both sets must have at least 2 points, and finite values.")
    covariance, other_covariance = np.atleast_2d(np.cov(features.T), np.cov(other.T))
    # (C_1 C_2)^(1/2) has the same trace as the symmetric (C_1^(1/2) C_2 C_1^(1/2))^(1/2), which avoids complex numbers.
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    product_values = np.linalg.eigvalsh(root @ other_covariance @ root)
    trace = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sum(np.sqrt(np.maximum(product_values, 0)))
    return float(max(np.sum((features.mean(0) - other.mean(0)) ** 2) + trace, 0.0))
