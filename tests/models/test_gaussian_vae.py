"""The VAE with the lecture's Gaussian decoder."""

import keras
import numpy as np
import pytest

from tfgen.distributions import Draw, stateless_seed
from tfgen.models.vae import GaussianVAE


def small_vae(**kwargs):
    keras.utils.set_random_seed(0)
    model = GaussianVAE(**{"latent_dim": 2, "hidden_units": (16,), "input_dim": 6, **kwargs})
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    return model


def data(n=2000):
    """Returns images whose last three pixels are noise of standard deviation 0.2 about 0.5, the others about 0.05."""
    rng = np.random.default_rng(0)
    return (0.5 + rng.normal(size=(n, 6)) * np.repeat([0.05, 0.2], 3)).astype(np.float32)


def test_log_likelihood_is_the_normal_density_of_the_decoder_s_outputs():
    model, x = small_vae(), data(9)
    z = np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)
    mean, log_var = (np.asarray(output, np.float64) for output in model.decoder(z))
    variance = np.exp(log_var)
    expected = -0.5 * np.sum(np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance, axis=1)
    np.testing.assert_allclose(model.log_likelihood(x, z), expected, rtol=1e-4)
    assert np.all((mean > 0) & (mean < 1))


def test_the_variance_keeps_above_its_floor_and_the_density_finite():
    model = small_vae(min_variance=0.04)
    # So low a bias that softplus is 0 in float32.
    model.decoder.get_layer("excess_variance").bias.assign(np.full(6, -200.0))
    _, log_var = model.decoder(np.zeros((3, 2), np.float32))
    np.testing.assert_allclose(np.exp(log_var), 0.04, rtol=1e-5)
    constant = np.zeros((3, 6), np.float32)
    assert np.all(np.isfinite(model.log_likelihood(constant, np.zeros((3, 2), np.float32))))


def test_training_finds_the_variance_of_each_pixel():
    model, x = small_vae(min_variance=1e-4), data()
    rates = keras.optimizers.schedules.CosineDecay(1e-2, 2000)
    model.compile(keras.optimizers.Adam(rates), jit_compile=True, steps_per_execution=100)
    model.fit(np.tile(x, (100, 1)), batch_size=100, verbose=0)
    z_mean, _ = model.encoder(x)
    deviation = np.sqrt(np.mean(np.exp(model.decoder(z_mean)[1]), axis=0))
    # The model may explain a part of the noise through z, never more than all of it.
    assert np.all(deviation < 1.1 * np.repeat([0.05, 0.2], 3))
    assert deviation[3:].min() > 2 * deviation[:3].max()


def test_drawn_images_have_the_decoder_s_mean_and_variance():
    model, n = small_vae(), 20_000
    z = np.tile(np.float32([[0.3, -0.2]]), (n, 1))
    x = model.sample_image(z, stateless_seed(0, Draw.EVALUATION)).numpy().astype(np.float64)
    mean, log_var = (np.asarray(output, np.float64)[0] for output in model.decoder(z[:1]))
    variance = np.exp(log_var)
    assert np.all(np.abs(x.mean(0) - mean) < 5 * np.sqrt(variance / n))
    assert np.all(np.abs(x.var(0) - variance) < 5 * variance * np.sqrt(2 / n))
    assert np.any(np.abs(x.var(0) - 1.1 * variance) > 5 * variance * np.sqrt(2 / n))


def test_saving_keeps_the_floor_and_the_outputs(tmp_path):
    model, x = small_vae(min_variance=0.02), data(300)
    model.fit(x, batch_size=100, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.min_variance == 0.02
    assert int(loaded.optimizer.iterations) == 6
    np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))
    assert loaded.evaluate(x, verbose=0) == pytest.approx(model.evaluate(x, verbose=0), rel=1e-6)


def test_generated_images_are_the_means():
    model = small_vae()
    output = model.endpoints()["generate"][0](np.arange(4))
    np.testing.assert_allclose(output["image"], model.decoder(output["z"])[0], atol=1e-6)


@pytest.mark.parametrize("min_variance", [0, -0.04])
def test_a_floor_of_the_variance_is_positive_and_never_taken_for_the_latents(min_variance):
    with pytest.raises(ValueError, match=f"`min_variance` must be positive, got {min_variance}"):
        GaussianVAE(6, 2, (16,), min_variance=min_variance)
    assert GaussianVAE(12, 3, (4,)).latent_dim == 3
