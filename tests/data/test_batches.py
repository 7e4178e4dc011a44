"""Batches of training: pixels scaled or drawn, every image once an epoch in an order of its own, resumed anywhere."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfgen.data.batches import (
    Batches,
    DrawnBatches,
    PartlyLabelledBatches,
    Redrawn,
    binarize,
    blocks,
    corrupted,
    fixed_binarization,
    pairs,
    scale,
    without_tuning,
)
from tfgen.data.corruption import masking_noise
from tfgen.distributions import Draw, stateless_normal, stateless_seed
from tfgen.errors import InputError

SEED = stateless_seed(5, Draw.BINARIZE)


# Pixels.


def test_scale_maps_bytes_to_the_unit_interval():
    pixels = scale(np.uint8([[0, 51, 128, 255]]))
    assert pixels.dtype == tf.float32
    np.testing.assert_allclose(pixels, [[0, 0.2, 128 / 255, 1]], rtol=1e-6)


def shades():
    """Returns 784 pixels that take every value."""
    return (np.arange(784) % 256).astype(np.uint8)


def follows_the_shades(x):
    """Whether each pixel's mean over images lies within five standard errors of its probability."""
    probability = shades() / 255
    error = np.sqrt(probability * (1 - probability) / len(x))
    return bool(np.all(np.abs(np.mean(x, axis=0) - probability) <= 5 * error + 1e-6))


def test_binarize_draws_bernoulli_pixels():
    images = np.tile(shades(), (4000, 1))
    x = binarize(images, SEED).numpy()
    assert x.dtype == np.float32 and set(np.unique(x)) == {0, 1}
    assert follows_the_shades(x)
    assert not follows_the_shades(images > 127)  # A threshold instead of a draw.
    assert not follows_the_shades(binarize(np.tile(255 - shades(), (4000, 1)), SEED))  # Ink for paper.


def test_binarize_draws_pixels_and_images_independently():
    n = 4000
    x = binarize(np.full((n, 784), 128, np.uint8), SEED).numpy()
    # With independent pixels the ink of an image is binomial, and so is that of a pixel over images.
    for total, trials in ((x.sum(1), 784), (x.sum(0), n)):
        variance = trials * 128 / 255 * 127 / 255
        # The standard error of a normal variable's variance.
        assert abs(total.var(ddof=1) / variance - 1) < 5 * np.sqrt(2 / len(total))


def test_binarize_is_a_function_of_the_seed():
    images = np.tile(shades(), (5, 1))
    np.testing.assert_array_equal(binarize(images, SEED), binarize(images, SEED))
    assert np.any(binarize(images, SEED) != binarize(images, SEED + 1))


def test_fixed_binarization_is_fixed_and_bernoulli():
    images = np.tile(shades(), (2000, 1))
    once = fixed_binarization(images).numpy()
    np.testing.assert_array_equal(once, fixed_binarization(images))
    assert set(np.unique(once)) == {0, 1} and follows_the_shades(once)


def test_the_two_fixed_binarisations_are_independent_draws_of_the_same_pixels():
    images = np.full((50, 784), 51, np.uint8)
    a, b = (fixed_binarization(images, number).numpy() for number in (0, 1))
    np.testing.assert_array_equal(a, fixed_binarization(images).numpy())
    # 39,200 pixels lit with p = 0.2: each set's share, and the share lit in both, within five standard errors.
    for share, p in ((a.mean(), 0.2), (b.mean(), 0.2), ((a * b).mean(), 0.04)):
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / a.size)


# Batches.


def numbered_images(n):
    """Returns images that show their index, at most 255, and labels that are a function of it."""
    return np.repeat(np.arange(n, dtype=np.uint8)[:, None], 784, axis=1), np.arange(n) * 7 % 10


def take(stream, count):
    return list(stream.take(count).as_numpy_iterator())


def indices(batches):
    """Returns the index that each image of some batches shows."""
    pixels = np.concatenate(batches)
    assert np.all(pixels == pixels[:, :1])
    return np.round(255 * pixels[:, 0]).astype(int)


def test_no_image_comes_twice_in_an_epoch_and_the_order_changes():
    images, _ = numbered_images(103)
    epochs = np.split(indices(take(Batches(images, 10, seed=1).stream(), 60)), 6)
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == 100 and set(epoch) <= set(range(103))
    for before, after in itertools.pairwise(epochs):
        # Two random orders of 100 agree in one place on average.
        assert np.sum(before == after) < 8
    # Another three of the 103 sit out each time.
    assert len({frozenset(range(103)) - set(epoch) for epoch in epochs}) > 3


