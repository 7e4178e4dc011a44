"""Precision and recall of samples, by nearest-neighbour balls in a feature space."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors


def precision_and_recall(generated: np.ndarray, real: np.ndarray, neighbors: int = 3) -> tuple[float, float]:
    """Returns the fraction of samples inside the data's balls, and the fraction of data inside the samples' balls.

    Each point of a set has a ball, whose radius is the distance to its k-th nearest neighbour within the set. Samples
    that are good but all alike have precision 1 and recall near 0.

    Args:
        generated: `(n, dim)` float, features of samples.
        real: `(m, dim)` float, features of images; usually m = n.
        neighbors: k; the paper's choice is 3.

    Returns:
        `(precision, recall)`, floats in [0, 1].

    Source: Kynkaanniemi et al. 2019, section 2, equation 1.
    """
    return _fraction_inside(generated, real, neighbors), _fraction_inside(real, generated, neighbors)


def _fraction_inside(points, centres, neighbors):
    """Returns the fraction of points inside at least one centre's ball."""
    # One more neighbour, since the nearest centre to a centre is itself.
    distances, _ = NearestNeighbors(n_neighbors=neighbors + 1, algorithm="brute").fit(centres).kneighbors(centres)
    radii = distances[:, -1]
    inside = pairwise_distances_chunked(points, centres, reduce_func=lambda d, start: np.any(d <= radii, axis=1))
    return float(np.mean(np.concatenate(list(inside))))
