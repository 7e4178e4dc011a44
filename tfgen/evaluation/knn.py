"""The error of k-nearest-neighbour classification of codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors


def knn_errors(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    neighbors: Sequence[int],
) -> list[float]:
    """Returns the fraction of test codes that their nearest training codes vote into a wrong class, for each k.

    The neighbours are searched once for all k. Where classes have as many votes, the smallest is taken.

    Args:
        train_codes: `(n, dim)` float.
        train_labels: `(n,)` integers from 0 on.
        test_codes: `(m, dim)` float.
        test_labels: `(m,)` integers.
        neighbors: the ks, numbers of training codes that vote, nearest by Euclidean distance.

    Returns:
        list of floats in [0, 1].
    """
    search = NearestNeighbors(n_neighbors=max(neighbors)).fit(train_codes)
    nearest = train_labels[search.kneighbors(test_codes, return_distance=False)]
    errors = []
    for k in neighbors:
        votes = np.stack([np.sum(nearest[:, :k] == y, axis=1) for y in range(np.max(train_labels) + 1)])
        errors.append(float(np.mean(np.argmax(votes, axis=0) != test_labels)))
    return errors
