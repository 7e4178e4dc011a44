"""Few labels with M1, M2 and M1+M2: which labels each training sees, and its errors recomputed from the checkpoints."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.svm import SVC

from tfgen.data import Dataset, Split
from tfgen.data.batches import PartlyLabelledBatches, fixed_binarization, scale
from tfgen.models.semi_supervised import GaussianSemiSupervisedVAE, SemiSupervisedVAE
from tfgen.recipes import MODULES, RECIPES
from tfgen.recipes.semi_supervised_vae import METHODS
from tfgen.training.few_labels import balanced_subset
from tfgen.training.run import Run

NAME = "semi-supervised-vae"
CONFIG = RECIPES[NAME].presets["smoke"]
TRAININGS = ["model", "m1_m2_100_labels_0", "m1_m2_100_labels_1", "m2_100_labels_0", "m2_100_labels_1"]


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


def checkpoint(run, name):
    return keras.models.load_model(run.directory / "checkpoints" / f"{name}.keras")


def chosen_labels(digits, k):
    """Returns the indices of the labelled images of label seed k, of a run of seed 0."""
    return balanced_subset(digits.train.labels, 10, 100, np.random.default_rng([0, k]))


def latents_of(run, digits):
    """Returns what M1's checkpoint makes of the images: means of the three splits and log-variances of the first."""
    encoder = checkpoint(run, "model").encoder
    mean, log_var = (part.numpy() for part in encoder(scale(digits.train.images)))
    used = sorted(np.argsort(mean.var(axis=0))[-CONFIG.used_latents :])
    others = [encoder(scale(split.images))[0].numpy()[:, used] for split in (digits.validation, digits.test)]
    return mean[:, used], log_var[:, used], *others


def test_errors_are_those_of_the_checkpoints_and_of_machines_fitted_here(run, digits):
    train_mean, _, validation_mean, test_mean = latents_of(run, digits)
    splits = {"validation": (digits.validation, validation_mean, 1), "test": (digits.test, test_mean, 0)}
    for split, (images, z_mean, number) in splits.items():
        binary = fixed_binarization(images.images, number)
        errors = {method: [] for method in METHODS}
        for k in range(CONFIG.label_seeds):
            chosen = chosen_labels(digits, k)
            machine = SVC(C=CONFIG.svm_c).fit(train_mean[chosen], digits.train.labels[chosen])
            predicted = {
                "m1_svm": machine.predict(z_mean),
                "m2": np.argmax(checkpoint(run, f"m2_100_labels_{k}")(binary), axis=1),
                "m1_m2": np.argmax(checkpoint(run, f"m1_m2_100_labels_{k}")(z_mean), axis=1),
            }
            for method, classes in predicted.items():
                errors[method].append(np.mean(classes != images.labels))
        for method, values in errors.items():
            metric = run.results["metrics"][f"{split}_error__100_labels_{method}"]
            # An image on the border between two digits may round to either side.
            assert metric["value"] == pytest.approx(np.mean(values), abs=1.1 / len(images))
            assert metric["std"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2), abs=1.6 / len(images))
            assert (metric["split"], metric["n"]) == (split, len(images))


def test_every_method_is_measured_and_learns_more_than_chance(run):
    metrics = {name: m["value"] for name, m in run.results["metrics"].items() if "_error__" in name}
    assert set(metrics) == {f"{s}_error__100_labels_{method}" for s in ("validation", "test") for method in METHODS}
    # Chance is 0.9. M1+M2 needs more updates than the smoke preset has.
    assert all(0 < value < 0.8 for name, value in metrics.items() if not name.endswith("m1_m2")), metrics


def test_the_saved_model_classifies_images_as_the_first_training_of_m1_and_m2_does(run, digits):
    _, _, _, test_mean = latents_of(run, digits)
    served = tf.saved_model.load(str(run.directory / "saved_model")).signatures
    outputs = served["classify"](image=tf.constant(digits.test.images / 255, tf.float32))
    expected = checkpoint(run, "m1_m2_100_labels_0")(test_mean)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-4)
    assert np.any(np.abs(expected - checkpoint(run, "m1_m2_100_labels_1")(test_mean)) > 0.01)


