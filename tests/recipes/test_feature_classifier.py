"""The encoder's features for a classifier: what each training begins with and sees, and its errors recomputed."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tfgen import figures
from tfgen.data.batches import scale
from tfgen.recipes import RECIPES, feature_classifier
from tfgen.recipes.feature_classifier import METHODS
from tfgen.training import few_labels
from tfgen.training.few_labels import balanced_subset, softmax_regression

NAME = "feature-classifier"
CONFIG = RECIPES[NAME].presets["smoke"]


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


@pytest.fixture(scope="module")
def labelled(run):
    """The batches of each supervised training."""
    return [batches for batches in run.batches if batches.labels is not None]


@pytest.fixture
def supervised(untrained, monkeypatch):
    """Function from changes of the configuration to a run that trains nothing, and each call of `fit_classifier`."""

    def of_config(**changed):
        calls = []

        def fit_classifier(run, model, chosen, updates, seed, weights, test):
            weights = None if weights is None else [np.copy(weight) for weight in weights]
            calls.append(types.SimpleNamespace(chosen=chosen, updates=updates, seed=seed, weights=weights))
            return np.zeros((len(test), 10))

        monkeypatch.setattr(few_labels, "fit_classifier", fit_classifier)
        return untrained(NAME, hidden_units=(16, 8, 16), **changed), calls

    return of_config


def test_one_pretraining_hides_pixels_at_the_recipe_s_rate_and_the_other_none(run, digits):
    assert CONFIG.masking_rate == 0.75
    held_out = scale(digits.validation.images).numpy()
    images = {image.tobytes() for image in scale(digits.train.images).numpy()}
    for batch, validation, rate in zip(run.first_batches, run.validations, (0.75, 0), strict=True):
        batch, clean_batch = map(np.asarray, batch)
        assert {image.tobytes() for image in clean_batch} <= images
        for x, clean in ((batch, clean_batch), (validation, held_out)):
            hidden = (x == 0)[clean > 0]
            np.testing.assert_array_equal(x, np.where(x == 0, 0, clean))
            # Five standard errors of the share among the pixels that are not black.
            assert hidden.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / hidden.size))


def test_a_training_begins_with_the_pretrained_encoder_and_head_or_from_scratch(supervised, digits):
    run, calls = supervised()
    pretrained = [[weight + np.float32(1 / 8192) for weight in fitted.initial[:4]] for fitted in run.fitted]
    assert [fitted.name for fitted in run.fitted] == ["model", "plain"] and len(calls) == 15
    x = scale(digits.train.images).numpy()
    for first in range(0, len(calls), 3):
        for call, encoder in zip(calls[first : first + 2], pretrained, strict=True):
            for a, b in zip(call.weights[:4], encoder, strict=True):
                np.testing.assert_array_equal(a, b)
            # And the head that was fitted to the frozen encoder's codes of the same labelled images.
            codes = np.maximum(x @ encoder[0] + encoder[1], 0) @ encoder[2] + encoder[3]
            head = softmax_regression(codes[call.chosen], digits.train.labels[call.chosen], CONFIG.frozen_c)
            for a, b in zip(call.weights[4:], head, strict=True):
                assert np.any(a)
                np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-2 * np.abs(b).max())
        assert calls[first + 2].weights is None
    assert np.any(pretrained[0][0] != pretrained[1][0])


def test_every_number_of_labels_has_its_updates(supervised):
    _, calls = supervised(updates=(20, 60))
    # Two seeds, three networks each; all labels are learned once.
    assert [call.updates for call in calls] == [20] * 6 + [60] * 6 + [40] * 3
    assert [len(call.chosen) for call in calls] == [100] * 6 + [600] * 6 + [1250] * 3
    # The three networks have one seed; another choice of the labels has another one.
    assert [len({call.seed for call in calls[i : i + 3]}) for i in range(0, 15, 3)] == [1] * 5
    assert calls[0].seed != calls[3].seed


def test_of_all_labels_only_what_trains_in_batches_is_repeated(supervised):
    run, calls = supervised(label_counts=(100,), updates=(20,), label_seeds=1, all_labels_seeds=3)
    assert [len(call.chosen) for call in calls] == [100] * 3 + [1250] * 9
    repeated = {name.split("labels_")[1] for name, metric in run.metrics.items() if "std" in metric}
    assert repeated == {"finetuned", "finetuned_plain", "scratch"}
    for name, metric in run.metrics.items():
        assert metric["unit"].endswith(": 3" if "std" in metric else ": 1"), name


def test_label_counts_beyond_the_data_are_left_out_and_named(supervised, capsys):
    run, calls = supervised(label_counts=(100, 3000), label_seeds=1)
    assert {name.split("__")[1].split("_")[0] for name in run.metrics} == {"100", "all"}
    assert [len(call.chosen) for call in calls] == [100] * 3 + [1250] * 3
    assert "leaving out 3,000 labels" in capsys.readouterr().out


def test_the_linear_model_is_a_logistic_regression_on_the_same_labels_with_its_own_penalty(run, labelled, digits):
    x = scale(digits.test.images).numpy()
    error_of = {}
    for c in (CONFIG.linear_c, CONFIG.frozen_c):
        errors = []
        for batches in labelled[:12:3]:
            pixels, labels = scale(batches.images).numpy(), batches.labels
            deviation = pixels.std()
            with threadpool_limits(1):
                model = LogisticRegression(C=c, max_iter=1000, tol=1e-3).fit(pixels / deviation, labels)
            errors.append(np.mean(model.predict(x / deviation) != digits.test.labels))
        error_of[c] = np.mean(np.reshape(errors, (2, 2)), axis=1)
    found = [run.results["metrics"][f"test_error__{n}_labels_linear"]["value"] for n in (100, 600)]
    # An image on the border between two digits may round to either side.
    np.testing.assert_allclose(found, error_of[CONFIG.linear_c], atol=1.1 / 297)
    # Wrong: the penalty of the head on the frozen encoder.
    assert np.abs(error_of[CONFIG.frozen_c] - error_of[CONFIG.linear_c]).max() > 2.2 / 297, error_of


def test_pretraining_sees_all_training_images_and_fine_tuning_labelled_ones_alone(run, labelled, digits):
    unlabelled = [batches.images for batches in run.batches if batches.labels is None]
    assert len(unlabelled) == 2 and all(images is digits.train.images for images in unlabelled)
    label_of = {image.tobytes(): label for image, label in zip(digits.train.images, digits.train.labels, strict=True)}
    # With noise, without, and from scratch: on the same labels, in the same order.
    counts = [100] * 2 * 3 + [600] * 2 * 3 + [1250] * 3
    assert [len(batches.images) for batches in labelled] == counts
    for batches in labelled:
        assert [label_of[image.tobytes()] for image in batches.images] == batches.labels.tolist()
    for first in range(0, len(labelled), 3):
        assert len({(batches.images.tobytes(), batches.seed) for batches in labelled[first : first + 3]}) == 1
    assert labelled[0].seed != labelled[3].seed


def test_errors_are_those_of_the_saved_model_and_the_encoder_of_the_checkpoint(run, digits):
    """Fine-tuned on all labels: from the SavedModel. Frozen: a head fitted here on the checkpoint's codes."""
    directory, metrics = run.directory, run.results["metrics"]
    model = tf.saved_model.load(str(directory / "saved_model"))
    x = tf.constant(digits.test.images / 255.0, tf.float32)
    predicted = np.argmax(model.signatures["classify"](image=x)["probabilities"], axis=1)
    metric = metrics["test_error__all_labels_finetuned"]
    assert metric["value"] == pytest.approx(np.mean(predicted != digits.test.labels), abs=0.1 / 297)
    assert (metric["split"], metric["n"]) == ("test", 297) and "std" not in metric

    for file, method in (("model", "frozen"), ("plain", "frozen_plain")):
        encoder = keras.models.load_model(directory / "checkpoints" / f"{file}.keras").get_layer("encoder")
        errors = []
        for k in range(CONFIG.label_seeds):
            chosen = balanced_subset(digits.train.labels, 10, 100, np.random.default_rng([0, k]))
            codes = encoder(scale(digits.train.images[chosen])).numpy()
            kernel, bias = softmax_regression(codes, digits.train.labels[chosen], CONFIG.frozen_c)
            errors.append(np.mean(np.argmax(encoder(x) @ kernel + bias, axis=1) != digits.test.labels))
        metric = metrics[f"test_error__100_labels_{method}"]
        # An image on the border between two digits may round to either side.
        assert metric["value"] == pytest.approx(np.mean(errors), abs=1.1 / 297)
        assert metric["std"] == pytest.approx(abs(errors[0] - errors[1]) / np.sqrt(2), abs=1.6 / 297)


