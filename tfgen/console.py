"""What a command prints and how it is stopped: neither a reader that goes away nor a signal costs a run its files."""

import contextlib
import os
import signal
import sys
import threading


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
    """Lets SIGTERM and, where there is one, SIGHUP raise `Terminated`, unless the process ignores or handles them.

    Args:
        last: whether the process ends after this. It then ignores them, so that what is done is not called stopped.
    """

    def terminate(number, frame):
        raise Terminated(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if last else handler)
