"""The game on the line, where the optimal discriminator, the value and the divergence are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from tfgen.distributions import Draw, stateless_normal, stateless_seed
from tfgen.evaluation.adversarial import (
    discriminator_error,
    histogram,
    jensen_shannon_divergence,
    normal_histogram,
    optimal_discriminator,
    value,
)
from tfgen.models.gan import GAN


def random_distributions(n=50, bins=12):
    return np.random.default_rng(0).dirichlet(np.full(bins, 0.5), (n, 2))


def test_the_optimal_discriminator_is_bayes_rule_with_even_classes():
    """Of 12 draws, six from either density, 4 of the data's and 1 of the generator's fall on x: D* = 4/5."""
    assert optimal_discriminator([4 / 6], [1 / 6])[0] == pytest.approx(0.8, rel=1e-12)
    # Two normal densities of equal variance: the log-odds are linear, (x - (a + b)/2) (a - b) / variance.
    x = np.linspace(-3, 3, 7)
    logits = (x - 0.25) * 1.5 / 0.49
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(optimal_discriminator(stats.norm.pdf(x, 1, 0.7), stats.norm.pdf(x, -0.5, 0.7)), expected)


def test_the_optimal_discriminator_s_extremes_and_symmetry():
    assert optimal_discriminator([1, 0, 0, 2], [0, 1, 0, 2]).tolist() == [1, 0, 0.5, 0.5]
    for p, q in random_distributions():
        np.testing.assert_allclose(optimal_discriminator(p, q) + optimal_discriminator(q, p), 1, rtol=1e-12)


def test_no_discriminator_has_a_greater_value_than_the_optimal_one():
    rng = np.random.default_rng(1)
    for p, q in random_distributions():
        best = value(optimal_discriminator(p, q), p, q)
        assert all(value(rng.random(len(p)), p, q) < best for _ in range(20))
        assert value(optimal_discriminator(q, p), p, q) < best


def test_the_value_of_a_coin_is_minus_log_four_and_of_a_perfect_discriminator_zero():
    for p, q in random_distributions(5):
        assert value(np.full(len(p), 0.5), p, q) == pytest.approx(-np.log(4), rel=1e-12)
    assert value([1, 0], [1, 0], [0, 1]) == 0


def test_the_divergence_is_that_computed_by_hand_and_by_quadrature():
    # p = (1/2, 1/2), q = (1, 0), m = (3/4, 1/4): [log(2/3)/2 + log(2)/2 + log(4/3)] / 2.
    by_hand = (np.log(2 / 3) / 2 + np.log(2) / 2 + np.log(4 / 3)) / 2
    assert jensen_shannon_divergence([0.5, 0.5], [1, 0]) == pytest.approx(by_hand, rel=1e-12)

    p, q = stats.norm(1, 0.5), stats.norm(0.2, 0.8)

    def integrand(x):
        m = (p.pdf(x) + q.pdf(x)) / 2
        return (p.pdf(x) * np.log(p.pdf(x) / m) + q.pdf(x) * np.log(q.pdf(x) / m)) / 2

    exact, _ = integrate.quad(integrand, -6, 6)
    binned = [
        jensen_shannon_divergence(*(np.diff(r.cdf(np.linspace(-6, 6, n + 1))) for r in (p, q))) for n in (60, 2000)
    ]
    assert binned[0] < binned[1] <= exact  # Binning loses information, and narrow bins lose little.
    assert binned[1] == pytest.approx(exact, abs=1e-5)


def test_the_divergence_lies_between_nothing_and_log_two():
    for p, q in random_distributions():
        assert jensen_shannon_divergence(p, p) == 0
        assert 0 < jensen_shannon_divergence(p, q) < np.log(2)
        assert jensen_shannon_divergence(p, q) == pytest.approx(jensen_shannon_divergence(q, p), rel=1e-12)
    assert jensen_shannon_divergence([1, 0, 0], [0, 0, 1]) == pytest.approx(np.log(2), rel=1e-12)


def test_against_the_optimal_discriminator_the_generator_minimises_the_divergence():
    """Theorem 1: C(G) = V(D*, G) = -log 4 + 2 JSD, on binned normal densities and on random histograms."""
    edges = np.linspace(-8, 9, 500)
    normals = [np.diff(stats.norm.cdf(edges, mean, std)) for mean, std in ((1, 0.5), (0, 1))]
    for p, q in (normals, *random_distributions()):
        cost = value(optimal_discriminator(p, q), p, q)
        assert cost == pytest.approx(-np.log(4) + 2 * jensen_shannon_divergence(p, q), rel=1e-9)
        assert cost != pytest.approx(-np.log(4) + jensen_shannon_divergence(p, q), rel=1e-3)


def test_the_discriminator_s_error_counts_where_data_and_samples_are():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0, 0.5, 0.5, 0])
    best = optimal_discriminator(p, q)
    assert discriminator_error(best, p, q) == 0
    assert discriminator_error(best + np.array([0.2, 0, 0, 0]), p, q) == pytest.approx(0.2 * 0.25)
    assert discriminator_error(best + np.array([0, 0.2, 0, 0]), p, q) == pytest.approx(0.2 * 0.5)
    assert discriminator_error(best + np.array([0, 0, 0, 0.2]), p, q) == 0


def test_against_a_fixed_generator_a_discriminator_trained_anew_nears_the_optimal_one():
    """G(z) = 0.4 z + 0.3 of Gaussian noise, so that p_g = N(0.3, 0.4^2) is known; p_data = N(1, 0.5^2)."""
    keras.utils.set_random_seed(0)
    model = GAN(1, 1, (), (64, 64), noise="gaussian", output_activation="linear")
    model.generator.set_weights([np.array([[0.4]]), np.array([0.3])])
    steps = 2000
    rates = [keras.optimizers.schedules.CosineDecay(rate, steps) for rate in (1e-3, 5e-3)]
    model.compile(*map(keras.optimizers.Adam, rates), jit_compile=True)

    @tf.function(jit_compile=True)
    def train():
        for t in tf.range(steps):
            x = 1 + 0.5 * stateless_normal((512, 1), stateless_seed(0, Draw.DATA, t))
            model._update_discriminator(x, model.sample_noise((512, 1), stateless_seed(0, Draw.NOISE, t)))

    train()
    edges = np.linspace(-2, 4, 301)
    p_data, p_g = (np.diff(stats.norm.cdf(edges, *moments)) for moments in ((1, 0.5), (0.3, 0.4)))
    centres = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    trained = tf.sigmoid(model.discriminator(centres[:, None])).numpy()[:, 0].astype(np.float64)
    assert discriminator_error(trained, p_data, p_g) < 0.02
    # A coin and the two sides mistaken for each other are both far off.
    assert discriminator_error(np.full(300, 0.5), p_data, p_g) > 0.2
    assert discriminator_error(trained, p_g, p_data) > 0.4


def test_a_histogram_of_a_line_through_uniform_noise_is_flat():
    """x = 0.5 z + 1, z uniform on [-1, 1): density 1 on [0.5, 1.5], nothing elsewhere."""
    z = np.random.default_rng(0).uniform(-1, 1, (200_000, 1))
    shares = histogram(0.5 * z + 1, np.linspace(0, 2, 21))
    # Five standard errors of a share of 0.1.
    np.testing.assert_allclose(shares, np.repeat([0, 0.1, 0], [5, 10, 5]), atol=5 * np.sqrt(0.09 / 200_000))
    assert shares[:5].sum() == shares[15:].sum() == 0


def test_what_lies_beyond_the_histogram_is_counted_at_its_ends():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    assert histogram(np.array([-5.0, 1.5, 9.0, 9.5]), edges).tolist() == [0.25, 0.25, 0.5]
    normal = normal_histogram(edges, 1.5, 1.0)
    expected = [stats.norm.cdf(-0.5), stats.norm.cdf(0.5) - stats.norm.cdf(-0.5), stats.norm.cdf(-0.5)]
    np.testing.assert_allclose(normal, expected, rtol=1e-12)
