"""The error of k-nearest-neighbour classification of codes."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier


def knn_error(
    train_codes: np.ndarray, train_labels: np.ndarray, test_codes: np.ndarray, test_labels: np.ndarray, neighbors: int
) -> float:
    """Returns the fraction of test codes that their nearest training codes vote into a wrong class.

    Args:
        train_codes: `(n, dim)` float.
        train_labels: `(n,)` integers.
        test_codes: `(m, dim)` float.
        test_labels: `(m,)` integers.
        neighbors: k, the number of training codes that vote, nearest by Euclidean distance.

    Returns:
        float in [0, 1].
    """
    classifier = KNeighborsClassifier(neighbors).fit(train_codes, train_labels)
    return float(np.mean(classifier.predict(test_codes) != test_labels))
