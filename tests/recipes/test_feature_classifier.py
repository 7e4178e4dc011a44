"""An encoder's features for a classifier: subsets, the head, what a training changes, and whole runs."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import Killed
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from tfgen.lecture import part_a_uses
from threadpoolctl import threadpool_limits

from tfgen import datasets, experiment, figures, report
from tfgen.models import autoencoder, classifier
from tfgen.recipes import RECIPES

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

NAME = "feature-classifier"
# Numbers of updates that tell the numbers of labels apart; all labels have 40.
SMOKE = dataclasses.replace(RECIPES[NAME].presets["smoke"], updates=(20, 60))


@pytest.fixture(scope="module", autouse=True)
def preset():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES[NAME].presets, "smoke", SMOKE)
        yield


@pytest.fixture(scope="module")
def streams():
    """What `training_batches` was called with in the run of `smoke`."""
    return []


@pytest.fixture(scope="module")
def pretrainings():
    """From each pre-training in the run of `smoke`: its first batch and its validation data, both (input, target)."""
    return []


@pytest.fixture(scope="module")
def trainings():
    """From each supervised training in the run of `smoke`: initial weights, number of updates, rate of each call."""
    return []


@pytest.fixture(scope="module")
def smoke(digits, streams, pretrainings, trainings, tmp_path_factory):
    directory, original = tmp_path_factory.mktemp("runs"), datasets.training_batches
    original_fit = keras.Model.fit

    def stream(images, batch_size, seed, labels=None, **options):
        streams.append((images, seed, labels))
        return original(images, batch_size, seed, labels=labels, **options)

    def fit(self, batches, **options):
        if "validation_data" in options:
            pairs = next(iter(batches)), next(iter(options["validation_data"].unbatch().batch(10**6)))
            pretrainings.append([[np.asarray(x) for x in pair] for pair in pairs])
            return original_fit(self, batches, **options)
        weights, rates = self.get_weights(), []
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: rates.append(float(self.optimizer.learning_rate))
        )
        original_fit(self, batches, **{**options, "callbacks": [*options.get("callbacks", []), record]})
        trainings.append((weights, int(self.optimizer.iterations), rates))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "training_batches", stream)
        patch.setattr(keras.Model, "fit", fit)
        return directory / NAME, experiment.run(NAME, digits, "smoke", directory, epochs=3)


def test_one_pretraining_hides_pixels_at_the_recipe_s_rate_and_the_other_none(smoke, pretrainings):
    assert SMOKE.masking_rate == 0.75
    for pairs, rate in zip(pretrainings, (0.75, 0), strict=True):
        for x, clean in pairs:
            hidden = (x == 0)[clean > 0]
            np.testing.assert_array_equal(x, np.where(x == 0, 0, clean))
            # Five standard errors of the share among the pixels that are not black.
            assert hidden.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / hidden.size))


def test_a_training_begins_with_the_pretrained_encoder_and_head_or_with_random_weights(smoke, trainings):
    directory, _ = smoke
    encoders = [
        keras.models.load_model(directory / "checkpoints" / f"{file}.keras").get_layer("encoder").get_weights()
        for file in ("model", "plain")
    ]
    starts = [weights for weights, _, _ in trainings]
    for first in range(0, len(starts), 3):
        for start, encoder in zip(starts[first : first + 2], encoders, strict=True):
            for a, b in zip(start[:4], encoder, strict=True):
                np.testing.assert_array_equal(a, b)
            assert np.any(start[4]) and np.any(start[5])  # the head on the frozen encoder
        # From scratch: Glorot's uniform distribution, of variance 2 / (inputs + outputs), and no bias.
        *kernels, head = starts[first + 2][::2]
        assert not any(np.any(bias) for bias in starts[first + 2][1::2])
        for kernel in (*kernels, head):
            bound = np.sqrt(6 / sum(kernel.shape))
            assert 0.99 * bound < np.abs(kernel).max() <= bound
            assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=5 * np.sqrt(0.2 / kernel.size))
    scratch = [start[0] for start in starts[2::3]]
    assert np.any(scratch[0] != scratch[1])


def test_every_number_of_labels_has_its_updates_and_a_rate_that_falls_along_a_cosine(smoke, trainings):
    """By hand: in three calls (1 + cos(pi k / 3)) / 2 = 1, 3/4, 1/4; in two 1, 1/2."""
    shares = {20: [1], 60: [1, 0.75, 0.25], 40: [1, 0.5]}
    # Two seeds, three networks each; all labels are learned once.
    assert [updates for _, updates, _ in trainings] == [20] * 6 + [60] * 6 + [40] * 3
    for _, updates, rates in trainings:
        np.testing.assert_allclose(rates, 3e-3 * np.array(shares[updates]), rtol=1e-5)


def test_the_linear_model_is_a_logistic_regression_on_the_same_labels_with_its_own_penalty(smoke, streams, digits):
    labelled = [(images, labels) for images, _, labels in streams if labels is not None][::3]
    x = datasets.scale(digits.test.images).numpy()
    error_of = {}
    for c in (SMOKE.linear_c, SMOKE.frozen_c):
        errors = []
        for images, labels in labelled[:4]:
            pixels = datasets.scale(images).numpy()
            deviation = pixels.std()
            with threadpool_limits(1):
                model = LogisticRegression(C=c, max_iter=1000, tol=1e-3).fit(pixels / deviation, labels)
            errors.append(np.mean(model.predict(x / deviation) != digits.test.labels))
        error_of[c] = np.mean(np.reshape(errors, (2, 2)), axis=1)
    found = [smoke[1]["metrics"][f"test_error__{n}_labels_linear"]["value"] for n in (100, 600)]
    # An image on the border between two digits may round to either side.
    np.testing.assert_allclose(found, error_of[SMOKE.linear_c], atol=1.1 / 297)
    # Wrong: the penalty of the head on the frozen encoder.
    assert np.abs(error_of[SMOKE.frozen_c] - error_of[SMOKE.linear_c]).max() > 2.2 / 297, error_of


def test_pretraining_sees_all_training_images_and_fine_tuning_labelled_ones_alone(smoke, streams, digits):
    unlabelled = [images for images, _, labels in streams if labels is None]
    assert len(unlabelled) == 2 and all(images is digits.train.images for images in unlabelled)
    label_of = {image.tobytes(): label for image, label in zip(digits.train.images, digits.train.labels, strict=True)}
    labelled = [stream for stream in streams if stream[2] is not None]
    # With noise, without, and from scratch: on the same labels, in the same order.
    counts = [100] * 2 * 3 + [600] * 2 * 3 + [1250] * 3
    assert [len(images) for images, _, _ in labelled] == counts
    for images, _, labels in labelled:
        assert [label_of[image.tobytes()] for image in images] == labels.tolist()
    for first in range(0, len(labelled), 3):
        assert len({(images.tobytes(), seed) for images, seed, _ in labelled[first : first + 3]}) == 1
    assert labelled[0][1] != labelled[3][1]


def test_subsets_are_balanced_nested_and_functions_of_the_seed(digits):
    labels = digits.train.labels
    large, small, again, other = (
        part_a_uses.balanced_subset(labels, count, np.random.default_rng([0, seed]))
        for count, seed in ((600, 1), (100, 1), (100, 1), (100, 2))
    )
    for subset, count in ((large, 60), (small, 10), (other, 10)):
        assert np.bincount(labels[subset]).tolist() == [count] * 10
        assert len(set(subset)) == len(subset)
    assert set(small) < set(large)
    np.testing.assert_array_equal(small, again)
    # Wrong: the first of each class, whatever the seed. Two draws of 100 among 1,250 share 8 on average.
    assert len(set(small) & set(other)) < 25


def test_softmax_regression_is_where_the_gradient_vanishes():
    """The minimum of c * (sum of cross-entropies) + |W|^2 / 2 on x / std(x): kernel and gradient by hand, float64."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 10
    x = 3 * rng.standard_normal((300, 6)) + rng.standard_normal((10, 6))[labels]
    kernel, bias = part_a_uses.softmax_regression(x, labels, 0.2)
    scaled, deviation = x / x.std(), x.std()

    def gradient(w):
        residual = softmax(scaled @ w + bias, axis=1) - np.eye(10)[labels]
        return scaled.T @ residual * 0.2 + w, residual.sum(axis=0) * 0.2

    assert kernel.shape == (6, 10) and bias.shape == (10,)
    # The solver stops where no entry of the gradient of the mean, which is 1 / (0.2 * 300) of this one, exceeds 1e-3.
    for part in gradient(kernel * deviation):
        np.testing.assert_allclose(part, 0, atol=0.06)
    # Wrong: the kernel left in units of the scaled features.
    assert np.abs(gradient(kernel)[0]).max() > 0.2


