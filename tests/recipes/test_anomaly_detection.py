"""Anomaly detection: what is left out stays out, and areas under ROC curves by counting pairs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import figures
from tfgen.data.batches import fixed_binarization, scale
from tfgen.distributions import Draw, stateless_seed, threefry_normal
from tfgen.recipes import RECIPES
from tfgen.recipes.anomaly_detection import SCORES

NAME = "anomaly-detection"
CONFIG = RECIPES[NAME].presets["smoke"]


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


def test_each_digit_in_turn_is_left_out_of_both_trainings(run, digits):
    label_of = {image.tobytes(): label for image, label in zip(digits.train.images, digits.train.labels, strict=True)}
    absent = [(set(range(10)) - {label_of[image.tobytes()] for image in b.images}, b.binarized) for b in run.batches]
    assert absent == [({4}, False), ({4}, True), ({1}, False), ({1}, True)]
    for batches in run.batches[1::2]:
        assert np.max(batches.images) == 255  # binarised by the stream, anew each time, and not before
    counts = np.bincount(digits.train.labels)
    assert [len(batches.images) for batches in run.batches] == [1250 - counts[digit] for digit in (4, 4, 1, 1)]


def test_what_is_fitted_are_the_images_of_the_other_digits(run, digits):
    """Each of a batch is found among them, or, binarised, has no ink where all of them have none."""
    for batches, batch in zip(run.batches, run.first_batches, strict=True):
        others = {image.tobytes() for image in scale(batches.images).numpy()}
        if batches.binarized:
            x = np.asarray(batch)
            assert set(np.unique(x)) == {0, 1} and not np.any(x[:, ~np.any(batches.images, axis=0)])
        else:
            x, target = map(np.asarray, batch)
            np.testing.assert_array_equal(x, target)
            assert {image.tobytes() for image in x} <= others


def test_validation_images_are_those_of_the_other_digits_equally_many_for_every_digit(run, digits):
    images, labels = digits.validation.images, digits.validation.labels
    n = len(images) - np.bincount(labels).max()
    expected = []
    for digit in CONFIG.left_out:
        others = images[labels != digit][:n]
        expected += [scale(others).numpy(), fixed_binarization(others, 1).numpy()]
    for found, images in zip(run.validations, expected, strict=True):
        np.testing.assert_array_equal(found, images)


def area_under_the_curve(scores, anomalous):
    """The share of pairs of an anomaly and another image in which the anomaly scores higher; ties count half."""
    pairs = scores[anomalous][:, None] - scores[~anomalous]
    return np.mean((pairs > 0) + 0.5 * (pairs == 0))


def test_areas_are_those_of_the_saved_models_scores(run, digits):
    """Squared errors from the SavedModel alone, and areas by counting pairs."""
    directory, results = run.directory, run.results
    model = tf.saved_model.load(str(directory / "saved_model"))
    test = digits.test.images / 255.0
    reconstruction = model.signatures["reconstruct"](image=tf.constant(test, tf.float32))["reconstruction"].numpy()
    expected = np.sum((test - reconstruction.astype(np.float64)) ** 2, axis=1)
    scores = model.signatures["score"](image=tf.constant(test, tf.float32))["squared_error"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4)

    pictured = CONFIG.pictured
    anomalous = digits.test.labels == pictured
    metrics = {name: metric["value"] for name, metric in results["metrics"].items()}
    area = area_under_the_curve(expected, anomalous)
    assert metrics[f"test_auc__squared_error_without_{pictured}"] == pytest.approx(area, abs=1e-3)
    # Wrong: the curve turned over.
    assert abs(area - (1 - area)) > 1e-2


def test_every_digit_left_out_has_its_areas_and_the_means_are_theirs(run, digits):
    metrics = run.results["metrics"]
    for score in SCORES:
        areas = [metrics[f"test_auc__{score}_without_{digit}"]["value"] for digit in CONFIG.left_out]
        assert all(0 <= area <= 1 for area in areas)
        assert metrics[f"test_auc__{score}_mean"]["value"] == pytest.approx(np.mean(areas))
        assert metrics[f"test_auc__{score}_least"]["value"] == pytest.approx(np.min(areas))
    for split in ("validation", "test"):
        images, labels = getattr(digits, split).images, getattr(digits, split).labels
        areas = [area_under_the_curve((images / 255.0).sum(axis=1), labels == digit) for digit in CONFIG.left_out]
        assert metrics[f"{split}_auc__ink_mean"]["value"] == pytest.approx(np.mean(areas), abs=1e-3)
        assert metrics[f"{split}_auc__ink_least"]["value"] == pytest.approx(np.min(areas), abs=1e-3)
    assert len(metrics) == len(SCORES) * (len(CONFIG.left_out) + 4)
    # Better than chance: beyond two standard deviations of the areas of scores by chance.
    found, rng = 0, np.random.default_rng(0)
    for digit in CONFIG.left_out:
        anomalous = digits.test.labels == digit
        chance = [area_under_the_curve(rng.random(len(anomalous)), anomalous) for _ in range(500)]
        found += metrics[f"test_auc__squared_error_without_{digit}"]["value"] > 0.5 + 2 * np.std(chance)
    ((_, title, _), _) = run.figures["grouped_bars"][0]
    assert title == f"The squared error tells {found} of 2 left-out digits from the others better than chance"


@pytest.mark.parametrize("split, number", [("validation", 1), ("test", 0)])
def test_every_area_is_that_of_scores_recomputed_from_the_checkpoints(run, digits, split, number):
    """Scores in float64 from what the networks give out; the areas by ranks: the share of pairs in the right order."""
    directory, results = run.directory, run.results
    images, labels = getattr(digits, split).images, getattr(digits, split).labels
    x = (images / 255.0).astype(np.float32)
    binary = fixed_binarization(images, number).numpy()
    areas = {}
    for digit in CONFIG.left_out:
        names = f"{'model' if digit == CONFIG.pictured else f'autoencoder_without_{digit}'}", f"vae_without_{digit}"
        model, vae = (keras.models.load_model(directory / "checkpoints" / f"{name}.keras") for name in names)
        squared = np.sum((x - model(x).numpy().astype(np.float64)) ** 2, axis=1)
        epsilon = threefry_normal((len(x), CONFIG.latent_dim), stateless_seed(0, Draw.EVALUATION)).numpy()

        def negative_elbo(images, vae=vae, epsilon=epsilon):
            mean, log_var = (part.numpy().astype(np.float64) for part in vae.encoder(images))
            z = mean + np.exp(log_var / 2) * epsilon
            logits = vae.decoder(z.astype(np.float32)).numpy().astype(np.float64)
            kl = np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1) / 2
            return kl - np.sum(images * logits - np.logaddexp(0, logits), axis=1)

        scores = {
            "squared_error": squared,
            "negative_elbo": negative_elbo(binary),
            "squared_error_per_ink": squared / x.sum(axis=1),
            # Wrong ones: the error times the ink, the VAE asked about shades of grey, the bound itself.
            "squared_error_times_ink": squared * x.sum(axis=1),
            "negative_elbo_of_grey": negative_elbo(x),
            "elbo": -negative_elbo(binary),
        }
        areas[digit] = {name: area_under_the_curve(score, labels == digit) for name, score in scores.items()}
    metrics = {name: metric["value"] for name, metric in results["metrics"].items()}
    mean = {name: np.mean([of_digit[name] for of_digit in areas.values()]) for name in areas[CONFIG.pictured]}
    for name in ("squared_error", "negative_elbo", "squared_error_per_ink"):
        if split == "test":
            for digit in CONFIG.left_out:
                assert metrics[f"test_auc__{name}_without_{digit}"] == pytest.approx(areas[digit][name], abs=1e-3)
        assert metrics[f"{split}_auc__{name}_mean"] == pytest.approx(mean[name], abs=1e-3)
    assert abs(mean["squared_error_times_ink"] - mean["squared_error_per_ink"]) > 5e-3
    for wrong in ("negative_elbo_of_grey", "elbo"):
        assert max(abs(areas[digit][wrong] - areas[digit]["negative_elbo"]) for digit in areas) > 5e-3


def test_roc_curves_are_drawn_with_their_names_and_chance():
    curves = {"a": (np.array([0, 0.2, 1]), np.array([0, 0.9, 1])), "b": (np.array([0, 1]), np.array([0, 1]))}
    left, right = figures.roc_curves({"one": curves, "two": {"a": curves["a"]}}).axes
    assert [line.get_label() for line in left.lines] == ["a", "b", "chance"]
    assert left.lines[0].get_xydata().tolist() == [[0, 0], [0.2, 0.9], [1, 1]]
    assert right.lines[-1].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [axes.get_title() for axes in (left, right)] == ["one", "two"]
