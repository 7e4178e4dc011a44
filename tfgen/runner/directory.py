"""A run's directory: one run at a time in it, the finished ones of other requests kept, leftovers removed."""

import contextlib
import itertools
import shutil
import tempfile

from tfgen.errors import InputError
from tfgen.files import half_written, lock_of, locked


@contextlib.contextmanager
def reserved(directory, wait=False):
    """Keeps a second run out of the directory for as long as the first one lives.

    Args:
        directory: of the run.
        wait: whether to wait for another run that is writing to it.

    Raises:
        InputError: if another run is writing to it, and this one is not to wait.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock_of(directory), wait=False))
        except BlockingIOError:
            if wait:
                print(f"waiting for the run that another process makes in {directory}", flush=True)
                stack.enter_context(locked(lock_of(directory)))
                yield
                return
            message = f"another run is writing to {directory}; wait for it, or name another --output-dir"
            raise InputError(message) from None
        yield


@contextlib.contextmanager
def own_temporary_files():
    """Gives libraries a temporary directory that is removed at the end: Keras leaves files when it is stopped."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="tfgen-") as temporary:
        tempfile.tempdir = temporary
        try:
            yield
        finally:
            tempfile.tempdir = before


def move_aside(directory):
    """Renames a directory to the first of `<name>.1`, `<name>.2`, ... that is free; returns the new path."""
    numbered = (directory.with_name(f"{directory.name}.{number}") for number in itertools.count(1))
    kept = next(path for path in numbered if not path.exists())
    directory.rename(kept)
    return kept


def clear(directory, keep_unfinished):
    """Removes what an earlier run has left, and nothing else: whatever else lies there is the user's."""
    trainings = {path.name.split(".")[0] for path in directory.glob("checkpoints/*.keras")}
    leftovers = [*directory.glob(".saved_model.*"), *directory.glob("checkpoints/.*.keras")]
    for place in (directory, directory / "checkpoints", directory / "figures"):
        leftovers += half_written(place)
    if not keep_unfinished:
        # Results first: a directory that has some is whole. Checkpoints, which name the logs, after them.
        leftovers += [directory / name for name in ("results.json", "check.png", "networks.npz", "training.csv")]
        leftovers += [directory / f"training_{name}.csv" for name in trainings]
        leftovers += [directory / name for name in ("checkpoints", "figures", "saved_model", "tensorboard")]
    for path in leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
