"""Writes files atomically, locks them between processes, and reads JSON that may be damaged."""

import contextlib
import json
import os
import pathlib
import uuid

from tfgen.errors import InputError


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
    """Returns the contents of a JSON file; raises `InputError` if it is damaged."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); restore it, or delete {pathlib.Path(path).parent}") from error
