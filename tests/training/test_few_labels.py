"""Learning from few labels: which ones, the linear head by its gradient, and what fine-tuning changes."""

import types

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from tfgen.data.batches import scale
from tfgen.models import classifier
from tfgen.recipes import RECIPES
from tfgen.training.few_labels import balanced_subset, compile_classifier, fit_classifier, softmax_regression

# Updates in calls of twenty.
CONFIG = RECIPES["feature-classifier"].presets["smoke"].replace(updates=(20, 60), all_labels_updates=40)


def test_subsets_are_balanced_nested_and_functions_of_the_seed(digits):
    labels = digits.train.labels
    large, small, again, other = (
        balanced_subset(labels, 10, count, np.random.default_rng([0, seed]))
        for count, seed in ((600, 1), (100, 1), (100, 1), (100, 2))
    )
    for subset, count in ((large, 60), (small, 10), (other, 10)):
        assert np.bincount(labels[subset]).tolist() == [count] * 10
        assert len(set(subset)) == len(subset)
    assert set(small) < set(large)
    np.testing.assert_array_equal(small, again)
    # Wrong: the first of each class, whatever the seed. Two draws of 100 among 1,250 share 8 on average.
    assert len(set(small) & set(other)) < 25


def test_a_subset_has_as_many_classes_as_there_are():
    labels = np.repeat([0, 1, 2], [50, 20, 30])
    subset = balanced_subset(labels, 3, 30, np.random.default_rng(0))
    assert np.bincount(labels[subset]).tolist() == [10] * 3


def test_softmax_regression_is_where_the_gradient_vanishes():
    """The minimum of c * (sum of cross-entropies) + |W|^2 / 2 on x / std(x): kernel and gradient by hand, float64."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 10
    x = 3 * rng.standard_normal((300, 6)) + rng.standard_normal((10, 6))[labels]
    kernel, bias = softmax_regression(x, labels, 0.2)
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


# The network.


@pytest.fixture(scope="module")
def training(digits):
    """A function that trains a small classifier on 100 labels, from given weights or anew.

    It returns the logits of the test images, the weights after it, and the learning rate of each call.
    """
    run = types.SimpleNamespace(config=CONFIG, data=digits, deterministic=False)
    model = classifier.feature_classifier(784, 10, (16, 8))
    compile_classifier(run, model)
    chosen = balanced_subset(digits.train.labels, 10, 100, np.random.default_rng(0))
    test, fit = scale(digits.test.images).numpy(), keras.Model.fit

    def train(seed, weights=None, updates=20):
        rates = []
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: rates.append(float(model.optimizer.learning_rate))
        )

        def recorded_fit(self, *args, callbacks, **options):
            return fit(self, *args, callbacks=[*callbacks, record], **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.Model, "fit", recorded_fit)
            logits = fit_classifier(run, model, chosen, updates, seed, weights, test)
        assert int(model.optimizer.iterations) == updates
        return logits, model.get_weights(), rates

    return train


def test_training_moves_encoder_and_head_and_lowers_the_loss_on_its_labels(digits, training):
    network = classifier.feature_classifier(784, 10, (16, 8))
    before = network.get_weights()
    chosen = balanced_subset(digits.train.labels, 10, 100, np.random.default_rng(0))
    x, labels = scale(digits.train.images[chosen]).numpy(), digits.train.labels[chosen]

    def cross_entropy(weights):
        network.set_weights(weights)
        return -np.mean(log_softmax(network(x).numpy().astype(np.float64), axis=1)[np.arange(100), labels])

    logits, after, _ = training(0, before, updates=100)
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert cross_entropy(before) > 0.5 > cross_entropy(after)
    np.testing.assert_allclose(logits, network(scale(digits.test.images)), rtol=1e-4, atol=1e-4)


def test_a_training_is_a_function_of_seed_and_weights_alone(training):
    """The network and its optimizer have been used for another training in between."""
    logits, weights, _ = training(1)
    other, _, _ = training(2)
    again, weights_again, _ = training(1)
    np.testing.assert_array_equal(logits, again)
    for a, b in zip(weights, weights_again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(logits != other)


@pytest.mark.parametrize("updates, shares", [(20, [1]), (40, [1, 0.5]), (60, [1, 0.75, 0.25])])
def test_the_rate_falls_along_a_cosine_over_as_many_updates_as_asked_for(training, updates, shares):
    """By hand: in three calls (1 + cos(pi k / 3)) / 2 = 1, 3/4, 1/4; in two 1, 1/2."""
    _, _, rates = training(0, updates=updates)
    np.testing.assert_allclose(rates, 3e-3 * np.array(shares), rtol=1e-5)


def test_from_scratch_a_training_begins_with_random_weights_of_its_seed(digits, monkeypatch):
    """Glorot's uniform distribution, of variance 2 / (inputs + outputs), and no bias."""
    starts = []
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **options: starts.append(self.get_weights()))
    run = types.SimpleNamespace(config=CONFIG, data=digits, deterministic=False)
    model = classifier.feature_classifier(784, 10, (300, 150))
    compile_classifier(run, model)
    for seed in (1, 1, 2):
        fit_classifier(run, model, np.arange(100), 20, seed, None, np.zeros((1, 784), np.float32))
    given = [weight + 1 for weight in starts[0]]
    fit_classifier(run, model, np.arange(100), 20, 1, given, np.zeros((1, 784), np.float32))
    first, again, other, from_given = starts
    for a, b, c in zip(first[::2], again[::2], other[::2], strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(a != c)
    for kernel, bias in zip(first[::2], first[1::2], strict=True):
        assert not np.any(bias)
        bound = np.sqrt(6 / sum(kernel.shape))
        assert 0.99 * bound < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=5 * np.sqrt(0.2 / kernel.size))
    for a, b in zip(from_given, given, strict=True):
        np.testing.assert_array_equal(a, b)
