"""Importance-sampled likelihood: against exact values, between bounds, in bounded memory."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen.distributions import Draw, log_prior_ratio, normal_log_prob, stateless_seed
from tfgen.evaluation.importance import importance_sample
from tfgen.models import linear_gaussian

SEED = stateless_seed(0, Draw.EVALUATION)
WEIGHTS = np.array([[1.0, 0.2], [0.5, -0.7], [-0.3, 0.4], [0.8, 0.1]])
BIAS, NOISE_VARIANCE = np.array([0.1, -0.2, 0.3, 0.0]), 0.5
IMAGES = (np.random.default_rng(0).standard_normal((30, 4)) @ np.diag([1.2, 1, 0.8, 1])).astype(np.float32)
EXACT = np.array([-linear_gaussian.log_likelihood(x, WEIGHTS, BIAS, NOISE_VARIANCE) for x in IMAGES.astype(np.float64)])


def log_likelihood(x, z):
    mean = tf.matmul(z, tf.constant(WEIGHTS.T, tf.float32)) + tf.constant(BIAS, tf.float32)
    return normal_log_prob(x, mean, tf.fill(tf.shape(mean), tf.math.log(NOISE_VARIANCE)))


def encode(x, shift=0.3, log_var=-0.6):
    """A posterior that is near the true one and not it: its mean is shifted, its covariance diagonal."""
    precision = np.eye(2) + WEIGHTS.T @ WEIGHTS / NOISE_VARIANCE
    gain = tf.constant((np.linalg.inv(precision) @ WEIGHTS.T / NOISE_VARIANCE).T, tf.float32)
    mean = tf.matmul(x - tf.constant(BIAS, tf.float32), gain) + shift
    return mean, tf.fill(tf.shape(mean), log_var)


def nll_of(encode, log_likelihood, images, *args, **kwargs):
    """Returns the estimates for a model of two latents, given by q(z|x) and p(x|z)."""

    def log_weights(x, epsilon):
        z_mean, z_log_var = encode(x)
        z = z_mean + tf.exp(0.5 * z_log_var) * epsilon
        return log_likelihood(x, z) + log_prior_ratio(z, epsilon, z_log_var)

    return importance_sample(log_weights, 2, images, *args, **kwargs).nll


def test_many_samples_give_the_exact_likelihood():
    nll = nll_of(encode, log_likelihood, IMAGES, 5000, SEED)
    assert nll.shape == (30,) and nll.dtype == np.float64
    # The log of a mean of weights: its error falls with the root of 5000; a tenth of a nat is many of them.
    np.testing.assert_allclose(nll, EXACT, atol=0.1)
    assert nll.mean() == pytest.approx(EXACT.mean(), abs=0.02)


def test_with_the_exact_posterior_a_single_sample_is_enough():
    """Every weight p(x|z) p(z) / q(z|x) is then p(x) itself."""
    weights = np.array([[1.0, 0.0], [0.0, 2.0]])
    variance = 1 / (1 + np.array([1.0, 4.0]) / 0.5)

    def exact_posterior(x):
        mean = x * tf.constant(variance * np.array([1.0, 2.0]) / 0.5, tf.float32)
        return mean, tf.fill(tf.shape(mean), 1.0) * tf.constant(np.log(variance), tf.float32)

    def likelihood(x, z):
        mean = z * tf.constant([1.0, 2.0])
        return normal_log_prob(x, mean, tf.fill(tf.shape(mean), tf.math.log(0.5)))

    x = np.random.default_rng(1).standard_normal((9, 2)).astype(np.float32)
    expected = [-linear_gaussian.log_likelihood(row, weights, np.zeros(2), 0.5) for row in x.astype(np.float64)]
    for num_samples in (1, 50):
        nll = nll_of(exact_posterior, likelihood, x, num_samples, SEED)
        np.testing.assert_allclose(nll, expected, rtol=1e-4)


def test_the_estimate_falls_from_the_negative_elbo_to_the_likelihood_as_samples_grow():
    """In expectation; here as means over 30 images and 40 draws of each, whose standard errors are below the gaps."""
    repeated = np.tile(IMAGES, (40, 1))
    means = [nll_of(encode, log_likelihood, repeated, k, SEED, batch_size=1200).mean() for k in (1, 5, 50)]
    z_mean, z_log_var = (np.asarray(part, np.float64) for part in encode(IMAGES))
    elbo = [
        np.subtract(*linear_gaussian.elbo_terms(x, m, np.exp(v), WEIGHTS, BIAS, NOISE_VARIANCE))
        for x, m, v in zip(IMAGES.astype(np.float64), z_mean, z_log_var, strict=True)
    ]
    assert means[0] == pytest.approx(-np.mean(elbo), abs=0.1)
    assert means[0] > means[1] + 0.05 > means[2] + 0.05 > EXACT.mean() + 0.05
    # A mean of logarithms in the place of the logarithm of a mean would stay at the negative ELBO.
    assert means[2] < -np.mean(elbo) - 0.2


def test_the_effective_number_of_samples_is_all_of_them_for_equal_weights_and_one_where_one_draw_weighs_all():
    """With weights of log-normal distribution, log w ~ N(0, s^2), it is K / exp(s^2) for large K."""

    def effective(slope):
        return importance_sample(lambda x, z: slope * z[..., 0], 1, IMAGES, 20_000, SEED).effective_samples

    np.testing.assert_allclose(effective(0.0), 20_000, rtol=1e-3)
    # The mean over 30 images; of one its relative error is about sqrt((e - 1)^3 / 20,000) = 0.016 at s = 1.
    assert effective(1.0).mean() == pytest.approx(20_000 / np.e, rel=0.02)
    np.testing.assert_allclose(effective(1e4), 1, rtol=1e-2)


def test_batches_and_chunks_change_the_draws_and_not_the_value():
    values = [
        nll_of(encode, log_likelihood, IMAGES, 2000, SEED, batch_size, chunk).mean()
        for batch_size, chunk in ((30, 2000), (7, 100))
    ]
    assert values[0] == pytest.approx(values[1], abs=0.03)
    twice = [nll_of(encode, log_likelihood, IMAGES, 100, SEED, 7, 10) for _ in range(2)]
    np.testing.assert_array_equal(*twice)


def test_equal_images_in_different_batches_have_draws_of_their_own():
    x = np.repeat(IMAGES[:1], 2, axis=0)
    a, b = nll_of(encode, log_likelihood, x, 10, SEED, batch_size=1)
    assert a != b


def test_no_two_chunks_of_any_batches_share_their_draws():
    """Under a standard normal posterior z is the draw itself, which the likelihood sees."""
    draws = []

    def see(z):
        draws.append(z.reshape(-1, 2))
        return np.zeros(z.shape[:2], np.float32)

    def standard_normal(x):
        return tf.zeros((len(x), 2)), tf.zeros((len(x), 2))

    def record(x, z):
        log_p_x = tf.numpy_function(see, [z], tf.float32)
        return tf.ensure_shape(log_p_x, [None, None])

    nll_of(standard_normal, record, IMAGES, 20, SEED, batch_size=10, chunk=5)
    # Three batches of ten images, four chunks of five samples each.
    assert [z.shape for z in draws] == [(50, 2)] * 12
    assert len(np.unique(np.concatenate(draws), axis=0)) == 600


def test_an_impossible_image_stays_finite():
    far = np.full((1, 4), 60.0, np.float32)
    assert np.all(np.isfinite(nll_of(encode, log_likelihood, far, 100, SEED)))


@pytest.mark.parametrize(("num_samples", "chunk"), [(0, 50), (-5, 50), (75, 50), (75, 0)])
def test_a_number_of_samples_that_cannot_be_taken_is_refused(num_samples, chunk):
    with pytest.raises(ValueError, match=rf"multiple of `chunk` \({chunk}\), got {num_samples}"):
        nll_of(encode, log_likelihood, IMAGES, num_samples, SEED, chunk=chunk)
