"""Reads arrays of NumPy's .npz archives without running or unpacking what is not asked for."""

import contextlib
import math
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


@contextlib.contextmanager
def _readable(path, kind):
    """Raises `InputError` for what zipfile raises for archives that are damaged, or of a kind that it does not know."""
    try:
        yield
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
        raise InputError(f"{path} is not {kind}: {error}") from error


def names(path, kind):
    """Returns the names of an archive's arrays. `kind` is what the file should be, as a message says it.

    Raises:
        InputError: if it is no archive.
    """
    with _readable(path, kind), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read(path, kind, wanted, check):
    """Returns the arrays of an archive by name.

    Args:
        path: of the file.
        kind: what it should be, as a message says it.
        wanted: the arrays' names.
        check: function from an array's name, dtype and shape, as its header announces them. It raises `InputError` for
            those that are not read.

    Raises:
        InputError: if the archive is damaged or lacks an array, or `check` does.
    """
    with _readable(path, kind), zipfile.ZipFile(path) as archive:
        return {name: _read_npy(archive, f"{name}.npy", check) for name in wanted}


def _read_npy(archive, member, check):
    """Returns the array of an archive's member, in NumPy's format 1.0.

    `numpy.load` would unpack the member first, and read its header as Python, which can end in any exception.

    Source: NumPy's reference, `numpy.lib.format`: magic string, version, length of the header, which spells a dict.
    """
    info = archive.getinfo(member)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is encrypted, or compressed in another way than NumPy does")
    with archive.open(info) as file:
        start = at_most(file, 10)
        if start[:8] != b"\x93NUMPY\x01\x00" or len(start) < 10:
            raise ValueError(f"{member} holds no array in NumPy's format 1.0")
        header = at_most(file, int.from_bytes(start[8:], "little"))
        match = NPY_HEADER.fullmatch(header.decode("latin-1"))
        if not match:
            raise ValueError(f"{member} has no header of a simple array")
        descr, fortran_order, shape = match.groups()
        if not re.fullmatch(r"[<>|]([ui][1248]|f[248]|b1)", descr):
            raise ValueError(f"{member} holds {descr!r} instead of numbers")
        dtype, shape = np.dtype(descr), tuple(map(int, re.findall(r"\d+", shape)))
        check(member.removesuffix(".npy"), dtype, shape)
        promised = promised_bytes(member, dtype, shape)
        content = at_most(file, promised + 1)
    if len(content) != promised:
        raise ValueError(f"{member} has {len(content)} bytes of values, but its header promises {promised}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order == "True" else "C")


def promised_bytes(what, dtype, shape):
    """Returns the bytes of the array that a header announces.

    Raises:
        InputError: if they are too many.
    """
    promised = math.prod(shape) * dtype.itemsize
    if promised > MOST_BYTES:
        raise InputError(f"{what}: its header promises {promised:,} bytes; at most {MOST_BYTES:,} are read")
    return promised


def at_most(file, size):
    """Returns the next `size` bytes of a file, or those that there are, without room for more than these."""
    content = bytearray()
    while len(content) < size and (part := file.read(min(size - len(content), 2**20))):
        content += part
    return content
