"""Deep embedded clustering: metrics recomputed from what a run leaves, both protocols, no label in a training."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, stats
from sklearn.cluster import KMeans
from sklearn.metrics import mutual_info_score

from tfgen.data import Split
from tfgen.data.batches import scale
from tfgen.recipes.deep_embedded_clustering import draw_codes
from tfgen.runner.run import run as run_recipe
from tfgen.training.clustering import RefreshTargets
from tfgen.training.run import Run

NAME = "deep-embedded-clustering"
# From the names that metrics end with to the names of the trainings.
TRAININGS = {
    "papers_test": "model",
    "papers_all_images": "papers_all_images",
    "lecture_test": "lecture_test",
    "lecture_all_images": "lecture_all_images",
}


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


@pytest.fixture(scope="module")
def everything(digits):
    """All images, scaled, and their labels: those of training first, then validation and test."""
    splits = (digits.train, digits.validation, digits.test)
    images, labels = (np.concatenate([getattr(split, of) for split in splits]) for of in ("images", "labels"))
    return scale(images).numpy(), labels


def checkpoint(run, name):
    return keras.models.load_model(run.directory / "checkpoints" / f"{name}.keras")


def assignments(model, images):
    """Equation 1 of Xie et al. 2016 in float64, with the model's codes and centres."""
    codes = np.float64(model.autoencoder.get_layer("encoder").predict(images, verbose=0))
    kernel = 1 / (1 + np.sum((codes[:, None] - np.float64(model.centres)) ** 2, axis=2))
    return kernel / kernel.sum(axis=1, keepdims=True)


def judged(labels, clusters):
    """Accuracy under the best matching, and normalised mutual information."""
    counts = np.zeros((10, 10))
    np.add.at(counts, (labels, clusters), 1)
    accuracy = counts[optimize.linear_sum_assignment(-counts)].sum() / len(labels)
    entropies = stats.entropy(counts.sum(axis=0)) + stats.entropy(counts.sum(axis=1))
    return accuracy, 2 * mutual_info_score(labels, clusters) / entropies


@pytest.mark.parametrize("name", TRAININGS)
def test_the_clusters_are_those_of_the_checkpoint(name, run, digits, everything):
    model = checkpoint(run, TRAININGS[name])
    images, labels = (scale(digits.test.images).numpy(), digits.test.labels) if name.endswith("test") else everything
    accuracy, information = judged(labels, assignments(model, images).argmax(axis=1))
    metrics = run.results["metrics"]
    # Rounding may move an image from one cluster to another.
    assert metrics[f"clustering_accuracy__{name}"]["value"] == pytest.approx(accuracy, abs=1.5 / len(labels))
    assert metrics[f"clustering_nmi__{name}"]["value"] == pytest.approx(information, abs=0.01)
    assert metrics[f"clustering_accuracy__{name}"]["n"] == len(labels) in (297, 1797)
    widths = {"papers": (50, 50, 200, 10), "lecture": (128, 64, 10, 2)}
    assert (model.encoder_units, model.clusters) == (widths[name.split("_")[0]], 10)


@pytest.mark.parametrize("name", TRAININGS)
def test_before_it_the_clusters_are_those_of_k_means_among_the_codes_trained_on(name, run, digits, everything):
    encoder = checkpoint(run, f"{name}_autoencoder").get_layer("encoder")
    trained, labels = everything
    if name.endswith("test"):
        trained = trained[: len(digits.train)]
    kmeans = KMeans(10, n_init=2, random_state=0).fit(encoder.predict(trained, verbose=0))
    if name.endswith("test"):
        clusters = kmeans.predict(encoder.predict(scale(digits.test.images).numpy(), verbose=0))
        labels = digits.test.labels
    else:
        clusters = kmeans.labels_
    accuracy, information = judged(labels, clusters)
    metrics = run.results["metrics"]
    assert metrics[f"kmeans_accuracy__{name}"]["value"] == pytest.approx(accuracy, abs=3.5 / len(labels))
    assert metrics[f"kmeans_nmi__{name}"]["value"] == pytest.approx(information, abs=0.01)


