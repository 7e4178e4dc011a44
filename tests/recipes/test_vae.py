"""The lecture's VAEs: what they are, and the terms of their bound recomputed in float64 from their checkpoints."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfgen.data.batches import fixed_binarization
from tfgen.recipes import RECIPES

NAMES = ("vae", "vae-2d", "vae-gaussian")


def checkpoint(run):
    return keras.models.load_model(run.directory / "checkpoints" / "model.keras")


@pytest.mark.parametrize("name", NAMES)
def test_the_models_are_what_the_recipes_say(name, smoke):
    config, model = RECIPES[name].presets["smoke"], checkpoint(smoke(name))
    assert (model.latent_dim, model.activation) == (config.latent_dim, config.activation)
    assert tuple(model.hidden_units) == config.hidden_units
    assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)  # the cosine's end
    rate = model.optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
    assert rate == config.learning_rate
    if name == "vae-gaussian":
        assert model.min_variance == config.min_variance


def test_the_kl_divergence_is_that_of_the_saved_encoder(smoke, digits):
    run = smoke("vae")
    model = tf.saved_model.load(str(run.directory / "saved_model"))
    posterior = model.signatures["encode"](image=fixed_binarization(digits.test.images))
    mean, log_var = (posterior[name].numpy().astype(np.float64) for name in ("z_mean", "z_log_var"))
    expected = 0.5 * np.mean(np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1))
    assert run.results["metrics"]["test_kl_divergence"]["value"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_terms_add_up_and_are_those_of_the_checkpoint_on_the_test_images(name, smoke, digits):
    """The KL divergence exactly; the reconstruction loss with twenty draws of z, by SciPy's densities of pixels."""
    run = smoke(name)
    model, metrics = checkpoint(run), {key: metric["value"] for key, metric in run.results["metrics"].items()}
    assert metrics["test_negative_elbo"] == pytest.approx(
        metrics["test_reconstruction_loss"] + metrics["test_kl_divergence"], rel=1e-5
    )
    images = digits.test.images
    x = images / np.float32(255) if name == "vae-gaussian" else fixed_binarization(images).numpy()
    mean, log_var = (value.numpy().astype(np.float64) for value in model.encoder(x))
    kl = 0.5 * np.mean(np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1))
    assert metrics["test_kl_divergence"] == pytest.approx(kl, rel=1e-4)

    rng, losses = np.random.default_rng(0), []
    for _ in range(20):
        decoded = model.decoder(rng.normal(mean, np.exp(log_var / 2)).astype(np.float32))
        if name == "vae-gaussian":
            mu, log_variance = (part.numpy().astype(np.float64) for part in decoded)
            assert np.exp(log_variance).min() >= model.min_variance * (1 - 1e-6)
            log_p = stats.norm.logpdf(x, mu, np.exp(log_variance / 2))
        else:
            p = 1 / (1 + np.exp(-decoded.numpy().astype(np.float64)))
            log_p = stats.bernoulli.logpmf(x, p)
        losses.append(-np.mean(np.sum(log_p, axis=1)))
    # One draw an image: five standard deviations of the mean over the test images, as the draws show them.
    assert metrics["test_reconstruction_loss"] == pytest.approx(np.mean(losses), abs=5 * np.std(losses))
    assert 5 * np.std(losses) < 0.1 * abs(np.mean(losses))