def test_every_method_is_measured_at_every_number_of_labels(run):
    metrics = run.results["metrics"]
    counts = ("100", "600", "all")
    assert set(metrics) == {f"test_error__{n}_labels_{method}" for n in counts for method in METHODS}
    # Chance is 0.9.
    assert all(0 < metric["value"] < 0.7 for metric in metrics.values())
    assert metrics["test_error__all_labels_linear"]["value"] < metrics["test_error__100_labels_linear"]["value"]


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


@pytest.mark.parametrize(
    "finetuned, scratch, title",
    [
        # In each choice of the labels 10 points; over the choices both spread by as much.
        ([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], "Pre-training saves 10.0 points at 100 labels"),
        ([0.2, 0.3, 0.4], [0.1, 0.2, 0.3], "Pre-training costs 10.0 points at 100 labels"),
        ([0.1, 0.2, 0.3], [0.4, 0.2, 0.3], "Errors of a classifier with few labels and with all"),
    ],
)
def test_the_picture_of_errors_says_what_pretraining_saves_if_it_does_for_every_choice(finetuned, scratch, title):
    errors = {method: {100: [0.3, 0.3, 0.3], None: [0.1]} for method in METHODS}
    errors["finetuned"][100], errors["scratch"][100] = finetuned, scratch
    drawn = {}
    run = types.SimpleNamespace(
        config=CONFIG.replace(label_seeds=3),
        data=types.SimpleNamespace(train=range(1000)),
        figure=lambda name, figure: drawn.update({name: figure}),
    )
    feature_classifier._draw_errors(run, errors, [100])
    assert drawn["test_errors"].get_suptitle().splitlines()[0] == title
