import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats

from tfgen import distributions
from tfgen.distributions import (
    Draw,
    bernoulli_log_prob,
    bernoulli_log_prob_of_draws,
    for_another,
    kl_divergence,
    normal_log_prob,
    sample_normal,
    serving_seed,
    stateless_normal,
    stateless_seed,
    stateless_uniform,
    systematic_resample,
    threefry,
    threefry_normal,
    threefry_uniform,
)

SEED = stateless_seed(7, Draw.EVALUATION)
# XLA draws numbers of its own from the same seed, but those of Threefry.
compiled_or_not = pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
MEAN, LOG_VAR = [0.7, -1.2, 0.1], [0.5, -1.5, 0.0]


def agrees(samples, expected):
    """Whether the mean of independent samples lies within five standard errors of a value."""
    samples = np.asarray(samples, np.float64)
    return abs(samples.mean() - expected) < 5 * samples.std(ddof=1) / np.sqrt(len(samples))


def draws_of_z(n=100_000):
    mean, log_var = (tf.tile([parameter], (n, 1)) for parameter in (MEAN, LOG_VAR))
    return mean, log_var, sample_normal(mean, log_var, SEED)


def test_bernoulli_log_prob_by_hand():
    # The logits log 3, 0 and -log 4 are the probabilities 3/4, 1/2 and 1/5.
    logits = np.log([[3, 1, 1 / 4]] * 2)
    log_prob = bernoulli_log_prob(np.array([[1.0, 0, 1], [0, 1, 0]]), logits)
    np.testing.assert_allclose(log_prob, np.log([3 / 4 * 1 / 2 * 1 / 5, 1 / 4 * 1 / 2 * 4 / 5]), rtol=1e-12)


def test_bernoulli_log_prob_agrees_with_scipy():
    rng = np.random.default_rng(0)
    logits, x = rng.normal(0, 3, (2, 5, 784)), rng.integers(0, 2, (2, 5, 784)).astype(np.float64)
    expected = stats.bernoulli.logpmf(x, special.expit(logits)).sum(-1)
    np.testing.assert_allclose(bernoulli_log_prob(x, logits), expected, rtol=1e-10)
    np.testing.assert_allclose(bernoulli_log_prob(np.float32(x), np.float32(logits)), expected, rtol=1e-5)


def test_bernoulli_probabilities_of_all_images_sum_to_one():
    images = np.array(list(itertools.product([0.0, 1.0], repeat=8)))
    logits = np.random.default_rng(1).normal(0, 2, 8)
    probabilities = np.exp(bernoulli_log_prob(images, np.broadcast_to(logits, images.shape)))
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_bernoulli_log_prob_is_exact_at_extreme_logits():
    x, logits = np.float32([[1], [0], [0], [1]]), np.float32([[100], [-100], [100], [-100]])
    np.testing.assert_allclose(bernoulli_log_prob(x, logits), [0, 0, -100, -100], rtol=1e-6, atol=1e-30)