def test_an_epoch_that_the_batches_fill_is_a_permutation():
    images, _ = numbered_images(60)
    epoch = indices(take(Batches(images, 20, seed=1).stream(), 3))
    assert sorted(epoch) == list(range(60)) and list(epoch) != sorted(epoch)


def test_every_image_comes_equally_often_at_every_place():
    n, epochs = 12, 1200
    images, _ = numbered_images(n)
    orders = indices(take(Batches(images, n, seed=0).stream(), epochs)).reshape(epochs, n)
    counts = np.array([np.bincount(orders[:, place], minlength=n) for place in range(n)])

    def chi_square(counts):
        return np.sum((counts - epochs / n) ** 2 / (epochs / n))

    # Rows and columns of the table are given: (n - 1)^2 degrees of freedom.
    limit = stats.chi2((n - 1) ** 2).isf(1e-6)
    assert chi_square(counts) < limit
    # Even an order that returns once in twenty epochs would show.
    assert chi_square(0.95 * counts + 0.05 * epochs * np.eye(n)) > limit


def test_every_epoch_and_every_run_has_an_order_of_its_own():
    images, _ = numbered_images(100)

    def order(seed, epoch):
        return indices(take(Batches(images, 100, seed).stream(epoch), 1))

    np.testing.assert_array_equal(order(0, 0), order(0, 0))
    for seed, epoch in ((0, 1), (0, 256), (0, 65_536), (1, 0), (16, 0), (4096, 0)):
        assert np.sum(order(0, 0) == order(seed, epoch)) < 8


def test_the_orders_of_mnist_s_epochs_are_uncorrelated():
    n, batch_size, epochs = 50_000, 500, 5
    stream = Batches(np.zeros((n, 784), np.uint8), batch_size, seed=0, labels=np.arange(n)).stream()
    orders = np.concatenate([y for _, y in take(stream, epochs * n // batch_size)]).reshape(epochs, n)
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(n), (epochs, 1)))
    # The correlation of two random orders has the standard error 1 / sqrt(n).
    correlations = np.corrcoef([np.arange(n), *orders])
    assert np.abs(correlations - np.eye(epochs + 1)).max() < 5 / np.sqrt(n)
    following = [np.corrcoef(order[1:], order[:-1])[0, 1] for order in orders]
    assert np.abs(following).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize("binarized", [False, True])
def test_a_stream_from_a_later_step_goes_on_as_the_one_from_zero(binarized):
    images, labels = numbered_images(50)

    def stream(first_step):
        return Batches(images, 8, seed=3, labels=labels, binarized=binarized).stream(first_step)

    whole = take(stream(0), 20)
    for first_step in (1, 6, 13):
        for (x, y), (resumed_x, resumed_y) in zip(whole[first_step:], take(stream(first_step), 20), strict=False):
            np.testing.assert_array_equal(x, resumed_x)
            np.testing.assert_array_equal(y, resumed_y)
    assert np.any(whole[0][0] != whole[1][0])


def test_labels_stay_with_their_images():
    images, labels = numbered_images(200)
    batches = take(Batches(images, 30, seed=4, labels=labels).stream(), 14)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels[indices([x for x, _ in batches])])


def test_batches_know_their_shape():
    images, labels = numbered_images(20)
    x, y = Batches(images, 6, seed=0, labels=labels).stream().element_spec
    assert (x.shape, x.dtype, y.shape) == ((6, 784), tf.float32, (6,))


def test_binarized_batches_are_drawn_anew_for_every_batch():
    images = np.tile(shades(), (64, 1))
    batches = take(Batches(images, 64, seed=2, binarized=True).stream(), 60)
    x = np.concatenate(batches)
    assert set(np.unique(x)) == {0, 1} and follows_the_shades(x)
    # One binarisation, kept for all epochs, would be no more than 64 images.
    assert not follows_the_shades(np.tile(batches[0], (60, 1)))
    assert len(np.unique(x, axis=0)) == len(x)


