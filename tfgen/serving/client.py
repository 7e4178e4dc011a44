"""A client of TensorFlow's model server, over REST or gRPC: NumPy in, NumPy out. REST needs no TensorFlow."""

import urllib.parse

import numpy as np

from tfgen.errors import InputError
from tfgen.serving.errors import BadInputError, ModelNotFoundError, NotAvailableError, ServerError

NUMBERS = ("float32", "float64", "int32", "int64")


class Client:
    """A client of one model server.

    It checks the inputs of each request against the model's signature before it sends them. It fetches signatures from
    the server once and keeps them, so make a new client after publishing a version with other signatures.

        client = Client("http://127.0.0.1:8501")
        client.predict("gan", {"seed": np.arange(4)}, signature="generate")["image"]  # (4, 784) float32

    Args:
        address: "http://HOST:PORT", "https://HOST:PORT" or "grpc://HOST:PORT". For a proxy, an HTTP address may have
            USER:PASSWORD@ before the host and a path at its end. gRPC needs TensorFlow and the extra `serving`.
        timeout: seconds that each request may take, more than 0. Over REST, looking up the host and trying its other
            addresses take additional time. `predict` makes one request, two at first use of a model, and up to three if
            it fails.

    Raises:
        InputError: if the address is malformed or the timeout is not positive.
    """

    def __init__(self, address="http://127.0.0.1:8501", timeout=30.0):
        parts = urllib.parse.urlsplit(address)
        user, _, host = parts.netloc.rpartition("@")
        shown = parts._replace(netloc=host).geturl()  # Without the password.
        if (
            parts.scheme not in ("http", "https", "grpc")
            or not parts.hostname
            or not _has_valid_port(parts)
            or parts.query
            or parts.fragment
        ):
            raise InputError(f"the server's address must look like http://127.0.0.1:8501 or grpc://..., got {shown!r}")
        if parts.scheme == "grpc" and (user or parts.path.strip("/")):
            raise InputError(f"a gRPC address is a host and a port, with no user and no path; got {shown!r}")
        if not timeout > 0:
            raise InputError(f"the timeout must be more than 0 seconds, got {timeout!r}")
        self.address = shown.rstrip("/")
        if parts.scheme == "grpc":
            from tfgen.serving.grpc_api import GrpcApi as Api
        else:
            from tfgen.serving.rest_api import RestApi as Api
        self._api = Api(parts, self.address, timeout)
        self._signatures = {}

    def status(self, model, version=None, label=None):
        """Returns the state of a model's versions, the highest first.

        Returns:
            List of dicts: `version`, int; `state`, "AVAILABLE" once it is served; `error`, why it cannot be served, or
            "".

        Raises:
            ModelNotFoundError: if the server knows no such model, version or label.
        """
        found = self._api.status(*_checked(model, version, label))
        return sorted(found, key=lambda status: -status["version"])

    def signatures(self, model, version=None, label=None):
        """Returns a model's signatures: name -> {"inputs" or "outputs": {name: (dtype, shape)}}; -1 is the batch."""
        key = _checked(model, version, label)
        if key not in self._signatures:
            self._signatures[key] = self._call(self._api.signatures, key)
        return self._signatures[key]

    def predict(self, model, inputs, signature="serving_default", version=None, label=None):
        """Returns the outputs that a signature computes from inputs.

        Args:
            model: name of the model.
            inputs: dict from the name of each input of the signature to an array; its first dimension is the batch.
            signature: name of the signature.
            version: int; None means the highest.
            label: a label such as "stable", instead of a version.

        Returns:
            Dict from output name to array.

        Raises:
            BadInputError: if the model has no such signature, or an input is missing, unknown, of the wrong shape or
                type, or not finite.
            NotRunningError, ModelNotFoundError, NotAvailableError, TimedOutError, TooLargeError, ServerError: see
                `tfgen.serving.errors`.
        """
        key = _checked(model, version, label)
        offered = self.signatures(model, version, label)
        if signature not in offered:
            raise BadInputError(f"{model} has no signature {signature!r}, only {', '.join(sorted(offered))}")
        arrays = _checked_inputs(inputs, offered[signature]["inputs"], f"signature {signature!r} of {model}")
        outputs = self._call(self._api.predict, key, signature, arrays, list(offered[signature]["outputs"]))
        batch_size = len(next(iter(arrays.values())))
        return _checked_outputs(outputs, offered[signature]["outputs"], batch_size)

    def _call(self, method, key, *arguments):
        """Calls a method of the API; raises `NotAvailableError` for a model that the server is still loading.

        The server gives the same answer for such a model as for an unknown one, so its status decides.
        """
        try:
            return method(*key, *arguments)
        except ModelNotFoundError:
            found = self._api.status(*key)
            if any(status["state"] == "AVAILABLE" for status in found):
                raise
            states = [
                f"version {status['version']} is {status['state']}"
                + (f" ({status['error']})" if status["error"] else "")
                for status in found
            ]
            raise NotAvailableError(f"{key[0]} is not available: {', '.join(states)}; try again later") from None


def _has_valid_port(parts):
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _checked(model, version, label):
    """Returns `(model, version, label)`, which become parts of paths; raises `InputError` if one is malformed."""
    if not isinstance(model, str) or not model or set(model) & set("/:"):
        raise InputError(f"a model's name must be a string without / and :, got {model!r}")
    if version is not None and label is not None:
        raise InputError(f"give a version or a label, not both; got version {version!r} and label {label!r}")
    if version is not None and (not isinstance(version, (int, np.integer)) or version < 0):
        raise InputError(f"the version must be an integer of at least 0, got {version!r}")
    if label is not None and (not isinstance(label, str) or not label or set(label) & set("/:")):
        raise InputError(f"the label must be a string without / and :, got {label!r}")
    return model, version, label


def _checked_inputs(inputs, expected, where):
    """Returns the inputs as arrays of the expected types; raises `BadInputError` if they do not fit."""
    wanted = ", ".join(f"{name} {dtype} ({_shape(shape)})" for name, (dtype, shape) in sorted(expected.items()))
    if not isinstance(inputs, dict) or set(inputs) != set(expected):
        got = ", ".join(map(str, inputs)) if isinstance(inputs, dict) else f"a {type(inputs).__name__}"
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
        same = len(array.shape) == len(shape) and all(
            size in (-1, n) for size, n in zip(shape, array.shape, strict=True)
        )
        if not same:
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


def _checked_outputs(outputs, expected, batch_size):
    """Returns the outputs as arrays of the signature's types; raises `ServerError` if they do not fit."""
    if set(outputs) != set(expected):
        raise ServerError(f"the server answered with {sorted(outputs)} where its signature has {sorted(expected)}")
    try:
        arrays = {name: np.asarray(outputs[name], dtype) for name, (dtype, _) in expected.items()}
    except (ValueError, TypeError) as error:
        raise ServerError(f"the server's answer is not an array of numbers ({error})") from error
    for name, array in arrays.items():
        if array.shape[:1] != (batch_size,):
            raise ServerError(f"{name!r} has shape ({_shape(array.shape)}) for {batch_size} examples")
    return arrays


def _shape(shape):
    return ", ".join("batch" if size == -1 else str(size) for size in shape)
