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
    radii, real_radii = _radii(generated, neighbors), _radii(real, neighbors)
    inside, covered, row = [], np.zeros(len(real), bool), 0
    for distances in pairwise_distances_chunked(generated, real):
        inside.append(np.any(distances <= real_radii, axis=1))
        covered |= np.any(distances <= radii[row : row + len(distances), None], axis=0)
        row += len(distances)
    return float(np.mean(np.concatenate(inside))), float(np.mean(covered))


def _radii(centres, neighbors):
    """Returns the distance from each centre to its k-th nearest neighbour."""
    # One more neighbour, since the nearest centre to a centre is itself.
    distances, _ = NearestNeighbors(n_neighbors=neighbors + 1, algorithm="brute").fit(centres).kneighbors(centres)
    return distances[:, -1]
