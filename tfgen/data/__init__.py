"""Datasets in memory: images and labels in three splits, with image shape and classes. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import typing

from tfgen import schema
from tfgen.errors import InputError, RunError
from tfgen.recipe import MNIST_CLASSES, MNIST_SHAPE

if typing.TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

# These have IDX files of the same names.
MNIST_LIKE = ("mnist", "fashion_mnist", "kmnist")
TFDS_NAMES = (*MNIST_LIKE, "emnist/balanced", "emnist/letters", "emnist/digits", "binarized_mnist")
NAMES = ("auto", *TFDS_NAMES, "digits")
# Seeds the permutation that decides which training images are held out for validation.
SPLIT_SEED = 2013


@dataclasses.dataclass(frozen=True)
class Split:
    """Images `(n, pixels)` uint8, row by row, and labels `(n,)` int64 in 0..classes - 1, or None; n is at least 1.

    Raises:
        InputError: for other arrays.
    """

    images: np.ndarray
    labels: np.ndarray | None

    def __post_init__(self):
        import numpy as np

        for name, dtype, axes in (("images", "uint8", ("n", "pixels")), ("labels", "int64", ("n",))):
            array = getattr(self, name)
            if name == "labels" and array is None:
                continue
            came = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}".strip()
            shape = f"({', '.join(axes)}{',' * (len(axes) == 1)})"
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != len(axes):
                raise InputError(f"{name} of a split must be a NumPy array of {dtype}, of shape {shape}; got {came}")
        if self.labels is not None and len(self.images) != len(self.labels):
            raise InputError(
                f"each image of a split needs one label; got {len(self.images)} images and {len(self.labels)} labels"
            )
        if not self.images.size:
            raise InputError(f"a split needs an image, of at least one pixel; got images of shape {self.images.shape}")

    def __len__(self) -> int:
        return len(self.images)

    def at(self, indices: np.ndarray) -> Split:
        """Returns the images with these indices, `(m,)` integers, and their labels, as a `Split`."""
        return Split(self.images[indices], None if self.labels is None else self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The three splits of a dataset, with the shape and the number of classes of its images.

    Attributes:
        name: for example "mnist".
        train, validation, test: the `Split`s.
        comparable: whether it is MNIST or the binarised MNIST, whose results may be compared with published numbers.
        image_shape: `(height, width)` in pixels.
        classes: the number of classes, or None for images without labels.

    Raises:
        InputError: if the splits' images are of another size, or a label is missing or lies outside 0..classes - 1.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    comparable: bool
    image_shape: tuple[int, int] = MNIST_SHAPE
    classes: int | None = MNIST_CLASSES

    def __post_init__(self):
        if not schema.TEXT.allows(self.name):
            raise InputError(f"a dataset's name must be {schema.TEXT.words}, such as 'mnist'; got {self.name!r}")
        sizes = self.image_shape if isinstance(self.image_shape, tuple) else ()
        if [type(size) for size in sizes] != [int, int] or min(sizes) < 1:
            raise InputError(f"image_shape must be (height, width), each at least 1; got {self.image_shape!r}")
        if self.classes is not None and (type(self.classes) is not int or self.classes < 1):
            raise InputError(f"classes must be a whole number of at least 1, or None, got {self.classes!r}")
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            if not isinstance(split, Split):
                raise InputError(f"{name} must be a tfgen.data.Split, got {type(split).__name__}")
            if split.images.shape[1] != self.pixels:
                raise InputError(
                    f"{name} has images of {split.images.shape[1]} pixels, and image_shape {self.image_shape} has "
                    f"{self.pixels}"
                )
            if (split.labels is None) != (self.classes is None):
                raise InputError(
                    f"{name} has {'no ' * (split.labels is None)}labels, and the dataset has {self.classes} classes; "
                    "images without labels have the classes None"
                )
            if split.labels is None:
                continue
            low, high = split.labels.min(), split.labels.max()
            if low < 0 or high >= self.classes:
                raise InputError(
                    f"the labels of {name} run from {low} to {high}; allowed are 0 to {self.classes - 1}, for "
                    f"{self.classes} classes"
                )

    @property
    def pixels(self) -> int:
        """The number of pixels of an image."""
        height, width = self.image_shape
        return height * width

    @functools.cached_property
    def sha256(self) -> str:
        """The checksum of what is computed with, in hexadecimal: image shape, classes, and each split in its order."""
        import numpy as np

        checksum = hashlib.sha256(repr((self.image_shape, self.classes)).encode())
        for split in (self.train, self.validation, self.test):
            for array in (split.images,) if split.labels is None else (split.images, split.labels):
                # Types and shapes too: other arrays can have the same bytes.
                checksum.update(f"{array.dtype.str}{array.shape}".encode())
                checksum.update(np.ascontiguousarray(array))
        return checksum.hexdigest()

    def pictures(self, images: ArrayLike) -> np.ndarray:
        """Returns rows of pixels `(n, pixels)` as pictures `(n, height, width)`."""
        import numpy as np

        return np.reshape(images, (-1, *self.image_shape))


def is_own(name: str) -> bool:
    """Returns whether a dataset's name is the path of images of one's own: an .npz file, or a folder of PNG files."""
    return name not in NAMES and (name.lower().endswith(".npz") or os.path.isdir(name))


def check(name: str, data_dir: str | os.PathLike[str] | None) -> None:
    """Raises `InputError` if the dataset is unknown or `data_dir` is neither a directory nor None, the default."""
    if name not in NAMES and not is_own(name):
        if os.path.exists(name):
            raise InputError(f"{name!r} is neither an .npz file nor a folder of PNG files; name one of them")
        raise InputError(
            f"unknown dataset {name!r}; choose one of {', '.join(NAMES)}, or name an .npz file or a folder of PNG "
            "files that is there"
        )
    if is_own(name) and not os.path.exists(name):
        raise InputError(f"there is no file {name!r}; name an .npz file of images that is there")
    if data_dir is not None and not os.path.isdir(data_dir):
        raise InputError(f"the data directory {str(data_dir)!r} is not a directory; make it or name another")
    # The directory in TFDS_DATA_DIR need not exist: no set is prepared then.
    directory = data_dir or os.environ.get("TFDS_DATA_DIR", ".")
    if os.path.exists(directory) and not (os.path.isdir(directory) and os.access(directory, os.R_OK | os.X_OK)):
        raise InputError(f"the data directory {str(directory)!r} cannot be read; name another")


def load(name: str | os.PathLike[str] = "auto", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Returns a dataset, downloading it through TFDS if it is not prepared and the network allows.

    A permutation with a fixed seed splits the training images: five sixths train and one sixth validates, 50,000 and
    10,000 of MNIST's 60,000. The test split stays the test split. `binarized_mnist` comes in three splits, without
    labels; its pixels are 0 and 255 here, so that binarising them changes nothing.

    Args:
        name: "mnist", "fashion_mnist", "kmnist", "emnist/balanced", "emnist/letters", "emnist/digits",
            "binarized_mnist", "digits" or "auto". Auto is MNIST if it is prepared or can be downloaded, otherwise
            digits, which is then announced. Or the path of images of one's own, see `tfgen.data.own`.
        data_dir: the TFDS data directory; None means TFDS_DATA_DIR, else TFDS's default.

    Returns:
        A `Dataset`.

    Raises:
        InputError: if the name is unknown, `data_dir` is not a directory, or the prepared set cannot be read.
        RunError: if the set is not prepared and cannot be downloaded.
    """
    name = os.fspath(name)
    check(name, data_dir)
    if name == "digits":
        return digits()
    if is_own(name):
        from tfgen.data import own

        return own.load(name)
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


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the runs of a command take their images from: each dataset is loaded when it is first asked for.

    Attributes:
        chosen: name of the dataset for recipes that have none of their own; see `load`.
        data_dir: see `load`.
    """

    chosen: str
    data_dir: str | os.PathLike[str] | None = None

    def of(self, own: str | None) -> Dataset:
        """Returns the dataset for a recipe: its own, if it has one, else the chosen one."""
        return self._load(own or self.chosen)

    @functools.cached_property
    def _load(self):
        return functools.cache(lambda name: load(name, self.data_dir))


def is_prepared(name: str, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Returns whether TFDS finds a set prepared, as far as its directory tells."""
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join(os.path.expanduser("~"), "tensorflow_datasets")
    return any(pathlib.Path(root, name).glob("*/dataset_info.json"))


def hold_out(train: Split) -> tuple[Split, Split]:
    """Returns the training images as two `Split`s: five sixths that train, and the sixth that validates.

    The sixth is the end of a permutation with a fixed seed.
    """
    import numpy as np

    order = np.random.RandomState(SPLIT_SEED).permutation(len(train))
    held_out = len(train) // 6
    return train.at(order[: len(train) - held_out]), train.at(order[len(train) - held_out :])


def digits() -> Dataset:
    """Returns scikit-learn's UCI digits: 1,797 images of 8x8 pixels, enlarged to 20x20 and centred in 28x28.

    They are enlarged by a cubic spline and clipped; MNIST also has digits of 20x20 in 28x28. A permutation with a fixed
    seed splits them: 1,250 images train, 250 validate, 297 test.
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