def test_pixels_are_clustered_by_k_means_of_the_same_images(run, digits, everything):
    images, labels = everything
    metrics, n = run.results["metrics"], len(digits.train)
    for name, trained, measured, truth in (
        ("test", images[:n], images[-len(digits.test) :], digits.test.labels),
        ("all_images", images, images, labels),
    ):
        clusters = KMeans(10, n_init=1, random_state=0).fit(trained).predict(measured)
        accuracy, information = judged(truth, clusters)
        assert metrics[f"kmeans_accuracy__pixels_{name}"]["value"] == pytest.approx(accuracy, abs=3.5 / len(truth))
        assert metrics[f"kmeans_nmi__pixels_{name}"]["value"] == pytest.approx(information, abs=0.01)


def test_each_training_has_the_images_of_its_protocol_and_their_numbers(run, digits, everything):
    assert len(run.batches) == len(run.first_batches) == len(run.validations) == 8
    for i, (batches, first, validation) in enumerate(zip(run.batches, run.first_batches, run.validations, strict=True)):
        images = everything[0] if i % 4 >= 2 else everything[0][: len(digits.train)]
        np.testing.assert_array_equal(batches.images / np.float32(255), images)
        np.testing.assert_array_equal(validation, scale(digits.validation.images))
        assert (batches.batch_size, batches.seed, batches.binarized) == (256, 0, False)
        if i % 2 == 0:
            assert batches.labels is None
            np.testing.assert_array_equal(*first)
        else:
            np.testing.assert_array_equal(batches.labels, np.arange(len(images)))
            x, numbers = first
            np.testing.assert_allclose(x, images[numbers], atol=1e-6)


@pytest.mark.parametrize("name", TRAININGS)
def test_the_targets_are_those_after_the_last_epoch(name, run, digits, everything):
    """Of all the images that are trained on, in their order: p = q^2 / f, normalised."""
    model = checkpoint(run, TRAININGS[name])
    images = everything[0][: len(digits.train)] if name.endswith("test") else everything[0]
    q = assignments(model, images)
    p = q**2 / q.sum(axis=0)
    np.testing.assert_allclose(model.targets, p / p.sum(axis=1, keepdims=True), atol=1e-4)
    assert np.max(np.abs(model.targets.numpy() - 0.1)) > 0.01


def test_trainings_begin_with_the_autoencoder_and_its_centres_and_refresh_the_targets(untrained):
    fitted = untrained(NAME, pretraining_epochs=3, lecture_pretraining_epochs=2, epochs=1).fitted
    assert [(one.name, one.epochs) for one in fitted] == [
        (name, epochs)
        for (ending, training), of_autoencoder in zip(TRAININGS.items(), (3, 3, 2, 2), strict=True)
        for name, epochs in ((f"{ending}_autoencoder", of_autoencoder), (training, None))
    ]
    for before, after in zip(fitted[::2], fitted[1::2], strict=True):
        for a, b in zip(before.model.get_weights(), after.model.autoencoder.get_weights(), strict=True):
            # What both trainings of the fixture have moved.
            np.testing.assert_allclose(a + np.float32(1 / 8192), b, atol=1e-7)
        initial = {weight.name: value for weight, value in zip(after.model.weights, after.initial, strict=True)}
        centres, targets = initial["centres"], initial["targets"]
        assert len(np.unique(centres.round(5), axis=0)) == 10
        # Those of the first assignments: no longer even.
        assert targets.shape == (len(after.batches.images), 10) and np.allclose(targets.sum(axis=1), 1, atol=1e-5)
        assert np.abs(targets - 0.1).max() > 1e-5
        (refresh,) = after.callbacks
        assert isinstance(refresh, RefreshTargets) and refresh.clustering is after.model
        assert after.model.clustering_weight == 0.1 and after.model.reconstruction_weight == 1.0


