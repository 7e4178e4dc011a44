"""How evenly generated images cover the classes, by a classifier's verdict."""

import numpy as np


def class_shares(probabilities):
    """Returns the share of images that a classifier puts into each class.

    Args:
        probabilities: `(n, classes)` float, or logits: only the largest counts.

    Returns:
        `(classes,)` float64, adding up to 1. Its minimum is 0 where the generator has dropped a class.
    """
    predicted = np.argmax(probabilities, axis=1)
    return np.bincount(predicted, minlength=np.shape(probabilities)[1]) / len(predicted)
