"""The k-sample bound: against exact values, between the ELBO and log p(x), and as what is trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.distributions import (
    Draw,
    kl_divergence,
    log_prior_ratio,
    normal_log_prob,
    stateless_seed,
    systematic_resample,
    threefry_normal,
)
from tfgen.models.vae import VAE, ImportanceWeightedVAE


def small(num_samples, **kwargs):
    keras.utils.set_random_seed(0)
    options = {"latent_dim": 1, "hidden_units": (16,), "input_dim": 12, **kwargs}
    model = ImportanceWeightedVAE(num_samples=num_samples, **options)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return (rng.random((64, 12)) < np.where(rng.random((64, 1)) < 0.5, 0.1, 0.9)).astype(np.float32)


def exact_log_likelihood(model, x):
    """log of the integral of p(x|z) N(z) dz over a fine grid, in float64."""
    z = np.linspace(-8, 8, 4001)
    logits = np.asarray(model.decoder(z[:, None].astype(np.float32)), np.float64)
    log_p = (x[:, None, :] * logits - np.logaddexp(0, logits)).sum(-1) - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    largest = log_p.max(axis=1, keepdims=True)
    return (largest + np.log(np.exp(log_p - largest).sum(axis=1, keepdims=True) * (z[1] - z[0])))[:, 0]


def bounds(model, x, draws=200):
    """Returns the mean over draws of each image's bound, and the standard error of that mean."""

    def loss(i):
        return model.loss_and_terms(x, stateless_seed(7, Draw.EVALUATION, i))[0]

    every = tf.function(lambda: tf.map_fn(loss, tf.range(draws), fn_output_signature=tf.float32), autograph=False)
    values = -np.asarray(every(), np.float64)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(draws)


def test_the_bound_rises_with_k_towards_the_exact_likelihood_and_stays_below_it(data):
    model = small(1)
    model.fit(np.tile(data, (40, 1)), batch_size=64, verbose=0)
    exact = exact_log_likelihood(model, data)
    means = []
    for k in (1, 5, 50):
        model.num_samples = k
        bound, error = bounds(model, data)
        assert np.all(bound <= exact + 5 * error)
        means.append(bound.mean())
    assert means[0] < means[1] < means[2] < exact.mean() + 1e-3
    assert exact.mean() - means[2] < 0.1 * (exact.mean() - means[0])
    # The mean of the k log-weights is the ELBO whatever k: it would not have risen.
    assert means[2] > means[0] + 0.01


def test_one_sample_gives_the_elbo_in_expectation_and_the_same_terms(data):
    model = small(1)
    plain = VAE(12, 1, (16,))
    plain.set_weights(model.get_weights())
    seed = stateless_seed(3, Draw.LATENT, 0)
    _, reconstruction, kl = model.loss_and_terms(data, seed)
    expected = plain.negative_elbo_terms(data, seed)
    np.testing.assert_allclose(kl, expected[1], rtol=1e-5)
    bound, error = bounds(model, data, 400)
    loss = tf.function(lambda i: sum(plain.negative_elbo_terms(data, stateless_seed(8, Draw.EVALUATION, i))))
    assert np.mean(bound) == pytest.approx(-np.mean([loss(i) for i in tf.range(400)]), abs=10 * np.mean(error))
    assert np.mean(reconstruction) == pytest.approx(np.mean(expected[0]), rel=0.05)


