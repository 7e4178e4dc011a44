"""The two generator losses side by side: their derivatives, and the gradients that a generator gets from them."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfgen.lecture import part_d

from tfgen import datasets
from tfgen.models.gan import GAN, GENERATOR_LOSSES
from tfgen.recipes import RECIPES


def untrained(**kwargs):
    keras.utils.set_random_seed(0)
    model = GAN(8, (16,), (16,), **kwargs)
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(5e-3))
    return model


def test_derivatives_of_the_losses_are_those_found_by_hand():
    """d/dl log(1 - s(l)) = -s(l); d/dl -log s(l) = -(1 - s(l)), with D = s(l)."""
    d = np.array([1e-6, 0.01, 0.2, 0.5, 0.99])
    logits = np.log(d / (1 - d))
    np.testing.assert_allclose(part_d.loss_derivatives("minimax", logits), -d, rtol=1e-9)
    np.testing.assert_allclose(part_d.loss_derivatives("non-saturating", logits), -(1 - d), rtol=1e-9)
    # Alike where D cannot tell, and nowhere else.
    minimax, non_saturating = (part_d.loss_derivatives(loss, logits) for loss in ("minimax", "non-saturating"))
    np.testing.assert_array_equal(np.isclose(minimax, non_saturating), d == 0.5)


@pytest.mark.parametrize("logit", [-100.0, 100.0])
def test_derivatives_stay_finite_where_the_discriminator_is_certain(logit):
    for loss in GENERATOR_LOSSES:
        (derivative,) = part_d.loss_derivatives(loss, np.array([logit]))
        assert derivative == pytest.approx(-1 if (logit < 0) == (loss == "non-saturating") else 0, abs=1e-12)


def test_on_one_image_the_gradients_differ_by_the_odds_that_it_is_real(images):
    """Both gradients are the logit's times the loss's derivative: their norms are as D(G(z)) to 1 - D(G(z))."""
    measured = part_d.gradient_norms(untrained(), tf.data.Dataset.from_tensor_slices(images[:40, None]), 0)
    d = measured["fake_probability"]
    assert d.shape == (40,) and d[-1] < 0.2 < d[0]
    np.testing.assert_allclose(measured["minimax"] / measured["non-saturating"], d / (1 - d), rtol=1e-4)


def test_measuring_gradients_trains_the_discriminator_alone(images):
    model = untrained()
    generator = [np.copy(weight) for weight in model.generator.get_weights()]
    discriminator = [np.copy(weight) for weight in model.discriminator.get_weights()]
    batches = tf.data.Dataset.from_tensor_slices(images).batch(64)
    first = part_d.gradient_norms(model, batches, 0)
    for before, after in zip(generator, model.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(np.any(a != b) for a, b in zip(discriminator, model.discriminator.get_weights(), strict=True))
    again = part_d.gradient_norms(untrained(), batches, 0)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])


def test_the_minimax_gradient_vanishes_as_the_discriminator_wins_and_the_other_does_not(images):
    batches = tf.data.Dataset.from_tensor_slices(images).repeat(30).batch(64)
    measured = part_d.gradient_norms(untrained(), batches, 0)
    assert measured["fake_probability"][-1] < 1e-3
    assert measured["minimax"][-1] < 0.02 * measured["minimax"][0]
    assert measured["non-saturating"][-1] > measured["non-saturating"][0]


def test_variants_are_named_for_their_noise_and_their_loss():
    assert part_d._suffix(("uniform", "non-saturating")) == "uniform_non_saturating"


def test_each_variant_is_measured_on_its_own_samples_and_verdicts(monkeypatch):
    """No training: samples whose first pixel says which digit they are, in shares about the threshold of 1 %."""
    config = dataclasses.replace(RECIPES["gan-variants"].presets["smoke"], num_samples=1000)
    assert config.covered_share == 0.01
    # From a variant to how many samples each digit has; with 10 of 1,000 it counts as covered, with 9 it does not.
    counts = {
        ("uniform", "non-saturating"): [100] * 10,
        ("gaussian", "non-saturating"): [901, 11, 11, 11, 11, 11, 11, 11, 11, 11],
        ("uniform", "minimax"): [10, 9, 9, 9, 9, 9, 9, 9, 9, 918],
        ("gaussian", "minimax"): [0, 0, 0, 0, 0, 300, 12, 10, 9, 669],
    }
    verdicts = {
        variant: {"real_probability": 0.9 - i / 10, "fake_probability": 0.1 + i / 100}
        for i, variant in enumerate(counts)
    }

    def train(run, noise, loss, **options):
        images = np.zeros((1000, 784))
        images[:, 0] = np.repeat(np.arange(10), counts[noise, loss])
        model = types.SimpleNamespace(
            sample_noise=lambda shape, seed: np.zeros(shape),
            generator=types.SimpleNamespace(predict=lambda z, **options: images),
            evaluate=lambda x, **options: verdicts[noise, loss],
            endpoints=dict,
        )
        names = ("fake_probability", "val_real_probability", "val_fake_probability")
        return model, {name: [0.5] for name in names}

    judge = types.SimpleNamespace(probabilities=lambda images: np.eye(10)[images[:, 0].astype(int)])
    monkeypatch.setattr(part_d, "_train", train)
    monkeypatch.setattr(part_d, "Judge", lambda directory: judge)
    monkeypatch.setattr(part_d, "_gradients", lambda *args: None)
    found = {}
    part_d.gan_variants(
        types.SimpleNamespace(
            config=config,
            data=datasets.digits(),
            seed=0,
            EVALUATION_BATCH=1000,
            needed=lambda name, load: load(name),
            metric=lambda name, value, *rest: found.update({name: value}),
            figure=lambda name, figure: None,
            export=lambda endpoints: None,
        )
    )
    rarest, covered = (100, 11, 9, 0), (10, 10, 2, 4)
    for variant, least, count in zip(counts, rarest, covered, strict=True):
        suffix = part_d._suffix(variant)
        assert found[f"rarest_class_share__{suffix}"] == pytest.approx(least / 1000)
        assert found[f"digits_covered__{suffix}"] == count
        for name, value in verdicts[variant].items():
            assert found[f"{name}__{suffix}"] == value