@compiled_or_not
def test_bernoulli_log_prob_of_draws_is_that_of_each_draw_and_has_its_gradient(jit_compile):
    rng = np.random.default_rng(0)
    logits, x = rng.normal(0, 5, (3, 4, 784)).astype(np.float32), rng.integers(0, 2, (4, 784)).astype(np.float32)
    # Extremes, and 0, where neither half of a maximum is the derivative.
    logits[:, 0, :3] = 0, 100, -100
    upstream = rng.normal(0, 1, (3, 4)).astype(np.float32)

    def value_and_gradient(function, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(logits)
        return value, tape.gradient(value, logits, upstream)

    draws = tf.function(
        lambda x, logits: value_and_gradient(lambda logits: bernoulli_log_prob_of_draws(x, logits), logits),
        jit_compile=jit_compile,
    )
    repeated = np.broadcast_to(x, logits.shape)
    expected = value_and_gradient(lambda logits: bernoulli_log_prob(repeated, logits), tf.constant(logits))
    for ours, theirs in zip(draws(x, logits), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


def test_bernoulli_log_prob_of_draws_is_exact_at_extreme_logits():
    x, logits = np.float32([[1, 0]]), np.float32([[[100, -100]], [[-100, -100]], [[-100, 100]], [[1e4, 1e4]]])
    expected = [[0], [-100], [-200], [-1e4]]
    np.testing.assert_allclose(bernoulli_log_prob_of_draws(x, logits), expected, rtol=1e-6, atol=1e-30)


@compiled_or_not
def test_systematic_resampling_draws_each_sample_as_often_as_its_weight_says(jit_compile):
    """Over all values of the uniform draw; and each single time to less than one."""
    weights, count = np.float32([[0.05, 0, 1], [0.5, 0, 0], [0.15, 1, 0], [0.3, 0, 0]]), 3
    draw = tf.function(systematic_resample, jit_compile=jit_compile)
    uniform = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    drawn = np.array([draw(weights, count, np.full(3, u, np.float32)) for u in uniform])
    assert drawn.shape == (1000, 3, 3) and np.all(np.diff(drawn, axis=1) >= 0)
    times = np.stack([(drawn == i).sum(axis=1) for i in range(4)], axis=1)
    np.testing.assert_allclose(times.mean(axis=0), count * weights, atol=2e-3)
    assert np.all(np.abs(times - count * weights) < 1)
    # Wrong: points that do not move with the uniform draw.
    wrong = np.array([(np.array(draw(weights, count, np.full(3, 0.5, np.float32)))[:, 0] == i).sum() for i in range(4)])
    assert np.abs(wrong - count * weights[:, 0]).max() > 0.3


def test_systematic_resampling_stays_within_the_samples_where_the_weights_sum_to_less():
    weights = np.float32([[0.5], [0.5 - 1e-6]])
    assert int(systematic_resample(weights, 1, [1 - 2.0**-24])[0, 0]) == 1


def test_normal_log_prob_by_hand():
    # The mode of the standard normal in two dimensions, and one standard deviation (2) from the mean in one.
    assert float(normal_log_prob(np.zeros(2), np.zeros(2), np.zeros(2))) == pytest.approx(-np.log(2 * np.pi), rel=1e-12)
    one_deviation = -np.log(2 * np.sqrt(2 * np.pi)) - 1 / 2
    assert float(normal_log_prob(*np.array([[5], [3], [np.log(4)]]))) == pytest.approx(one_deviation, rel=1e-12)


def test_normal_log_prob_agrees_with_scipy():
    x, mean, log_var = np.random.default_rng(2).normal(0, 2, (3, 4, 6, 20))
    expected = stats.norm.logpdf(x, mean, np.exp(log_var / 2)).sum(-1)
    np.testing.assert_allclose(normal_log_prob(x, mean, log_var), expected, rtol=1e-10)
    np.testing.assert_allclose(normal_log_prob(*np.float32([x, mean, log_var])), expected, rtol=1e-4)


def test_normal_density_integrates_to_one():
    axis = np.linspace(-14, 14, 701)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    density = np.exp(normal_log_prob(grid, np.array([1.0, -0.5]), np.log([0.3, 2.5])))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("log_var", [-20.0, 20.0])
def test_normal_log_prob_is_exact_at_extreme_variances(log_var):
    deviation = np.exp(log_var / 2)
    log_prob = normal_log_prob(np.float32([[0], [3 * deviation]]), np.float32([[0]]), np.float32([[log_var]]))
    np.testing.assert_allclose(log_prob, stats.norm.logpdf([0, 3]) - log_var / 2, rtol=1e-5)


def test_kl_divergence_by_hand():
    # Moving the mean by m costs m^2 / 2; the variance 4 costs (4 - 1 - log 4) / 2.
    kl = kl_divergence(np.array([[1.0, 0], [2, -1], [0, 0]]), np.log([[1.0, 1], [1, 1], [4, 1]]))
    np.testing.assert_allclose(kl, [1 / 2, 4 / 2 + 1 / 2, (3 - np.log(4)) / 2], rtol=1e-12)


@pytest.mark.parametrize(("mean", "log_var"), [(0.0, -3.0), (1.5, 0.7), (-2.0, 1.0)])
def test_kl_divergence_agrees_with_numerical_integration(mean, log_var):
    q, p = stats.norm(mean, np.exp(log_var / 2)), stats.norm()
    low, high = q.mean() - 12 * q.std(), q.mean() + 12 * q.std()
    expected, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), low, high)
    assert float(kl_divergence(np.array([mean]), np.array([log_var]))) == pytest.approx(expected, rel=1e-8)


