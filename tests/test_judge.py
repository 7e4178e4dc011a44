"""The classifier that judges samples: its network, the shifts that it is trained on, and what it says of images."""

import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import export
from tfgen.corruption import random_shift
from tfgen.lecture.judge import Judge
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
    np.testing.assert_allclose(judge.logits(images), logits, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(judge.probabilities(images).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(judge.probabilities(images).argmax(axis=1), logits.argmax(axis=1))
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