def test_a_set_smaller_than_a_batch_is_refused():
    images, _ = numbered_images(9)
    with pytest.raises(InputError, match=r"batch of 10 .* 9 training images"):
        Batches(images, 10, seed=0)
    np.testing.assert_array_equal(np.sort(indices(take(Batches(images, 9, seed=0).stream(), 1))), range(9))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"images": np.zeros((20, 784), np.float64)}, "uint8 .* got float64"),
        # What is binarised is drawn from bytes.
        ({"images": np.zeros((20, 784), np.float32), "binarized": True}, "uint8 .* got float32"),
        ({"images": np.zeros((20, 28, 28), np.uint8)}, r"got uint8 \(20, 28, 28\)"),
        ({"labels": np.zeros(19, np.int64)}, r"shape \(20,\).* got \(19,\)"),
        ({"batch_size": 0}, "at least 1 .* got 0"),
        ({"seed": -1}, "at least 0.* -1"),
    ],
)
def test_the_stream_refuses_what_it_would_silently_train_on(wrong, message):
    arguments = {"images": np.zeros((20, 784), np.uint8), "batch_size": 5, "seed": 0, **wrong}
    with pytest.raises(ValueError, match=message):
        Batches(**arguments)


def test_real_numbers_come_as_they_are():
    x = np.random.default_rng(0).normal(0, 100, (12, 3)).astype(np.float32)
    (batch,) = take(Batches(x, 12, seed=0).stream(), 1)
    np.testing.assert_array_equal(batch[np.lexsort(batch.T)], x[np.lexsort(x.T)])


def test_a_transform_gets_the_number_of_the_batch_wherever_the_stream_begins():
    images, labels = numbered_images(50)
    plain = Batches(images, 8, seed=3, labels=labels)
    marked = plain.map(lambda step, x, y: (x + tf.cast(step, tf.float32), y))
    assert plain.transform is None
    for first_step in (0, 9):
        for i, (batch, other) in enumerate(
            zip(take(plain.stream(first_step), 10), take(marked.stream(first_step), 10), strict=True)
        ):
            np.testing.assert_array_equal(batch[0] + np.float32(first_step + i), other[0])
            np.testing.assert_array_equal(batch[1], other[1])


def test_pairs_are_each_image_twice():
    images, _ = numbered_images(20)
    ((x, y),) = take(Batches(images, 20, seed=0, transform=pairs).stream(), 1)
    np.testing.assert_array_equal(x, y)
    assert sorted(indices([x])) == list(range(20))


@pytest.mark.parametrize("kind", ["scaled", "binarized", "corrupted", "labelled"])
def test_a_block_holds_the_batches_of_the_stream_bit_for_bit(kind):
    images, labels = np.random.default_rng(0).integers(256, size=(50, 784), dtype=np.uint8), np.arange(50)
    mask = functools.partial(masking_noise, rate=0.3)
    options = {
        "binarized": {"binarized": True},
        "corrupted": {"transform": corrupted(mask, 3)},
        "labelled": {"labels": labels},
    }
    batches = Batches(images, 8, seed=3, **options.get(kind, {}))
    for first_step in (0, 7):
        stream = iter(take(batches.stream(first_step), 8))
        for first, rows in blocks(batches, first_step, 4).take(2):
            assert int(first) - first_step in (0, 4)
            for i in range(4):
                prepared = tf.function(batches.prepare, jit_compile=True)(first + i, *(row[i] for row in rows))
                for part, expected in zip(*map(tf.nest.flatten, (prepared, next(stream))), strict=True):
                    # XLA multiplies by 1 / 255 where the kernel divides.
                    np.testing.assert_allclose(part, expected, rtol=0 if kind == "binarized" else 1e-6)
                    np.testing.assert_array_equal(part == 0, expected == 0)
    if kind == "binarized":  # Wrong: the number within the block.
        first, rows = next(iter(blocks(batches, 4, 4)))
        assert np.any(batches.prepare(0, rows[0][0]) != next(iter(batches.stream(4))))


def test_batches_that_differ_in_their_images_alone_are_prepared_alike():
    images, _ = numbered_images(20)
    batches = Batches(images, 5, seed=3, transform=pairs)
    assert batches.prepare == Batches(images[:10], 5, seed=4, transform=pairs).prepare != batches.map(None).prepare
    binarized = Batches(images, 5, seed=3, binarized=True)
    assert binarized.prepare == Batches(images[:10], 5, seed=3, binarized=True).prepare
    assert binarized.prepare != Batches(images, 5, seed=4, binarized=True).prepare


# Draws of a distribution.


