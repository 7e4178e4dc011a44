"""From densities, one a class, to a classifier: Bayes' rule (lecture C1, C3). Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

LogDensity = Callable[[np.ndarray], np.ndarray]


def log_joint(x: np.ndarray, log_densities: Sequence[LogDensity], log_priors: np.ndarray) -> np.ndarray:
    """Returns log p(x, y) = log p(x|y) + log p(y): how likely each class is to have generated each x.

    Args:
        x: `(n, dim)` array.
        log_densities: one function a class, from `x` to log p(x|y) of shape `(n,)`.
        log_priors: `(classes,)` float, log p(y).

    Returns:
        `(n, classes)` float64, nats. Its largest entry in a row is the class that a generative model decides for, since
        p(y|x) = p(x, y) / p(x) and p(x) is the same for all classes.

    Source: lecture C1.
    """
    return np.stack([log_density(x) for log_density in log_densities], axis=1) + log_priors


def generative_classifier(
    log_densities: Sequence[LogDensity], labels: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function from x to the class of largest p(x, y), with the classes' shares as p(y).

    Args:
        log_densities: one function a class, in ascending order, from `(n, dim)` to log p(x|y) of shape `(n,)`.
        labels: `(n,)` integers, from which the shares are counted.
    """
    classes, counts = np.unique(labels, return_counts=True)
    log_priors = np.log(counts / len(labels))
    return lambda x: classes[np.argmax(log_joint(x, log_densities, log_priors), axis=1)]
