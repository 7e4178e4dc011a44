"""Batches for training: scaled or binarised, reshuffled every epoch, batch t a function of (seed, t) alone.

A batch has two halves. `rows` are what is read or drawn before a step, by TensorFlow's kernels. `prepare` makes of them
what `fit` takes, with numbers of `distributions.threefry`: the same in a program that XLA compiles, where
`training.blocks` has it, and in a plain `stream`. What XLA rounds otherwise is the division of `scale`.
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from tfgen.distributions import Draw, sample_normal, stateless_seed, stateless_uniform, threefry_uniform
from tfgen.errors import InputError


def scale(images):
    """Returns uint8 pixels as float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def binarize(images, seed):
    """Returns x ~ Bernoulli(pixel / 255), independently for each pixel.

    Args:
        images: `(n, pixels)` uint8.
        seed: `(2,)` integer tensor.

    Returns:
        `(n, pixels)` float32, each 0 or 1.
    """
    # Not scaled: XLA's rounding of a division is another, and a pixel might come out otherwise.
    return tf.cast(255.0 * threefry_uniform(tf.shape(images), seed) < tf.cast(images, tf.float32), tf.float32)


def fixed_binarization(images, number=0):
    """Returns images binarised once, identically in every run, for evaluation on binary pixels.

    Args:
        images: `(n, pixels)` uint8.
        number: which of the independent binarisations: 0 for test images, 1 for validation images.
    """
    images, seed = scale(images), stateless_seed(0, Draw.FIXED_BINARIZATION, number)
    return tf.cast(stateless_uniform(tf.shape(images), seed) < images, tf.float32)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What becomes of a batch's rows before a step: a function of (seed, t) and them. Equal ones do the same.

    Attributes:
        binarization_seed: the seed of the run if the images are binarised, else None.
        transform: see `Batches`.
    """

    binarization_seed: int | None
    transform: typing.Callable | None

    def __call__(self, step, x, labels=None):
        """Returns what `fit` takes: for the batch's number, its images, and its labels if there are any."""
        if self.binarization_seed is not None:
            x = binarize(x, stateless_seed(self.binarization_seed, Draw.BINARIZE, step))
        elif x.dtype == tf.uint8:
            x = scale(x)
        parts = (x,) if labels is None else (x, labels)
        if self.transform is not None:
            return self.transform(step, *parts)
        return x if labels is None else parts


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """An endless sequence of shuffled batches of images in memory.

    Batch t is a function of (seed, t) alone. Every epoch, of n // batch_size batches, has its own permutation; with
    `binarized`, every batch is binarised anew. The last n mod batch_size images of the permutation are left out of the
    epoch.

    Attributes:
        images: `(n, pixels)` uint8, scaled to [0, 1] or binarised; or `(n, dim)` float32, left as they are.
        batch_size: at most n.
        seed: int >= 0, the seed of the run.
        labels: `(n,)` integers, the labels of the images, or None.
        binarized: whether each pixel is drawn from Bernoulli(pixel / 255) instead of scaled.
        transform: function from a batch's number t, its images and its labels (if there are labels) to what `fit`
            takes. None yields the images, or the pair of images and labels. Python's `if` cannot branch on a tensor.
        unit: what is counted.

    Raises:
        ValueError: if images, labels, batch size or seed are not as above.
        InputError: if the set is smaller than a batch.
    """

    images: np.ndarray
    batch_size: int
    seed: int
    labels: np.ndarray | None = None
    binarized: bool = False
    transform: typing.Callable | None = None
    unit: typing.ClassVar[str] = "images"

    def __post_init__(self):
        images, labels, n = self.images, self.labels, len(self.images)
        if np.ndim(images) != 2 or images.dtype not in ((np.uint8,) if self.binarized else (np.uint8, np.float32)):
            types = "uint8" if self.binarized else "uint8 or float32"
            raise ValueError(f"`images` must be {types} (n, pixels), got {images.dtype} {np.shape(images)}.")
        if labels is not None and np.shape(labels) != (n,):
            raise ValueError(f"`labels` must have shape ({n},), one an image, got {np.shape(labels)}.")
        if self.batch_size < 1 or self.seed < 0:
            raise ValueError(
                f"`batch_size` must be at least 1 and `seed` at least 0, got {self.batch_size} and {self.seed}."
            )
        if n < self.batch_size:
            raise InputError(
                f"a batch of {self.batch_size} cannot be drawn from {n} training images; use a larger dataset, or a "
                "smaller --set batch_size"
            )

    def map(self, transform):
        """Returns the same batches with another `transform`."""
        return dataclasses.replace(self, transform=transform)

    @property
    def prepare(self):
        """The `Preparation` of this set's batches."""
        return Preparation(self.seed if self.binarized else None, self.transform)

    def rows(self, first_step, block=None):
        """Returns the rows of images, and of labels if there are any, of the batches from `first_step` on, in tuples.

        Those of one batch at a time, or of `block` batches, along a first axis of their own.
        """
        n, batch_size, seed = len(self.images), self.batch_size, self.seed
        steps_per_epoch = n // batch_size
        arrays = [tf.constant(array) for array in (self.images, self.labels) if array is not None]

        def batches_of_indices(epoch):
            # index_shuffle would need no sorting, but its permutations repeat after 256 epochs and are correlated.
            order = tf.random.experimental.stateless_shuffle(
                tf.range(n), stateless_seed(seed, Draw.SHUFFLE, epoch), alg="philox"
            )
            order = tf.reshape(order[: steps_per_epoch * batch_size], (steps_per_epoch, batch_size))
            return tf.data.Dataset.from_tensor_slices(order)

        epochs = tf.data.Dataset.range(first_step // steps_per_epoch, np.iinfo(np.int64).max)
        indices = epochs.flat_map(batches_of_indices).skip(first_step % steps_per_epoch)
        if block is not None:
            indices = indices.batch(block, drop_remainder=True)
        return indices.map(lambda chosen: tuple(tf.gather(array, chosen) for array in arrays))

    def stream(self, first_step=0):
        """Returns the batches from number `first_step` on, as an endless `tf.data.Dataset`."""
        return _stream(self, first_step)


@dataclasses.dataclass(frozen=True)
class PartlyLabelledPreparation:
    """What becomes of the rows of `PartlyLabelledBatches` before a step. Equal ones do the same.

    Attributes:
        prepare: the preparation of the images, with labels and without together, so that no two share a random draw.
    """

    prepare: typing.Callable

    def __call__(self, step, unlabelled, labelled, labels):
        """Returns `((unlabelled, labelled), labels)`, the images being prepared."""
        x = self.prepare(step, tf.concat([unlabelled, labelled], axis=0))
        count = tf.shape(unlabelled)[0]
        return (x[:count], x[count:]), labels


@dataclasses.dataclass(frozen=True, eq=False)
class PartlyLabelledBatches:
    """An endless sequence of batches of images without labels and, in fixed proportion, of images with labels.

    What is labelled is shuffled by itself, so that few labels are in every batch.

    Attributes:
        unlabelled: `Batches` without labels, whose preparation all images have.
        labelled: `Batches` with labels, of images of the same kind.
    """

    unlabelled: Batches
    labelled: Batches
    unit: typing.ClassVar[str] = "images"

    @property
    def batch_size(self):
        """The number of images without labels in a batch, by which epochs are counted."""
        return self.unlabelled.batch_size

    @property
    def seed(self):
        """The seed of the run."""
        return self.unlabelled.seed

    @property
    def prepare(self):
        """The `PartlyLabelledPreparation` of this set's batches."""
        return PartlyLabelledPreparation(self.unlabelled.prepare)

    def rows(self, first_step, block=None):
        """Returns the rows without labels, those with labels and the labels, in tuples; see `Batches.rows`."""
        both = tf.data.Dataset.zip(self.unlabelled.rows(first_step, block), self.labelled.rows(first_step, block))
        return both.map(lambda unlabelled, labelled: (*unlabelled, *labelled))

    def stream(self, first_step=0):
        """Returns the batches from number `first_step` on, as an endless `tf.data.Dataset`."""
        return _stream(self, first_step)


@dataclasses.dataclass(frozen=True, eq=False)
class DrawnBatches:
    """An endless sequence of batches drawn from a distribution. Batch t is a function of (seed, t) alone.

    Attributes:
        draw: function from the number of points n and a `(2,)` integer seed to `(n, dim)` float32.
        batch_size: points in a batch.
        seed: int >= 0, the seed of the run.
        unit: what is counted.
    """

    draw: typing.Callable
    batch_size: int
    seed: int
    unit: typing.ClassVar[str] = "points"

    @property
    def prepare(self):
        """The identity of the batch: there is nothing left to do for a step."""
        return as_drawn

    def rows(self, first_step, block=None):
        """Returns the batches from number `first_step` on, or `block` of them at a time, as tuples of one."""
        steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
        drawn = steps.map(lambda t: (self.draw(self.batch_size, stateless_seed(self.seed, Draw.DATA, t)),))
        return drawn if block is None else drawn.batch(block, drop_remainder=True)

    def stream(self, first_step=0):
        """Returns the batches from number `first_step` on, as an endless `tf.data.Dataset`."""
        return _stream(self, first_step)


def as_drawn(step, x):
    """Returns a batch as it is: what `DrawnBatches` prepares."""
    return x


def _stream(batches, first_step):
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    prepared = tf.data.Dataset.zip(steps, batches.rows(first_step)).map(lambda t, rows: batches.prepare(t, *rows))
    return without_tuning(prepared.prefetch(4))


def blocks(batches, first_step, steps):
    """Returns the rows of `steps` batches at a time, with the number of the first, as an endless `tf.data.Dataset`.

    Args:
        batches: `Batches`, `DrawnBatches` or `PartlyLabelledBatches`.
        first_step: number of the first batch.
        steps: batches in a block.
    """
    numbers = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max, steps)
    return without_tuning(tf.data.Dataset.zip(numbers, batches.rows(first_step, steps)).prefetch(2))


