"""The two generator losses side by side: their derivatives, and the gradients that a generator gets from them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.models.gan import GAN, GENERATOR_LOSSES
from tfgen.training.generator_gradients import gradient_norms, loss_derivatives


def untrained(**kwargs):
    keras.utils.set_random_seed(0)
    model = GAN(784, 8, (16,), (16,), **kwargs)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(5e-3))
    return model


def test_derivatives_of_the_losses_are_those_found_by_hand():
    """d/dl log(1 - s(l)) = -s(l); d/dl -log s(l) = -(1 - s(l)), with D = s(l)."""
    d = np.array([1e-6, 0.01, 0.2, 0.5, 0.99])
    logits = np.log(d / (1 - d))
    np.testing.assert_allclose(loss_derivatives("minimax", logits), -d, rtol=1e-9)
    np.testing.assert_allclose(loss_derivatives("non-saturating", logits), -(1 - d), rtol=1e-9)
    # Alike where D cannot tell, and nowhere else.
    minimax, non_saturating = (loss_derivatives(loss, logits) for loss in ("minimax", "non-saturating"))
    np.testing.assert_array_equal(np.isclose(minimax, non_saturating), d == 0.5)


@pytest.mark.parametrize("logit", [-100.0, 100.0])
def test_derivatives_stay_finite_where_the_discriminator_is_certain(logit):
    for loss in GENERATOR_LOSSES:
        (derivative,) = loss_derivatives(loss, np.array([logit]))
        assert derivative == pytest.approx(-1 if (logit < 0) == (loss == "non-saturating") else 0, abs=1e-12)


def test_on_one_image_the_gradients_differ_by_the_odds_that_it_is_real(images):
    """Both gradients are the logit's times the loss's derivative: their norms are as D(G(z)) to 1 - D(G(z))."""
    measured = gradient_norms(untrained(), tf.data.Dataset.from_tensor_slices(images[:40, None]), 0)
    d = measured["fake_probability"]
    assert d.shape == (40,) and d[-1] < 0.2 < d[0]
    np.testing.assert_allclose(measured["minimax"] / measured["non-saturating"], d / (1 - d), rtol=1e-4)


def test_measuring_gradients_trains_the_discriminator_alone(images):
    model = untrained()
    generator = [np.copy(weight) for weight in model.generator.get_weights()]
    discriminator = [np.copy(weight) for weight in model.discriminator.get_weights()]
    batches = tf.data.Dataset.from_tensor_slices(images).batch(64)
    first = gradient_norms(model, batches, 0)
    for before, after in zip(generator, model.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(np.any(a != b) for a, b in zip(discriminator, model.discriminator.get_weights(), strict=True))
    again = gradient_norms(untrained(), batches, 0)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])


def test_the_minimax_gradient_vanishes_as_the_discriminator_wins_and_the_other_does_not(images):
    batches = tf.data.Dataset.from_tensor_slices(images).repeat(30).batch(64)
    measured = gradient_norms(untrained(), batches, 0)
    assert measured["fake_probability"][-1] < 1e-3
    assert measured["minimax"][-1] < 0.02 * measured["minimax"][0]
    assert measured["non-saturating"][-1] > measured["non-saturating"][0]
