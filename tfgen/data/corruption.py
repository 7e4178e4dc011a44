"""Random changes of images: noise for denoising autoencoders (lecture A2), and shifts.

All are pure functions of images and a seed.
"""

import tensorflow as tf

from tfgen.distributions import threefry_normal, threefry_uniform


def masking_noise(images, rate, seed):
    """Returns images whose pixels are set to 0 with probability `rate`, each independently.

    x~_i = m_i x_i with m_i ~ Bernoulli(1 - rate).

    Args:
        images: `(batch, pixels)` float32.
        rate: float in [0, 1]; 0 leaves the images as they are, 1 makes them black.
        seed: `(2,)` integer tensor, see `distributions.stateless_seed`.

    Returns:
        `(batch, pixels)` float32, with mean (1 - rate) x and variance rate (1 - rate) x^2 at a pixel x.

    Source: Vincent et al. 2008 and 2010, masking noise.
    Differs: the papers set the same fraction of pixels to 0 in every image. Here the fraction varies, with a standard
    deviation of sqrt(rate (1 - rate) / pixels).
    """
    kept = threefry_uniform(tf.shape(images), seed) >= rate
    return tf.where(kept, images, tf.zeros_like(images))


def gaussian_noise(images, standard_deviation, seed):
    """Returns x~ ~ N(x, standard_deviation^2 I), not clipped: pixels may leave [0, 1].

    Clipping would darken white and brighten black pixels: the noise would no longer have mean 0.

    Args:
        images: `(batch, pixels)` float32.
        standard_deviation: float >= 0, on the scale of the pixels; 0 leaves the images as they are.
        seed: `(2,)` integer tensor, see `distributions.stateless_seed`.

    Returns:
        `(batch, pixels)` float32, with mean x and variance standard_deviation^2 at a pixel x.

    Source: Vincent et al. 2010, additive isotropic Gaussian noise.
    """
    return images + standard_deviation * threefry_normal(tf.shape(images), seed)


def random_shift(images, image_shape, distance, seed):
    """Returns images shifted by up to `distance` whole pixels along each axis, padded with black.

    Args:
        images: `(batch, height * width)` float32.
        image_shape: `(height, width)`.
        distance: int >= 0; all (2 distance + 1)^2 shifts are equally likely.
        seed: `(2,)` integer tensor, see `distributions.stateless_seed`.

    Returns:
        `(batch, height * width)` float32.
    """
    n, (height, width) = tf.shape(images)[0], image_shape
    padded = tf.pad(tf.reshape(images, (n, height, width)), [[0, 0], [distance, distance], [distance, distance]])
    offsets = tf.cast(threefry_uniform((n, 2), seed, 0.0, 2.0 * distance + 1), tf.int32)
    rows = tf.gather(padded, offsets[:, :1] + tf.range(height), axis=1, batch_dims=1)
    columns = tf.gather(rows, offsets[:, 1:] + tf.range(width), axis=2, batch_dims=1)
    return tf.reshape(columns, (n, height * width))
