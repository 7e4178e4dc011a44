"""The losses of the lecture as pure functions: squared reconstruction error (A4) and the GAN's (D2, D3)."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tfgen")
def squared_error(x: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    """Returns ||x - x'||^2 of each image.

    Args:
        x: `(batch, pixels)` float.
        reconstruction: `(batch, pixels)` float.

    Returns:
        `(batch,)` float, summed over pixels (Keras averages it over the batch).

    Source: lecture A4.
    """
    return tf.reduce_sum(tf.square(x - reconstruction), axis=-1)


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns -V(D, G): what the discriminator minimises in order to maximise the objective V.

    V = E_x[log D(x)] + E_z[log(1 - D(G(z)))] with D = sigmoid(logit), hence log D = -softplus(-logit) and
    log(1 - D) = -softplus(logit), which stay finite. 2 log 2 where D cannot tell real from fake.

    Args:
        real_logits: `(batch, 1)` float, the discriminator's logits on data.
        fake_logits: `(batch, 1)` float, on generated images.

    Returns:
        Scalar, nats, mean over the batch.

    Source: Goodfellow et al. 2014, equation 1; lecture D2, D3.
    """
    return tf.reduce_mean(tf.math.softplus(-real_logits)) + tf.reduce_mean(tf.math.softplus(fake_logits))


def minimax_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns E_z[log(1 - D(G(z)))], the term of V that depends on the generator, which minimises it.

    Its gradient vanishes where the discriminator rejects the samples: see `non_saturating_generator_loss`.

    Args:
        fake_logits: `(batch, 1)` float.

    Returns:
        Scalar <= 0, nats, mean over the batch.

    Source: Goodfellow et al. 2014, equation 1 and algorithm 1; lecture D2.
    """
    return -tf.reduce_mean(tf.math.softplus(fake_logits))


def non_saturating_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns -E_z[log D(G(z))]: same fixed point as the minimax form, strong gradients early in training.

    Args:
        fake_logits: `(batch, 1)` float.

    Returns:
        Scalar >= 0, nats, mean over the batch.

    Source: Goodfellow et al. 2014, section 3, last paragraph; lecture D3.
    """
    return tf.reduce_mean(tf.math.softplus(-fake_logits))
