"""Two stochastic layers: the weights by SciPy's densities, the bound below an integral, the gradients, the draws."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfgen.distributions import Draw, stateless_seed, threefry_normal
from tfgen.evaluation.importance import importance_sample
from tfgen.models.two_layer_vae import TwoLayerVAE


def small(num_samples=1, latent_dim=1, upper_latent_dim=1, **kwargs):
    keras.utils.set_random_seed(0)
    options = {"upper_latent_dim": upper_latent_dim, "upper_hidden_units": (7,), "num_samples": num_samples, **kwargs}
    model = TwoLayerVAE(12, latent_dim, (16,), **options)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return (rng.random((64, 12)) < np.where(rng.random((64, 1)) < 0.5, 0.1, 0.9)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(data):
    model = small()
    model.fit(np.tile(data, (60, 1)), batch_size=64, verbose=0)
    return model


def normal(z, mean, log_var):
    return stats.norm.logpdf(z, mean, np.exp(np.float64(log_var) / 2)).sum(axis=-1)


def test_the_log_weights_are_those_of_the_five_densities(data):
    model, epsilon = small(latent_dim=3, upper_latent_dim=2), threefry_normal((4, 64, 5), (1, 2)).numpy()
    m1, v1 = map(np.array, model.encoder(data))
    z1 = m1 + np.exp(v1 / 2) * epsilon[..., :3]
    expected = []
    for k in range(4):
        m2, v2 = map(np.array, model.upper_encoder(z1[k]))
        z2 = m2 + np.exp(v2 / 2) * epsilon[k, :, 3:]
        logits = np.float64(model.decoder(z1[k]))
        log_p_x = np.sum(data * logits - np.logaddexp(0, logits), axis=1)
        log_p = log_p_x + normal(z1[k], *map(np.array, model.upper_decoder(z2))) + normal(z2, 0, 0)
        expected.append(log_p - normal(z1[k], m1, v1) - normal(z2, m2, v2))
        # Wrong: a standard normal prior for z1, as with one layer.
        assert np.any(np.abs(log_p_x + normal(z1[k], 0, 0) + normal(z2, 0, 0) - log_p) > 0.01)
    np.testing.assert_allclose(model.log_weights(data, epsilon), expected, atol=1e-4)


def exact_log_likelihood(model, x):
    """log of the integral of p(x|z1) p(z1|z2) N(z2) over a grid of both, in float64."""
    z = np.linspace(-9, 9, 1201)
    step = z[1] - z[0]
    mean, log_var = (np.float64(part) for part in model.upper_decoder(z[:, None].astype(np.float32)))
    p_z1 = np.exp(stats.norm.logpdf(z, mean, np.exp(log_var / 2)) + stats.norm.logpdf(z)[:, None]).sum(axis=0) * step
    assert p_z1.sum() * step == pytest.approx(1, abs=1e-3)
    logits = np.float64(model.decoder(z[:, None].astype(np.float32)))
    return np.log(np.exp((x[:, None] * logits - np.logaddexp(0, logits)).sum(-1)) @ p_z1 * step)


def test_the_bound_lies_below_the_integral_and_importance_sampling_reaches_it(trained, data):
    exact, means = exact_log_likelihood(trained, data), []
    for k in (1, 5, 50):
        trained.num_samples = k
        loss = tf.function(lambda i: trained.loss_and_terms(data, stateless_seed(7, Draw.EVALUATION, i))[0])
        draws = -np.array([loss(i) for i in tf.range(100)], np.float64)
        error = draws.std(axis=0, ddof=1) / 10
        assert np.all(draws.mean(axis=0) <= exact + 5 * error)
        means.append(draws.mean())
    trained.num_samples = 1
    assert means[0] + 0.005 < means[1] < means[2] < exact.mean() + 1e-3
    nll = importance_sample(trained.log_weights, trained.noise_dim, data, 5000, (0, 0)).nll
    # Few of the 5,000 draws count for some images; the mean over images is that of the integrals.
    np.testing.assert_allclose(-nll, exact, atol=0.2)
    assert -nll.mean() == pytest.approx(exact.mean(), abs=0.02)


def test_the_terms_of_one_sample_add_up_to_the_loss(data):
    model = small()
    loss, reconstruction, kl = model.loss_and_terms(data, stateless_seed(3, Draw.LATENT, 0))
    np.testing.assert_allclose(loss, reconstruction + kl, rtol=1e-5)


def estimates(model, x, draws):
    """Returns the gradient by all variables, a row a draw."""

    def one(i):
        gradients, _ = model.gradients_and_terms(x, stateless_seed(5, Draw.EVALUATION, i))
        return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)

    every = tf.function(lambda: tf.map_fn(one, tf.range(draws), fn_output_signature=tf.float32), autograph=False)
    return np.asarray(every(), np.float64)


@pytest.mark.parametrize("k", [1, 4])
def test_the_doubly_reparameterised_gradient_is_another_estimate_of_the_same(data, k):
    model = small(k)
    model.fit(np.tile(data, (20, 1)), batch_size=64, verbose=0)
    plain = estimates(model, data[:16], 600)
    model.doubly_reparameterised = True
    double = estimates(model, data[:16], 600)
    error = np.hypot(plain.std(axis=0), double.std(axis=0)) / np.sqrt(600)
    assert np.all(np.abs(plain.mean(axis=0) - double.mean(axis=0)) < 5 * error + 1e-6)
    sizes = [np.prod(variable.shape) for variable in model.trainable_variables]
    networks = ("encoder", "decoder", "upper_encoder", "upper_decoder")
    of = {id(variable): name for name in networks for variable in getattr(model, name).trainable_variables}
    names = np.repeat([of[id(variable)] for variable in model.trainable_variables], sizes)
    # Those of p are the same draw by draw, those of q are not.
    for network in ("decoder", "upper_decoder"):
        np.testing.assert_allclose(double[:, names == network], plain[:, names == network], rtol=1e-3, atol=1e-4)
    for network in ("encoder", "upper_encoder"):
        assert not np.allclose(double[:, names == network], plain[:, names == network], rtol=0.01, atol=1e-4)


def test_the_doubly_reparameterised_gradient_vanishes_where_q_is_the_posterior(data):
    """Of a decoder that ignores z1: p(z1|z2) = N(a z2, s^2) gives q(z1) = N(0, a^2 + s^2) and a Gaussian q(z2|z1)."""
    a, s2 = 1.5, 0.6
    keras.utils.set_random_seed(0)
    model = TwoLayerVAE(
        12, 1, (4,), "linear", upper_latent_dim=1, upper_hidden_units=(), num_samples=3, doubly_reparameterised=True
    )
    for network in (model.encoder, model.decoder, model.upper_encoder, model.upper_decoder):
        network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])

    def set_layer(network, name, slope, intercept):
        kernel, bias = network.get_layer(name).weights
        kernel.assign(np.full(kernel.shape, slope))
        bias.assign([intercept])

    set_layer(model.upper_decoder, "z1_mean", a, 0.0)
    set_layer(model.upper_decoder, "z1_log_var", 0.0, np.log(s2))
    set_layer(model.encoder, "z_log_var", 0.0, np.log(a**2 + s2))
    set_layer(model.upper_encoder, "z2_mean", a / (a**2 + s2), 0.0)
    set_layer(model.upper_encoder, "z2_log_var", 0.0, np.log(s2 / (a**2 + s2)))
    weights = model.log_weights(data, threefry_normal((3, 64, 2), (1, 2))).numpy()
    np.testing.assert_allclose(weights, 12 * np.log(0.5), rtol=1e-5)

    def of_q():
        gradients, _ = model.gradients_and_terms(data, stateless_seed(5, Draw.EVALUATION, 0))
        q = {id(variable) for variable in model._variables()[0]}
        pairs = zip(model.trainable_variables, gradients, strict=True)
        return np.concatenate([np.ravel(gradient) for variable, gradient in pairs if id(variable) in q])

    np.testing.assert_allclose(of_q(), 0, atol=1e-5)
    # Wrong: the plain estimate, which is 0 in the mean alone, and one of another posterior.
    model.doubly_reparameterised = False
    assert np.abs(of_q()).max() > 1e-2
    model.doubly_reparameterised = True
    set_layer(model.upper_encoder, "z2_mean", 0.0, 0.0)
    assert np.abs(of_q()).max() > 1e-2


def test_the_gradient_of_samples_drawn_by_weight_is_that_of_all_in_the_mean(data):
    model = small(5, doubly_reparameterised=True)
    model.fit(np.tile(data, (20, 1)), batch_size=64, verbose=0)
    of_all = estimates(model, data[:16], 400)
    model.gradient_samples = 2
    drawn = estimates(model, data[:16], 400)
    # Of the same noise, so the difference has the error of the drawing alone.
    error = (drawn - of_all).std(axis=0) / np.sqrt(400)
    assert np.all(np.abs((drawn - of_all).mean(axis=0)) < 5 * error + 1e-6)
    assert not np.allclose(drawn, of_all, rtol=0.01, atol=1e-4)


def test_every_network_learns_and_evaluation_changes_none(data):
    model = small(2, doubly_reparameterised=True)
    before = [np.copy(weight) for weight in model.get_weights()]
    model.evaluate(data, verbose=0)
    assert all(map(np.array_equal, before, model.get_weights()))
    model.train_on_batch(data)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))


def test_a_draw_from_the_prior_has_the_moments_of_its_two_steps():
    model = small(latent_dim=2, upper_latent_dim=1)
    epsilon = threefry_normal((20_000, 3), (4, 5)).numpy()
    z1 = model.prior(epsilon).numpy()
    mean, log_var = (np.float64(part) for part in model.upper_decoder(epsilon[:, 2:]))
    np.testing.assert_allclose(z1, mean + np.exp(log_var / 2) * epsilon[:, :2], atol=1e-5)
    # Over z2 and the noise: the variance of the means and the mean of the variances.
    expected = mean.var(axis=0) + np.exp(log_var).mean(axis=0)
    np.testing.assert_allclose(z1.var(axis=0), expected, rtol=0.05)


def test_it_is_the_same_after_saving_and_loading(trained, data, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    epsilon = threefry_normal((3, 64, 2), (1, 2))
    np.testing.assert_array_equal(loaded.log_weights(data, epsilon), trained.log_weights(data, epsilon))
    assert loaded.get_config() == trained.get_config()
    for old, new in zip(trained.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_step_compiled_by_xla_is_the_step_without(data):
    weights = []
    for jit_compile in (False, True):
        model = small(3, doubly_reparameterised=True)
        model.compile(keras.optimizers.SGD(1e-2), jit_compile=jit_compile)
        model.train_on_batch(data)
        weights.append(model.get_weights())
    for plain, compiled in zip(*weights, strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-5)


def test_generated_images_are_decoded_from_draws_of_both_layers():
    model = small(latent_dim=2, upper_latent_dim=3)
    generate, _ = model.endpoints()["generate"]
    outputs = generate(tf.constant([5, 6], tf.int64))
    assert outputs["image"].shape == (2, 12) and outputs["z"].shape == (2, 2)
    np.testing.assert_allclose(outputs["image"], model.decode(outputs["z"]), atol=1e-6)
    np.testing.assert_allclose(generate(tf.constant([6], tf.int64))["z"][0], outputs["z"][1], atol=1e-5)
    assert np.any(outputs["z"][0] != outputs["z"][1])
