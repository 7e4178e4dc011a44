"""How well k-means finds the classes among codes, without their labels."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix


def kmeans(codes: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Returns the cluster of each code, `(n,)` integers, from the k-means run of least inertia among ten.

    Args:
        codes: `(n, dim)` float.
        clusters: number of clusters.
        seed: int >= 0, which decides the ten initial sets of centres.
    """
    return KMeans(clusters, n_init=10, random_state=seed).fit_predict(codes)


def clustering_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Returns the fraction of examples in the cluster matched to their class, under the best one-to-one matching.

    No two clusters are matched to the same class. If they were, this would be purity, which rises with the number of
    clusters.

    Args:
        labels: `(n,)` integers, the classes.
        clusters: `(n,)` integers, the clusters; their numbers mean nothing.

    Returns:
        float in [0, 1].

    Source: the measure that DEC-keras (XifengGuo) reports as `acc`, in its metrics.py.
    """
    counts = contingency_matrix(labels, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / np.size(labels))


def normalized_mutual_information(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Returns 2 I(labels; clusters) / (H(labels) + H(clusters)): what the clusters tell about the classes.

    Args:
        labels: `(n,)` integers, the classes.
        clusters: `(n,)` integers, the clusters; their numbers mean nothing.

    Returns:
        float from 0 (independent) to 1 (each is a renaming of the other).
    """
    return float(normalized_mutual_info_score(labels, clusters))
