"""The model server's REST interface. It needs the standard library alone."""

import base64
import http.client
import json
import time
import urllib.parse

from tfgen.errors import InputError
from tfgen.serving.errors import (
    BadInputError,
    ModelNotFoundError,
    NotAvailableError,
    NotRunningError,
    ServerError,
    TimedOutError,
    TooLargeError,
    error_from_message,
    remedy,
)

CHUNK = 2**20


class RestApi:
    """Requests to one server. Each opens its own connection, so threads may share an object."""

    def __init__(self, parts, address, timeout):
        self.parts = parts
        self.address = address
        self.timeout = timeout
        self.headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            user, password = map(urllib.parse.unquote, (parts.username, parts.password or ""))
            self.headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def status(self, model, version, label):
        reply = self._call("GET", _path(model, version, label))
        try:
            return [
                {
                    "version": int(found["version"]),
                    "state": found["state"],
                    "error": found["status"]["error_message"] if found["status"]["error_code"] != "OK" else "",
                }
                for found in reply["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_a_model_server(reply) from error

    def signatures(self, model, version, label):
        reply = self._call("GET", f"{_path(model, version, label)}/metadata")
        try:
            signatures = reply["metadata"]["signature_def"]["signature_def"]
            return {
                name: {role: {key: _dtype_and_shape(info) for key, info in signature[role].items()} for role in ROLES}
                for name, signature in signatures.items()
                if not name.startswith("__")
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._not_a_model_server(reply) from error

    def predict(self, model, version, label, signature, inputs, outputs):
        body = {"signature_name": signature, "inputs": {name: value.tolist() for name, value in inputs.items()}}
        reply = self._call("POST", f"{_path(model, version, label)}:predict", json.dumps(body).encode())
        if not isinstance(reply, dict) or "outputs" not in reply:
            raise self._not_a_model_server(reply)
        if isinstance(reply["outputs"], dict):
            return reply["outputs"]
        # The server omits the name of a signature's only output.
        return {name: reply["outputs"] for name in outputs}

    def _call(self, method, path, body=None):
        """Returns the JSON of the server's reply; raises the exception that its status code stands for."""
        deadline = time.monotonic() + self.timeout
        secure = self.parts.scheme == "https"
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
            self.parts.hostname, self.parts.port, timeout=self.timeout
        )
        try:
            connection.connect()
            # A socket's timeout applies to each operation, so it is set to the time that is left before every one. The
            # socket may be closed after the last byte of the answer.
            socket = connection.sock
            socket.settimeout(_seconds_left(deadline))
            connection.request(method, self.parts.path.rstrip("/") + path, body, self.headers)
            socket.settimeout(_seconds_left(deadline))
            chunks = []
            with connection.getresponse() as response:
                while not response.isclosed() and response.length != 0:
                    socket.settimeout(_seconds_left(deadline))
                    chunks.append(response.read1(CHUNK))
        except TimeoutError as error:
            raise TimedOutError(
                f"no answer from {self.address} within {self.timeout:g} s; try a longer time-out"
            ) from error
        except ConnectionRefusedError as error:
            raise NotRunningError(f"no server answers at {self.address}; start one with tfgen serve") from error
        except (OSError, http.client.HTTPException) as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise NotRunningError(
                f"the connection to {self.address} failed ({what}); is the server running?"
            ) from error
        finally:
            connection.close()
        if response.status in (401, 403):
            raise InputError(
                f"{self.address} refused the request (HTTP status {response.status}); give a user and password: "
                f"{self.parts.scheme}://USER:PASSWORD@HOST"
            )
        text = b"".join(chunks)
        try:
            reply = json.loads(text)
        except ValueError as error:
            if response.status == 413:
                raise TooLargeError(
                    f"{self.address} refused a request of {len(body):,} bytes as too large; send fewer examples at once"
                ) from error
            raise self._not_a_model_server(text[:80].decode(errors="replace"), response.status) from error
        if response.status != 200:
            message = reply.get("error", reply) if isinstance(reply, dict) else reply
            raise _failure(response.status, self.address, message)
        return reply

    def _not_a_model_server(self, reply, status=200):
        return ServerError(
            f"the server at {self.address} is not a model server: HTTP status {status}, {str(reply)[:80]!r}"
        )


def _seconds_left(deadline):
    """Returns the seconds until a deadline; raises `TimeoutError` if it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


ROLES = ("inputs", "outputs")
FAILURES = {
    400: BadInputError,
    404: ModelNotFoundError,
    413: TooLargeError,
    429: TooLargeError,
    501: BadInputError,
    503: NotAvailableError,
    504: TimedOutError,
}


def _failure(status, address, message):
    message = " ".join(str(message).split())
    kind = error_from_message(message) or FAILURES.get(status, ServerError)
    return kind(f"{address} refused the request: {message} (HTTP status {status}){remedy(kind)}")


def _path(model, version, label):
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{urllib.parse.quote(label, safe='')}"


def _dtype_and_shape(info):
    """Returns a tensor's type under its NumPy name, and its shape."""
    dtype = info["dtype"].removeprefix("DT_").lower()
    dtype = {"float": "float32", "double": "float64"}.get(dtype, dtype)
    return dtype, tuple(int(dim["size"]) for dim in info["tensor_shape"].get("dim", []))
