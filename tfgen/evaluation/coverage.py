"""How evenly images cover the classes, by a classifier's verdict, and how many latents a model uses for them."""

import numpy as np
from scipy.special import rel_entr


def class_shares(probabilities):
    """Returns the share of images that a classifier puts into each class.

    Args:
        probabilities: `(n, classes)` float, or logits: only the largest counts.

    Returns:
        `(classes,)` float64, adding up to 1. Its minimum is 0 where the generator has dropped a class.
    """
    predicted = np.argmax(probabilities, axis=1)
    return np.bincount(predicted, minlength=np.shape(probabilities)[1]) / len(predicted)


def classifier_score(probabilities):
    """Returns exp E_x[KL(p(y|x) || p(y))], p(y) being the mean of p(y|x): 1 at worst, the number of classes at best.

    Args:
        probabilities: `(n, classes)` float, each row adding up to 1.

    Returns:
        float. High where each image is surely of one class and all classes are as frequent.

    Raises:
        ValueError: if some row does not add up to 1.

    Source: Salimans et al. 2016, section 4 (the Inception score, with a classifier of one's own).
    """
    p = np.asarray(probabilities, np.float64)
    if not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise ValueError("each row of `probabilities` must add up to 1; pass a softmax's output, not logits.")
    return float(np.exp(np.mean(np.sum(rel_entr(p, p.mean(axis=0)), axis=1))))


def active_units(z_means, threshold=0.01):
    """Returns how many latents a VAE uses: those whose posterior mean varies over the data by more than `threshold`.

    Args:
        z_means: `(n, latent_dim)` float, the means of q(z|x) of n images.
        threshold: least variance over the images.

    Source: Burda et al. 2015, section 5.2.
    """
    return int(np.sum(np.var(z_means, axis=0) > threshold))
