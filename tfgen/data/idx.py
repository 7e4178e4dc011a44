"""Reads and checks files of MNIST-like datasets: IDX, gzipped or not, and Keras's `mnist.npz`."""

import gzip
import os
import pathlib
import struct
import zlib

import numpy as np

from tfgen.data import npz
from tfgen.data.npz import at_most, promised_bytes
from tfgen.errors import InputError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_directory(source):
    """Returns the images and labels in a directory.

    Args:
        source: directory with the four IDX files, gzipped or not, or with `mnist.npz`.

    Returns:
        dict from "train" and "test" to `(images (n, 28, 28) uint8, labels (n,) int64)`.

    Raises:
        InputError: if a file is missing, truncated or malformed, or an array has more than `npz.MOST_BYTES`; if labels
            lie outside 0..9, or there are not as many labels as images.

    Source: "The MNIST database", section "File formats" (IDX).
    """
    source = pathlib.Path(source)
    if not os.path.isdir(source):
        raise InputError(f"{str(source)!r} is not a directory; name the one that holds the IDX files or mnist.npz")
    if os.path.exists(source / "mnist.npz"):
        splits = _read_npz(source / "mnist.npz")
    else:
        splits = {
            split: (_read_idx(_find(source, images), dimensions=3), _read_idx(_find(source, labels), dimensions=1))
            for split, (images, labels) in FILES.items()
        }
    for split, (images, labels) in splits.items():
        _check(f"{split} set in {source}", images, labels)
    return {split: (images, labels.astype(np.int64)) for split, (images, labels) in splits.items()}


def _check(what, images, labels):
    if len(images) != len(labels):
        raise InputError(f"{what}: {len(images)} images but {len(labels)} labels; each image needs one label")
    if len(images) == 0:
        raise InputError(f"{what}: it has no images")
    if labels.min() < 0 or labels.max() > 9:
        raise InputError(f"{what}: labels run from {labels.min()} to {labels.max()}; allowed are 0 to 9")


def _check_header(what, dimensions, dtype, shape):
    """Raises `InputError` if a header announces neither images (three dimensions) nor labels (one)."""
    if dimensions == 3 and (dtype != np.uint8 or len(shape) != 3 or tuple(shape[1:]) != (28, 28)):
        raise InputError(f"{what}: images must be uint8 of shape (n, 28, 28), got {dtype} {tuple(shape)}")
    if dimensions == 1 and (not np.issubdtype(dtype, np.integer) or len(shape) != 1):
        raise InputError(f"{what}: labels must be integers of shape (n,), got {dtype} {tuple(shape)}")


def _read_npz(path):
    def check(name, dtype, shape):
        _check_header(f"{name}.npy", 3 if name[0] == "x" else 1, dtype, shape)

    names = [f"{part}_{split}" for split in FILES for part in "xy"]
    arrays = npz.read(path, "an mnist.npz with x_train, y_train, x_test and y_test", names, check)
    return {split: (arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in FILES}


def _find(source, name):
    # Both spellings are in use: train-images-idx3-ubyte and train-images.idx3-ubyte.
    for candidate in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if os.path.isfile(source / (candidate + suffix)):
                return source / (candidate + suffix)
    raise InputError(f"{source} holds neither mnist.npz nor {name}[.gz]; all four IDX files are needed")


def _read_idx(path, dimensions):
    """Returns one IDX file's array: magic number 0x0800 + dimensions, big-endian sizes, then uint8 values."""
    needed = 4 * (1 + dimensions)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = at_most(file, needed)
            if len(header) < needed:
                raise InputError(
                    f"{path} is truncated: it has {len(header)} bytes, but its header alone needs {needed}"
                )
            magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
            if magic != 0x0800 + dimensions:
                raise InputError(f"{path} has the wrong magic number: {magic}, expected {0x0800 + dimensions}")
            dtype = np.dtype(np.uint8)
            _check_header(path, dimensions, dtype, shape)
            promised = promised_bytes(path, dtype, shape)
            # One byte more, which must not be there.
            content = at_most(file, promised + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch it again") from error
    if len(content) != promised:
        raise InputError(
            f"{path} is truncated or damaged: {needed + len(content)} bytes{' or more' * (len(content) > promised)}, "
            f"but its header says {needed + promised}; fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
