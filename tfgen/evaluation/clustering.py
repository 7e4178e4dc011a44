"""How well k-means finds the classes among codes, without their labels."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, pairwise_distances_argmin
from sklearn.metrics.cluster import contingency_matrix
from threadpoolctl import threadpool_info, threadpool_limits


def kmeans(codes: np.ndarray, clusters: int, seed: int, restarts: int = 10) -> np.ndarray:
    """Returns the cluster of each code, `(n,)` integers, from the k-means run of least inertia among several.

    Args:
        codes: `(n, dim)` float.
        clusters: number of clusters.
        seed: int >= 0, which decides the initial sets of centres.
        restarts: number of runs, each from a set of initial centres of its own, which k-means++ draws.
    """
    return fit_kmeans(KMeans(clusters, n_init=restarts, random_state=seed), codes).labels_


def fit_kmeans(model: KMeans, points: np.ndarray) -> KMeans:
    """Fits k-means to `(n, dim)` points, on two threads at most, and returns it: the same bits every time.

    More threads add their sums to the total in any order. The total of two does not depend on it; that of one rounds
    otherwise.
    """
    threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]
    with threadpool_limits(min([2, *threads]), "openmp"):
        return model.fit(points)


def cluster_means(points: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Returns the mean of each cluster's points, `(number of clusters, dim)`: after k-means the centres that it found.

    Args:
        points: `(n, dim)` float.
        clusters: `(n,)` integers from 0 on, the cluster of each point; none is empty.
    """
    return np.stack([points[clusters == j].mean(axis=0) for j in range(clusters.max() + 1)])


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns the index of the centre nearest to each point, `(n,)` integers.

    Args:
        points: `(n, dim)` float.
        centres: `(clusters, dim)` float.
    """
    return pairwise_distances_argmin(points, centres)


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
