"""The 2014 paper's GAN: its networks, rate, momentum and first weights as its authors' file has them."""

import keras
import numpy as np
import pytest

from tfgen.recipes import RECIPES

NAME = "gan-goodfellow"


@pytest.fixture(scope="module")
def goodfellow(untrained):
    """From the precision to the run, up to its training."""
    sizes = {"generator_units": (8,), "discriminator_units": (4,), "pieces": 2}
    return {
        precision: untrained(NAME, first_only=True, precision=precision, **sizes)
        for precision in ("float32", "mixed_bfloat16")
    }


def test_goodfellow_s_rate_is_divided_by_1_000004_at_every_update(goodfellow):
    model = goodfellow["float32"].fitted[0].model
    naive = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 1 / 1.000004)
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        for updates in (0, 1_000, 1_000_000):
            optimizer.iterations.assign(updates)
            expected = 0.1 / 1.000004**updates
            assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-4)
        # Wrong: the power of a number as near to 1 as float32 comes.
        assert float(naive(updates)) != pytest.approx(expected, rel=1e-3)


def test_goodfellow_s_momentum_rises_for_250_epochs(goodfellow):
    run = goodfellow["float32"]
    (fitted,) = run.fitted
    last = 250 * run.steps_per_epoch(fitted.batches)
    for name in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = getattr(fitted.model, name)
        for iteration, expected in ((0, 0.5), (last // 2, 0.6), (last, 0.7), (2 * last, 0.7)):
            optimizer.iterations.assign(iteration)
            assert float(optimizer.current_momentum()) == pytest.approx(expected)
        optimizer.iterations.assign(last - last // 250)
        assert float(optimizer.current_momentum()) == pytest.approx(0.7 - 0.2 / 250)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_goodfellow_s_generator_begins_at_the_mean_image(goodfellow, digits, precision):
    (fitted,) = goodfellow[precision].fitted
    (bias,) = (weight for weight in fitted.initial if weight.shape == (784,))
    mean = np.clip(digits.train.images.astype(np.float64).mean(axis=0) / 255, 0.001, 0.999)
    np.testing.assert_allclose(bias, np.log(mean / (1 - mean)), rtol=1e-4, atol=1e-5)
    batch = next(iter(fitted.batches.stream())).numpy()
    assert batch.shape == (100, 784) and len(np.unique(batch)) > 2  # grey, as in the paper


def test_the_model_is_what_the_recipe_says(smoke):
    config = RECIPES[NAME].presets["smoke"]
    model = keras.models.load_model(smoke(NAME).directory / "checkpoints" / "model.keras")
    fields = ("noise", "noise_dim", "pieces", "input_keep", "hidden_keep", "generator_range", "discriminator_range")
    for field in fields:
        assert getattr(model, field) == getattr(config, field), field
    assert tuple(model.generator_units) == config.generator_units
    assert tuple(model.discriminator_units) == config.discriminator_units
    paper = RECIPES[NAME].presets["paper"]
    assert (paper.generator_units, paper.discriminator_units) == ((1200, 1200), (240, 240))
    assert (paper.generator_range, paper.discriminator_range) == (0.05, 0.005)
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        rate = optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
        assert rate == config.learning_rate == 0.1
        assert (optimizer.momentum, optimizer.final_momentum) == (config.momentum, config.final_momentum) == (0.5, 0.7)
