"""The VAE: its bound against an exact log p(x), its step, and what survives saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.distributions import Draw, stateless_seed, threefry_normal
from tfgen.models.vae import VAE, GaussianVAE, ImportanceWeightedVAE


def small_vae(**kwargs):
    keras.utils.set_random_seed(0)
    model = VAE(**{"input_dim": 784, "latent_dim": 2, "hidden_units": (32,), **kwargs})
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    return model


def weights(model):
    return [np.copy(weight) for weight in model.get_weights()]


def negative_elbo(model, x, draws, include_kl=True):
    """Returns the mean over `draws` of each image's negative ELBO, and the standard error of that mean."""
    terms = tf.function(lambda i: model.negative_elbo_terms(x, stateless_seed(7, Draw.EVALUATION, i)))
    values = []
    for i in tf.range(draws):
        reconstruction_loss, kl = terms(i)
        values.append(reconstruction_loss + kl if include_kl else reconstruction_loss)
    values = np.array(values, np.float64)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(draws)


def exact_log_likelihood(model, x):
    """Returns log p(x) = log of the integral of p(x|z) N(z) dz over a fine grid of a one-dimensional z, in float64."""
    z = np.linspace(-8, 8, 4001)
    logits = np.asarray(model.decoder(z[:, None].astype(np.float32)), np.float64)
    log_p = (x[:, None, :] * logits - np.logaddexp(0, logits)).sum(-1) - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    largest = log_p.max(axis=1, keepdims=True)
    return (largest + np.log(np.exp(log_p - largest).sum(axis=1, keepdims=True) * (z[1] - z[0])))[:, 0]


def test_the_elbo_is_a_lower_bound_of_an_exact_log_likelihood():
    """On a model small enough to integrate; without the KL term the same check fails."""
    rng = np.random.default_rng(0)
    x = (rng.random((64, 12)) < np.where(rng.random((64, 1)) < 0.5, 0.1, 0.9)).astype(np.float32)
    model = small_vae(latent_dim=1, hidden_units=(16,), input_dim=12)
    model.fit(np.tile(x, (300, 1)), batch_size=64, verbose=0)
    log_p = exact_log_likelihood(model, x)
    bound, error = negative_elbo(model, x, 400)
    assert np.all(-bound <= log_p + 5 * error)
    # A trained posterior comes near the true one, so the bound is of the right size as well.
    assert np.mean(log_p + bound) < 0.15 * -np.mean(log_p)
    without_kl, error = negative_elbo(model, x, 400, include_kl=False)
    assert np.any(-without_kl > log_p + 5 * error)


def test_logged_terms_are_sums_over_pixels_and_latents_and_means_over_images(images):
    model = small_vae()
    logs = model.evaluate(images, batch_size=256, verbose=0, return_dict=True)
    z_mean, z_log_var = (np.asarray(part, np.float64) for part in model.encoder(images))
    kl = 0.5 * np.sum(z_mean**2 + np.exp(z_log_var) - z_log_var - 1, axis=1)
    np.testing.assert_allclose(logs["kl_divergence"], kl.mean(), rtol=1e-4)
    epsilon = threefry_normal((256, 2), stateless_seed(0, Draw.EVALUATION, 0))
    logits = np.asarray(model.decoder(z_mean + np.exp(z_log_var / 2) * epsilon), np.float64)
    reconstruction = -(images * logits - np.logaddexp(0, logits)).sum(axis=1)
    np.testing.assert_allclose(logs["reconstruction_loss"], reconstruction.mean(), rtol=1e-4)
    np.testing.assert_allclose(logs["loss"], logs["reconstruction_loss"] + logs["kl_divergence"], rtol=1e-5)


def test_one_step_follows_the_gradient_of_the_negative_elbo(images):
    """With plain gradient descent, the change of each weight is -rate times a gradient taken here."""
    keras.utils.set_random_seed(0)
    model = VAE(784, 2, (32,))
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    with tf.GradientTape() as tape:
        terms = model.negative_elbo_terms(images, stateless_seed(0, Draw.LATENT, 0))
        loss = tf.reduce_mean(terms[0]) + tf.reduce_mean(terms[1])
    gradients = tape.gradient(loss, model.trainable_variables)
    before = weights(model)
    model.train_on_batch(images)
    for old, new, gradient in zip(before, weights(model), gradients, strict=True):
        np.testing.assert_allclose(new - old, -1e-3 * gradient, atol=2e-6)
        assert np.any(new != old)


def test_each_iteration_has_noise_of_its_own(images):
    """The same step from the same weights, taken as iteration 0 and as iteration 1."""
    stepped = []
    for iteration in (0, 1):
        model = small_vae()
        model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
        model.optimizer.iterations.assign(iteration)
        model.train_on_batch(images)
        stepped.append(weights(model))
    assert any(np.any(a != b) for a, b in zip(*stepped, strict=True))


def test_a_training_step_logs_each_term_under_its_own_name(images):
    model = small_vae()
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    logs = model.train_on_batch(images, return_dict=True)
    reconstruction, kl = model.negative_elbo_terms(images, stateless_seed(0, Draw.LATENT, 0))
    assert logs["reconstruction_loss"] == pytest.approx(np.mean(reconstruction), rel=1e-5)
    assert logs["kl_divergence"] == pytest.approx(np.mean(kl), rel=1e-5)
    assert logs["loss"] == pytest.approx(np.mean(reconstruction) + np.mean(kl), rel=1e-5)
    assert np.mean(kl) < 0.5 * np.mean(reconstruction)


