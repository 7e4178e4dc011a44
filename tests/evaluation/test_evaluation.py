"""The metrics against values found independently."""

import itertools

import numpy as np
import pytest

from tfgen.evaluation.clustering import clustering_accuracy, kmeans, normalized_mutual_information
from tfgen.evaluation.coverage import class_shares
from tfgen.evaluation.knn import knn_error
from tfgen.evaluation.pca import fit_pca, pca_squared_error


def test_pca_error_is_the_sum_of_the_eigenvalues_left_out():
    """On the training data themselves: n - 1 over n of the covariance's trailing eigenvalues."""
    x = np.random.default_rng(0).random((200, 12)) @ np.random.default_rng(1).random((12, 12))
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
    for components in (1, 5, 11):
        assert pca_squared_error(x, x, components) == pytest.approx(eigenvalues[components:].sum() * 199 / 200)
    assert pca_squared_error(x, x, 12) == pytest.approx(0, abs=1e-18)


def test_pca_error_takes_mean_and_components_from_the_training_images():
    train = np.array([[-1.0, 0.0], [1.0, 0.0], [-2.0, 0.0], [2.0, 0.0]])
    # The component is the first axis through the origin: what is left of (3, 4) is the 4, of (0, 1) the 1.
    assert pca_squared_error(train, np.array([[3.0, 4.0], [0.0, 1.0]]), 1) == pytest.approx((16 + 1) / 2)


def test_pca_error_falls_with_every_component():
    rng = np.random.default_rng(0)
    train, test = rng.random((300, 20)), rng.random((100, 20))
    errors = [pca_squared_error(train, test, components) for components in range(1, 21)]
    assert all(a > b for a, b in itertools.pairwise(errors))


def test_pca_codes_are_projections_on_the_leading_eigenvectors():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 3)) * [1, 5, 3] + 7
    eigenvectors = np.linalg.eigh(np.cov(x.T))[1][:, ::-1]
    expected = (x - x.mean(axis=0)) @ eigenvectors[:, :2]
    codes = fit_pca(x, 2).transform(x)
    np.testing.assert_allclose(np.abs(codes), np.abs(expected), atol=1e-9)  # an eigenvector's sign means nothing


def test_knn_error_is_the_share_of_wrong_votes():
    """On a line, by hand: training codes at 0 (class 0), 1 (1), 2.1 (1), 10 (0)."""
    train, labels = np.array([[0.0], [1.0], [2.1], [10.0]]), np.array([0, 1, 1, 0])
    test, truth = np.array([[0.1], [1.2], [9.0], [3.0]]), np.array([0, 1, 0, 0])
    # One neighbour says 0, 1, 0, 1; the last is wrong. Three say 1, 1, 1, 1, of which only the second is right.
    assert knn_error(train, labels, test, truth, 1) == 0.25
    assert knn_error(train, labels, test, truth, 3) == 0.75


def test_nearest_neighbours_of_codes_without_structure_are_right_by_chance_only():
    """The error is 0.9 within four standard errors; judged on its own training codes it would be 0."""
    rng = np.random.default_rng(0)
    codes, labels = rng.standard_normal((4000, 2)), rng.integers(10, size=4000)
    error = knn_error(codes[:2000], labels[:2000], codes[2000:], labels[2000:], 1)
    assert abs(error - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 2000)
    assert knn_error(codes, labels, codes, labels, 1) == 0


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


def test_class_shares_count_the_largest_entry_of_each_row():
    logits = np.array([[0, 5, 1], [9, 0, 1], [-1, -2, -3], [0, 0.1, 0]])
    np.testing.assert_allclose(class_shares(logits), [0.5, 0.5, 0.0])


def test_a_collapsed_generator_has_a_class_without_samples():
    even = np.eye(10)[np.arange(1000) % 10]
    collapsed = np.eye(10)[np.arange(1000) % 9]
    assert class_shares(even).min() == pytest.approx(0.1)
    assert class_shares(collapsed).min() == 0
    assert class_shares(collapsed).sum() == pytest.approx(1)
