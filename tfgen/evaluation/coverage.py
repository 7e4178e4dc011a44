"""How evenly generated images cover the classes, as a classifier sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr


def class_fractions(probabilities: np.ndarray) -> np.ndarray:
    """Returns the fraction of images that a classifier puts into each class.

    Args:
        probabilities: `(n, classes)` float, or logits: only the largest counts.

    Returns:
        `(classes,)` float64, adding up to 1. Its minimum is 0 where the generator has dropped a class.

    Raises:
        ValueError: if some value is not finite, so that no largest one is defined.
    """
    if not np.isfinite(probabilities).all():
        raise ValueError("`probabilities` must be finite.")
    predicted = np.argmax(probabilities, axis=1)
    return np.bincount(predicted, minlength=np.shape(probabilities)[1]) / len(predicted)


def classifier_score(probabilities: ArrayLike) -> float:
    """Returns exp E_x[KL(p(y|x) || p(y))], where p(y) is the mean of p(y|x).

    Args:
        probabilities: `(n, classes)` float, each row adding up to 1.

    Returns:
        float from 1 to the number of classes. It is high if the classifier is sure of each image and all classes are
        equally frequent.

    Raises:
        ValueError: if some value lies outside [0, 1] or some row does not add up to 1.

    Source: Salimans et al. 2016, section 4 (the Inception score, with another classifier).
    """
    p = np.asarray(probabilities, np.float64)
    # A NaN makes the first comparison false.
    if not (np.min(p) >= 0 and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
        raise ValueError(
            "`probabilities` must lie in [0, 1] and each row add up to 1; pass a softmax's output, not logits."
        )
    return float(np.exp(np.mean(np.sum(rel_entr(p, p.mean(axis=0)), axis=1))))
