"""Precision and recall of samples, by the balls that nearest neighbours span among features."""

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors


def precision_and_recall(generated, real, neighbors=3):
    """Returns the share of samples that lie among the data, and the share of data that lie among the samples.

    A point lies among a set if it falls into the ball around one of the set's points that reaches to that point's k-th
    nearest neighbour within the set. Samples that are good and all alike have precision 1 and recall near 0.

    Args:
        generated: `(n, dim)` float, features of samples.
        real: `(m, dim)` float, features of images; usually m = n.
        neighbors: k; the paper's choice is 3.

    Returns:
        `(precision, recall)`, floats in [0, 1].

    Source: Kynkaanniemi et al. 2019, section 2, equation 1.
    """
    return _share_inside(generated, real, neighbors), _share_inside(real, generated, neighbors)


def _share_inside(points, centres, neighbors):
    """Returns the share of points within some centre's ball."""
    # The nearest neighbour of a centre among the centres is itself.
    distances, _ = NearestNeighbors(n_neighbors=neighbors + 1, algorithm="brute").fit(centres).kneighbors(centres)
    radii = distances[:, -1]
    inside = pairwise_distances_chunked(points, centres, reduce_func=lambda d, start: np.any(d <= radii, axis=1))
    return float(np.mean(np.concatenate(list(inside))))
