"""Noise with its moments, and batches of (noisy, clean) pairs."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfgen.data import corruption
from tfgen.data.batches import Batches, corrupted
from tfgen.distributions import Draw, stateless_seed

SEED = stateless_seed(3, Draw.CORRUPTION)
COPIES = 4000
SHADES = np.linspace(0.1, 1, 50, dtype=np.float32)


def noisy(noise, level, seed=SEED):
    return noise(tf.tile(SHADES[None], (COPIES, 1)), level, seed=seed).numpy()


def has_moments(x, mean, variance):
    """Whether each pixel's mean and variance over the copies lie within five standard errors of what they should be."""
    deviation = (x - mean) ** 2
    near_mean = np.abs(x.mean(axis=0) - mean) <= 5 * np.sqrt(variance / COPIES) + 1e-6
    near_variance = np.abs(deviation.mean(axis=0) - variance) <= 5 * deviation.std(axis=0) / np.sqrt(COPIES) + 1e-6
    return bool(np.all(near_mean & near_variance))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_masking_has_the_mean_and_variance_of_a_bernoulli_factor(rate):
    x = noisy(corruption.masking_noise, rate)
    assert has_moments(x, (1 - rate) * SHADES, rate * (1 - rate) * SHADES**2)
    kept = noisy(corruption.masking_noise, 1 - rate)  # the rate mistaken for the share that is kept
    assert not has_moments(kept, (1 - rate) * SHADES, rate * (1 - rate) * SHADES**2)
    rescaled = x / (1 - rate)  # what dropout does
    assert not has_moments(rescaled, (1 - rate) * SHADES, rate * (1 - rate) * SHADES**2)


def test_masking_leaves_the_other_pixels_as_they_are_and_masks_each_by_itself():
    x = noisy(corruption.masking_noise, 0.4)
    masked = x == 0
    np.testing.assert_array_equal(x, np.where(masked, 0, SHADES))
    # The number masked among 50 independent pixels is binomial: variance 50 * 0.4 * 0.6 = 12.
    counts = masked.sum(axis=1)
    assert counts.mean() == pytest.approx(20, abs=5 * np.sqrt(12 / COPIES))
    assert counts.var() == pytest.approx(12, rel=5 * np.sqrt(2 / COPIES))


def test_gaussian_noise_has_its_mean_and_variance_and_is_not_clipped():
    x = noisy(corruption.gaussian_noise, 0.3)
    assert has_moments(x, SHADES, 0.09)
    assert x.min() < 0 and x.max() > 1
    assert stats.kstest(((x - SHADES) / 0.3).ravel(), "norm").pvalue > 0.001
    assert not has_moments(np.clip(x, 0, 1), SHADES, 0.09)
    assert not has_moments(noisy(corruption.gaussian_noise, 0.09), SHADES, 0.09)  # the variance as standard deviation


def test_without_noise_images_stay_and_with_all_masked_they_are_black():
    expected = np.tile(SHADES, (COPIES, 1))
    np.testing.assert_array_equal(noisy(corruption.masking_noise, 0.0), expected)
    np.testing.assert_array_equal(noisy(corruption.gaussian_noise, 0.0), expected)
    np.testing.assert_array_equal(noisy(corruption.masking_noise, 1.0), 0)


@pytest.mark.parametrize("noise", [corruption.masking_noise, corruption.gaussian_noise])
def test_noise_is_a_function_of_the_seed_inside_a_graph_too(noise):
    once = noisy(noise, 0.5)
    np.testing.assert_array_equal(
        once, tf.function(lambda: noise(tf.tile(SHADES[None], (COPIES, 1)), 0.5, seed=SEED))()
    )
    other = noisy(noise, 0.5, stateless_seed(3, Draw.CORRUPTION, 1))
    # Independent: the noise of one seed does not tell that of the next.
    correlation = np.corrcoef((once / SHADES).ravel(), (other / SHADES).ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(once.size)


# Shifts.


def test_a_shift_moves_each_image_as_a_whole_and_every_shift_is_as_likely():
    """A single white pixel of a 5x7 image tells where the image went: 9 shifts, 450 of 4,050 images each on average."""
    n = 4050
    image = np.zeros((5, 7), np.float32)
    image[2, 4] = 1
    moved = corruption.random_shift(tf.tile(image.reshape(1, 35), (n, 1)), (5, 7), 1, SEED).numpy()
    np.testing.assert_array_equal(moved.sum(axis=1), 1)
    rows, columns = np.divmod(np.argmax(moved, axis=1), 7)
    counts = np.zeros((3, 3))
    np.add.at(counts, (rows - 1, columns - 3), 1)
    assert counts.sum() == n  # not wrapped around to somewhere else
    assert stats.chisquare(counts.ravel()).pvalue > 0.001


def test_a_shift_brings_in_black_and_leaves_out_what_passes_the_edge():
    white = tf.ones((200, 35))
    moved = corruption.random_shift(white, (5, 7), 2, SEED).numpy().reshape(-1, 5, 7)
    # All but the rows and columns that the edge takes: a rectangle of height 3 to 5 and width 5 to 7 at an edge.
    heights, widths = moved.max(axis=2).sum(axis=1), moved.max(axis=1).sum(axis=1)
    np.testing.assert_array_equal(moved.sum(axis=(1, 2)), heights * widths)
    assert set(heights) == {3, 4, 5} and set(widths) == {5, 6, 7}
    np.testing.assert_array_equal(corruption.random_shift(white, (5, 7), 0, SEED), white)


# Batches.


def stream(seed=0, first_step=0, n=64, batch_size=16):
    images = np.random.default_rng(0).integers(1, 256, (n, 784), np.uint8)
    corrupt = functools.partial(corruption.masking_noise, rate=0.5)
    return images, Batches(images, batch_size, seed, transform=corrupted(corrupt, seed)).stream(first_step)


def take(batches, n):
    pairs = list(batches.take(n).as_numpy_iterator())
    return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])


def test_the_target_of_a_batch_is_the_clean_image_of_its_input():
    images, batches = stream()
    x, y = take(batches, 9)
    clean = Batches(images, 16, 0).stream().take(9).as_numpy_iterator()
    np.testing.assert_array_equal(y, np.stack(list(clean)))
    np.testing.assert_array_equal(x, np.where(x == 0, 0, y))
    assert np.mean(x == 0) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(x.size))


def test_every_epoch_masks_other_pixels_of_an_image():
    x, y = (part.reshape(2, 64, 784) for part in take(stream()[1], 8))
    epochs = [masked[np.lexsort(clean.T)] == 0 for masked, clean in zip(x, y, strict=True)]
    # Each image's two masks agree on a half of the pixels, as independent ones do.
    assert np.mean(epochs[0] == epochs[1]) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(64 * 784))


@pytest.mark.parametrize("first_step", [1, 4, 7])
def test_a_stream_that_goes_on_gives_what_the_uninterrupted_one_would(first_step):
    whole, rest = take(stream()[1], 12), take(stream(first_step=first_step)[1], 12 - first_step)
    for a, b in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(a[first_step:], b)
    other = take(stream(seed=1)[1], 12)
    assert not np.array_equal(whole[0], other[0])
