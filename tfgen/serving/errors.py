"""The exceptions of a client of a model server, one for each kind of failure, and what their messages repeat."""

from tfgen.errors import InputError, RunError


class NotRunningError(RunError):
    """No server answers at the address."""


class ModelNotFoundError(InputError):
    """The server knows no such model, version or label."""


class NotAvailableError(RunError):
    """The server knows the model but is not ready to serve it."""


class BadInputError(InputError):
    """The inputs do not fit the signature."""


class TimedOutError(RunError):
    """The deadline passed before the answer arrived."""


class TooLargeError(InputError):
    """The request is too large for the server, or the answer too large for the client."""


class ServerError(RunError):
    """The server failed, is not a model server, or answered with what its signatures do not allow."""


def error_from_message(message):
    """Returns the exception class of a failure that only the server's message identifies, not its status; else None."""
    if "larger than maximum" in message:  # "... larger than maximum input batch size 1024"
        return TooLargeError
    if "version label" in message:
        return ModelNotFoundError
    return None


def remedy(kind):
    """Returns the advice to append to the server's message, which gives none."""
    if kind is ModelNotFoundError:
        return "; tfgen serve lists what it serves, and tfgen publish adds to it"
    if kind is TooLargeError:
        return "; send fewer examples at once"
    return ""


def shown(text, length=300):
    """Returns foreign text for a message: one line of at most `length` characters, none of which a terminal obeys."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text[: 4 * length]).split())
    return line if len(line) <= length else f"{line[: length - 4]} ..."


def check_names(found, expected):
    """Raises `ServerError` if the outputs of an answer are not those of the signature."""
    if set(found) != set(expected):
        names = [shown(", ".join(sorted(names)) or "nothing") for names in (found, expected)]
        raise ServerError(f"the server answered with {names[0]} where its signature has {names[1]}")