def test_kl_divergence_is_zero_for_the_standard_normal_and_positive_elsewhere():
    assert float(kl_divergence(tf.zeros(20), tf.zeros(20))) == 0
    mean, log_var = np.random.default_rng(3).normal(0, 2, (2, 1000, 1))
    kl = kl_divergence(np.concatenate([mean, 0 * mean]), np.concatenate([0 * log_var, log_var]))
    assert np.all(kl.numpy() > 0)


def test_kl_divergence_agrees_with_monte_carlo():
    mean, log_var, z = draws_of_z()
    samples = normal_log_prob(z, mean, log_var) - normal_log_prob(z, tf.zeros_like(z), tf.zeros_like(z))
    kl = float(kl_divergence(MEAN, LOG_VAR))
    assert agrees(samples, kl)
    assert not agrees(samples, 2 * kl)  # Without the 1/2.
    assert not agrees(samples, kl / len(MEAN))  # The mean over latents instead of the sum.
    assert not agrees(samples, float(kl_divergence(MEAN, -np.float32(LOG_VAR))))  # The precision for the variance.


@pytest.mark.parametrize("log_var", [-20.0, 20.0])
def test_kl_divergence_is_exact_at_extreme_variances(log_var):
    expected = (9 + np.exp(log_var) - 1 - log_var) / 2
    assert float(kl_divergence(np.float32([3]), np.float32([log_var]))) == pytest.approx(expected, rel=1e-6)


def test_kl_divergence_keeps_its_digits_near_the_standard_normal():
    log_var = np.float32([1e-2, -1e-2, 1e-3, -1e-3, 3e-4, -3e-4])[:, None]
    # The series of (exp(v) - 1 - v) / 2.
    expected = sum(log_var[:, 0].astype(np.float64) ** k / special.factorial(k) for k in (2, 3, 4, 5)) / 2

    def close(kl):
        return np.abs(np.asarray(kl) / expected - 1).max() < 0.01

    assert close(kl_divergence(np.zeros_like(log_var), log_var))
    assert not close(-0.5 * tf.reduce_sum(1 + log_var - tf.exp(log_var), axis=-1))  # As the paper writes it.


def test_sample_normal_has_the_mean_and_variance_asked_for():
    z = draws_of_z()[-1].numpy()
    for column, mean, log_var in zip(z.T, MEAN, LOG_VAR, strict=True):
        assert agrees(column, mean)
        assert agrees((column - mean) ** 2, np.exp(log_var))
    assert not agrees((z[:, 0] - MEAN[0]) ** 2, np.exp(2 * LOG_VAR[0]))  # exp(log_var) as the deviation.
    assert agrees((z[:, 0] - MEAN[0]) * (z[:, 1] - MEAN[1]), 0)


def test_gradients_of_sample_normal_are_those_of_the_reparameterisation():
    mean, log_var = tf.constant([[0.5, -2]]), tf.constant([[1.0, -1]])
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        z = sample_normal(mean, log_var, SEED)
    to_mean, to_log_var = tape.gradient(z, [mean, log_var])
    np.testing.assert_array_equal(to_mean, [[1, 1]])
    # dz / d log sigma^2 = sigma epsilon / 2.
    epsilon = threefry_normal((1, 2), SEED).numpy()
    np.testing.assert_allclose(to_log_var, np.exp([[0.5, -0.5]]) * epsilon / 2, rtol=1e-5)


def test_gradients_of_sample_normal_are_unbiased():
    mean, log_var = tf.fill([100_000], 0.8), tf.fill([100_000], -0.4)
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        square = tf.square(sample_normal(mean, log_var, SEED))
    to_mean, to_log_var = tape.gradient(square, [mean, log_var])
    # E[z^2] = mean^2 + exp(log_var).
    assert agrees(to_mean, 2 * 0.8)
    assert agrees(to_log_var, np.exp(-0.4))
    assert not agrees(to_log_var, 2 * np.exp(-0.4))  # exp(log_var) as the deviation.