def test_drawn_batches_are_new_ones_of_the_distribution_and_a_function_of_seed_and_number():
    def draw(n, seed):
        return 3 + 2 * stateless_normal((n, 1), seed)

    whole = take(DrawnBatches(draw, 500, seed=1).stream(), 20)
    assert all(batch.shape == (500, 1) for batch in whole)
    x = np.concatenate(whole).ravel()
    assert len(np.unique(x)) > 9990  # no batch comes twice
    assert stats.kstest(x, stats.norm(3, 2).cdf).pvalue > 1e-4
    assert stats.kstest(x, stats.norm(3, 2.1).cdf).pvalue < stats.kstest(x, stats.norm(3, 2).cdf).pvalue
    (_, (block,)), *_ = blocks(DrawnBatches(draw, 500, seed=1), 13, 7).take(1)
    np.testing.assert_array_equal(block, whole[13:])
    for later, again in zip(whole[13:], take(DrawnBatches(draw, 500, seed=1).stream(13), 7), strict=True):
        np.testing.assert_array_equal(later, again)
    (other,) = take(DrawnBatches(draw, 500, seed=2).stream(), 1)
    assert abs(np.corrcoef(other.ravel(), whole[0].ravel())[0, 1]) < 5 / np.sqrt(500)


def test_no_stream_is_tuned_while_it_runs():
    images, _ = numbered_images(20)
    streams = [Batches(images, 5, seed=0).stream(), DrawnBatches(lambda n, seed: tf.zeros((n, 1)), 5, seed=0).stream()]
    assert [stream.options().autotune.enabled for stream in streams] == [False, False]
    plain = tf.data.Dataset.range(5)
    assert plain.options().autotune.enabled is None
    np.testing.assert_array_equal(take(without_tuning(plain), 9), range(5))


def partly_labelled():
    """Returns batches of 6 images without labels and 2 with, of 40 images, of which the first 4 have labels."""
    images = np.arange(40, dtype=np.uint8)[:, None].repeat(3, axis=1)
    labels = np.arange(4)
    unlabelled = Batches(images, 6, 0)
    return PartlyLabelledBatches(unlabelled, Batches(images[:4], 2, 5, labels=labels))


def test_every_batch_has_images_without_labels_and_some_with_their_own():
    batches = partly_labelled()
    assert (batches.batch_size, batches.seed) == (6, 0)
    alone = Batches(batches.unlabelled.images, 6, 0).stream().take(12).as_numpy_iterator()
    seen = []
    for ((unlabelled, labelled), labels), same in zip(batches.stream().take(12), alone, strict=True):
        # Labels do not change what comes without them.
        np.testing.assert_array_equal(unlabelled, same)
        np.testing.assert_array_equal(np.round(255 * labelled[:, 0]), labels)
        seen += labels.numpy().tolist()
    assert np.bincount(seen).tolist() == [6, 6, 6, 6]


def test_a_block_of_partly_labelled_batches_holds_those_of_the_stream_bit_for_bit():
    batches = partly_labelled()
    stream = list(batches.stream().take(7))
    first, rows = next(iter(blocks(batches, 3, 4)))
    for i in range(4):
        (unlabelled, labelled), labels = batches.prepare(first + i, *(row[i] for row in rows))
        (expected_unlabelled, expected_labelled), expected_labels = stream[3 + i]
        np.testing.assert_array_equal(unlabelled, expected_unlabelled)
        np.testing.assert_array_equal(labelled, expected_labelled)
        np.testing.assert_array_equal(labels, expected_labels)


def test_images_with_labels_and_without_have_noise_of_their_own():
    images = np.full((8, 200), 128, np.uint8)
    batches = PartlyLabelledBatches(Batches(images, 4, 0, binarized=True), Batches(images, 4, 0, labels=np.arange(8)))
    (unlabelled, labelled), _ = next(iter(batches.stream()))
    assert np.mean(unlabelled == labelled) == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 800))


def test_redrawn_latents_follow_the_mean_and_the_variance_of_their_rows():
    n = 20_000
    rows = np.tile(np.float32([1.0, -2.0, np.log(0.25), np.log(4.0)]), (n, 1))
    z = Redrawn(7)(3, rows).numpy().astype(np.float64)
    deviation = np.array([0.5, 2.0])
    assert np.all(np.abs(z.mean(axis=0) - [1.0, -2.0]) < 5 * deviation / np.sqrt(n))
    assert np.all(np.abs(z.std(axis=0) - deviation) < 5 * deviation / np.sqrt(2 * n))
    # The variance taken for the deviation would be another by far.
    assert np.all(np.abs(z.std(axis=0) - deviation**2) > 5 * deviation / np.sqrt(2 * n))
    np.testing.assert_array_equal(Redrawn(7)(3, rows), z.astype(np.float32))
    assert np.all(np.any(Redrawn(7)(4, rows) != z, axis=0)) and np.all(np.any(Redrawn(8)(3, rows) != z, axis=0))
    assert Redrawn(7) == Redrawn(7) != Redrawn(8)