def test_labels_never_enter_a_training(digits, tmp_path, monkeypatch):
    """The same images with their labels in another order: other accuracies, but the same weights, bit for bit."""
    options = Run.compile_options
    monkeypatch.setattr(
        Run, "compile_options", lambda *args, **kwargs: {**options(*args, **kwargs), "jit_compile": False}
    )
    rng = np.random.default_rng(0)
    permuted = {
        name: dataclasses.replace(getattr(digits, name), labels=rng.permutation(getattr(digits, name).labels))
        for name in ("train", "validation", "test")
    }
    monkeypatch.setattr(Run, "steps_per_epoch", lambda *args: 20)
    settings = ("papers_units=20,10", "lecture_units=10,2", "batch_size=64")
    results = {}
    for name, data in (("true", digits), ("permuted", dataclasses.replace(digits, **permuted))):
        results[name] = run_recipe(NAME, data, preset="smoke", settings=settings, output_dir=tmp_path / name)
    files = [sorted((tmp_path / name / NAME / "checkpoints").glob("*.keras")) for name in results]
    assert [file.name for file in files[0]] == [file.name for file in files[1]] and len(files[0]) >= 8
    for pair in zip(*files, strict=True):
        weights = [keras.models.load_model(file).get_weights() for file in pair]
        assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    metrics = [result["metrics"] for result in results.values()]
    assert metrics[0].keys() == metrics[1].keys()
    assert (
        metrics[0]["kmeans_accuracy__pixels_test"]["value"] > 0.3 + metrics[1]["kmeans_accuracy__pixels_test"]["value"]
    )


def test_the_saved_model_assigns_test_images_as_it_was_measured(run, digits):
    cluster = tf.saved_model.load(str(run.directory / "saved_model")).signatures["cluster"]
    x = scale(digits.test.images)
    q = cluster(image=x)["soft_assignments"].numpy()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(q, assignments(checkpoint(run, "model"), x), atol=1e-5)
    accuracy, _ = judged(digits.test.labels, q.argmax(axis=1))
    assert run.results["metrics"]["clustering_accuracy__papers_test"]["value"] == pytest.approx(accuracy, abs=1.5 / 297)


def test_the_pictures_show_test_images_before_and_after(run, digits):
    metrics, x = run.results["metrics"], scale(digits.test.images).numpy()
    for network, ((panels, labels, _), _) in zip(("papers", "lecture"), run.figures["scatter"], strict=True):
        np.testing.assert_array_equal(labels, digits.test.labels)
        before, after = panels.values()
        assert before.shape == after.shape == (297, 2)
        for title, method in zip(panels, ("kmeans", "clustering"), strict=True):
            assert title.endswith(f"accuracy {100 * metrics[f'{method}_accuracy__{network}_test']['value']:.1f} %")
    encoder = checkpoint(run, "lecture_test").autoencoder.get_layer("encoder")
    np.testing.assert_allclose(after, encoder.predict(x, verbose=0), rtol=1e-4, atol=1e-4)
    encoder = checkpoint(run, "lecture_test_autoencoder").get_layer("encoder")
    np.testing.assert_allclose(before, encoder.predict(x, verbose=0), rtol=1e-4, atol=1e-4)

    model = checkpoint(run, "model")
    q = assignments(model, x)
    ((rows, _), _), _ = run.figures["rows_of_images"]
    assert list(rows) == [f"cluster {j}" for j in range(1, 11)]
    for j, (centre, *images) in enumerate(rows.values()):
        decoded = model.decode(model.centres).numpy()[j].reshape(28, 28)
        np.testing.assert_allclose(centre, decoded.clip(0, 1), atol=1e-5)
        shown = [int(np.argmin(np.sum((x - image.reshape(-1)) ** 2, axis=1))) for image in images]
        assert len(set(shown)) == 9
        # The largest, up to rounding.
        np.testing.assert_allclose(q[shown, j], np.sort(q[:, j])[:-10:-1], atol=1e-4)


@pytest.mark.parametrize(
    "before, after, title",
    [
        (0.80, 0.85, "Training codes with clusters gains 5.0 points of accuracy"),
        (0.85, 0.80, "Training codes with clusters loses 5.0 points of accuracy"),
        # Of 1,000 images, shares of 0.8 differ by chance by 1.8 points.
        (0.80, 0.83, "Codes of the test images before and after the clustering"),
    ],
)
def test_the_picture_of_codes_says_what_the_clustering_gains_beyond_the_noise(before, after, title):
    drawn = {}
    metrics = {"kmeans_accuracy__papers_test": {"value": before}, "clustering_accuracy__papers_test": {"value": after}}
    test = Split(np.zeros((1000, 1), np.uint8), np.arange(1000) % 10)
    run = types.SimpleNamespace(
        metrics=metrics, data=types.SimpleNamespace(test=test), figure=lambda name, figure: drawn.update({name: figure})
    )
    draw_codes(run, "papers", [np.zeros((1000, 2))] * 2)
    assert drawn["codes_papers"].get_suptitle().replace("\n", " ") == title