def test_sample_normal_is_finite_at_extreme_variances():
    z = sample_normal(tf.ones((2, 1000)), tf.constant([[-20.0], [20.0]]), SEED).numpy()
    epsilon = threefry_normal((2, 1000), SEED).numpy()
    np.testing.assert_allclose(z[0] - 1, np.exp(-10) * epsilon[0], atol=1e-7)
    np.testing.assert_allclose(z[1] - 1, np.exp(10) * epsilon[1], rtol=1e-5, atol=1e-2)


def test_seeds_differ_for_every_run_purpose_and_counter():
    keys = list(itertools.product((*range(20), 2**31 - 1), Draw, range(3)))
    seeds = {tuple(stateless_seed(*key).numpy()) for key in keys}
    served = {tuple(serving_seed(seed).numpy()) for seed in (*range(-5, 400), 2**62)}
    assert len(seeds) == len(keys) and len(served) == 406
    assert not seeds & served


@compiled_or_not
@pytest.mark.parametrize("draw", [stateless_uniform, stateless_normal, threefry_uniform, threefry_normal])
def test_draws_are_a_function_of_run_purpose_and_counter(draw, jit_compile):
    draw = tf.function(lambda seed, draw=draw: draw((1000,), seed), jit_compile=jit_compile)
    keys = [(0, Draw.LATENT, 0), (1, Draw.LATENT, 0), (16, Draw.LATENT, 0), (0, Draw.NOISE, 0), (0, Draw.LATENT, 1)]
    draws = [draw(stateless_seed(*key)).numpy() for key in keys]
    np.testing.assert_array_equal(draws[0], draw(stateless_seed(*keys[0])))
    for one, other in itertools.combinations(draws, 2):
        # Independent, not merely different: a correlation has the standard error 1 / sqrt(n).
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(1000)


def test_a_tensor_serves_as_counter():
    seeds = tf.function(lambda counter: stateless_seed(3, Draw.NOISE, counter))
    np.testing.assert_array_equal(seeds(tf.constant(41, tf.int32)), stateless_seed(3, Draw.NOISE, 41))


@compiled_or_not
@pytest.mark.parametrize("draw", [stateless_uniform, threefry_uniform])
def test_uniform_draws_are_uniform_on_the_interval(draw, jit_compile):
    u = tf.function(lambda seed: draw((100_000,), seed, -1.0, 3.0), jit_compile=jit_compile)(SEED).numpy()
    assert u.min() >= -1 and u.max() < 3
    assert stats.kstest(u, stats.uniform(-1, 4).cdf).pvalue > 1e-4
    assert stats.kstest(u, stats.uniform(-1, 4.05).cdf).pvalue < 1e-4


@compiled_or_not
@pytest.mark.parametrize("draw", [stateless_normal, threefry_normal])
def test_normal_draws_are_standard_normal(draw, jit_compile):
    epsilon = tf.function(lambda seed: draw((100_000,), seed), jit_compile=jit_compile)(SEED).numpy()
    assert stats.kstest(epsilon, stats.norm.cdf).pvalue > 1e-4
    assert stats.kstest(epsilon, stats.norm(0, 1.05).cdf).pvalue < 1e-4


@compiled_or_not
def test_threefry_gives_the_words_that_its_authors_publish(jit_compile):
    # The authors' known answers for 20 rounds (Random123, kat_vectors): counter, key -> first word.
    known = [
        ((0, 0), (0, 0), 0x6B200159),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, 0x1CB996FC),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), 0xC4923A9C),
    ]
    words = tf.function(threefry, jit_compile=jit_compile)
    assert words((1,), tf.zeros(2, tf.int64)).numpy() == [known[0][2]]
    for counter, key, word in known:
        assert reference_threefry(counter, key) == word
    # The counter's second word holds the seed's upper halves.
    seed = tf.constant([5 << 32 | 0x13198A2E, 7 << 32 | 0x03707344], tf.int64)
    expected = [reference_threefry((i, 7 << 8 | 5), (0x13198A2E, 0x03707344)) for i in range(6)]
    np.testing.assert_array_equal(words((3, 2), seed).numpy().ravel(), expected)


