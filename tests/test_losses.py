import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import jensenshannon
from scipy.special import expit

from tfgen.losses import (
    discriminator_loss,
    minimax_generator_loss,
    non_saturating_generator_loss,
    squared_error,
)


def gradient(loss, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits)
    return tape.gradient(value, logits).numpy()


def test_squared_error_by_hand():
    error = squared_error(tf.constant([[1.0, 2, 3], [0, 1, 0]]), tf.constant([[0.0, 0, 5], [0, 0.5, 0]]))
    np.testing.assert_array_equal(error, [1 + 4 + 4, 0.25])


def test_squared_error_is_the_squared_euclidean_distance():
    x, reconstruction = np.random.default_rng(0).normal(size=(2, 5, 784))
    error = squared_error(x, reconstruction).numpy()
    np.testing.assert_allclose(error, np.linalg.norm(x - reconstruction, axis=1) ** 2, rtol=1e-12)
    np.testing.assert_array_equal(error, squared_error(reconstruction, x))
    np.testing.assert_array_equal(squared_error(x, x), np.zeros(5))


def test_squared_error_is_exact_at_extreme_pixels():
    x = np.float32([[1] * 784, [1e6] * 784])
    np.testing.assert_allclose(squared_error(x, np.zeros_like(x)), [784, 784e12], rtol=1e-6)


def test_losses_where_the_discriminator_cannot_tell():
    undecided = tf.zeros((4, 1))
    # V(D, G) = -log 4 at D = 1/2, and its second term is half of it.
    assert float(discriminator_loss(undecided, undecided)) == pytest.approx(2 * np.log(2), rel=1e-6)
    assert float(minimax_generator_loss(undecided)) == pytest.approx(-np.log(2), rel=1e-6)
    assert float(non_saturating_generator_loss(undecided)) == pytest.approx(np.log(2), rel=1e-6)


def test_losses_are_the_logarithms_of_the_paper():
    rng = np.random.default_rng(1)
    real, fake = rng.normal(1, 3, (40, 1)), rng.normal(-1, 3, (30, 1))
    log_d, log_not_d = np.log(expit(real)).mean(), np.log(1 - expit(fake)).mean()
    assert float(discriminator_loss(real, fake)) == pytest.approx(-(log_d + log_not_d), rel=1e-10)
    assert float(minimax_generator_loss(fake)) == pytest.approx(log_not_d, rel=1e-10)
    assert float(non_saturating_generator_loss(fake)) == pytest.approx(-np.log(expit(fake)).mean(), rel=1e-10)


def test_the_optimal_discriminator_reaches_the_jensen_shannon_divergence():
    # Three images with the frequencies 3 : 2 : 1 in the data and 1 : 1 : 2 among the samples.
    data, samples = np.array([3, 2, 1]), np.array([1, 1, 2])

    def loss(logits):
        return float(discriminator_loss(np.repeat(logits, data)[:, None], np.repeat(logits, samples)[:, None]))

    # Proposition 1 and theorem 1: D* = p_data / (p_data + p_g) and V(D*, G) = -log 4 + 2 JSD.
    best = np.log(data / data.sum()) - np.log(samples / samples.sum())
    assert loss(best) == pytest.approx(np.log(4) - 2 * jensenshannon(data, samples) ** 2, rel=1e-10)
    for change in 0.1 * np.concatenate([np.eye(3), -np.eye(3)]):
        assert loss(best + change) > loss(best)


def test_losses_are_exact_at_extreme_logits():
    high, low = tf.constant([[100.0]]), tf.constant([[-100.0]])
    assert float(discriminator_loss(high, low)) == pytest.approx(0, abs=1e-30)
    assert float(discriminator_loss(low, high)) == pytest.approx(200, rel=1e-6)
    assert float(minimax_generator_loss(high)) == pytest.approx(-100, rel=1e-6)
    assert float(minimax_generator_loss(low)) == pytest.approx(0, abs=1e-30)
    assert float(non_saturating_generator_loss(high)) == pytest.approx(0, abs=1e-30)
    assert float(non_saturating_generator_loss(low)) == pytest.approx(100, rel=1e-6)


def test_the_minimax_gradient_vanishes_on_rejected_samples_and_the_non_saturating_one_does_not():
    for logit in (-5.0, -20.0, -100.0):
        probability = expit(logit)
        assert gradient(minimax_generator_loss, [[logit]]) == pytest.approx(-probability, rel=1e-5, abs=1e-30)
        assert gradient(non_saturating_generator_loss, [[logit]]) == pytest.approx(probability - 1, rel=1e-5)


def test_both_generator_losses_fall_as_the_discriminator_takes_samples_for_real():
    logits = np.linspace(-8, 8, 33)[:, None]
    # The gradient of the mean over the batch is each logit's own over their number.
    minimax, non_saturating = (
        len(logits) * gradient(loss, logits) for loss in (minimax_generator_loss, non_saturating_generator_loss)
    )
    assert np.all(minimax < 0) and np.all(non_saturating < 0)
    # -D and -(1 - D): they meet at D = 1/2 and mirror each other.
    np.testing.assert_allclose(minimax, -expit(logits), rtol=1e-10)
    np.testing.assert_allclose(minimax, non_saturating[::-1], rtol=1e-10)


def test_the_discriminator_gains_from_higher_real_and_lower_fake_logits():
    logits = np.float64([[-2], [0.5]])
    to_real = gradient(lambda real: discriminator_loss(real, tf.zeros_like(real)), logits)
    to_fake = gradient(lambda fake: discriminator_loss(tf.zeros_like(fake), fake), logits)
    np.testing.assert_allclose(to_real, (expit(logits) - 1) / 2, rtol=1e-10)
    np.testing.assert_allclose(to_fake, expit(logits) / 2, rtol=1e-10)
