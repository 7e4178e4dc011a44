"""The classifier that judges samples: its network, the shifts that it is trained on, and what it says of images."""

import hashlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import linalg, special
from scipy.spatial.distance import cdist
from tfgen.corruption import random_shift
from tfgen.lecture.judge import Judge, measure_samples, record_parzen

from tfgen import export
from tfgen.models.classifier import convolutional_classifier, endpoints


def test_a_shift_moves_the_image_and_brings_in_black():
    image = np.zeros((28, 28), np.float32)
    image[10:13, 5:9] = np.arange(1, 13).reshape(3, 4)
    shifted = random_shift(tf.constant(np.tile(image.ravel(), (500, 1))), 2, [0, 1]).numpy().reshape(-1, 28, 28)
    moves = set()
    for one in shifted:
        # The digit is whole, since its margin is wider than the shift.
        rows, columns = np.nonzero(one)
        move = rows.min() - 10, columns.min() - 5
        np.testing.assert_array_equal(one, np.roll(image, move, axis=(0, 1)))
        moves.add(tuple(int(step) for step in move))
    assert moves == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}


def test_what_leaves_the_image_does_not_come_in_on_the_other_side():
    border = np.ones((28, 28), np.float32)
    border[1:-1, 1:-1] = 0
    shifted = random_shift(tf.constant(np.tile(border.ravel(), (200, 1))), 2, [0, 2]).numpy().reshape(-1, 28, 28)
    # Wrong: rolling, which keeps the sum.
    sums = {round(float(one.sum())) for one in shifted}
    assert max(sums) == border.sum() and min(sums) < border.sum() - 50


def test_no_shift_returns_the_images(images):
    np.testing.assert_array_equal(random_shift(tf.constant(images), 0, [0, 0]).numpy(), images)


def test_the_network_has_its_parameters_and_computes_a_convolution_by_hand():
    model = convolutional_classifier()
    convolutions = 9 * 32 + 32 + 9 * 32 * 64 + 64
    assert model.count_params() == convolutions + 7 * 7 * 64 * 128 + 128 + 128 * 10 + 10
    small = convolutional_classifier((1,), 3, side=4)
    rng = np.random.default_rng(0)
    small.set_weights([rng.normal(size=weight.shape) for weight in small.weights])
    kernel, bias, dense, dense_bias, head, head_bias = (weight.astype(np.float64) for weight in small.get_weights())
    x = rng.random((4, 4)).astype(np.float32)
    padded = np.pad(x, 1)
    convolved = np.array(
        [[np.sum(padded[i : i + 3, j : j + 3] * kernel[:, :, 0, 0]) for j in range(4)] for i in range(4)]
    )
    pooled = np.maximum(convolved + bias, 0).reshape(2, 2, 2, 2).max(axis=(1, 3))
    expected = np.maximum(pooled.ravel() @ dense + dense_bias, 0) @ head + head_bias
    np.testing.assert_allclose(small(x.reshape(1, 16))[0].numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(0)
    model = convolutional_classifier((2, 2), 5)
    (directory / "results.json").write_text('{"metrics": {"test_error": {"value": 0.01}}}')
    export.export(endpoints(model, ("features", "features", "features")), directory / "saved_model")
    return model, directory


def test_the_judge_says_what_the_exported_classifier_says_in_chunks(exported, images, monkeypatch):
    model, directory = exported
    monkeypatch.setattr(Judge, "CHUNK", 100)
    judge = Judge(directory)
    logits = model(images).numpy()
    np.testing.assert_allclose(judge.probabilities(images), special.softmax(logits, axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(judge.features(images), model.get_layer("features")(images), rtol=1e-4, atol=1e-6)
    assert judge.test_error == 0.01
    weights = sorted(weight.tobytes() for weight in model.get_weights())
    assert judge.sha256 == hashlib.sha256(b"".join(weights)).hexdigest()


def test_the_judge_s_hash_is_its_weights_not_its_file_s(exported, tmp_path):
    """A copy that the same process makes has layers of other names."""
    model, directory = exported
    copy = convolutional_classifier((2, 2), 5)
    (tmp_path / "results.json").write_text('{"metrics": {"test_error": {"value": 0.01}}}')
    copy.set_weights(model.get_weights())
    export.export(endpoints(copy, ("features", "features", "features")), tmp_path / "saved_model")
    assert Judge(tmp_path).sha256 == Judge(directory).sha256
    changed = model.get_weights()
    changed[0][0, 0, 0, 0] += 1e-6
    copy.set_weights(changed)
    export.export(endpoints(copy, ("features", "features", "features")), tmp_path / "saved_model")
    assert Judge(tmp_path).sha256 != Judge(directory).sha256


class RunStub:
    """What the measures take of a run: its images, and where metrics are put."""

    def __init__(self, validation, test):
        self.data = types.SimpleNamespace(
            validation=types.SimpleNamespace(images=validation), test=types.SimpleNamespace(images=test)
        )
        self.metrics = {}

    def metric(self, name, value, unit, split, n, **details):
        self.metrics[name] = {"value": value, "unit": unit, "split": split, "n": n, **details}


class JudgeStub:
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
    a, b = (JudgeStub().features(x) for x in (generated, real))
    covariances = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    p = JudgeStub().probabilities(judged)
    return {
        "frechet_distance__all": np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root),
        "sample_precision__all": share_in_balls(a, b),
        "sample_recall__all": share_in_balls(b, a),
        "classifier_score__all": np.exp(np.sum(p * np.log(p / p.mean(axis=0)), axis=1).mean()),
        "rarest_class_share__all": np.bincount(p.argmax(axis=1), minlength=10).min() / len(p),
    }


def test_features_are_those_of_as_many_samples_as_test_images_and_verdicts_those_of_all():
    rng = np.random.default_rng(0)
    validation, test = rng.integers(40, 215, (50, 20)), rng.integers(40, 215, (200, 20))
    samples = 0.15 + 0.7 * rng.random((350, 20))
    # The samples that are compared with the test images differ from the others, in features and in verdicts.
    samples[:200, :3] += 0.15
    samples[:200, 3:13] *= 0.6
    samples[:200, 4] += 0.15
    run = RunStub(np.uint8(validation), np.uint8(test))
    shares = measure_samples(run, JudgeStub(), np.float32(samples), "__all")

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