def pairs(step, x):
    """Returns the images as both inputs and targets: a `transform` for autoencoders."""
    return x, x


def corrupted(corrupt, seed):
    """Returns a `transform` for denoising: corrupted images as inputs, the clean ones as targets.

    Args:
        corrupt: function of images and of the keyword `seed`, a `(2,)` integer tensor; see `tfgen.data.corruption`.
        seed: int >= 0, the seed of the run.
    """

    def transform(step, x):
        return corrupt(x, seed=stateless_seed(seed, Draw.CORRUPTION, step)), x

    return transform


@dataclasses.dataclass(frozen=True)
class Redrawn:
    """A `transform` for the latents of a VAE: z ~ q(z|x), drawn anew in each batch. Equal ones do the same.

    It takes rows `(batch, 2 * dim)`, the mean of q(z|x) and beside it the log-variance, and returns z `(batch, dim)`.

    Attributes:
        seed: int >= 0, the seed of the run.
    """

    seed: int

    def __call__(self, step, rows):
        mean, log_var = tf.split(rows, 2, axis=1)
        return sample_normal(mean, log_var, stateless_seed(self.seed, Draw.NOISE, step))


def without_tuning(dataset):
    """Returns a `tf.data.Dataset` without TensorFlow's tuning of its buffers.

    A tuned iterator ends only when the tuner next wakes up, and the tuner sleeps twice as long each time. `fit` could
    then take up to twice as long to return.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
