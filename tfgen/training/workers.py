"""The workers of a training, as `tf.distribute` knows them: which strategy, who writes, what the chief says."""

import contextlib
import functools
import json
import signal
import threading

import numpy as np
import tensorflow as tf

from tfgen.errors import InputError, RunError
from tfgen.files import named_difference

# What TensorFlow raises where another worker has ended, or does not answer for ten seconds.
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)
# Bytes of what the chief may say at once.
LONGEST = 2**16


@functools.cache
def strategy_of(name):
    """Returns the `tf.distribute.Strategy` of a `--strategy`, the same for the whole process; for "none", None.

    Args:
        name: "none", "mirrored" or "multiworker". The last one waits for all workers.

    Raises:
        InputError: if TensorFlow has computed something before the workers were to be found.
        RunError: if they have not all come after an hour, or this one's port is in use.
    """
    if name == "none":
        return None
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    print("waiting for the workers that TF_CONFIG names", flush=True)
    try:
        with _stopped_at_once():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise RunError(f"{error.message}: is the port that TF_CONFIG gives this worker free?") from error
    except LOST as error:
        raise RunError("not all the workers that TF_CONFIG names have come: start all of them") from error
    except RuntimeError as error:
        raise InputError(
            f"the strategy multiworker must be the first that TensorFlow does in a process: {error}"
        ) from None


@contextlib.contextmanager
def _stopped_at_once():
    """Lets signals end the process: while TensorFlow waits for workers, Python's handlers are not called.

    Nothing has been written then that a handler would have to close.
    """
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()
    before = {one: signal.getsignal(one) for one in signals if main and callable(signal.getsignal(one))}
    for one in before:
        signal.signal(one, signal.SIG_DFL)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def replicas_of(strategy):
    """Returns what is kept beside the versions, since other partial sums round otherwise: {} without a strategy."""
    return {} if strategy is None else {"replicas": str(strategy.num_replicas_in_sync)}


def is_chief(strategy):
    """Returns whether this process is the one that writes: the only one, or of several workers the first."""
    if not _has_workers(strategy):
        return True
    cluster = strategy.cluster_resolver
    return cluster.task_type == "chief" or ("chief" not in cluster.cluster_spec().jobs and cluster.task_id == 0)


def _has_workers(strategy):
    return getattr(strategy, "cluster_resolver", None) is not None


@contextlib.contextmanager
def together(strategy):
    """Raises a `RunError` where a worker is lost: TensorFlow's own error is a page."""
    try:
        yield
    except LOST as error:
        if not _has_workers(strategy):
            raise
        message = "another worker has ended, or cannot be reached: start all of them again, with --resume"
        raise RunError(f"{message} ({str(error).splitlines()[0][:200]})") from error


def from_chief(strategy, contents, same=True):
    """Returns what the chief gives for `contents`, once all workers have come here; without workers, `contents`.

    Args:
        strategy: a `tf.distribute.Strategy`, or None.
        contents: dict, such as JSON has it.
        same: whether each worker must give the same.

    Raises:
        InputError: if this worker gives another.
        RunError: if a worker is lost.
    """
    if not _has_workers(strategy):
        return contents
    message = np.zeros(LONGEST, np.int32)
    if is_chief(strategy):
        text = json.dumps(contents).encode()
        message[: len(text)] = np.frombuffer(text, np.uint8)
    values = strategy.experimental_distribute_values_from_function(
        # The sum over all replicas is what the first one says.
        lambda context: tf.constant(message if context.replica_id_in_sync_group == 0 else 0 * message)
    )
    with together(strategy):
        total = strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()
    said = json.loads(total.astype(np.uint8).tobytes().rstrip(b"\0"))
    difference = named_difference(said, contents) if same else ""
    if difference:
        raise InputError(f"the chief has {difference}: start all workers with the same command, versions and files")
    return said
