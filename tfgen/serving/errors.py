"""What can go wrong between a client and a model server: one exception for each kind of failure."""

from tfgen.errors import InputError, RunError


class NotRunningError(RunError):
    """No server answers at the address."""


class ModelNotFoundError(InputError):
    """The server knows no such model, version or label."""


class NotAvailableError(RunError):
    """The server knows the model and is not ready to answer for it."""


class BadInputError(InputError):
    """The signature takes something else than what is sent."""


class TimedOutError(RunError):
    """The deadline passed before the answer was there."""


class TooLargeError(InputError):
    """The server takes no request, or the client no answer, of that size."""


class ServerError(RunError):
    """The server failed, or what answers is no model server."""


def kind_told_by(message):
    """Returns the kind of failure that the server has no status of its own for, by its words; else None."""
    if "larger than maximum" in message:  # than the largest batch
        return TooLargeError
    if "version label" in message:
        return ModelNotFoundError
    return None


def remedy(kind):
    """Returns what to add to the server's own words, which name none."""
    if kind is ModelNotFoundError:
        return "; tfgen serve lists what it serves, and tfgen publish adds to it"
    if kind is TooLargeError:
        return "; send fewer examples at once"
    return ""
