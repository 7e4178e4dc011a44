"""The digits in the plane of codes: neighbours by brute force, k-means by its table, widths of the networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, stats
from scipy.special import rel_entr
from sklearn.cluster import KMeans

from tfgen.data.batches import scale

NAME = "clustering-autoencoder"


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


def test_every_network_learns_from_the_training_images_without_labels(run, digits):
    assert len(run.batches) == len(run.first_batches) == len(run.validations) == 3
    for batches, (x, target), validation in zip(run.batches, run.first_batches, run.validations, strict=True):
        assert batches.images is digits.train.images and batches.labels is None
        assert (batches.seed, batches.binarized) == (0, False)
        np.testing.assert_array_equal(x, target)
        np.testing.assert_array_equal(validation, scale(digits.validation.images))


@pytest.mark.parametrize("code_dim, file", [(2, "model"), (10, "10d"), (32, "32d")])
def test_the_squared_error_of_each_network_is_that_of_its_checkpoint(run, digits, code_dim, file):
    model = keras.models.load_model(run.directory / "checkpoints" / f"{file}.keras")
    x = scale(digits.test.images).numpy()
    expected = np.mean(np.sum((x - model(x).numpy().astype(np.float64)) ** 2, axis=1))
    metric = run.results["metrics"][f"test_squared_error__{code_dim}d"]
    assert metric["value"] == pytest.approx(expected, rel=1e-5)


def test_the_scatter_plot_shows_the_codes_and_the_principal_components_of_the_test_images(run, digits):
    (((panels, labels, title_of_all), _),) = run.figures["scatter"]
    (title, codes), (_, components) = panels.items()
    model = keras.models.load_model(run.directory / "checkpoints" / "model.keras")
    np.testing.assert_allclose(codes, model.get_layer("encoder")(scale(digits.test.images)), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(labels, digits.test.labels)
    error = 100 * run.results["metrics"]["knn1_error__2d"]["value"]
    assert title == f"Autoencoder 784-128-64-10-2\n1-NN error {error:.1f} %"
    points = 100 * run.results["metrics"]["knn1_error__pca2"]["value"] - error
    assert (
        abs(points) > 12
    )  # Twice the standard error of the difference of any two shares of 297 images is 11.6 points.
    more = "more" if points < 0 else "less"
    assert title_of_all == f"Neighbours in the code are wrong {abs(points):.0f} points {more} often than in PCA's plane"
    train = digits.train.images / 255.0
    _, vectors = np.linalg.eigh(np.cov(train.T))
    expected = (digits.test.images / 255.0 - train.mean(axis=0)) @ vectors[:, :-3:-1]
    # Up to the sign of each.
    np.testing.assert_allclose(np.abs(components), np.abs(expected), atol=1e-3)


def test_the_clustering_codes_are_those_of_the_saved_encoder(run, digits):
    """1-NN recomputed by brute force in float64 from the exported model: the two-dimensional one."""
    encode = tf.saved_model.load(str(run.directory / "saved_model")).signatures["encode"]
    train, test = (
        encode(image=scale(split.images))["code"].numpy().astype(np.float64) for split in (digits.train, digits.test)
    )
    assert test.shape == (297, 2)
    nearest = np.argmin(np.sum((test[:, None] - train) ** 2, axis=2), axis=1)
    error = np.mean(digits.train.labels[nearest] != digits.test.labels)
    metrics = run.results["metrics"]
    # Codes that tie in float32 may choose another neighbour: one image in 297 at most.
    assert metrics["knn1_error__2d"]["value"] == pytest.approx(error, abs=1.5 / 297)
    assert {name.split("__")[1] for name in metrics} == {"2d", "10d", "32d", "pca2", "pixels"}


def test_the_clusters_of_pixels_are_those_of_k_means_judged_by_their_table(run, digits):
    clusters = KMeans(10, n_init=10, random_state=0).fit_predict(digits.test.images / np.float32(255))
    joint = np.zeros((10, 10))
    np.add.at(joint, (digits.test.labels, clusters), 1 / 297)
    labels, sizes = joint.sum(axis=1), joint.sum(axis=0)
    information = np.sum(rel_entr(joint, np.outer(labels, sizes)))
    metrics = run.results["metrics"]
    nmi = 2 * information / (stats.entropy(labels) + stats.entropy(sizes))
    # Rounding may move an image or two from one cluster to another.
    assert metrics["nmi__pixels"]["value"] == pytest.approx(nmi, abs=0.01)
    accuracy = joint[optimize.linear_sum_assignment(-joint)].sum()
    assert metrics["kmeans_accuracy__pixels"]["value"] == pytest.approx(accuracy, abs=2.5 / 297)


@pytest.mark.parametrize("name, code_dim", [("model", 2), ("10d", 10), ("32d", 32)])
def test_no_layer_of_a_wider_network_is_narrower_than_its_code(run, name, code_dim):
    network = keras.models.load_model(run.directory / "checkpoints" / f"{name}.keras")
    encoder = [layer.units for layer in network.get_layer("encoder").layers if isinstance(layer, keras.layers.Dense)]
    decoder = [layer.units for layer in network.get_layer("decoder").layers if isinstance(layer, keras.layers.Dense)]
    assert encoder == {2: [128, 64, 10, 2], 10: [128, 64, 10], 32: [128, 64, 32]}[code_dim]
    assert decoder == [*encoder[-2::-1], 784]
