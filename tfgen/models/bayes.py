"""From densities, one a class, to a classifier: Bayes' rule (lecture C1, C3). Pure NumPy."""

import numpy as np


def log_joint(x, log_densities, log_priors):
    """Returns log p(x, y) = log p(x|y) + log p(y): how likely each class is to have generated each x.

    Args:
        x: `(n, dim)` array.
        log_densities: one function a class, from `x` to log p(x|y) of shape `(n,)`.
        log_priors: `(classes,)` float, log p(y).

    Returns:
        `(n, classes)` float64, nats. Its largest entry in a row is the class that a generative model decides for.

    Source: lecture C1.
    """
    return np.stack([log_density(x) for log_density in log_densities], axis=1) + log_priors


def log_posterior(log_p_xy):
    """Returns log p(y|x) = log p(x, y) - log p(x), with p(x) = sum_y p(x, y).

    Args:
        log_p_xy: `(n, classes)` float, such as `log_joint` returns.

    Returns:
        `(n, classes)` float64, nats; each row's exponentials add up to 1.

    Source: lecture C1.
    """
    # In logarithms throughout: p(x) of an image underflows in any float.
    return log_p_xy - np.logaddexp.reduce(log_p_xy, axis=1, keepdims=True)
