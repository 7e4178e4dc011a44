"""Datasets: images and labels in memory, with their shape and classes, in three splits. Imports no TensorFlow."""

import dataclasses
import os
import pathlib
import typing

from tfgen.errors import InputError, RunError
from tfgen.recipe import MNIST_CLASSES, MNIST_SHAPE

if typing.TYPE_CHECKING:
    import numpy as np

TFDS_NAMES = ("mnist", "fashion_mnist", "kmnist")
NAMES = ("auto", *TFDS_NAMES, "digits")
# Of the permutation that decides which training images are held out for validation.
SPLIT_SEED = 2013


@dataclasses.dataclass(frozen=True)
class Split:
    """Images `(n, pixels)` uint8, row by row, and labels `(n,)` int64 in 0..classes - 1."""

    images: "np.ndarray"
    labels: "np.ndarray"

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset's three splits and what its images are.

    Attributes:
        name: such as "mnist".
        train, validation, test: the `Split`s.
        comparable: whether published MNIST numbers may stand beside its results.
        image_shape: `(height, width)` in pixels.
        classes: the number of classes.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    comparable: bool
    image_shape: tuple = MNIST_SHAPE
    classes: int = MNIST_CLASSES

    @property
    def pixels(self):
        """The number of pixels of an image."""
        height, width = self.image_shape
        return height * width

    def pictures(self, images):
        """Returns rows of pixels `(n, pixels)` as pictures `(n, height, width)`."""
        import numpy as np

        return np.reshape(images, (-1, *self.image_shape))


def check(name, data_dir):
    """Raises `InputError` for an unknown dataset, or a `data_dir` that is no directory; None is the default one."""
    if name not in NAMES:
        raise InputError(f"unknown dataset {name!r}; choose one of {', '.join(NAMES)}")
    if data_dir is not None and not pathlib.Path(data_dir).is_dir():
        raise InputError(f"the data directory {str(data_dir)!r} is not a directory; make it or name another")
    # The one that is named by the environment need not exist: the set is then not prepared.
    directory = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR", "."))
    if directory.exists() and not (directory.is_dir() and os.access(directory, os.R_OK | os.X_OK)):
        raise InputError(f"the data directory {str(directory)!r} is no directory that can be read; name another")


def load(name="auto", data_dir=None):
    """Returns a dataset, downloading it through TFDS if it is not prepared and the network allows.

    Five sixths of the training images train and one sixth validates (50,000 and 10,000 of MNIST's 60,000), by index
    after a permutation with a fixed seed. Test is test.

    Args:
        name: "mnist", "fashion_mnist", "kmnist", "digits", or "auto": MNIST where it can be had, otherwise digits,
            which is announced.
        data_dir: the TFDS data directory; None means TFDS_DATA_DIR, else TFDS's default.

    Returns:
        A `Dataset`.

    Raises:
        InputError: for an unknown name, a `data_dir` that is no directory, or a prepared set that cannot be read.
        RunError: if the set is neither prepared nor to be had from the network.
    """
    check(name, data_dir)
    if name == "digits":
        return digits()
    from tfgen.data import tfds

    if name != "auto":
        return tfds.load(name, data_dir)
    try:
        return tfds.load("mnist", data_dir)
    except RunError as error:
        print(
            "\n*** NOT MNIST: running on scikit-learn's 1,797 UCI digits instead. "
            "No result is comparable to the published numbers. ***\n"
            f"*** {error} ***\n",
            flush=True,
        )
        return digits()


def digits():
    """Returns scikit-learn's UCI digits: 1,797 images of 8x8 pixels, enlarged to 20x20 and centred in 28x28.

    The enlargement is a cubic spline, clipped; 20x20 in 28x28 is MNIST's own layout. 1,250 images train, 250 validate,
    297 test, by index after a permutation with a fixed seed.
    """
    import numpy as np
    from scipy import ndimage
    from sklearn.datasets import load_digits

    bunch = load_digits()
    large = ndimage.zoom(bunch.images / 16.0, (1, 2.5, 2.5), order=3, mode="nearest", grid_mode=True)
    images = np.pad(np.round(255 * np.clip(large, 0, 1)), ((0, 0), (4, 4), (4, 4))).astype(np.uint8)
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    images, labels = images.reshape(len(images), -1)[order], bunch.target.astype(np.int64)[order]
    return Dataset(
        "digits",
        Split(images[:1250], labels[:1250]),
        Split(images[1250:1500], labels[1250:1500]),
        Split(images[1500:], labels[1500:]),
        comparable=False,
    )
