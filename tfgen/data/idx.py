"""Reads and checks files of MNIST-like datasets: IDX, gzipped or not, and Keras's `mnist.npz`."""

import gzip
import math
import os
import pathlib
import re
import struct
import zipfile
import zlib

import numpy as np

from tfgen.errors import InputError

# Of one array, twelve times as much as MNIST's largest: no file makes the reader unpack more.
MOST_BYTES = 600_000_000
# As NumPy writes it: a dict in Python's notation, padded with spaces.
SIZE = r"(?:0|[1-9]\d{0,17})"
NPY_HEADER = re.compile(
    r"\{'descr': '([^']{1,9})', 'fortran_order': (True|False), "
    rf"'shape': \(({SIZE},(?: ?{SIZE},){{0,9}}(?: ?{SIZE})?)\), \}}[ \n]*",
    re.ASCII,
)
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
        InputError: if a file is missing, truncated or malformed, or an array has more than `MOST_BYTES`; if labels lie
            outside 0..9, or there are not as many labels as images.

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


def _promised_bytes(what, dimensions, dtype, shape):
    """Returns the bytes of the array that a header announces, of images (three dimensions) or labels (one).

    Raises:
        InputError: if these are no images or labels, or too many.
    """
    if dimensions == 3 and (dtype != np.uint8 or len(shape) != 3 or tuple(shape[1:]) != (28, 28)):
        raise InputError(f"{what}: images must be uint8 of shape (n, 28, 28), got {dtype} {tuple(shape)}")
    if dimensions == 1 and (not np.issubdtype(dtype, np.integer) or len(shape) != 1):
        raise InputError(f"{what}: labels must be integers of shape (n,), got {dtype} {tuple(shape)}")
    promised = math.prod(shape) * dtype.itemsize
    if promised > MOST_BYTES:
        raise InputError(f"{what}: its header promises {promised:,} bytes; at most {MOST_BYTES:,} are read")
    return promised


def _at_most(file, size):
    """Returns the next `size` bytes of a file, or those that there are, without room for more than these."""
    content = bytearray()
    while len(content) < size and (part := file.read(min(size - len(content), 2**20))):
        content += part
    return content


def _read_npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                split: (_read_npy(archive, f"x_{split}.npy", 3), _read_npy(archive, f"y_{split}.npy", 1))
                for split in FILES
            }
    # What zipfile raises for archives that are damaged, or of a kind that it does not know.
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        NotImplementedError,
        OverflowError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path} is not an mnist.npz with x_train, y_train, x_test and y_test: {error}") from error


def _read_npy(archive, name, dimensions):
    """Returns the array of an archive's member, in NumPy's format 1.0.

    `numpy.load` would unpack the member first, and read its header as Python, which can end in any exception.

    Source: NumPy's reference, `numpy.lib.format`: magic string, version, length of the header, which spells a dict.
    """
    info = archive.getinfo(name)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is encrypted, or compressed in another way than NumPy does")
    with archive.open(info) as file:
        start = _at_most(file, 10)
        if start[:8] != b"\x93NUMPY\x01\x00" or len(start) < 10:
            raise ValueError(f"{name} holds no array in NumPy's format 1.0")
        header = _at_most(file, int.from_bytes(start[8:], "little"))
        match = NPY_HEADER.fullmatch(header.decode("latin-1"))
        if not match:
            raise ValueError(f"{name} has no header of a simple array")
        descr, fortran_order, shape = match.groups()
        if not re.fullmatch(r"[<>|]([ui][1248]|f[248]|b1)", descr):
            raise ValueError(f"{name} holds {descr!r} instead of numbers")
        dtype, shape = np.dtype(descr), tuple(map(int, re.findall(r"\d+", shape)))
        promised = _promised_bytes(name, dimensions, dtype, shape)
        content = _at_most(file, promised + 1)
    if len(content) != promised:
        raise ValueError(f"{name} has {len(content)} bytes of values, but its header promises {promised}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order == "True" else "C")


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
            header = _at_most(file, needed)
            if len(header) < needed:
                raise InputError(
                    f"{path} is truncated: it has {len(header)} bytes, but its header alone needs {needed}"
                )
            magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
            if magic != 0x0800 + dimensions:
                raise InputError(f"{path} has the wrong magic number: {magic}, expected {0x0800 + dimensions}")
            promised = _promised_bytes(path, dimensions, np.dtype(np.uint8), shape)
            # One byte more, which must not be there.
            content = _at_most(file, promised + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch it again") from error
    if len(content) != promised:
        raise InputError(
            f"{path} is truncated or damaged: {needed + len(content)} bytes{' or more' * (len(content) > promised)}, "
            f"but its header says {needed + promised}; fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
