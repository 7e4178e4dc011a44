"""Writes files atomically, locks them between processes, and reads JSON and logs that may be damaged."""

import contextlib
import csv
import io
import json
import math
import os
import pathlib
import re
import reprlib
import uuid

from tfgen.errors import InputError

# Far more than what the package writes as JSON has.
LARGEST_JSON = 4 * 2**20
DEEPEST_JSON = 20


def write_atomically(path, content):
    """Writes bytes to a temporary file and renames it to `path`, so that `path` is never incomplete.

    Parent directories are made if missing.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def npz(arrays):
    """Returns the bytes of a compressed .npz archive of a dict of arrays."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def half_written(directory):
    """Returns the paths of what `write_atomically` leaves in a directory when it is killed."""
    return [path for path in pathlib.Path(directory).glob(".*") if re.fullmatch(r"\..+\.[0-9a-f]{32}", path.name)]


def sync(path):
    """Waits until a file, or the entries of a directory, are on disk. On Windows, skips directories."""
    if os.name == "nt" and pathlib.Path(path).is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path, shared=False, wait=True):
    """Holds a lock on a file, at most until the process ends. The file is made if missing and is not removed.

    Args:
        path: path of the lock file, which is empty.
        shared: whether other shared locks may be held at the same time.
        wait: whether to wait for the lock.

    Raises:
        BlockingIOError: if `wait` is false and another process holds the lock.
    """
    import portalocker

    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = portalocker.LOCK_SH if shared else portalocker.LOCK_EX
    # Another user's lock file may be read-only, which is enough for a shared lock.
    with open(path, "r" if shared and path.exists() else "a") as file:
        try:
            portalocker.lock(file, flags if wait else flags | portalocker.LOCK_NB)
        except portalocker.AlreadyLocked as error:
            raise BlockingIOError(f"{path} is locked by another process") from error
        yield


def lock_of(directory):
    """Returns the path of a directory's lock file, which lies beside the directory."""
    directory = pathlib.Path(directory)
    return directory.with_name(f".{directory.name}.lock")


def check_writable(directory, option):
    """Raises `InputError` if a directory cannot be made or written to.

    Args:
        directory: path given by the user.
        option: the command-line option for it, such as "--output-dir".
    """
    if not str(directory):
        raise InputError(f"{option} is empty; name a directory")
    path = pathlib.Path(directory)
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not existing.is_dir():
        raise InputError(f"{option}: {str(directory)!r} cannot be made: {existing} is a file; name another")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{option}: {str(directory)!r} cannot be written to: see {existing}; name another")


def read_json(path):
    """Returns the object in a JSON file as a dict, in which every text can be printed as it is.

    Raises:
        InputError: if it is no file of at most 4 MiB, in UTF-8, with one object in it of at most 20 levels; or if in it
            a key comes twice, a number is not finite, or a text has line breaks, control characters or the like.
        FileNotFoundError: if there is none.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file; move it away, or delete {path.parent}")
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_JSON + 1)
        if len(content) > LARGEST_JSON:
            raise ValueError("more than 4 MiB")
        contents = json.loads(
            content.decode(), parse_float=_finite, parse_constant=_finite, object_pairs_hook=_without_repetition
        )
        if not isinstance(contents, dict):
            raise ValueError(f"no object: {reprlib.repr(contents)[:100]}")
        _check_texts(contents, DEEPEST_JSON)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); restore it, or delete {path.parent}") from error
    return contents


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:100]} is no finite number")
    return number


def _without_repetition(pairs):
    contents = dict(pairs)
    if len(contents) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {reprlib.repr(twice)} comes twice")
    return contents


def _check_texts(value, levels):
    """Raises `ValueError` for a text that cannot be printed, or for more than so many levels of lists and objects."""
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(f"the text {reprlib.repr(value)} cannot be printed")
    if isinstance(value, list | dict):
        if not levels:
            raise ValueError(f"more than {DEEPEST_JSON} levels")
        for item in value if isinstance(value, list) else (*value, *value.values()):
            _check_texts(item, levels - 1)


def named_difference(earlier, now, defaults=None):
    """Returns in words in which keys two dicts of JSON differ; empty if in none.

    Args:
        earlier, now: the two.
        defaults: dict of what a key of `now` that `earlier` lacks stood for in it, or None.
    """
    earlier = {key: value for key, value in (defaults or {}).items() if key in now} | earlier
    return "; ".join(
        f"{key} {_short(earlier.get(key))}, not {_short(now.get(key))}"
        for key in {**now, **earlier}
        if earlier.get(key) != now.get(key)
    )


def _short(value):
    """Returns a value as it is shown: of a checksum, the beginning."""
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else repr(value)


def read_log(path):
    """Returns a CSV log as a dict from column to its values, floats, one an epoch.

    Raises:
        InputError: if the file is no such log.
    """
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except (OSError, ValueError, TypeError, LookupError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as the log of a training; restore it, or delete it") from error