def test_trainings_see_all_images_and_the_labels_of_the_chosen_ones_alone(untrained, digits):
    fitted = untrained(NAME).fitted
    assert [one.name for one in fitted] == TRAININGS
    assert [one.epochs for one in fitted[1:]] == [CONFIG.m1_m2_epochs] * 2 + [CONFIG.m2_epochs] * 2
    assert fitted[0].batches.images is digits.train.images and fitted[0].batches.labels is None
    for i, one in enumerate(fitted[1:]):
        of_latents, k = i < 2, i % 2
        batches = one.batches
        assert isinstance(batches, PartlyLabelledBatches) and batches.unlabelled.labels is None
        assert isinstance(one.model, GaussianSemiSupervisedVAE if of_latents else SemiSupervisedVAE)
        assert one.model.labelled_share == 100 / 1250
        chosen = chosen_labels(digits, k)
        np.testing.assert_array_equal(batches.labelled.labels, digits.train.labels[chosen])
        np.testing.assert_array_equal(batches.labelled.images, batches.unlabelled.images[chosen])
        size = CONFIG.batch_size if of_latents else CONFIG.m2_batch_size
        assert (batches.batch_size, batches.labelled.batch_size) == (size, CONFIG.labelled_batch_size)
        np.testing.assert_array_equal(one.validation[1], digits.validation.labels)
        if of_latents:
            assert batches.unlabelled.images.shape == (1250, 2 * CONFIG.used_latents)
        else:
            assert batches.unlabelled.images is digits.train.images and batches.unlabelled.binarized
            np.testing.assert_array_equal(one.validation[0], fixed_binarization(digits.validation.images, 1))
    # Another choice of labels has another order and other initial weights.
    assert fitted[1].batches.labelled.seed != fitted[2].batches.labelled.seed
    assert all(np.any(a != b) for a, b in zip(fitted[1].initial, fitted[2].initial, strict=True) if a.std() > 0.01)
    # The program is compiled once for all choices of labels.
    assert fitted[1].model is fitted[2].model and fitted[1].batches.prepare == fitted[2].batches.prepare


def test_latents_are_drawn_anew_in_each_batch_from_the_encoder_s_distribution(run, untrained, digits):
    batches = untrained(NAME).fitted[1].batches
    rows = np.repeat(batches.unlabelled.images[:2], 4000, axis=0)
    (unlabelled, labelled), labels = batches.prepare(3, rows[:-10], rows[-10:], np.arange(10))
    assert labelled.shape == (10, CONFIG.used_latents) and labels.tolist() == list(range(10))
    mean, deviation = rows[0, : CONFIG.used_latents], np.exp(rows[0, CONFIG.used_latents :] / 2)
    standardised = (unlabelled[:4000] - mean) / deviation
    np.testing.assert_allclose(np.mean(standardised, axis=0), 0, atol=5 / np.sqrt(4000))
    np.testing.assert_allclose(np.std(standardised, axis=0), 1, atol=5 / np.sqrt(2 * 4000))
    (again, _), _ = batches.prepare(4, rows[:-10], rows[-10:], np.arange(10))
    assert np.all(again != unlabelled)


def test_hidden_labels_decide_nothing(digits, tmp_path, monkeypatch):
    """With all labels that were not chosen shuffled, every training and every metric is the same, bit for bit."""
    from tfgen.training import few_labels

    known = {k: chosen_labels(digits, k) for k in range(2)}
    calls = iter([*known, *known])
    monkeypatch.setattr(few_labels, "balanced_subset", lambda *args: known[next(calls)])
    hidden = np.setdiff1d(np.arange(len(digits.train)), np.concatenate(list(known.values())))
    shuffled = digits.train.labels.copy()
    shuffled[hidden] = np.random.default_rng(1).permutation(shuffled[hidden])
    assert np.mean(shuffled != digits.train.labels) > 0.7
    other = Dataset("digits", Split(digits.train.images, shuffled), digits.validation, digits.test, comparable=False)
    results = []
    monkeypatch.setattr(Run, "steps_per_epoch", lambda *args: 20)
    for name, data in (("true", digits), ("shuffled", other)):
        one = Run(RECIPES[NAME], CONFIG, data, tmp_path / name, "smoke", deterministic=True)
        MODULES[NAME].experiment(one)
        results.append((one.metrics, one.trainings))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "both, machine, title",
    [
        # In each choice of the labels 10 points; over the choices both spread by as much.
        ([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], "M1+M2 errs 10.0 points less than M1 with an SVM at 100 labels"),
        ([0.2, 0.3, 0.4], [0.1, 0.2, 0.3], "M1+M2 errs 10.0 points more than M1 with an SVM at 100 labels"),
        ([0.1, 0.2, 0.3], [0.4, 0.2, 0.3], "Errors by the number of labels"),
    ],
)
def test_the_picture_of_errors_says_which_method_errs_less_if_it_does_for_every_choice(both, machine, title):
    errors = {"m1_svm": {100: machine}, "m2": {100: machine}, "m1_m2": {100: both}}
    drawn = {}
    run = types.SimpleNamespace(
        config=CONFIG.replace(label_seeds=3, label_counts=(100,)),
        figure=lambda name, figure: drawn.update({name: figure}),
    )
    MODULES[NAME]._draw_errors(run, errors)
    assert drawn["test_errors"].get_suptitle().replace("\n", " ").startswith(title + " mean ±")
