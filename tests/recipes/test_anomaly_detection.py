"""Anomaly detection: what is left out stays out, scores by hand, a model reused as if newly made, whole runs."""

import dataclasses
import itertools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import Killed
from tfgen.lecture import part_a, part_a_uses

from tfgen import datasets, experiment, figures
from tfgen.distributions import Draw, kl_divergence, stateless_normal, stateless_seed
from tfgen.losses import squared_error
from tfgen.models.autoencoder import stacked_autoencoder
from tfgen.models.vae import VAE
from tfgen.recipes import RECIPES

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

NAME = "anomaly-detection"


@pytest.fixture(scope="module")
def streams():
    """What `training_batches` was called with in the run of `smoke`: images, and whether they were binarised."""
    return []


@pytest.fixture(scope="module")
def smoke(digits, streams, tmp_path_factory):
    directory, original = tmp_path_factory.mktemp("runs"), datasets.training_batches

    def stream(images, batch_size, seed, binarized=False, **options):
        streams.append((images, binarized))
        return original(images, batch_size, seed, binarized=binarized, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "training_batches", stream)
        return directory / NAME, experiment.run(NAME, digits, "smoke", directory, epochs=2)


def test_each_digit_in_turn_is_left_out_of_both_trainings(smoke, streams, digits):
    label_of = {image.tobytes(): label for image, label in zip(digits.train.images, digits.train.labels, strict=True)}
    absent = [(set(range(10)) - {label_of[image.tobytes()] for image in images}, binary) for images, binary in streams]
    assert absent == [({4}, False), ({4}, True), ({1}, False), ({1}, True)]
    for images, _ in streams[1::2]:
        assert np.max(images) == 255  # binarised by the stream, anew each time, and not before


def area_under_the_curve(scores, anomalous):
    """The share of pairs of an anomaly and another image in which the anomaly scores higher; ties count half."""
    pairs = scores[anomalous][:, None] - scores[~anomalous]
    return np.mean((pairs > 0) + 0.5 * (pairs == 0))


def test_areas_are_those_of_the_saved_models_scores(smoke, digits):
    """Squared errors from the SavedModel alone, and areas by counting pairs."""
    directory, results = smoke
    model = tf.saved_model.load(str(directory / "saved_model"))
    test = digits.test.images / 255.0
    reconstruction = model.signatures["reconstruct"](image=tf.constant(test, tf.float32))["reconstruction"].numpy()
    expected = np.sum((test - reconstruction.astype(np.float64)) ** 2, axis=1)
    scores = model.signatures["score"](image=tf.constant(test, tf.float32))["squared_error"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4)

    pictured = RECIPES[NAME].presets["smoke"].pictured
    anomalous = digits.test.labels == pictured
    metrics = {name: metric["value"] for name, metric in results["metrics"].items()}
    area = area_under_the_curve(expected, anomalous)
    assert metrics[f"test_auc__squared_error_without_{pictured}"] == pytest.approx(area, abs=1e-3)
    # Wrong: the curve turned over.
    assert abs(area - (1 - area)) > 1e-2


def test_every_digit_left_out_has_its_areas_and_the_means_are_theirs(smoke, digits):
    config, metrics = RECIPES[NAME].presets["smoke"], smoke[1]["metrics"]
    for score in ("squared_error", "negative_elbo"):
        areas = [metrics[f"test_auc__{score}_without_{digit}"]["value"] for digit in config.left_out]
        assert all(0 <= area <= 1 for area in areas)
        assert metrics[f"test_auc__{score}_mean"]["value"] == pytest.approx(np.mean(areas))
    ink = (digits.test.images / 255.0).sum(axis=1)
    areas = [area_under_the_curve(ink, digits.test.labels == digit) for digit in config.left_out]
    assert metrics["test_auc__ink_mean"]["value"] == pytest.approx(np.mean(areas), abs=1e-3)
    assert len(metrics) == 2 * len(config.left_out) + 4


def test_every_area_is_that_of_scores_recomputed_from_the_checkpoints(smoke, digits):
    """Scores in float64 from what the networks give out; the areas by ranks: the share of pairs in the right order."""
    directory, results = smoke
    config = RECIPES[NAME].presets["smoke"]
    x = (digits.test.images / 255.0).astype(np.float32)
    binary = datasets.fixed_binarization(digits.test.images).numpy()
    areas = {}
    for digit in config.left_out:
        names = f"{'model' if digit == config.pictured else f'autoencoder_without_{digit}'}", f"vae_without_{digit}"
        model, vae = (keras.models.load_model(directory / "checkpoints" / f"{name}.keras") for name in names)
        squared = np.sum((x - model(x).numpy().astype(np.float64)) ** 2, axis=1)
        epsilon = stateless_normal((len(x), config.latent_dim), stateless_seed(0, Draw.EVALUATION)).numpy()

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
        areas[digit] = {
            name: area_under_the_curve(score, digits.test.labels == digit) for name, score in scores.items()
        }
    metrics = {name: metric["value"] for name, metric in results["metrics"].items()}
    for name in ("squared_error", "negative_elbo"):
        for digit in config.left_out:
            assert metrics[f"test_auc__{name}_without_{digit}"] == pytest.approx(areas[digit][name], abs=1e-3)
    mean = {name: np.mean([of_digit[name] for of_digit in areas.values()]) for name in areas[config.pictured]}
    for name in ("squared_error", "negative_elbo", "squared_error_per_ink"):
        assert metrics[f"test_auc__{name}_mean"] == pytest.approx(mean[name], abs=1e-3)
    assert abs(mean["squared_error_times_ink"] - mean["squared_error_per_ink"]) > 5e-3
    for wrong in ("negative_elbo_of_grey", "elbo"):
        assert max(abs(areas[digit][wrong] - areas[digit]["negative_elbo"]) for digit in areas) > 5e-3