def reference_threefry(counter, key, rounds=20):
    """Returns the first word of a block, in Python's integers, as the paper writes it."""
    keys = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    x, y = ((word + k) % 2**32 for word, k in zip(counter, key, strict=True))
    for i in range(rounds):
        x = (x + y) % 2**32
        bits = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        y = (y << bits | y >> 32 - bits) % 2**32 ^ x
        if i % 4 == 3:
            x = (x + keys[(i // 4 + 1) % 3]) % 2**32
            y = (y + keys[(i // 4 + 2) % 3] + i // 4 + 1) % 2**32
    return x


def test_threefry_draws_the_same_numbers_with_xla_and_without():
    seed = stateless_seed(2**31 - 1, Draw.NOISE, 2**40)
    for draw, equal in (
        (threefry, np.testing.assert_array_equal),
        (threefry_uniform, np.testing.assert_array_equal),
        (threefry_normal, functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)),
    ):
        compiled = tf.function(lambda seed, draw=draw: draw((50, 7), seed), jit_compile=True)
        equal(compiled(seed), draw((50, 7), seed))
    with pytest.raises(AssertionError):  # TensorFlow's kernel does not.
        compiled = tf.function(lambda seed: stateless_uniform((50, 7), seed), jit_compile=True)
        np.testing.assert_array_equal(compiled(seed), stateless_uniform((50, 7), seed))


@pytest.mark.parametrize("draw", [threefry, threefry_uniform, threefry_normal])
@pytest.mark.parametrize("before", [(), (3,), (2, 3)])
def test_threefry_draws_for_rows_of_a_batch_what_the_whole_batch_has_there(draw, before):
    whole = draw((*before, 11, 5), SEED).numpy()
    for first, count in ((0, 4), (4, 3), (7, 4)):
        with distributions.rows_of(first, 11):
            part = draw((*before, count, 5), SEED).numpy()
        np.testing.assert_array_equal(part, whole[..., first : first + count, :])
        # Wrong: what every part would have by itself.
        itself = draw((*before, count, 5), SEED).numpy()
        assert np.allclose(itself, part, rtol=1e-5, atol=1e-6) == (not first and not before)
    assert (draw((*before, 11, 5), SEED).numpy() == whole).all()


def test_threefry_normal_reaches_far_and_stays_finite(monkeypatch):
    for word, extreme in ((0, -5.295), (2**32 - 1, 5.295), (2**31, 0.0)):
        monkeypatch.setattr(
            distributions, "threefry", lambda shape, seed, word=word: tf.fill(shape, tf.constant(word, tf.uint32))
        )
        np.testing.assert_allclose(threefry_normal((1,), SEED), [extreme], atol=1e-3)
        uniform = threefry_uniform((1,), SEED).numpy()
        assert 0 <= uniform < 1


def test_sample_normal_under_xla_has_the_mean_and_variance_asked_for():
    mean, log_var = tf.fill([100_000], 0.8), tf.fill([100_000], -0.4)
    compiled = tf.function(sample_normal, jit_compile=True)
    z = compiled(mean, log_var, SEED)
    np.testing.assert_array_equal(z, compiled(mean, log_var, SEED))
    assert agrees(z, 0.8) and agrees(np.square(z - 0.8), np.exp(-0.4))
    assert not agrees(np.square(z - 0.8), np.exp(-0.8))  # exp(log_var) as the deviation.


def test_the_seed_for_another_draw_is_that_of_the_same_run_and_counter():
    for run_seed, counter in ((0, 0), (7, 12)):
        seed = for_another(stateless_seed(run_seed, Draw.LATENT, counter), Draw.RESAMPLE)
        np.testing.assert_array_equal(seed, stateless_seed(run_seed, Draw.RESAMPLE, counter))
    assert max(Draw) < 16
