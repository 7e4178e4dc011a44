"""Log-densities, the KL divergence, reparameterised sampling and the seeds of every random draw: pure functions.

Everything is in nats, per example: densities and divergences are summed over the last axis (pixels or latents).
"""

from __future__ import annotations

import contextlib
import contextvars
import enum
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

Shape: TypeAlias = Sequence[int | tf.Tensor] | tf.Tensor
LOG_TWO_PI = 1.8378770664093453


class Draw(enum.IntEnum):
    """What a random draw is for. Part of its seed, so that no two purposes ever share random numbers."""

    SHUFFLE = 0
    BINARIZE = 1
    LATENT = 2
    NOISE = 3
    EVALUATION = 4
    FIXED_BINARIZATION = 5
    SAMPLE = 6
    CORRUPTION = 7
    FIXED_CORRUPTION = 8
    DATA = 9
    GRADIENT = 10
    DROPOUT = 11
    SHIFT = 12
    RESAMPLE = 13


def stateless_seed(run_seed: int, draw: Draw, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """Returns the seed of one random draw as a function of (run seed, purpose, counter).

    There is no generator state, so a resumed run draws what the uninterrupted one would have drawn.

    Args:
        run_seed: int >= 0, the seed of the whole run.
        draw: a `Draw`.
        counter: int or integer scalar tensor, usually the optimizer iteration.

    Returns:
        `(2,)` int64 tensor for the `seed` argument of `tf.random.stateless_*`.
    """
    return tf.stack([tf.constant(run_seed * 16 + int(draw), tf.int64), tf.cast(counter, tf.int64)])


def for_another(seed: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Returns what `stateless_seed` gives of the same run and counter as a seed `(2,)` for another draw."""
    return tf.stack([seed[0] // 16 * 16 + int(draw), seed[1]])


def serving_seed(seed: tf.Tensor) -> tf.Tensor:
    """Returns the seed of what a served model generates for a user's seed, any int64 scalar.

    Counters of `stateless_seed` are never negative, so no draw of a training, an evaluation or a figure is served.
    """
    return tf.stack([tf.cast(seed, tf.int64), tf.constant(-1, tf.int64)])


class Generator(NamedTuple):
    """Where random numbers come from: `uniform(shape, seed, low, high)` and `normal(shape, seed)`."""

    uniform: Callable[..., tf.Tensor]
    normal: Callable[..., tf.Tensor]


# Of the batch whose rows are drawn for: the number of the first row that is here, and of all rows. None: all are here.
_part: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar("part", default=None)


@contextlib.contextmanager
def rows_of(first: int, total: int) -> Iterator[None]:
    """Makes Threefry give some rows of a batch the numbers that they get when the whole batch is drawn.

    The rows of a draw are its last axis but one, as in `(batch, pixels)` and `(k, batch, latent_dim)`.

    Args:
        first: number of the first of them; they follow one another.
        total: of the batch's rows.
    """
    token = _part.set((first, total))
    try:
        yield
    finally:
        _part.reset(token)


def _counters(shape):
    """Returns the number of each word of a draw, int64, in one axis."""
    part = _part.get()
    if part is None:
        return tf.range(tf.cast(tf.reduce_prod(shape), tf.int64))
    first, total = part
    shape = tf.cast(shape, tf.int64)
    before, rows, size = tf.reduce_prod(shape[:-2]), shape[-2], shape[-1]
    numbers = total * tf.range(before)[:, None] + first + tf.range(rows)
    return tf.reshape(size * numbers[..., None] + tf.range(size), [-1])


def threefry(shape: Shape, seed: tf.Tensor) -> tf.Tensor:
    """Returns random uint32 words: the first ones of Threefry-2x32's blocks 0, 1, 2, ..., after 20 rounds.

    They are made of integer operations alone, so they are the same in code that XLA compiles and in code that it does
    not. XLA compiles them together with what needs them: there they cost a fraction of TensorFlow's own kernel.

    Args:
        shape: of the result, at most 2**32 words.
        seed: `(2,)` integer tensor, see `stateless_seed`; the words differ for all its values below 2**40 and 2**56.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.
    """
    low, high = tf.unstack(tf.bitcast(tf.cast(seed, tf.int64), tf.uint32), axis=1)
    keys = (low[0], low[1], low[0] ^ low[1] ^ tf.constant(0x1BD11BDA, tf.uint32))
    # The counter's second word is for what the key has no room for.
    x = tf.cast(_counters(shape), tf.uint32) + keys[0]
    y = tf.zeros_like(x) + _rotated(high[1], 8) + high[0] + keys[1]
    for i in range(5):
        for bits in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x += y
            y = _rotated(y, bits) ^ x
        x += keys[(i + 1) % 3]
        y += keys[(i + 2) % 3] + tf.constant(i + 1, tf.uint32)
    return tf.reshape(x, shape)


def _rotated(words, bits):
    left, right = tf.constant(bits, tf.uint32), tf.constant(32 - bits, tf.uint32)
    return tf.bitwise.left_shift(words, left) | tf.bitwise.right_shift(words, right)


def threefry_uniform(shape: Shape, seed: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Returns float32 draws from the uniform distribution on [low, high): multiples of 2**-24 of its width.

    For what batches and steps of training draw; see `threefry`.
    """
    bits = tf.bitcast(tf.bitwise.right_shift(threefry(shape, seed), tf.constant(8, tf.uint32)), tf.int32)
    return low + (high - low) * (tf.cast(bits, tf.float32) * 2.0**-24)


def threefry_normal(shape: Shape, seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 draws from N(0, 1), none beyond 5.3; the same with XLA and without but for rounding.

    For what batches and steps of training draw; see `threefry`. Quantiles of N(0, 1) at uniform draws in (0, 1).
    """
    part = _part.get()
    if part is not None:
        # The kernel of erfinv may round otherwise at another place of a tensor: the whole is drawn, and cut.
        (first, total), (*before, rows, size) = part, tf.unstack(shape)
        whole = contextvars.Context().run(threefry_normal, (*before, total, size), seed)
        return whole[..., first : first + rows, :]
    bits = tf.bitcast(tf.bitwise.right_shift(threefry(shape, seed), tf.constant(9, tf.uint32)), tf.int32)
    # On (-1, 1), without its ends.
    uniform = (tf.cast(bits, tf.float32) + 0.5) * 2.0**-22 - 1.0
    return math.sqrt(2.0) * tf.math.erfinv(uniform)


def stateless_uniform(shape: Shape, seed: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Returns float32 draws from the uniform distribution on [low, high), by TensorFlow's own kernel.

    For what is drawn once and large, or served. Code that XLA compiles draws different numbers from code that it does
    not.
    """
    return tf.random.stateless_uniform(shape, seed, low, high, alg="philox")


def stateless_normal(shape: Shape, seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 draws from N(0, 1), by TensorFlow's own kernel; see `stateless_uniform`."""
    return tf.random.stateless_normal(shape, seed, alg="philox")


THREEFRY = Generator(threefry_uniform, threefry_normal)
PHILOX = Generator(stateless_uniform, stateless_normal)


def bernoulli_log_prob(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns log p(x) under independent Bernoulli pixels.

    log p(x) = sum_i [x_i log s(l_i) + (1 - x_i) log(1 - s(l_i))], with s the logistic function, computed from the
    logits so that it stays finite at any of them.

    Args:
        x: `(..., pixels)` float, each 0 or 1. Values between give the (unnormalised) cross-entropy, not a density.
        logits: `(..., pixels)` float, log-odds.

    Returns:
        `(...)` float, nats per image, summed over pixels.

    Source: Kingma & Welling 2013, appendix C.1.
    """
    return -tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), axis=-1)


@tf.custom_gradient
def bernoulli_log_prob_of_draws(x: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Returns `bernoulli_log_prob` of the same images under each of k logits, faster where XLA compiles it.

    XLA makes vectors of the elements only where it does not sum them in the same loop: the sum is a matrix product. And
    log1p costs it more than log, which loses less than 1e-7 nats a pixel here.

    Args:
        x: `(batch, pixels)` float, each 0 or 1; constant.
        logits: `(k, batch, pixels)` float.

    Returns:
        `(k, batch)` float, nats per image.
    """

    def gradient(upstream):
        return None, upstream[..., None] * (x - tf.sigmoid(logits))

    cross_entropy = tf.nn.relu(logits) - x * logits + tf.math.log(1 + tf.exp(-tf.abs(logits)))
    return -tf.linalg.matvec(cross_entropy, tf.ones_like(x[0])), gradient


def systematic_resample(weights: tf.Tensor, count: int, uniform: tf.Tensor) -> tf.Tensor:
    """Returns the indices of `count` samples of each column, each drawn in proportion to its weight.

    On average sample i is drawn count * w_i times, and never further than 1 from it: the mean of a function over the
    drawn samples is an unbiased estimate of its weighted mean.

    Args:
        weights: `(k, batch)` float, of sum 1 in each column.
        count: draws in each column.
        uniform: `(batch,)` float in [0, 1), one independent draw for each column.

    Returns:
        `(count, batch)` int32, not decreasing, below k.

    Source: Kitagawa 1996, "Monte Carlo filter and smoother", appendix.
    """
    points = (tf.range(count, dtype=weights.dtype)[:, None] + uniform) / count
    # The last sum may round to less than a point.
    ends = tf.cumsum(weights, axis=0)[:-1]
    return tf.reduce_sum(tf.cast(points[:, None] >= ends, tf.int32), axis=1)


def normal_log_prob(x: tf.Tensor, mean: tf.Tensor, log_var: tf.Tensor) -> tf.Tensor:
    """Returns log N(x; mean, diag(exp(log_var))).

    Args:
        x: `(..., dim)` float.
        mean: `(..., dim)` float.
        log_var: `(..., dim)` float, the logarithm of the variance.

    Returns:
        `(...)` float, nats, summed over the last axis.

    Source: Kingma & Welling 2013, appendix C.2; lecture B2.
    """
    return -0.5 * tf.reduce_sum(LOG_TWO_PI + log_var + tf.square(x - mean) * tf.exp(-log_var), axis=-1)


def kl_divergence(z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Returns KL(N(z_mean, diag(exp(z_log_var))) || N(0, I)) in closed form.

    KL = -1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2); 0 for the standard normal, positive elsewhere.

    Args:
        z_mean: `(..., latent_dim)` float.
        z_log_var: `(..., latent_dim)` float.

    Returns:
        `(...)` float, nats per image, summed over latents.

    Source: Kingma & Welling 2013, appendix B; lecture B3.
    """
    # expm1 keeps the digits that 1 + log_var - exp(log_var) loses near the standard normal.
    return 0.5 * tf.reduce_sum(tf.square(z_mean) + tf.math.expm1(z_log_var) - z_log_var, axis=-1)


def sample_normal(mean: tf.Tensor, log_var: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns mean + sigma * epsilon, epsilon ~ N(0, I): a draw through which gradients reach mean and log_var.

    Args:
        mean: `(..., dim)` float32.
        log_var: `(..., dim)` float32.
        seed: `(2,)` integer tensor, see `stateless_seed`.

    Returns:
        `(..., dim)` float32.

    Source: Kingma & Welling 2013, section 2.4 (the reparameterisation trick).
    """
    return mean + tf.exp(0.5 * log_var) * tf.cast(threefry_normal(tf.shape(mean), seed), mean.dtype)


def log_prior_ratio(z: tf.Tensor, epsilon: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Returns log p(z) - log q(z|x) of a draw z = z_mean + sigma * epsilon, with p(z) = N(0, I).

    log q(z|x) = log N(epsilon; 0, I) - 1/2 sum_j log sigma_j^2, which needs no division by a small sigma.

    Args:
        z: `(..., latent_dim)` float.
        epsilon: `(..., latent_dim)` float, the standard normal draw that z comes from.
        z_log_var: `(..., latent_dim)` float, or of a shape that broadcasts.

    Returns:
        `(...)` float, nats.
    """
    return 0.5 * tf.reduce_sum(z_log_var + tf.square(epsilon) - tf.square(z), axis=-1)
