"""The Frechet distance between two sets of features: what FID is, with features of one's own."""

import numpy as np


def frechet_distance(features, other):
    """Returns the squared Frechet distance between the Gaussians that have the means and covariances of two sets.

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)).

    It is biased upwards by a small n, so both sets are to be as large, and as large as in what it is compared with.

    Args:
        features: `(n, dim)` float, of generated images.
        other: `(n, dim)` float, of real ones.

    Returns:
        float >= 0, in squared units of the features.

    Raises:
        ValueError: if the sets differ in size, have one point only, or values that are not finite.

    Source: Heusel et al. 2017, equation 6; Dowson & Landau 1982.
    """
    features, other = np.asarray(features, np.float64), np.asarray(other, np.float64)
    if features.shape != other.shape:
        raise ValueError(f"both sets must have the same shape (n, dim), got {features.shape} and {other.shape}.")
    if len(features) < 2 or not np.isfinite([features, other]).all():
        raise ValueError("both sets must have at least 2 points, and finite values.")
    covariance, other_covariance = np.atleast_2d(np.cov(features.T), np.cov(other.T))
    # (C_1 C_2)^(1/2) has the trace of the symmetric (C_1^(1/2) C_2 C_1^(1/2))^(1/2): no complex numbers come up.
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    product_values = np.linalg.eigvalsh(root @ other_covariance @ root)
    trace = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sum(np.sqrt(np.maximum(product_values, 0)))
    return float(max(np.sum((features.mean(0) - other.mean(0)) ** 2) + trace, 0.0))