@pytest.mark.parametrize("binarized", [False, True])
def test_neither_training_nor_validation_sees_the_left_out_digit(digits, binarized):
    """Each image carries its label in its first pixel, 0 or full, which binarising leaves as it is."""

    def marked(split, digit):
        images = split.images.copy()
        images[:, 0] = np.where(split.labels == digit, 255, 0)
        return dataclasses.replace(split, images=images)

    data = dataclasses.replace(digits, train=marked(digits.train, 7), validation=marked(digits.validation, 7))
    seen = {}

    def fit(build, batches, batch_size, validation, name):
        # Two epochs: every image but the few that sit one out.
        batches = [x if binarized else x[0] for x in itertools.islice(batches(0), 2 * len(data.train) // batch_size)]
        seen[name] = np.concatenate([x[:, 0] for x in batches]), validation[0][:, 0]

    run = types.SimpleNamespace(config=RECIPES[NAME].presets["smoke"], data=data, seed=0, fit=fit)
    for digit in (7, 8):
        part_a_uses._fit_without(run, None, digit, digit, binarized=binarized)
    assert all(np.all(pixels == 0) for pixels in seen[7])
    assert all(0.05 < np.mean(pixels) < 0.2 for pixels in seen[8])
    # Equally many for every digit.
    assert len({len(validation) for _, validation in seen.values()}) == 1


def test_the_negative_elbo_of_a_blind_decoder_is_known():
    """A decoder without weights says p = sigmoid(b) of every pixel whatever z: log p(x|z) follows by hand."""
    keras.utils.set_random_seed(0)
    model = VAE(3, (5,), 6)
    bias = np.linspace(-2, 2, 6)
    for variable in model.decoder.weights:
        variable.assign(np.zeros(variable.shape))
    model.decoder.weights[-1].assign(bias)
    x = np.random.default_rng(0).integers(2, size=(7, 6)).astype(np.float32)
    p = 1 / (1 + np.exp(-bias))
    kl = kl_divergence(*model.encoder(x)).numpy()
    expected = kl - np.sum(np.log(np.where(x == 1, p, 1 - p)), axis=1)
    # Batches of three, the last one short.
    np.testing.assert_allclose(part_a_uses.negative_elbo(model, x, 0, 3), expected, rtol=1e-5)
    assert np.ptp(kl) > 0.01


def test_a_reused_model_trains_as_a_new_one_does_bit_for_bit(digits):
    config = dataclasses.replace(RECIPES[NAME].presets["smoke"], hidden_units=(16, 4, 16), batch_size=50)
    run = types.SimpleNamespace(
        config=config,
        steps_per_epoch=lambda batch_size: 4,
        compile_options=lambda batch_size: {"jit_compile": True, "steps_per_execution": 4},
        adam=experiment.Run.adam,
    )
    x = digits.train.images[:200] / np.float32(255)

    def weights_after_training(build):
        keras.utils.set_random_seed(3)
        model = build()
        assert int(model.optimizer.iterations) == 0
        model.fit(x, x, batch_size=50, epochs=2, shuffle=False, verbose=0)
        return model, model.get_weights()

    def build():
        make = lambda: stacked_autoencoder(config.hidden_units)  # noqa: E731
        return part_a.compiled_once(run, make, loss=squared_error)

    reused = build()
    (one, first), (other, second) = weights_after_training(reused), weights_after_training(reused)
    _, new = weights_after_training(build())
    assert one is other
    for a, b, c in zip(first, second, new, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)

    # Wrong: the optimizer's state kept.
    keras.utils.set_random_seed(3)
    one.set_weights(stacked_autoencoder(config.hidden_units).get_weights())
    one.fit(x, x, batch_size=50, epochs=2, shuffle=False, verbose=0)
    assert any(np.any(a != b) for a, b in zip(first, one.get_weights(), strict=True))


@pytest.mark.parametrize("model", [1, 2])
def test_a_run_killed_in_a_later_model_equals_an_uninterrupted_one_bit_for_bit(
    smoke, digits, tmp_path, monkeypatch, model
):
    directory, whole = smoke
    original, epochs_done = keras.callbacks.CSVLogger.on_epoch_end, []

    def killed_in_the_second_epoch_of_the_model(self, epoch, logs=None):
        original(self, epoch, logs)
        epochs_done.append(epoch)
        if epochs_done == [0, 1] * (model + 1):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed_in_the_second_epoch_of_the_model)
        with pytest.raises(Killed):
            experiment.run(NAME, digits, "smoke", tmp_path, epochs=2)
    resumed = experiment.run(NAME, digits, "smoke", tmp_path, epochs=2, resume=True)
    assert resumed["metrics"] == whole["metrics"]
    names = sorted(path.name for path in (directory / "checkpoints").glob("*.keras"))
    assert len(names) == 4
    for name in names:
        paths = directory / "checkpoints" / name, tmp_path / NAME / "checkpoints" / name
        for a, b in zip(*(keras.models.load_model(path).get_weights() for path in paths), strict=True):
            np.testing.assert_array_equal(a, b)


def test_roc_curves_are_drawn_with_their_names_and_chance():
    curves = {"a": (np.array([0, 0.2, 1]), np.array([0, 0.9, 1])), "b": (np.array([0, 1]), np.array([0, 1]))}
    left, right = figures.roc_curves({"one": curves, "two": {"a": curves["a"]}}).axes
    assert [line.get_label() for line in left.lines] == ["a", "b", "chance"]
    assert left.lines[0].get_xydata().tolist() == [[0, 0], [0.2, 0.9], [1, 1]]
    assert right.lines[-1].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [axes.get_title() for axes in (left, right)] == ["one", "two"]
