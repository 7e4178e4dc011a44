"""What a command prints and how it is stopped: neither a reader that goes away nor a signal costs a run its files."""

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import tempfile
import threading

from tfgen.errors import InputError, RunError


def line(text):
    """Returns a text as one line that can be printed: line breaks and control characters become escapes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C's has asked the process to end.

    Args:
        number: of the signal, such as `signal.SIGTERM`.
    """

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


# How long a signal waits for a place where the work can be stopped.
GRACE_SECONDS = 5


@dataclasses.dataclass
class _Deferral:
    """Whether signals wait, and the number of the one that does."""

    active: bool = False
    asked: int | None = None


_deferral = _Deferral()


def _stop(number, frame):
    """Handles a signal: raises its exception, or lets it wait within `deferred`. A second one does not wait."""
    if _deferral.active and _deferral.asked is None:
        _deferral.asked = number
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
    else:
        _raise(number)


def _raise(number):
    _deferral.asked = None
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


def stop_if_asked():
    """Raises the exception of the signal that waits, if one does: a place where the work can be stopped."""
    if _deferral.asked is not None:
        _raise(_deferral.asked)


@contextlib.contextmanager
def deferred():
    """Lets the signals of `interruptible` wait for the next `stop_if_asked`, at most `GRACE_SECONDS`.

    An exception that a signal raises while TensorFlow calls Python, as it does when it builds a graph, can crash it.
    Where the system has no timers, signals do not wait.
    """

    def out_of_patience(number, frame):
        if _deferral.asked is not None:
            _raise(_deferral.asked)

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGALRM, out_of_patience)
    _deferral.active = True
    try:
        yield
        stop_if_asked()
    finally:
        _deferral.active, _deferral.asked = False, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


class Stream:
    """A standard stream that is never in the way of the work: what cannot be written to it is lost.

    A reader may go away, as `head` does, a disk be full, a terminal closed. Characters that the encoding does not have
    are written as escapes.

    Args:
        stream: the text stream.

    Attributes:
        error: the `OSError` that ended the writing, or None.
    """

    def __init__(self, stream):
        self.error = None
        self._stream = stream
        if hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="backslashreplace")

    def write(self, text):
        try:
            self._stream.write(text)
        except OSError as error:
            self._discard(error)
        return len(text)

    def flush(self):
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error):
        """Lets the file descriptor lead nowhere, so that what is still to be flushed does not fail either."""
        self.error = error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name):
        return getattr(self._stream, name)


@contextlib.contextmanager
def unbroken():
    """Makes standard output and standard error a `Stream` each; yields the first."""
    # Else the next file that is opened would be taken for the closed stream, and written to by TensorFlow's libraries.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    with contextlib.ExitStack() as stack:
        # Where a descriptor is closed, Python has no stream.
        nowhere = stack.enter_context(open(os.devnull, "w"))
        output, errors = Stream(sys.stdout or nowhere), Stream(sys.stderr or nowhere)
        stack.enter_context(contextlib.redirect_stdout(output))
        stack.enter_context(contextlib.redirect_stderr(errors))
        try:
            yield output
        finally:
            output.flush()
            errors.flush()


@contextlib.contextmanager
def interruptible(last=False):
    """Lets Ctrl-C, SIGTERM and, where there is one, SIGHUP raise their exception, `Terminated` but for Ctrl-C.

    Signals that the process ignores or handles already are left alone.

    Args:
        last: whether the process ends after this. It then ignores them, so that what is done is not called stopped.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if last else handler)


@contextlib.contextmanager
def _quietly(debug):
    """Hides what TensorFlow's libraries print on loading, which no log level suppresses; shows it if loading fails."""
    if debug or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception as error:
            if not isinstance(error, InputError | RunError):  # Theirs is the one line to be read.
                kept.seek(0)
                os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def load_tensorflow(debug=False, first=None):
    """Loads TensorFlow and starts its devices, without what they print unless `debug`.

    Args:
        debug: whether all is shown.
        first: function without arguments that is called before the devices start, or None.
    """
    with _quietly(debug):
        import tensorflow as tf

        if not debug:
            # Each recipe's model has its own step function. TensorFlow mistakes that for needless retracing.
            tf.get_logger().setLevel("ERROR")
            # TFDS warns about every directory that is not prepared. The error that follows is clearer.
            logging.getLogger("absl").setLevel("ERROR")
        if first is not None:
            first()
        tf.constant(0)  # The first operation starts the devices, which also prints.
