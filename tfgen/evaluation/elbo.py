"""The evidence lower bound of single images (lecture B3)."""

import numpy as np

from tfgen.distributions import Draw, stateless_seed


def negative_elbo(terms, images, seed, batch_size=1000):
    """Returns the negative ELBO of each image, estimated with one draw of z: nats, high where a model is surprised.

    Args:
        terms: function of images and of a `(2,)` integer seed to the two terms of the negative ELBO, each `(batch,)`,
            such as `VAE.negative_elbo_terms`.
        images: `(n, pixels)` float32, as the model takes them.
        seed: int >= 0, the seed of the run.
        batch_size: images at a time.
    """
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    parts = [terms(x, stateless_seed(seed, Draw.EVALUATION, i)) for i, x in enumerate(batches)]
    return np.concatenate([reconstruction_loss + kl for reconstruction_loss, kl in parts])