def test_the_decoder_mirrors_the_encoder():
    model = small_vae(hidden_units=(32, 16))
    shapes = [[weight.shape for weight in network.weights] for network in (model.encoder, model.decoder)]
    assert shapes[0] == [(784, 32), (32,), (32, 16), (16,), (16, 2), (2,), (16, 2), (2,)]
    assert shapes[1] == [(2, 16), (16,), (16, 32), (32,), (32, 784), (784,)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": np.zeros((8, 784), np.uint8)}, "float in .* got uint8"),
        ({"x": np.zeros((8, 784), np.float32), "y": np.zeros(8)}, "images alone"),
        ({"x": np.zeros((8, 784), np.float32), "y": np.zeros(8), "sample_weight": np.ones(8)}, "images alone"),
    ],
)
def test_what_would_be_ignored_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_vae().fit(**arguments, verbose=0)


def test_another_loss_than_the_negative_elbo_is_refused(images):
    model = small_vae()
    model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match=r"loss is the negative ELBO.*mse"):
        model.fit(images, verbose=0)


def test_fit_learns(images):
    model = small_vae()
    before = model.evaluate(images, verbose=0)[0]
    model.fit(np.tile(images, (30, 1)), batch_size=32, verbose=0)
    assert model.evaluate(images, verbose=0)[0] < 0.6 * before


def test_evaluation_changes_no_weight_and_repeats_itself(images):
    model = small_vae()
    before = weights(model)
    first = model.evaluate(images, batch_size=64, verbose=0)
    assert model.evaluate(images, batch_size=64, verbose=0) == first
    assert all(np.array_equal(old, new) for old, new in zip(before, weights(model), strict=True))


def test_batches_of_an_evaluation_have_noise_of_their_own(images):
    model = small_vae()
    twice = np.concatenate([images[:64], images[:64]])
    once = model.evaluate(images[:64], batch_size=64, verbose=0, return_dict=True)
    both = model.evaluate(twice, batch_size=64, verbose=0, return_dict=True)
    assert once["kl_divergence"] == pytest.approx(both["kl_divergence"], rel=1e-6)
    assert once["reconstruction_loss"] != both["reconstruction_loss"]


def test_the_same_seed_trains_to_the_same_weights_and_another_does_not(images):
    trained = []
    for seed in (0, 0, 1):
        model = small_vae(seed=seed)
        model.fit(images, batch_size=64, epochs=2, shuffle=False, verbose=0)
        trained.append(weights(model))
    assert all(np.array_equal(a, b) for a, b in zip(trained[0], trained[1], strict=True))
    assert any(np.any(a != b) for a, b in zip(trained[0], trained[2], strict=True))


@pytest.mark.parametrize("family", [VAE, GaussianVAE, ImportanceWeightedVAE])
def test_xla_takes_the_step_that_uncompiled_code_takes(family, images):
    stepped = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        model = family(784, 2, (32,))
        model.compile(keras.optimizers.SGD(1e-3), jit_compile=jit_compile)
        model.train_on_batch(images)
        stepped.append(weights(model))
    for a, b in zip(*stepped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_saving_keeps_config_outputs_and_optimizer_state_so_that_training_goes_on_bit_for_bit(images, tmp_path):
    model = small_vae(latent_dim=3, activation="relu", seed=5)
    model.fit(images, batch_size=64, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert loaded.latent_dim == 3
    assert int(loaded.optimizer.iterations) == 8
    assert np.array_equal(model.predict(images, verbose=0), loaded.predict(images, verbose=0))
    for network in (model, loaded):
        network.fit(images, batch_size=64, epochs=1, shuffle=False, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), weights(loaded), strict=True))


def test_generated_images_depend_on_their_seed_alone():
    model = small_vae()
    generate, _ = model.endpoints()["generate"]
    several = generate(tf.constant([3, 1, 4, 1], tf.int64))
    alone = generate(tf.constant([4], tf.int64))
    np.testing.assert_array_equal(several["z"][2], alone["z"][0])
    np.testing.assert_array_equal(several["z"][1], several["z"][3])
    assert np.any(several["z"][0] != several["z"][1])
    np.testing.assert_allclose(several["image"][2], alone["image"][0], atol=1e-6)
    np.testing.assert_allclose(several["image"], tf.sigmoid(model.decoder(several["z"])), atol=1e-6)


def test_generated_latents_follow_the_standard_normal():
    """5,000 draws of 2 latents: mean, variance and correlation within five standard errors; a wider prior is not."""
    generate = tf.function(small_vae().endpoints()["generate"][0])
    z = generate(tf.range(5000, dtype=tf.int64))["z"].numpy().astype(np.float64)
    assert np.all(np.abs(z.mean(axis=0)) < 5 / np.sqrt(5000))
    assert np.all(np.abs(z.var(axis=0) - 1) < 5 * np.sqrt(2 / 5000))
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / np.sqrt(5000)
    assert np.all(np.abs((1.2 * z).var(axis=0) - 1) > 5 * np.sqrt(2 / 5000))