def test_the_reconstruction_loss_of_several_samples_is_their_mean(data):
    model = small(5, latent_dim=2)
    seed = stateless_seed(3, Draw.LATENT, 0)
    _, reconstruction, kl = model.loss_and_terms(data, seed)
    mean, log_var = model.encoder(data)
    draws = mean + np.exp(0.5 * log_var) * threefry_normal((5, 64, 2), seed)
    each = [-model.log_likelihood(data, z) for z in draws]
    np.testing.assert_allclose(reconstruction, np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_allclose(kl, kl_divergence(mean, log_var), rtol=1e-5)


def test_the_log_ratio_of_prior_and_posterior_is_that_of_their_densities():
    rng = np.random.default_rng(0)
    mean, log_var, epsilon = (rng.standard_normal((6, 3)).astype(np.float32) for _ in range(3))
    z = mean + np.exp(0.5 * log_var) * epsilon
    zeros = np.zeros_like(z)
    expected = normal_log_prob(z, zeros, zeros) - normal_log_prob(z, mean, log_var)
    np.testing.assert_allclose(log_prior_ratio(z, epsilon, log_var), expected, atol=1e-5)


def test_a_training_step_follows_the_gradient_of_the_bound(data):
    model = small(5)
    model.compile(keras.optimizers.SGD(1e-2), jit_compile=False)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.loss_and_terms(data, stateless_seed(0, Draw.LATENT, 0))[0])
    gradients = tape.gradient(loss, model.trainable_variables)
    before = [np.copy(weight) for weight in model.get_weights()]
    logs = model.train_on_batch(data, return_dict=True)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    for old, new, gradient in zip(before, model.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(new - old, -1e-2 * gradient, atol=2e-6)
        assert np.any(new != old)


def estimates(model, x, draws):
    """Returns the gradients by the encoder's and by the decoder's variables, each `(draws, parameters)` float64."""
    ours = len(model.encoder.trainable_variables)

    def one(i):
        gradients, _ = model.gradients_and_terms(x, stateless_seed(5, Draw.EVALUATION, i))
        return [tf.concat([tf.reshape(g, [-1]) for g in part], 0) for part in (gradients[:ours], gradients[ours:])]

    every = tf.function(lambda: tf.map_fn(one, tf.range(draws), fn_output_signature=2 * [tf.float32]), autograph=False)
    return [np.asarray(part, np.float64) for part in every()]


@pytest.mark.parametrize("k", [1, 4])
def test_the_doubly_reparameterised_gradient_is_another_estimate_of_the_same(data, k):
    model = small(k, hidden_units=(4,))
    model.fit(np.tile(data, (20, 1)), batch_size=64, verbose=0)
    plain = estimates(model, data[:16], 600)
    model.doubly_reparameterised = True
    double = estimates(model, data[:16], 600)
    # The decoder's is the same, draw by draw.
    np.testing.assert_allclose(double[1], plain[1], rtol=1e-3, atol=1e-5)
    mean, error = (
        [part.mean(axis=0) for part in pair]
        for pair in (
            (plain[0], double[0]),
            (plain[0] ** 2, double[0] ** 2),
        )
    )
    error = [np.sqrt((square - m**2) / 600) for square, m in zip(error, mean, strict=True)]
    assert np.all(np.abs(mean[0] - mean[1]) < 5 * np.hypot(*error) + 1e-6)
    # Wrong: the weights once instead of squared are far away (for k = 1 they are 1).
    assert not np.allclose(double[0], plain[0], rtol=0.01)


def test_the_doubly_reparameterised_gradient_vanishes_where_q_is_the_posterior():
    """Of a decoder that ignores z the posterior is the prior. The plain estimate is zero in the mean alone."""
    model = small(3)
    x = np.zeros((8, 12), np.float32)
    for variable in (*model.encoder.trainable_variables, *model.decoder.trainable_variables):
        variable.assign(tf.zeros_like(variable))
    plain = estimates(model, x, 3)[0]
    model.doubly_reparameterised = True
    double = estimates(model, x, 3)[0]
    assert np.abs(plain).max() > 0.1
    np.testing.assert_allclose(double, 0, atol=1e-6)


def test_the_gradient_of_samples_drawn_by_weight_is_that_of_all_in_the_mean(data):
    """Of the same noise: 1,000 values of the uniform draw against the sum over all samples."""
    model = small(6, hidden_units=(4,), doubly_reparameterised=True)
    model.fit(np.tile(data, (20, 1)), batch_size=64, verbose=0)
    x, epsilon = data[:8], threefry_normal((6, 8, 1), stateless_seed(5, Draw.EVALUATION, 0))
    expected, _ = model._doubly_reparameterised(x, epsilon)
    weights = tf.nn.softmax(model._weigh(x, *model._draw(x, epsilon))[0], axis=0)

    def of_drawn(uniform, power):
        chosen = systematic_resample(weights, 2, tf.fill([8], uniform))
        drawn = [tf.gather(values, chosen, axis=0, batch_dims=0) for values in (epsilon, weights)]
        drawn = [tf.stack([part[:, i, i] for i in range(8)], axis=1) for part in drawn]
        return model._doubly_reparameterised(x, drawn[0], drawn[1] ** power)[0]

    def mean(power):
        types = [tf.float32] * len(expected)
        every = tf.function(
            lambda: tf.map_fn(
                lambda uniform: of_drawn(uniform, power), tf.range(0.0005, 1, 0.001), fn_output_signature=types
            ),
            autograph=False,
        )
        return [np.mean(gradient, axis=0) for gradient in every()]

    for ours, all_samples in zip(mean(1.0), expected, strict=True):
        np.testing.assert_allclose(ours, all_samples, atol=0.01 * np.abs(all_samples).max())
    # Wrong: the weights twice, as of samples that are not drawn by them.
    encoder = len(model.encoder.trainable_variables)
    for ours, all_samples in zip(mean(2.0)[:encoder], expected[:encoder], strict=True):
        assert np.abs(ours - all_samples).max() > 0.1 * np.abs(all_samples).max()


def test_samples_are_drawn_by_weight_for_the_gradient_alone(data):
    """The logged terms are those of all samples, and the draw is a function of the seed."""
    model, seed = small(6, doubly_reparameterised=True, gradient_samples=2), stateless_seed(5, Draw.EVALUATION, 0)
    gradients, terms = model.gradients_and_terms(data, seed)
    again, _ = model.gradients_and_terms(data, seed)
    for name, gradient_samples in (("all", 0), ("as many as there are", 6), ("more", 9)):
        model.gradient_samples = gradient_samples
        of_all, expected = model.gradients_and_terms(data, seed)
        for ours, theirs in zip(terms, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        for ours, same, theirs in zip(gradients, again, of_all, strict=True):
            np.testing.assert_array_equal(ours, same)
            assert np.abs(ours - theirs).max() > 1e-5, name


def test_each_image_of_each_step_has_a_uniform_draw_of_its_own(data, monkeypatch):
    model, seen = small(6, doubly_reparameterised=True, gradient_samples=2), []

    def record(weights, count, uniform):
        seen.extend(uniform.numpy())
        return systematic_resample(weights, count, uniform)

    monkeypatch.setattr("tfgen.models.vae.systematic_resample", record)
    for step in range(2):
        model.gradients_and_terms(data, stateless_seed(0, Draw.LATENT, step))
    assert len(set(seen)) == 2 * len(data) and 0 <= min(seen) and max(seen) < 1


@pytest.mark.parametrize("gradient_samples", [-1, 2.5])
def test_the_samples_of_the_gradient_are_a_whole_number(gradient_samples):
    with pytest.raises(
        ValueError, match=f"`gradient_samples` must be a whole number of at least 0, got {gradient_samples}"
    ):
        ImportanceWeightedVAE(12, 3, (4,), doubly_reparameterised=True, gradient_samples=gradient_samples)


def test_samples_drawn_by_weight_need_the_doubly_reparameterised_gradient():
    with pytest.raises(ValueError, match="`gradient_samples` are those of the doubly reparameterised gradient"):
        ImportanceWeightedVAE(12, 3, (4,), gradient_samples=2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_trains_with_the_doubly_reparameterised_gradient(data, jit_compile, tmp_path):
    model = small(5, doubly_reparameterised=True, gradient_samples=2)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=jit_compile)
    logs = model.fit(np.tile(data, (40, 1)), batch_size=64, epochs=2, verbose=0).history
    assert logs["loss"][1] < logs["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.doubly_reparameterised and loaded.gradient_samples == 2


def test_training_on_more_samples_gives_the_better_likelihood(data):
    """The same network, data and steps: the exact log p(x) of the data is higher with 20 samples than with one."""
    exact = []
    for k in (1, 20):
        model = small(k, hidden_units=(8,))
        model.fit(np.tile(data, (300, 1)), batch_size=64, shuffle=False, verbose=0)
        exact.append(exact_log_likelihood(model, data).mean())
    assert exact[1] > exact[0]


def test_saving_keeps_k_and_the_weights(data, tmp_path):
    model = small(5)
    model.fit(data, batch_size=64, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.num_samples == 5 and int(loaded.optimizer.iterations) == 1
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


@pytest.mark.parametrize("num_samples", [0, -1, 2.5])
def test_k_is_a_whole_number_of_at_least_1_and_never_taken_for_the_latents(num_samples):
    with pytest.raises(ValueError, match=f"`num_samples` must be a whole number of at least 1, got {num_samples}"):
        ImportanceWeightedVAE(12, 3, (4,), num_samples=num_samples)
    assert ImportanceWeightedVAE(12, 3, (4,)).latent_dim == 3
