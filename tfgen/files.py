"""Files that appear whole or not at all, and what is said of those that are damaged all the same."""

import contextlib
import fcntl
import json
import os
import pathlib
import uuid

from tfgen.errors import InputError


def write_atomically(path, content):
    """Writes bytes to `path` through a temporary file beside it and a rename; makes the parent directories."""
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


@contextlib.contextmanager
def locked(directory, operation=fcntl.LOCK_EX):
    """Holds a lock on a directory, which ends with the process at the latest; see `fcntl.flock`.

    Raises:
        BlockingIOError: if `operation` includes `fcntl.LOCK_NB` and another process holds the lock.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def read_json(path):
    """Returns the contents of a JSON file; raises `InputError` if it is damaged."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); restore it, or delete {pathlib.Path(path).parent}") from error
