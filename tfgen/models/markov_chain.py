"""A first-order Markov chain over the raster-scanned pixels of binary images (lecture C2). Pure NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class MarkovChain:
    """p(x) = p(x_1) prod_t p(x_t | x_{t-1}): each pixel given the one before it, row by row.

    The transition probabilities are those of the place, one pair for every pixel: a chain that had the same pair
    everywhere would know the texture of the strokes and nothing of where they run.

    Attributes:
        initial: p(x_1 = 1), float in (0, 1).
        transitions: `(pixels - 1, 2)` float64 in (0, 1); entry [t, a] is p(x = 1 | a) for the pixel after pixel t.
    """

    initial: float
    transitions: np.ndarray

    def log_prob(self, images: ArrayLike) -> np.ndarray:
        """Returns log p(x).

        Args:
            images: `(n, pixels)`, each pixel 0 or 1.

        Returns:
            `(n,)` float64, nats per image.
        """
        images = np.asarray(images, bool)
        on = np.where(images[:, :-1], self.transitions[:, 1], self.transitions[:, 0])
        first = np.where(images[:, 0], self.initial, 1 - self.initial)
        return np.log(first) + np.sum(np.log(np.where(images[:, 1:], on, 1 - on)), axis=1)

    def sample(self, num: int, rng: np.random.Generator) -> np.ndarray:
        """Returns images drawn pixel by pixel.

        Args:
            num: number of images.
            rng: `numpy.random.Generator`.

        Returns:
            `(num, pixels)` uint8, each 0 or 1.
        """
        uniform = rng.random((num, len(self.transitions) + 1))
        images = np.empty(uniform.shape, np.uint8)
        images[:, 0] = uniform[:, 0] < self.initial
        for t, p_on in enumerate(self.transitions):
            images[:, t + 1] = uniform[:, t + 1] < p_on[images[:, t]]
        return images


def fit(images: ArrayLike, smoothing: float = 1.0) -> MarkovChain:
    """Returns the Markov chain of greatest likelihood, with Laplace smoothing.

    p(x_t = 1 | a) = (number of images that go from a to 1 at t + smoothing) / (number of images with a + 2 smoothing).

    Args:
        images: `(n, pixels)`, each pixel 0 or 1.
        smoothing: pseudo-count of either value, above 0: a transition never seen stays possible, as unseen images
            have it.

    Returns:
        `MarkovChain`.

    Raises:
        ValueError: if a pixel is neither 0 nor 1, or `smoothing` is not positive.
    """
    images = np.asarray(images)
    if not np.all((images == 0) | (images == 1)):
        raise ValueError("`images` must hold 0 and 1 only; binarise them first, for instance with images > 0.5.")
    if not smoothing > 0:
        raise ValueError(f"`smoothing` must be above 0, got {smoothing}; 1 is Laplace's rule.")
    before, after = images[:, :-1].astype(bool), images[:, 1:].astype(bool)
    counts = np.stack([np.sum(~before, axis=0), np.sum(before, axis=0)], axis=1)
    to_on = np.stack([np.sum(~before & after, axis=0), np.sum(before & after, axis=0)], axis=1)
    initial = (np.sum(images[:, 0]) + smoothing) / (len(images) + 2 * smoothing)
    return MarkovChain(float(initial), (to_on + smoothing) / (counts + 2 * smoothing))
