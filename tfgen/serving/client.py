"""A client of TensorFlow's model server, over REST or gRPC: NumPy in, NumPy out. REST needs no TensorFlow."""

from __future__ import annotations

import ipaddress
import re
import typing
from typing import Any

import numpy as np

from tfgen.errors import InputError
from tfgen.serving.errors import BadInputError, ModelNotFoundError, NotAvailableError, ServerError, shown

NUMBERS = ("float32", "float64", "int32", "int64")
LONGEST = 1e6  # seconds


class Client:
    """A client of one model server.

    It checks the inputs of each request against the model's signature before it sends them, and every answer against it
    before it returns anything. It fetches signatures from the server once and keeps them, so make a new client after
    publishing a version with other signatures. Threads may share a client.

        client = Client("http://127.0.0.1:8501")
        client.predict("gan", {"seed": np.arange(4)}, signature="generate")["image"]  # (4, 784) float32

    Args:
        address: "http://HOST:PORT", "https://HOST:PORT" or "grpc://HOST:PORT". For a proxy, an HTTP address may have
            USER:PASSWORD@ before the host, percent-encoded, and a path at its end. gRPC needs TensorFlow and the extra
            `serving`.
        timeout: seconds that each request may take, from looking up the host to the answer's last byte: more than 0, at
            most 1,000,000. `predict` makes one request, two at first use of a model, and up to three if it fails.
        max_bytes: of the largest answer that is read.

    Raises:
        InputError: if the address is malformed, or the timeout or `max_bytes` is out of range.
    """

    def __init__(self, address: str = "http://127.0.0.1:8501", timeout: float = 30.0, max_bytes: int = 2**30) -> None:
        server, user = _parsed(address)
        if not _is_number(timeout, float, np.floating) or not 0 < timeout <= LONGEST:
            raise InputError(
                f"the timeout must be more than 0 and at most {LONGEST:,.0f} seconds, got {_came(timeout)}"
            )
        if not _is_number(max_bytes) or not 0 < max_bytes < 2**63:
            raise InputError(f"max_bytes must be an integer of at least 1, got {_came(max_bytes)}")
        self.address = str(server)
        self._api: Any
        if server.scheme == "grpc":
            from tfgen.serving.grpc_api import GrpcApi

            self._api = GrpcApi(server, float(timeout), int(max_bytes))
        else:
            from tfgen.serving.rest_api import RestApi

            self._api = RestApi(server, user, float(timeout), int(max_bytes))
        self._signatures: dict[tuple, dict] = {}

    def status(self, model: str, version: int | None = None, label: str | None = None) -> list[dict[str, Any]]:
        """Returns the state of a model's versions, the highest first, those that were removed last.

        With a version or a label, only that version's.

        Returns:
            List of dicts: `version`, int; `state`, "AVAILABLE" once it is served; `error`, why it cannot be served, or
            "".

        Raises:
            ModelNotFoundError: if the server knows no such model, version or label.
        """
        model, version, label = _checked(model, version, label)
        if label is not None:
            # Asked for the state of a label, the server answers with all versions.
            version = self._api.version(model, label)
        found = self._api.status(model, version)
        if version is not None:
            found = [status for status in found if status["version"] == version]
        return sorted(found, key=lambda status: (status["state"] == "END", -status["version"]))

    def signatures(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> dict[str, dict[str, dict[str, tuple[str, tuple[int, ...]]]]]:
        """Returns a model's signatures: name -> {"inputs" or "outputs": {name: (dtype, shape)}}; -1 is the batch."""
        key = _checked(model, version, label)
        if key not in self._signatures:
            self._signatures[key] = self._call(self._api.signatures, key)
        return self._signatures[key]

    def predict(
        self,
        model: str,
        inputs: dict[str, Any],
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Returns the outputs that a signature computes from inputs.

        Args:
            model: name of the model.
            inputs: dict from the name of each input of the signature to an array; its first dimension is the batch.
            signature: name of the signature.
            version: int; None means the highest.
            label: a label such as "stable", instead of a version.

        Returns:
            Dict from output name to array. Outputs whose names end in `_bytes`, such as `png_bytes`, are arrays of
            `bytes` objects.

        Raises:
            BadInputError: if the model has no such signature, or an input is missing, unknown, of the wrong shape or
                type, or not finite.
            NotRunningError, ModelNotFoundError, NotAvailableError, TimedOutError, TooLargeError, ServerError: see
                `tfgen.serving.errors`.
        """
        key = _checked(model, version, label)
        offered = self.signatures(model, version, label)
        if not isinstance(signature, str) or signature not in offered:
            names = shown(", ".join(sorted(offered)))
            raise BadInputError(f"{model} has no signature {_came(signature)}, only {names}")
        where, expected = f"signature {signature!r} of {model}", offered[signature]["outputs"]
        arrays = _checked_inputs(inputs, offered[signature]["inputs"], where)
        for name, (dtype, _) in expected.items():
            if dtype not in NUMBERS and not (dtype == "string" and name.endswith("_bytes")):
                readable = ", ".join(NUMBERS)
                raise BadInputError(
                    f"{name!r} of {where} is {dtype}; this client reads {readable}, and string as *_bytes"
                )
        outputs = self._call(self._api.predict, key, signature, arrays, expected)
        _check_outputs(outputs, expected, len(next(iter(arrays.values()))))
        return outputs

    def _call(self, method, key, *arguments):
        """Calls a method of the API; raises `NotAvailableError` for a model that the server is still loading.

        The server gives the same answer for such a model as for an unknown one, so its status decides.
        """
        try:
            return method(*key, *arguments)
        except ModelNotFoundError:
            found = self._api.status(*key[:2])
            if not found or any(status["state"] == "AVAILABLE" for status in found):
                raise
            states = [
                f"version {status['version']} is {status['state']}"
                + (f" ({status['error']})" if status["error"] else "")
                for status in found
            ]
            raise NotAvailableError(f"{key[0]} is not available: {', '.join(states)}; try again later") from None


class _Address(typing.NamedTuple):
    """A server's address without its user; its text is for messages."""

    scheme: str
    host: str
    port: int | None
    path: str

    def __str__(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port is None else f':{self.port}'}{self.path}"


_LABEL = "[a-z0-9_-]{1,63}"
_ADDRESS = re.compile(
    r"(?P<scheme>https?|grpc)://"
    r"((?P<user>([a-z0-9._~!$&'()*+,;=:-]|%[0-9a-f]{2})*)@)?"
    rf"(\[(?P<ipv6>[0-9a-f:.]+(%[a-z0-9_.-]+)?)\]|(?P<name>{_LABEL}(\.{_LABEL})*\.?))"
    r"(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(/([a-z0-9._~!$&'()*+,;=:-]|%[0-9a-f]{2})*)*)",
    re.ASCII | re.IGNORECASE,
)


def _parsed(address):
    """Returns a server's `_Address` and its user part or None; raises `InputError`, which never shows the user part."""
    if not isinstance(address, str):
        raise InputError(f"the server's address must be a string, got a {type(address).__name__}")
    _, at, rest = address.rpartition("@")
    # What is not plain may be a password, too: where its @ is encoded, or in a query.
    came = repr(("***@" if at else "") + (shown(rest) if re.fullmatch(r"[\w.:/[\]-]*", rest, re.ASCII) else "***"))
    found = _ADDRESS.fullmatch(address)
    if not found or not _is_host(found) or not (found["port"] is None or 0 < int(found["port"]) < 2**16):
        hint = "; percent-encode what is not a letter or digit in its user and password" if at else ""
        raise InputError(f"the server's address must look like http://127.0.0.1:8501 or grpc://..., got {came}{hint}")
    scheme, path = found["scheme"].lower(), found["path"].rstrip("/")
    if scheme == "grpc" and (at or path):
        raise InputError(f"a gRPC address is a host and a port, with no user and no path; got {came}")
    port = None if found["port"] is None else int(found["port"])
    return _Address(scheme, (found["name"] or found["ipv6"]).lower(), port, path), found["user"]


def _is_host(found):
    if found["name"] is not None:
        return len(found["name"]) <= 253
    try:
        ipaddress.IPv6Address(found["ipv6"])
    except ValueError:
        return False
    return True


def _is_number(value, *others):
    return isinstance(value, (int, np.integer, *others)) and not isinstance(value, bool)


def _came(value):
    """Returns what a caller gave, for a message."""
    try:
        return shown(repr(value))
    except ValueError:  # An integer of more digits than Python writes.
        return f"a huge {type(value).__name__}"


def _checked(model, version, label):
    """Returns `(model, version, label)`, which become parts of paths; raises `InputError` if one is malformed."""
    if not _is_name(model):
        raise InputError(f"a model's name must be a string without / and :, got {_came(model)}")
    if version is not None and label is not None:
        raise InputError(f"give a version or a label, not both; got version {_came(version)} and label {_came(label)}")
    if version is not None and not (_is_number(version) and 0 <= version < 2**63):
        raise InputError(f"the version must be an integer of at least 0, got {_came(version)}")
    if label is not None and not _is_name(label):
        raise InputError(f"the label must be a string without / and :, got {_came(label)}")
    return model, None if version is None else int(version), label


def _is_name(value):
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable() and not set(value) & set("/:")


def _checked_inputs(inputs, expected, where):
    """Returns the inputs as arrays of the expected types; raises `BadInputError` if they do not fit."""
    wanted = shown(", ".join(f"{name} {dtype} ({_shape(shape)})" for name, (dtype, shape) in sorted(expected.items())))
    if not isinstance(inputs, dict) or set(inputs) != set(expected):
        got = shown(", ".join(map(str, inputs))) if isinstance(inputs, dict) else f"a {type(inputs).__name__}"
        raise BadInputError(f"{where} takes a dict of {wanted}; got {got or 'nothing'}")
    arrays = {}
    for name, (dtype, shape) in expected.items():
        if dtype not in NUMBERS:
            raise BadInputError(f"{name!r} of {where} is {dtype}; this client sends {', '.join(NUMBERS)}")
        try:
            array = np.asarray(inputs[name])
        except ValueError as error:
            raise BadInputError(f"{name!r} of {where} is not an array ({error}); wanted {wanted}") from error
        if array.size == 0:
            raise BadInputError(f"{name!r} of {where} is empty; send at least one example: {wanted}")
        if not _fits(array.shape, shape):
            raise BadInputError(f"{name!r} of {where} has shape ({_shape(array.shape)}); wanted {wanted}")
        kinds = "iu" if np.dtype(dtype).kind == "i" else np.dtype(dtype).kind
        if array.dtype.kind not in kinds:
            hint = "; scale pixels to [0, 1]" if name == "image" and array.dtype.kind in "iu" else ""
            raise BadInputError(f"{name!r} of {where} is {array.dtype}; wanted {wanted}{hint}")
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise BadInputError(f"{name!r} of {where} holds values that are not finite (NaN or infinite)")
        with np.errstate(over="ignore"):
            cast = array.astype(dtype)
        if (array.dtype.kind == "f" and not np.all(np.isfinite(cast))) or (kinds == "iu" and np.any(cast != array)):
            raise BadInputError(f"{name!r} of {where} holds values that are too large for {dtype}")
        arrays[name] = cast
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise BadInputError(f"the inputs of {where} differ in their number of examples: {sizes}")
    return arrays


def _check_outputs(outputs, expected, batch_size):
    """Raises `ServerError` if arrays are not what the signature says, or not finite."""
    for name, (dtype, shape) in expected.items():
        array = outputs[name]
        if not _fits(array.shape, shape) or array.shape[:1] != (batch_size,):
            came, wanted = f"({_shape(array.shape)}) for {batch_size} examples", f"({_shape(shape)})"
            raise ServerError(f"{name!r} in the server's answer has shape {came}; its signature says {wanted}")
        if dtype in NUMBERS and not np.all(np.isfinite(array)):
            raise ServerError(f"{name!r} in the server's answer holds values that are not finite (NaN or infinite)")


def _fits(shape, expected):
    return len(shape) == len(expected) and all(size in (-1, n) for size, n in zip(expected, shape, strict=True))


def _shape(shape):
    return ", ".join("batch" if size == -1 else str(size) for size in shape)
