"""The classifier that judges samples: what it says of images, and what is measured by it."""

import hashlib
import types

import keras
import numpy as np
import pytest
from scipy import linalg, special
from scipy.spatial.distance import cdist

from tfgen.export import export
from tfgen.models.classifier import convolutional_classifier, endpoints
from tfgen.training.samples import ReferenceClassifier, measure_samples, record_parzen


def network():
    return convolutional_classifier((28, 28), 10, (2, 2), 5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    model = network()
    (directory / "results.json").write_text('{"metrics": {"test_error": {"value": 0.01}}}')
    export(endpoints(model, ("features", "features", "features")), directory / "saved_model", (28, 28))
    return model, directory


def test_the_reference_classifier_says_what_the_exported_one_says_in_chunks(finished, images, monkeypatch):
    model, directory = finished
    monkeypatch.setattr(ReferenceClassifier, "CHUNK", 100)
    classifier = ReferenceClassifier(directory)
    logits = model(images).numpy()
    np.testing.assert_allclose(classifier.probabilities(images), special.softmax(logits, axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(classifier.features(images), model.get_layer("features")(images), rtol=1e-4, atol=1e-6)
    assert classifier.test_error == 0.01
    weights = sorted(weight.tobytes() for weight in model.get_weights())
    assert classifier.sha256 == hashlib.sha256(b"".join(weights)).hexdigest()


def test_the_classifier_s_hash_is_its_weights_not_its_file_s(finished, tmp_path):
    """A copy that the same process makes has layers of other names."""
    model, directory = finished
    copy = network()
    (tmp_path / "results.json").write_text('{"metrics": {"test_error": {"value": 0.01}}}')
    copy.set_weights(model.get_weights())
    export(endpoints(copy, ("features", "features", "features")), tmp_path / "saved_model", (28, 28))
    assert ReferenceClassifier(tmp_path).sha256 == ReferenceClassifier(directory).sha256
    changed = model.get_weights()
    changed[0][0, 0, 0, 0] += 1e-6
    copy.set_weights(changed)
    export(endpoints(copy, ("features", "features", "features")), tmp_path / "saved_model", (28, 28))
    assert ReferenceClassifier(tmp_path).sha256 != ReferenceClassifier(directory).sha256


class RunStub:
    """What the measures take of a run: its images, and where metrics are put."""

    def __init__(self, validation, test):
        self.data = types.SimpleNamespace(
            validation=types.SimpleNamespace(images=validation), test=types.SimpleNamespace(images=test), classes=10
        )
        self.metrics = {}

    def metric(self, name, value, unit, split, n, **details):
        self.metrics[name] = {"value": value, "unit": unit, "split": split, "n": n, **details}


class ClassifierStub:
    """Its features are the first three pixels, its logits the ten after them."""

    def identity(self):
        return {"classifier": "stub"}

    def features(self, images):
        return images[:, :3]

    def probabilities(self, images):
        return special.softmax(20 * images[:, 3:13], axis=1)


def mean_log_densities(points, images):
    """Returns, for each sigma of the paper's grid, the mean over images of their log density under points."""
    sigmas = np.logspace(-1, 0, 10)
    squared_distances = cdist(images, points, "sqeuclidean")
    pixels = np.shape(points)[1]
    values = [
        special.logsumexp(-0.5 * squared_distances / s**2, axis=1) - pixels / 2 * np.log(2 * np.pi * s**2)
        for s in sigmas
    ]
    return dict(zip(sigmas, np.mean(values, axis=1) - np.log(len(points)), strict=True))


def test_the_parzen_sigma_is_chosen_on_the_first_thousand_validation_images():
    """The next five hundred lie further from the points, so that together they would choose a wider window."""
    rng = np.random.default_rng(0)
    points = rng.integers(100, 155, (40, 20))
    near, far, test = (
        np.uint8(points[rng.integers(40, size=n)] + rng.integers(-d, d + 1, (n, 20)))
        for n, d in ((1000, 30), (500, 100), (50, 60))
    )
    run = RunStub(np.concatenate([near, far]), test)
    record_parzen(run, "parzen", np.float32(points / 255))
    first, whole = (mean_log_densities(points / 255, images / 255) for images in (near, run.data.validation.images))
    sigma = max(first, key=first.get)
    assert sigma != max(whole, key=whole.get)
    metric = run.metrics["parzen"]
    assert (metric["sigma"], metric["split"], metric["n"]) == (sigma, "test", 50)
    assert metric["value"] == pytest.approx(mean_log_densities(points / 255, test / 255)[sigma], abs=1e-3)
    assert metric["unit"] == "nats per image, window of 40 points"


def share_in_balls(a, b):
    """Returns the share of a within the distance of some member of b to its third nearest other member."""
    radii = np.sort(cdist(b, b), axis=1)[:, 3]
    return np.mean(np.any(cdist(a, b) <= radii, axis=1))


def measures(generated, real, judged):
    """Returns by definition what `measure_samples` records by the features of two sets and the verdicts on a third."""
    a, b = (ClassifierStub().features(x) for x in (generated, real))
    covariances = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    p = ClassifierStub().probabilities(judged)
    return {
        "frechet_distance__all": np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root),
        "sample_precision__all": share_in_balls(a, b),
        "sample_recall__all": share_in_balls(b, a),
        "classifier_score__all": np.exp(np.sum(p * np.log(p / p.mean(axis=0)), axis=1).mean()),
        "rarest_class_share__all": np.bincount(p.argmax(axis=1), minlength=10).min() / len(p),
    }


def test_features_are_those_of_as_many_samples_as_test_images_and_verdicts_those_of_all():
    rng = np.random.default_rng(0)
    validation, test = np.tile(rng.integers(40, 215, (50, 20)), (5, 1)), rng.integers(40, 215, (200, 20))
    samples = 0.15 + 0.7 * rng.random((350, 20))
    # The samples that are compared with the test images differ from the others, in features and in verdicts.
    samples[:200, :3] += 0.15
    samples[:200, 3:13] *= 0.6
    samples[:200, 4] += 0.15
    run = RunStub(np.uint8(validation), np.uint8(test))
    shares = measure_samples(run, ClassifierStub(), np.float32(samples), "__all")

    parzen = run.metrics.pop("parzen_log_likelihood__all")
    assert parzen["unit"] == "nats per image, window of 350 points"
    expected, wrong = measures(samples[:200], test / 255, samples), measures(samples[150:], test / 255, samples[:200])
    assert run.metrics.keys() == expected.keys()
    for name, metric in run.metrics.items():
        assert metric["value"] == pytest.approx(expected[name], rel=1e-4), name
        assert metric["value"] != pytest.approx(wrong[name], rel=0.05), name
        assert metric["n"] == (350 if name.startswith(("classifier_score", "rarest")) else 200)
        assert metric["classifier"] == "stub"
    # None is an extreme, and samples and test images cannot be exchanged.
    precision, recall = expected["sample_precision__all"], expected["sample_recall__all"]
    assert 0.1 < precision < 0.9 and 0.1 < recall < 0.9 and abs(precision - recall) > 0.05
    assert 0 < shares.min() == expected["rarest_class_share__all"] < 0.1
    np.testing.assert_array_equal(shares, np.bincount(samples[:, 3:13].argmax(axis=1), minlength=10) / 350)