def test_the_classifier_is_the_encoder_and_a_linear_layer_of_logits():
    """By hand in float64, from the weights in the order that the recipe relies on."""
    keras.utils.set_random_seed(0)
    network = classifier.feature_classifier((5, 3), 7, classes=4)
    rng = np.random.default_rng(0)
    network.set_weights([rng.standard_normal(weight.shape) for weight in network.get_weights()])
    w1, b1, w2, b2, kernel, bias = network.get_weights()
    assert kernel.shape == (3, 4)
    x = rng.random((6, 7)).astype(np.float32)
    code = np.maximum(x.astype(np.float64) @ w1 + b1, 0) @ w2 + b2
    expected = code @ kernel + bias
    outputs = {name: function(x) for name, (function, _) in classifier.endpoints(network).items()}
    np.testing.assert_allclose(outputs["encode"]["code"], code, rtol=1e-4, atol=1e-5)
    for name in ("serving_default", "classify"):
        np.testing.assert_allclose(outputs[name]["logits"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs[name]["probabilities"], softmax(expected, axis=1), rtol=1e-4, atol=1e-6)


def test_probabilities_stay_finite_at_extreme_logits():
    network = classifier.feature_classifier((3,), 4, classes=3)
    network.set_weights([np.zeros((4, 3)), np.zeros(3), np.zeros((3, 3)), np.array([-1e4, 0.0, 1e4])])
    outputs = classifier.endpoints(network)["classify"][0](np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(outputs["probabilities"], [[0, 0, 1]], atol=1e-6)


def test_a_stacked_autoencoder_s_encoder_fits_into_the_classifier():
    keras.utils.set_random_seed(0)
    encoder = autoencoder.stacked_autoencoder((6, 4, 6), 9).get_layer("encoder")
    network = classifier.feature_classifier((6, 4), 9)
    network.set_weights([*encoder.get_weights(), np.zeros((4, 10)), np.zeros(10)])
    x = np.random.default_rng(0).random((5, 9)).astype(np.float32)
    np.testing.assert_array_equal(network.get_layer("encoder")(x), encoder(x))


@pytest.fixture(scope="module")
def training(digits):
    """A function that trains a small classifier on 100 labels, from given weights or anew, and the network."""
    config = dataclasses.replace(SMOKE, hidden_units=(16, 8, 16))
    run = types.SimpleNamespace(config=config, data=digits, jit_compile=True, EVALUATION_BATCH=1000)
    network = part_a_uses._network(run)
    chosen = part_a_uses.balanced_subset(digits.train.labels, 100, np.random.default_rng(0))
    test = datasets.scale(digits.test.images).numpy()

    def train(seed, weights=None, updates=20):
        return part_a_uses._train(run, network, chosen, updates, seed, weights, test), network.get_weights()

    return train


def test_training_moves_encoder_and_head_and_lowers_the_loss_on_its_labels(digits, training):
    network = classifier.feature_classifier((16, 8))
    before = network.get_weights()
    chosen = part_a_uses.balanced_subset(digits.train.labels, 100, np.random.default_rng(0))
    x, labels = datasets.scale(digits.train.images[chosen]).numpy(), digits.train.labels[chosen]

    def cross_entropy(weights):
        network.set_weights(weights)
        return -np.mean(log_softmax(network(x).numpy().astype(np.float64), axis=1)[np.arange(100), labels])

    _, after = training(0, before, updates=100)
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert cross_entropy(after) < 0.5 < cross_entropy(before)


def test_a_training_is_a_function_of_seed_and_weights_alone(training):
    """The network and its optimizer have been used for another training in between."""
    logits, weights = training(1)
    other, _ = training(2)
    again, weights_again = training(1)
    np.testing.assert_array_equal(logits, again)
    for a, b in zip(weights, weights_again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(logits != other)


def test_errors_are_those_of_the_saved_model_and_the_encoder_of_the_checkpoint(smoke, digits):
    """Fine-tuned on all labels: from the SavedModel. Frozen: a head fitted here on the checkpoint's codes."""
    directory, results = smoke
    metrics = results["metrics"]
    model = tf.saved_model.load(str(directory / "saved_model"))
    x = tf.constant(digits.test.images / 255.0, tf.float32)
    predicted = np.argmax(model.signatures["classify"](image=x)["probabilities"], axis=1)
    metric = metrics["test_error__all_labels_finetuned"]
    assert metric["value"] == pytest.approx(np.mean(predicted != digits.test.labels), abs=0.1 / 297)
    assert (metric["split"], metric["n"]) == ("test", 297) and "std" not in metric

    for file, method in (("model", "frozen"), ("plain", "frozen_plain")):
        encoder = keras.models.load_model(directory / "checkpoints" / f"{file}.keras").get_layer("encoder")
        errors = []
        for k in range(SMOKE.label_seeds):
            chosen = part_a_uses.balanced_subset(digits.train.labels, 100, np.random.default_rng([0, k]))
            codes = encoder(datasets.scale(digits.train.images[chosen])).numpy()
            kernel, bias = part_a_uses.softmax_regression(codes, digits.train.labels[chosen], SMOKE.frozen_c)
            errors.append(np.mean(np.argmax(encoder(x) @ kernel + bias, axis=1) != digits.test.labels))
        metric = metrics[f"test_error__100_labels_{method}"]
        # An image on the border between two digits may round to either side.
        assert metric["value"] == pytest.approx(np.mean(errors), abs=1.1 / 297)
        assert metric["std"] == pytest.approx(abs(errors[0] - errors[1]) / np.sqrt(2), abs=1.6 / 297)


def test_every_method_is_measured_at_every_number_of_labels(smoke):
    metrics = smoke[1]["metrics"]
    counts = ("100", "600", "all")
    assert set(metrics) == {f"test_error__{n}_labels_{method}" for n in counts for method in part_a_uses.METHODS}
    # Chance is 0.9.
    assert all(0 < metric["value"] < 0.7 for metric in metrics.values())
    assert metrics["test_error__all_labels_linear"]["value"] < metrics["test_error__100_labels_linear"]["value"]


def test_a_run_killed_in_its_second_pretraining_equals_an_uninterrupted_one(smoke, digits, tmp_path, monkeypatch):
    directory, whole = smoke
    original, epochs_done = keras.callbacks.CSVLogger.on_epoch_end, []

    def killed_in_the_second_epoch_of_the_second_model(self, epoch, logs=None):
        original(self, epoch, logs)
        epochs_done.append(epoch)
        if epochs_done == [0, 1, 2, 0, 1]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed_in_the_second_epoch_of_the_second_model)
        with pytest.raises(Killed):
            experiment.run(NAME, digits, "smoke", tmp_path, epochs=3)
    resumed = experiment.run(NAME, digits, "smoke", tmp_path, epochs=3, resume=True)
    assert resumed["metrics"] == whole["metrics"]
    for name in ("model", "plain"):
        paths = [parent / "checkpoints" / f"{name}.keras" for parent in (directory, tmp_path / NAME)]
        for a, b in zip(*(keras.models.load_model(path).get_weights() for path in paths), strict=True):
            np.testing.assert_array_equal(a, b)


def test_label_counts_beyond_the_data_are_left_out_and_named(digits, tmp_path, monkeypatch, capsys):
    config = dataclasses.replace(SMOKE, label_counts=(100, 3000), label_seeds=1, hidden_units=(16, 8, 16))
    recipe = dataclasses.replace(RECIPES[NAME], presets={"smoke": config})
    monkeypatch.setitem(RECIPES, NAME, recipe)
    results = experiment.run(NAME, digits, "smoke", tmp_path)
    assert {name.split("__")[1].split("_")[0] for name in results["metrics"]} == {"100", "all"}
    assert "leaving out 3,000 labels" in capsys.readouterr().out


def test_a_standard_deviation_stands_beside_its_mean_in_the_table(digits):
    run = experiment.Run(None, RECIPES[NAME], None, digits, {"seed": 0, "deterministic": 0}, False)
    run.metric("a", 0.25, "u", "test", 1, std=0.0125)
    run.metric("b", 0.25, "u", "test", 1)
    assert run.metrics["a"]["std"] == 0.0125 and "std" not in run.metrics["b"]
    result = {"recipe": NAME, "lecture_items": ["A6"], "comparable": True, "metrics": run.metrics}
    assert [row[4] for row in report.rows([result])] == ["0.25 ± 0.013", "0.25"]


def test_errors_are_drawn_over_their_counts_with_bars_of_a_standard_deviation():
    series = {"a": ([20.0, 5.0], [2.0, np.nan]), "b": ([30.0, 6.0], [1.0, 0.5])}
    (axes,) = figures.errors_by_count(series, [100, 1000], "", "%").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "1,000"]
    for container, (means, deviations) in zip(axes.containers, series.values(), strict=True):
        line, _, (bars,) = container.lines
        np.testing.assert_allclose(line.get_ydata().astype(np.float64), means)
        # Side by side, but each within an eighth of its own count.
        np.testing.assert_allclose(line.get_xdata().astype(np.float64), [100, 1000], rtol=0.125)
        ends = [np.asarray(segment, np.float64)[:, 1] for segment in bars.get_segments() if len(segment)]
        ends = [pair for pair in ends if np.all(np.isfinite(pair))]
        expected = [(m - d, m + d) for m, d in zip(means, deviations, strict=True) if np.isfinite(d)]
        np.testing.assert_allclose(ends, expected)
