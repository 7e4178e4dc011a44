"""The two ways a call can end badly, kept apart so that the command line can answer each with one line."""


class InputError(ValueError):
    """What the user asked for cannot be: the message says what came, what is allowed and what to do (exit code 2)."""


class RunError(RuntimeError):
    """Something failed while running, such as a download: the message names the remedy (exit code 1)."""
