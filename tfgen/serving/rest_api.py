"""The model server's REST interface. It needs no TensorFlow."""

import base64
import contextlib
import http.client
import itertools
import json
import re
import socket
import threading
import time
import urllib.parse
import weakref

import numpy as np
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from tfgen.errors import InputError
from tfgen.serving.errors import (
    BadInputError,
    ModelNotFoundError,
    NotAvailableError,
    NotRunningError,
    ServerError,
    TimedOutError,
    TooLargeError,
    check_names,
    error_from_message,
    remedy,
    shown,
)

CHUNK = 2**20
# Connections that are kept for the next requests.
KEPT = 32


class RestApi:
    """Requests to one server. Threads may share an object: each request has a connection to itself while it lasts."""

    def __init__(self, address, user, timeout, max_bytes):
        self.address = address
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.headers = {"Content-Type": "application/json"}
        if user is not None:
            user, _, password = user.partition(":")
            credentials = b":".join(map(urllib.parse.unquote_to_bytes, (user, password)))
            self.headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        self.kept = []
        weakref.finalize(self, _close, self.kept)

    def status(self, model, version):
        return self._call("GET", _path(model, version), _versions)

    def version(self, model, label):
        """Returns the version that a label stands for."""
        path = f"{_path(model, label=label)}/metadata"
        return self._call("GET", path, lambda reply: _integer(reply["model_spec"]["version"]))

    def signatures(self, model, version, label):
        return self._call("GET", f"{_path(model, version, label)}/metadata", _signatures)

    def predict(self, model, version, label, signature, inputs, outputs):
        def read(reply):
            found = reply["outputs"]
            if len(outputs) == 1 and not isinstance(found, dict):
                # The server omits the name of a signature's only output.
                found = {name: found for name in outputs}
            check_names(found, outputs)
            return {name: _array(name, found[name], *outputs[name]) for name in outputs}

        body = {"signature_name": signature, "inputs": {name: value.tolist() for name, value in inputs.items()}}
        return self._call("POST", f"{_path(model, version, label)}:predict", read, json.dumps(body).encode())

    def _call(self, method, path, read, body=None):
        """Returns what `read` makes of the answer's JSON; raises the exception that its status code stands for."""
        status, text = self._answer(method, path, body)
        if status in (401, 403):
            raise InputError(
                f"{self.address} refused the request (HTTP status {status}); give a user and password: "
                f"{self.address.scheme}://USER:PASSWORD@HOST"
            )
        try:
            reply = json.loads(text.decode(), parse_constant=_refuse, object_pairs_hook=_unambiguous)
            if status == 200:
                return read(reply)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            if status == 413:
                raise TooLargeError(
                    f"{self.address} refused a request of {len(body or b''):,} bytes as too large; send fewer examples "
                    "at once"
                ) from error
            raise self._not_a_model_server(f"HTTP status {status}, {_start(text)!r}") from error
        message = reply.get("error") if isinstance(reply, dict) else None
        message = shown(message) if isinstance(message, str) else _start(text)
        kind = error_from_message(message) or FAILURES.get(status, ServerError)
        raise kind(f"{self.address} refused the request: {message} (HTTP status {status}){remedy(kind)}")

    def _answer(self, method, path, body):
        """Returns the status code and the body of the server's answer."""
        deadline = time.monotonic() + self.timeout
        request = method, self.address.path + path, body, self.headers
        try:
            if (connection := self._kept_connection()) is not None:
                # The server may be closing it just now. An answer that has begun to come is not asked for again.
                with contextlib.suppress(ConnectionError):
                    return self._exchange(connection, deadline, request)
            return self._exchange(self._new_connection(), deadline, request)
        except urllib3.exceptions.NewConnectionError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise NotRunningError(f"no server answers at {self.address}; start one with tfgen serve") from error
            raise self._failed_connection(error.__cause__) from error
        except (TimeoutError, urllib3.exceptions.TimeoutError) as error:
            raise TimedOutError(
                f"no answer from {self.address} within {self.timeout:g} s; try a longer time-out"
            ) from error
        except OSError as error:
            raise self._failed_connection(error) from error
        except (http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise self._not_a_model_server(shown(str(error), 80) or type(error).__name__) from error

    def _new_connection(self):
        if self.address.scheme == "https":
            return HTTPSConnection(self.address.host, self.address.port or 443)
        return HTTPConnection(self.address.host, self.address.port or 80)

    def _kept_connection(self):
        """Returns a connection of an earlier request that the server has not closed; None if there is none."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self.kept.pop()
                if connection.is_connected:
                    return connection
                connection.close()

    def _exchange(self, connection, deadline, request):
        connection.timeout = max(0.001, deadline - time.monotonic())
        answer = _Exchange(connection, self.address, request, self.max_bytes).wait(deadline)
        if connection.sock is not None and len(self.kept) < KEPT:
            self.kept.append(connection)
        else:
            connection.close()
        return answer

    def _failed_connection(self, error):
        what = shown(str(error), 120) or type(error).__name__
        return NotRunningError(f"the connection to {self.address} failed ({what}); is the server running?")

    def _not_a_model_server(self, what):
        return ServerError(f"the server at {self.address} is not a model server: {what}")


class _Exchange(threading.Thread):
    """A request and its answer, in a thread of its own, so that the caller can leave it at the deadline.

    No time-out of a socket does that: it begins anew with every byte, and does not hold for looking up the host.
    """

    def __init__(self, connection, address, request, max_bytes):
        super().__init__(daemon=True)
        self.connection, self.address, self.request, self.max_bytes = connection, address, request, max_bytes
        self.lock = threading.Lock()
        self.sock = self.answer = self.error = None
        self.done = self.left = False

    def wait(self, deadline):
        """Returns the status code and the body; raises `TimeoutError` at the deadline, or what went wrong."""
        self.start()
        try:
            self.join(max(0, deadline - time.monotonic()))
        finally:
            with self.lock:
                self.left = not self.done
                if self.left and self.sock is not None:
                    with contextlib.suppress(OSError):  # It may be shut already.
                        socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # Not TLS's own, which would wait.
        if self.left:
            raise TimeoutError
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # Else its traceback, which leads here, would keep the connections of a client that is gone.
        return self.answer

    def run(self):
        try:
            self.answer = self._ask()
        except Exception as error:  # `wait` raises it.
            self.error = error
        with self.lock:
            self.done = True
            if self.left:
                self.error = None
            if self.left or self.answer is None:
                # At once: the connection's own `close` waits until nothing refers to its answer, such as a traceback.
                if self.sock is not None and (descriptor := self.sock.detach()) >= 0:
                    socket.close(descriptor)
                self.connection.close()

    def _ask(self):
        if self.connection.sock is None:
            self.connection.connect()
        with self.lock:
            self.sock = self.connection.sock
            if self.left:
                raise TimeoutError
        # The server may have refused the request before it has read all of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.request(*self.request, preload_content=False, decode_content=False)
        with contextlib.closing(self.connection.getresponse()) as response:
            return response.status, self._body(response)

    def _body(self, response):
        encoding = shown(response.headers.get("Content-Encoding", "identity"), 80)
        if encoding.lower() != "identity":
            raise ServerError(f"{self.address} answers with the Content-Encoding {encoding!r}, which was not asked for")
        length = response.headers.get("Content-Length", "0")
        if not re.fullmatch("[0-9]{1,20}", length):
            raise ServerError(
                f"{self.address} answers with the Content-Length {shown(length, 80)!r}, which is no number"
            )
        body = bytearray()
        try:
            while len(body) + (response.length_remaining or 0) <= self.max_bytes:
                chunk = response.read1(CHUNK)
                if not chunk:
                    return body
                body += chunk
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            if isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError)):
                raise
            raise ServerError(f"the answer of {self.address} broke off after {len(body):,} bytes") from error
        raise TooLargeError(
            f"the answer of {self.address} has more than {self.max_bytes:,} bytes; ask for fewer examples at once, or "
            "give the client a larger max_bytes"
        )


FAILURES = {
    400: BadInputError,
    404: ModelNotFoundError,
    413: TooLargeError,
    429: TooLargeError,
    501: BadInputError,
    503: NotAvailableError,
    504: TimedOutError,
}
ROLES = ("inputs", "outputs")
STATES = ("UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END")


def _close(connections):
    for connection in connections:
        connection.close()


def _path(model, version=None, label=None):
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{urllib.parse.quote(label, safe='')}"


def _start(text):
    """Returns the beginning of an answer, for a message."""
    return shown(text[:400].decode(errors="replace"), 80)


def _refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def _unambiguous(pairs):
    """Returns a JSON object as a dict; raises `ValueError` for one with the same key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


# The functions below read JSON and raise any of the errors that `_call` knows where it is not as it must be.


def _versions(reply):
    return [
        {
            "version": _integer(found["version"]),
            "state": _one_of(found["state"], STATES),
            "error": shown(found["status"]["error_message"]) if found["status"]["error_code"] != "OK" else "",
        }
        for found in _list(reply["model_version_status"])
    ]


def _signatures(reply):
    return {
        _name(name): {
            role: {_name(key): _dtype_and_shape(info) for key, info in signature[role].items()} for role in ROLES
        }
        for name, signature in reply["metadata"]["signature_def"]["signature_def"].items()
        if not name.startswith("__")
    }


def _dtype_and_shape(info):
    """Returns a tensor's type under its NumPy name, and its shape."""
    dtype = _name(info["dtype"]).removeprefix("DT_").lower()
    dtype = {"float": "float32", "double": "float64"}.get(dtype, dtype)
    return dtype, tuple(_integer(dim["size"], -1) for dim in _list(info["tensor_shape"].get("dim", [])))


def _integer(value, least=0):
    """Returns an integer; the server writes those of 64 bits as strings."""
    if not isinstance(value, str) or not re.fullmatch("-?[0-9]{1,19}", value, re.ASCII) or int(value) < least:
        raise ValueError("not an integer")
    return int(value)


def _list(value):
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _one_of(value, allowed):
    if value not in allowed:
        raise ValueError(f"not one of {', '.join(allowed)}")
    return value


def _name(value):
    if not value.isprintable() or len(value) > 200:
        raise ValueError("not a name")
    return value


def _array(name, value, dtype, shape):
    """Returns the array that nested lists hold, of any shape of as many dimensions as `shape`; raises `ServerError`."""
    flat, sizes = [value], []
    for _ in shape:
        if set(map(type, flat)) - {list} or len(set(map(len, flat))) > 1:
            raise ServerError(f"{name!r} in the server's answer is not an array of {len(shape)} dimensions")
        sizes.append(len(flat[0]) if flat else 0)
        flat = list(itertools.chain.from_iterable(flat))
    try:
        if dtype == "string":
            if any(type(item) is not dict or set(item) != {"b64"} for item in flat):
                raise TypeError("not {'b64': ...}")
            array = np.empty(len(flat), object)
            array[:] = [base64.b64decode(item["b64"], validate=True) for item in flat]
            return array.reshape(sizes)
        integers = np.dtype(dtype).kind == "i"
        # A bool is no number, though NumPy takes it for one.
        if set(map(type, flat)) - ({int} if integers else {int, float}):
            raise TypeError("not numbers")
        array = np.array(flat, np.int64 if integers else np.float64).reshape(sizes)
        with np.errstate(over="ignore"):  # What becomes infinite is refused with all that is.
            cast = array.astype(dtype)
        if integers and np.any(cast != array):
            raise OverflowError("too large")
        return cast
    except (OverflowError, TypeError, ValueError) as error:
        raise ServerError(f"{name!r} in the server's answer is not an array of {dtype} values") from error
