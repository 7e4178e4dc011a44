"""The gradients that the two generator losses give, as a discriminator learns to reject the images (lecture D3)."""

import numpy as np
import tensorflow as tf

from tfgen.distributions import Draw, stateless_seed
from tfgen.losses import discriminator_loss
from tfgen.models.gan import GENERATOR_LOSSES


def loss_derivatives(loss, logits):
    """Returns the derivative of a generator loss with respect to the discriminator's logit.

    -D for the minimax loss, which vanishes where D rejects the images, and -(1 - D) for the non-saturating one, which
    is then at its largest: both by automatic differentiation of the losses that training uses.

    Args:
        loss: a key of `GENERATOR_LOSSES`.
        logits: `(n,)` float.

    Returns:
        `(n,)` float.

    Source: Goodfellow et al. 2014, section 3, last paragraph.
    """
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        # Each logit by itself: the losses are means over the batch.
        values = tf.map_fn(GENERATOR_LOSSES[loss], logits)
    return tape.gradient(values, logits).numpy()


def gradient_norms(model, batches, seed):
    """Returns what the generator would feel from each loss while the discriminator alone is trained against it.

    Args:
        model: a compiled `GAN`; its generator stays as it is.
        batches: batches of `(batch, pixels)` images, one for each update of the discriminator.
        seed: int >= 0; the noise is a function of it and of the number of the batch.

    Returns:
        Dict of `(steps,)` arrays, each taken before the discriminator's update: for each key of `GENERATOR_LOSSES` the
        norm of that loss's gradient with respect to the generator's weights, and `fake_probability`, the mean D(G(z)).
    """

    @tf.function(autograph=False)
    def step(x, z):
        with tf.GradientTape(persistent=True) as tape:
            fake = model.generator(z)
            fake_logits = model.discriminator(fake)
            d_loss = discriminator_loss(model.discriminator(x), fake_logits)
            g_losses = {name: loss(fake_logits) for name, loss in GENERATOR_LOSSES.items()}
        variables = model.generator.trainable_variables
        measured = {name: tf.linalg.global_norm(tape.gradient(loss, variables)) for name, loss in g_losses.items()}
        measured["fake_probability"] = tf.reduce_mean(tf.sigmoid(fake_logits))
        variables = model.discriminator.trainable_variables
        model.discriminator_optimizer.apply(tape.gradient(d_loss, variables), variables)
        return measured

    steps = []
    for t, x in enumerate(batches):
        z = model.sample_noise((len(x), model.noise_dim), stateless_seed(seed, Draw.GRADIENT, t))
        steps.append({name: float(value) for name, value in step(x, z).items()})
    return {name: np.array([measured[name] for measured in steps]) for name in steps[0]}
