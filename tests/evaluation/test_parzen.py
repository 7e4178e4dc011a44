"""Parzen-window log-likelihood: against its definition, as a density, and where it misleads."""

import numpy as np
import pytest
from scipy import special, stats

from tfgen.evaluation import parzen


def by_definition(samples, images, sigma):
    """In float64, image by image: log of the mean of SciPy's normal densities."""
    normal = stats.norm(scale=sigma)
    return np.array([special.logsumexp(normal.logpdf(x - samples).sum(axis=1)) - np.log(len(samples)) for x in images])


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    prototypes = rng.random((5, 50)) < 0.3
    return [(0.8 * prototypes[rng.integers(5, size=n)] + 0.2 * rng.random((n, 50))) for n in (300, 80, 120)]


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_the_log_density_is_that_of_its_definition(digits, sigma):
    samples, _, images = digits
    ours = parzen.parzen_log_density(samples, images, [sigma])
    assert ours.shape == (1, 120)
    np.testing.assert_allclose(ours[0], by_definition(samples, images, sigma), atol=2e-3)
    # Without the mean over samples it is off by log 300.
    assert np.all(np.abs(ours[0] + np.log(300) - by_definition(samples, images, sigma)) > 5)


def test_one_sample_at_the_image_has_the_height_of_the_normal_density():
    x = np.full((1, 784), 0.7)
    expected = -392 * np.log(2 * np.pi * 0.04)
    assert parzen.parzen_log_density(x, x, [0.2])[0, 0] == pytest.approx(expected, rel=1e-5)


def test_the_density_integrates_to_one():
    samples = np.array([[0.2, 0.3], [0.8, 0.4], [0.5, 0.9]])
    axis = np.linspace(-2, 3, 201)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(parzen.parzen_log_density(samples, grid, [0.15]))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_far_away_images_and_narrow_windows_stay_finite():
    values = parzen.parzen_log_density(np.zeros((4, 784)), np.ones((2, 784)), [1e-2, 1.0])
    assert np.all(np.isfinite(values)) and np.all(values[0] < -3e6)


def test_the_chunks_of_images_do_not_show(digits, monkeypatch):
    samples, _, images = digits
    whole = parzen.parzen_log_density(samples, images, [0.2, 0.4])
    monkeypatch.setattr(parzen, "CHUNK", 7)
    np.testing.assert_allclose(parzen.parzen_log_density(samples, images, [0.2, 0.4]), whole, atol=1e-3)


def test_sigma_is_the_best_for_validation_and_the_error_is_that_of_the_mean_over_test(digits):
    samples, validation, test = digits
    sigmas = np.logspace(-2, 0, 9)
    result = parzen.parzen_log_likelihood(samples, validation, test, sigmas)
    means = [by_definition(samples, validation, sigma).mean() for sigma in sigmas]
    assert result.sigma == sigmas[int(np.argmax(means))] and not result.at_edge
    values = by_definition(samples, test, result.sigma)
    assert result.log_likelihood == pytest.approx(values.mean(), abs=2e-3)
    assert result.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(120), rel=1e-3)


def test_sigma_is_the_validation_images_where_the_test_images_prefer_another():
    """The validation images lie nearer to the samples than the test images do, which want the wider window."""
    rng = np.random.default_rng(0)
    samples = 0.4 + 0.2 * rng.random((60, 30))
    validation, test = (samples + sigma * rng.uniform(-1, 1, (60, 30)) for sigma in (0.15, 0.4))
    sigmas = np.array([0.05, 0.1, 0.2, 0.4])
    choices = [
        sigmas[np.argmax([by_definition(samples, images, sigma).mean() for sigma in sigmas])]
        for images in (validation, test)
    ]
    assert choices == [0.1, 0.2]
    result = parzen.parzen_log_likelihood(samples, validation, test, sigmas)
    assert result.sigma == 0.1
    expected = by_definition(samples, test, 0.1).mean()
    assert result.log_likelihood == pytest.approx(expected, abs=2e-3)
    # Chosen on the test images it would have been far better.
    assert by_definition(samples, test, 0.2).mean() > expected + 20


@pytest.mark.parametrize("sigmas", [np.array([0.5, 0.7, 0.9]), np.array([0.01, 0.02])])
def test_a_sigma_at_the_edge_of_the_grid_is_said_to_be_there(digits, sigmas):
    assert parzen.parzen_log_likelihood(*digits, sigmas).at_edge


def test_the_measure_prefers_the_centres_of_k_means_to_true_images_as_theis_et_al_show():
    """Four broad clusters in 100 dimensions: 10 centres beat 10 true draws, though they are no samples of the data."""
    rng = np.random.default_rng(0)
    means = rng.random((4, 100))

    def draw(n):
        return np.clip(means[rng.integers(4, size=n)] + 0.2 * rng.standard_normal((n, 100)), 0, 1)

    train, validation, test = draw(2000), draw(200), draw(400)
    centres = parzen.kmeans_centres(train, 10, seed=0)
    assert centres.shape == (10, 100)
    scores = [parzen.parzen_log_likelihood(x, validation, test).log_likelihood for x in (centres, train[:10])]
    assert scores[0] > scores[1] + 5


def lloyd(images, centres, steps):
    """Returns centres after plain steps of k-means: each moves to the mean of the images nearest to it."""
    for _ in range(steps):
        nearest = np.argmin(np.sum((images[:, None] - centres) ** 2, axis=2), axis=1)
        centres = np.array([images[nearest == i].mean(axis=0) for i in range(len(centres))])
    return centres


@pytest.mark.parametrize("seed", [1, 2])
def test_the_centres_are_where_two_steps_lead_from_images_taken_at_random(seed):
    images = np.random.default_rng(0).random((60, 2))
    start = images[np.random.default_rng(seed).choice(60, 5, replace=False)]
    centres = parzen.kmeans_centres(images, 5, seed)
    # Wrong: one step, and three.
    assert [np.allclose(centres, lloyd(images, start, steps)) for steps in (1, 2, 3)] == [False, True, False]


@pytest.mark.parametrize("i", range(3))
@pytest.mark.parametrize("wrong", [-1.0, 255.0, np.nan])
def test_values_of_another_scale_are_refused(digits, i, wrong):
    sets = [np.array(points) for points in digits]
    sets[i][1, 5] = wrong
    with pytest.raises(ValueError, match=rf"`{('samples', 'validation', 'test')[i]}` must lie in \[0, 1\], got \["):
        parzen.parzen_log_likelihood(*sets)


def test_kmeans_of_images_that_come_twice_has_no_empty_clusters():
    images = np.repeat(np.random.default_rng(0).uniform(size=(20, 6)).astype(np.float32), 3, axis=0)
    centres = parzen.kmeans_centres(images, 40, seed=0)
    # Each different image is a centre.
    np.testing.assert_allclose(np.unique(centres, axis=0), np.unique(images, axis=0), atol=1e-6)


def test_the_edge_of_the_grid_is_its_smallest_or_largest_sigma_in_whatever_order(digits):
    inner = parzen.parzen_log_likelihood(*digits, np.logspace(-2, 0, 9))
    shuffled = parzen.parzen_log_likelihood(*digits, np.array([inner.sigma, 1.0, 0.01]))
    assert shuffled == inner and not shuffled.at_edge
