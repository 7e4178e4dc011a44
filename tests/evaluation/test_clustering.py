"""Clusters against classes: accuracy under the best matching, mutual information, k-means."""

import itertools

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tfgen.evaluation.clustering import (
    cluster_means,
    clustering_accuracy,
    fit_kmeans,
    kmeans,
    nearest,
    normalized_mutual_information,
)


def test_clustering_accuracy_is_the_best_of_all_matchings():
    """Against every permutation of four clusters."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=200)
    clusters = np.where(rng.random(200) < 0.5, (labels + 1) % 4, rng.integers(4, size=200))
    permutations = np.array(list(itertools.permutations(range(4))))
    best = max(np.mean(permutation[clusters] == labels) for permutation in permutations)
    assert clustering_accuracy(labels, clusters) == pytest.approx(best)
    assert best > np.mean(clusters == labels) + 0.2  # without matching it would be another number


def test_two_clusters_cannot_stand_for_one_class():
    labels, clusters = np.array([0] * 8 + [1] * 2), np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    purity = sum(np.bincount(labels[clusters == cluster]).max() for cluster in (0, 1)) / 10
    assert purity == 0.8
    assert clustering_accuracy(labels, clusters) == 0.6


def test_clustering_accuracy_does_not_depend_on_the_clusters_numbers():
    rng = np.random.default_rng(1)
    labels, clusters = rng.integers(10, size=300), rng.integers(10, size=300)
    assert clustering_accuracy(labels, rng.permutation(10)[clusters]) == clustering_accuracy(labels, clusters)
    assert clustering_accuracy(labels, rng.permutation(10)[labels]) == 1


def test_clustering_accuracy_bears_an_empty_cluster():
    assert clustering_accuracy(np.array([0, 1, 2, 2]), np.array([1, 1, 0, 0])) == 0.75


def entropy(counts):
    """Returns the entropy in nats of a distribution given by counts."""
    p = np.ravel(counts)[np.ravel(counts) > 0] / np.sum(counts)
    return -np.sum(p * np.log(p))


def test_normalized_mutual_information_is_that_of_the_table_of_classes_and_clusters():
    table = np.array([[30, 5, 0, 0], [2, 20, 1, 0], [0, 10, 0, 32]])
    labels, clusters = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
    h_labels, h_clusters = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    information = h_labels + h_clusters - entropy(table)
    nmi = normalized_mutual_information(labels, clusters)
    assert nmi == pytest.approx(2 * information / (h_labels + h_clusters), rel=1e-12)
    # Wrong: in nats; divided by either entropy alone.
    for wrong in (information, information / h_labels, information / h_clusters):
        assert abs(nmi - wrong) > 0.01
    # Other names for the clusters, or clusters for classes, change nothing.
    assert normalized_mutual_information(labels, np.array([7, -1, 3, 0])[clusters]) == pytest.approx(nmi, rel=1e-12)
    assert normalized_mutual_information(clusters, labels) == pytest.approx(nmi, rel=1e-12)


def test_one_cluster_tells_nothing_and_a_renaming_all():
    labels = np.arange(60) % 10
    assert normalized_mutual_information(labels, np.zeros(60, int)) == 0
    assert normalized_mutual_information(labels, 9 - labels) == pytest.approx(1)
    # Each class meets each of six clusters once: independent.
    assert normalized_mutual_information(labels, np.arange(60) // 10) == pytest.approx(0, abs=1e-12)


# Where other programs keep the cores busy, threads on matrices as small take a hundred times as long.
@threadpool_limits.wrap(limits=1)
def test_kmeans_finds_clusters_far_apart_and_depends_on_its_seed_alone():
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=400)
    far_apart = 100 * labels[:, None] + rng.standard_normal((400, 2))
    assert clustering_accuracy(labels, kmeans(far_apart, 10, seed=0)) == 1
    without_structure = rng.random((400, 2))
    first = kmeans(without_structure, 10, seed=0)
    assert np.array_equal(first, kmeans(without_structure, 10, seed=0))
    assert not np.array_equal(first, kmeans(without_structure, 10, seed=1))
    assert clustering_accuracy(labels, first) < 0.25


@pytest.mark.parametrize("allowed, used", [(1, 1), (2, 2), (5, 2)])
def test_kmeans_takes_two_threads_at_most_and_no_more_than_it_is_allowed(allowed, used):
    class Recorder:
        def fit(self, points):
            self.threads = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}
            return self

    with threadpool_limits(allowed, "openmp"):
        assert fit_kmeans(Recorder(), np.zeros((1, 1))).threads == {used}


def test_a_single_class_in_a_single_cluster_is_found_without_a_warning():
    assert clustering_accuracy(np.zeros(5, int), np.zeros(5, int)) == 1


def test_the_means_of_k_means_clusters_are_centres_to_which_their_points_are_nearest():
    rng = np.random.default_rng(0)
    points = (rng.normal(0, 1, (300, 2)) + 6 * rng.integers(3, size=(300, 1))).astype(np.float32)
    clusters = kmeans(points, 3, 0, restarts=2)
    means = cluster_means(points, clusters)
    np.testing.assert_allclose(
        means, [np.mean([p for p, c in zip(points, clusters, strict=True) if c == j], 0) for j in range(3)]
    )
    np.testing.assert_array_equal(nearest(points, means), clusters)
    by_hand = nearest(np.array([[0.0, 4.0], [9.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 5.0]]))
    np.testing.assert_array_equal(by_hand, [2, 1, 0])


def test_more_restarts_find_no_worse_clusters():
    points = np.random.default_rng(3).random((200, 2))

    def inertia(restarts):
        clusters = kmeans(points, 12, 0, restarts)
        return np.sum((points - cluster_means(points, clusters)[clusters]) ** 2)

    assert inertia(30) < inertia(1)
