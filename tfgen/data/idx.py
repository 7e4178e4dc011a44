"""Reads and checks files of MNIST-like datasets: IDX, gzipped or not, and Keras's `mnist.npz`."""

import gzip
import pathlib
import struct
import zipfile
import zlib

import numpy as np

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
        InputError: if a file is missing, truncated or malformed, labels lie outside 0..9, or there are not as many
            labels as images.

    Source: "The MNIST database", section "File formats" (IDX).
    """
    source = pathlib.Path(source)
    if not source.is_dir():
        raise InputError(f"{str(source)!r} is not a directory; name the one that holds the IDX files or mnist.npz")
    if (source / "mnist.npz").exists():
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
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise InputError(f"{what}: images must be uint8 of shape (n, 28, 28), got {images.dtype} {images.shape}")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{what}: labels must be integers of shape (n,), got {labels.dtype} {labels.shape}")
    if len(images) != len(labels):
        raise InputError(f"{what}: {len(images)} images but {len(labels)} labels; each image needs one label")
    if len(images) == 0:
        raise InputError(f"{what}: it has no images")
    if labels.min() < 0 or labels.max() > 9:
        raise InputError(f"{what}: labels run from {labels.min()} to {labels.max()}; allowed are 0 to 9")


def _read_npz(path):
    try:
        # Opened here: np.load leaves the file open if it fails to read it as a zip archive.
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            # np.load returns bytes for a member that is not an array. Indexing a lone array raises IndexError.
            return {split: (np.asarray(archive[f"x_{split}"]), np.asarray(archive[f"y_{split}"])) for split in FILES}
    except (OSError, ValueError, IndexError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not an mnist.npz with x_train, y_train, x_test and y_test: {error}") from error


def _find(source, name):
    # Both spellings are in use: train-images-idx3-ubyte and train-images.idx3-ubyte.
    for candidate in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (source / (candidate + suffix)).is_file():
                return source / (candidate + suffix)
    raise InputError(f"{source} holds neither mnist.npz nor {name}[.gz]; all four IDX files are needed")


def _read_idx(path, dimensions):
    """Returns one IDX file's array: magic number 0x0800 + dimensions, big-endian sizes, then uint8 values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch it again") from error
    header = 4 * (1 + dimensions)
    if len(content) < header:
        raise InputError(f"{path} is truncated: it has {len(content)} bytes, but its header alone needs {header}")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", content[:header])
    if magic != 0x0800 + dimensions:
        raise InputError(f"{path} has the wrong magic number: {magic}, expected {0x0800 + dimensions}")
    expected = header + int(np.prod(shape, dtype=np.float64))
    if len(content) != expected:
        raise InputError(
            f"{path} is truncated or damaged: {len(content)} bytes, but its header says {expected}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
