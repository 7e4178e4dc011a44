"""What the client makes of a server that is slow, huge, torn, wrong or hostile: one exception, one line, in time.

The server here sends bytes as a script says, whatever it is asked. It checks the client only.
"""

import contextlib
import gzip
import itertools
import json
import socket
import struct
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.recorded import METADATA, RECORDED, STATUS, Z, recorded_rest_server

from tfgen.cli import main
from tfgen.errors import InputError, RunError
from tfgen.serving import Client, errors

TIMEOUT = 0.3
# Longer than anything here takes on a machine that is busy with other things.
LEISURE = 20
MOST_BYTES = 2**20
# A server that is never let go ends by itself, so that a client without a deadline fails the test and does not hang it.
PATIENCE = 10


@contextlib.contextmanager
def hostile_server(*scripts):
    """A server that plays a script on each connection, the last one again and again; yields `(address, requests)`.

    A script is a list: bytes are sent; a number is a pause in seconds; None resets the connection. It ends by closing.
    """
    requests, threads, over = [], [], threading.Event()
    scripts = itertools.chain(scripts[:-1], itertools.repeat(scripts[-1]))

    def play(connection, script):
        connection.settimeout(PATIENCE)
        with connection, contextlib.suppress(OSError):
            requests.append(connection.recv(2**16))
            ends = time.monotonic() + PATIENCE
            for part in script:
                if over.is_set() or time.monotonic() > ends:
                    break
                if part is None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif isinstance(part, bytes):
                    connection.sendall(part)
                else:
                    over.wait(part)

    def accept():
        with contextlib.suppress(OSError):  # Closed: the test is over.
            for script in scripts:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=play, args=(connection, script)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join()


def reply(body, *headers, status="200 OK"):
    body = body.encode() if isinstance(body, str) else body
    return b"\r\n".join([f"HTTP/1.1 {status}".encode(), *headers, b"Content-Length: %d" % len(body), b"", body])


def again(*parts):
    return itertools.cycle(parts)


def drip(data, pause=0.05):
    """The bytes one by one, and the last one for ever."""
    for byte in itertools.chain(data, itertools.repeat(data[-1])):
        yield bytes([byte])
        yield pause


def then(data, parts):
    return itertools.chain([data], parts)


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDS = HEAD + b"\r\n"  # The body ends with the connection.
LONG = HEAD + b"Content-Length: 1000\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ONE_CHUNK = CHUNKED + b"%x\r\n%b\r\n" % (len(STATUS), STATUS.encode())
late, large, wrong = errors.TimedOutError, errors.TooLargeError, errors.ServerError
gone, unknown, refused = errors.NotRunningError, errors.ModelNotFoundError, errors.BadInputError


def version(**changed):
    found = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}} | changed
    return json.dumps({"model_version_status": [found]})


def said(error, status="400 Bad Request"):
    return [reply(json.dumps({"error": error}), status=status)]


NOT_A_MODEL_SERVER = "is not a model server"
# name -> (function that returns a script, exception, words)
HOSTILE = {
    # Slow.
    "silence": (lambda: [PATIENCE], late, ""),
    "a status line that drips": (lambda: drip(b"HTTP/1.1 200 O"), late, ""),
    "no status but line ends": (lambda: [b"\r\n" * 10], wrong, NOT_A_MODEL_SERVER),
    "a header that drips": (lambda: then(HEAD, drip(b"Server: slow")), late, ""),
    "headers that drip": (lambda: then(HEAD, again(b"A: b\r\n", 0.05)), late, ""),
    "silence after the status line": (lambda: [HEAD, PATIENCE], late, ""),
    "100 Continue for ever": (lambda: again(b"HTTP/1.1 100 Continue\r\n\r\n" * 9), late, ""),
    "100 Continue now and then": (lambda: again(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), late, ""),
    "100 Continue whose headers drip": (lambda: then(b"HTTP/1.1 100 Continue\r\n", again(b"A: b\r\n", 0.05)), late, ""),
    "a body that drips": (lambda: then(LONG, drip(STATUS.encode())), late, ""),
    "a body without a length that drips": (lambda: then(ENDS, drip(STATUS.encode())), late, ""),
    "silence after the headers": (lambda: [LONG, PATIENCE], late, ""),
    "silence in the body": (lambda: [LONG, STATUS.encode(), PATIENCE], late, ""),
    "a refusal that drips": (lambda: then(b"HTTP/1.1 400 No\r\n\r\n", drip(b'{"error": "')), late, ""),
    "a chunk's size that drips": (lambda: then(CHUNKED, drip(b"000000")), late, ""),
    "a chunk's extension that drips": (lambda: then(CHUNKED, drip(b"5;a=b")), late, ""),
    "a chunk that drips": (lambda: then(CHUNKED + b"ffff\r\n", drip(b"{")), late, ""),
    "chunks of one byte that drip": (lambda: then(CHUNKED, again(b"1\r\n \r\n", 0.05)), late, ""),
    "silence before the last chunk": (lambda: [ONE_CHUNK, PATIENCE], late, ""),
    "trailers that drip": (lambda: then(ONE_CHUNK + b"0\r\n", again(b"A: b\r\n", 0.05)), late, ""),
    "trailers for ever": (lambda: then(ONE_CHUNK + b"0\r\n", again(b"A: b\r\n" * 99)), late, ""),
    "a trailer that drips": (lambda: then(ONE_CHUNK + b"0\r\n", drip(b"A: b")), late, ""),
    # Huge.
    "headers for ever": (lambda: then(HEAD, again(b"A: b\r\n")), wrong, NOT_A_MODEL_SERVER),
    "a header for ever": (lambda: then(HEAD, again(b"A" * 999)), wrong, NOT_A_MODEL_SERVER),
    "a status line for ever": (lambda: again(b"HTTP/1.1 200 " + b"A" * 999), wrong, NOT_A_MODEL_SERVER),
    "a body for ever": (lambda: then(ENDS, again(b" " * 9999)), large, "more than 1,048,576 bytes"),
    "chunks for ever": (lambda: then(CHUNKED, again(b"3e7\r\n" + b" " * 999 + b"\r\n")), large, "more than"),
    "a chunk for ever": (lambda: then(CHUNKED + b"F" * 99 + b"\r\n", again(b" " * 9999)), large, "more than"),
    "a chunk of less than nothing": (lambda: then(CHUNKED + b"-1\r\n", again(b" " * 9999)), large, "more than"),
    "a chunk's size for ever": (lambda: then(CHUNKED, again(b"0" * 9999)), wrong, "broke off after 0 bytes"),
    "a terabyte announced": (lambda: [HEAD + b"Content-Length: 1000000000000\r\n\r\n", PATIENCE], large, "more than"),
    "a byte too many": (lambda: [reply(STATUS + " " * (MOST_BYTES + 1 - len(STATUS)))], large, "more than"),
    "a huge refusal": (lambda: then(b"HTTP/1.1 400 No\r\n\r\n", again(b" " * 9999)), large, "more than"),
    "zeros unpacked": (
        lambda: [reply(gzip.compress(bytes(2**22)), b"Content-Encoding: gzip")],
        wrong,
        "Content-Encoding 'gzip', which was not asked for",
    ),
    "an answer packed": (lambda: [reply(gzip.compress(STATUS.encode()), b"Content-Encoding: gzip")], wrong, "gzip"),
    "packed twice": (lambda: [reply(STATUS, b"Content-Encoding: identity, deflate")], wrong, "identity, deflate"),
    # Torn.
    "nothing": (lambda: [], gone, "is the server running"),
    "a reset": (lambda: [None], gone, "is the server running"),
    "half a status line": (lambda: [b"HTTP/1.1 2"], wrong, NOT_A_MODEL_SERVER),
    "a status line alone": (lambda: [HEAD], wrong, NOT_A_MODEL_SERVER),
    "headers alone": (lambda: [ENDS], wrong, NOT_A_MODEL_SERVER),
    "no body for a length": (lambda: [LONG], wrong, "broke off after 0 bytes"),
    "a body cut short that is JSON": (lambda: [LONG + STATUS.encode()], wrong, f"broke off after {len(STATUS)} bytes"),
    "a body cut short": (lambda: [ENDS + STATUS[:-1].encode()], wrong, NOT_A_MODEL_SERVER),
    "a body cut short by a reset": (lambda: [LONG + STATUS.encode(), 0.1, None], wrong, "broke off after"),
    "a length too short": (lambda: [HEAD + b"Content-Length: 9\r\n\r\n" + STATUS.encode()], wrong, NOT_A_MODEL_SERVER),
    "no chunk": (lambda: [CHUNKED], wrong, "broke off"),
    "no last chunk": (lambda: [ONE_CHUNK], wrong, "broke off"),
    "half a chunk": (lambda: [CHUNKED + b"fff\r\n" + STATUS.encode()], wrong, "broke off"),
    "half a refusal": (lambda: [b"HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\n{}"], wrong, "broke off"),
    # Not HTTP.
    "another protocol": (lambda: [b"SSH-2.0-OpenSSH_9.6\r\n"], wrong, NOT_A_MODEL_SERVER),
    "binary": (lambda: [bytes(range(256))], wrong, NOT_A_MODEL_SERVER),
    "an alert of TLS": (lambda: [b"\x15\x03\x01\x00\x02\x02\x16"], wrong, NOT_A_MODEL_SERVER),
    "the body alone": (lambda: [STATUS.encode()], wrong, NOT_A_MODEL_SERVER),
    "HTTP/2": (lambda: [b"HTTP/2.0 200 OK\r\n\r\n" + STATUS.encode()], wrong, NOT_A_MODEL_SERVER),
    "a status of words": (lambda: [b"HTTP/1.1 fine OK\r\n\r\n" + STATUS.encode()], wrong, NOT_A_MODEL_SERVER),
    "a status below 100": (lambda: [reply(STATUS, status="42 OK")], wrong, NOT_A_MODEL_SERVER),
    "a status above 999": (lambda: [reply(STATUS, status="1000 OK")], wrong, NOT_A_MODEL_SERVER),
    "no status": (lambda: [b"HTTP/1.1\r\n\r\n" + STATUS.encode()], wrong, NOT_A_MODEL_SERVER),
    "a chunk's size of words": (lambda: [CHUNKED + b"many\r\n{}\r\n0\r\n\r\n"], wrong, "broke off"),
    "a length of words": (lambda: [HEAD + b"Content-Length: many\r\n\r\n" + STATUS.encode()], wrong, "is no number"),
    "a length below 0": (lambda: [HEAD + b"Content-Length: -1\r\n\r\n" + STATUS.encode()], wrong, "is no number"),
    "a length of 5,000 digits": (
        lambda: [HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"],
        wrong,
        "is no number",
    ),
    "two lengths": (lambda: [reply(STATUS, b"Content-Length: 9")], wrong, NOT_A_MODEL_SERVER),
    # Another status.
    "a redirection": (lambda: [reply("", b"Location: /v1/models/gan", status="302 Found")], wrong, "HTTP status 302"),
    "a redirection for ever": (lambda: [reply("{}", b"Location: /", status="308 There")], wrong, "HTTP status 308"),
    "a redirection to a file": (lambda: [reply("", b"Location: file:///", status="301 Moved")], wrong, "status 301"),
    "early hints": (lambda: [b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(STATUS)], wrong, "HTTP status 103"),
    "no content": (lambda: [b"HTTP/1.1 204 No Content\r\n\r\n"], wrong, "HTTP status 204"),
    "not modified": (lambda: [b"HTTP/1.1 304 Not Modified\r\n\r\n"], wrong, "HTTP status 304"),
    "a part": (lambda: [reply(STATUS, status="206 Partial Content")], wrong, "HTTP status 206"),
    "a question for a password": (
        lambda: [reply("", status="401 Unauthorized")],
        InputError,
        "give a user and password",
    ),
    "a proxy's page": (lambda: [reply("<html>", status="502 Bad Gateway")], wrong, "HTTP status 502"),
    "a status of no meaning": (lambda: [reply("{}", status="999 What")], wrong, "HTTP status 999"),
    "too large, said in HTML": (lambda: [reply("<html>", status="413 No")], large, "a request of 0 bytes as too large"),
    # Not JSON, or not the server's.
    "no JSON": (lambda: [reply("It works!")], wrong, NOT_A_MODEL_SERVER),
    "empty": (lambda: [reply("")], wrong, NOT_A_MODEL_SERVER),
    "invalid UTF-8": (lambda: [reply(STATUS.encode().replace(b"no such", b"\xff\xfe"))], wrong, NOT_A_MODEL_SERVER),
    "UTF-16": (lambda: [reply(STATUS.encode("utf-16"))], wrong, NOT_A_MODEL_SERVER),
    "a byte order mark": (lambda: [reply("\ufeff" + STATUS)], wrong, NOT_A_MODEL_SERVER),
    "two values": (lambda: [reply(STATUS + STATUS)], wrong, NOT_A_MODEL_SERVER),
    "a key twice": (lambda: [reply('{"model_version_status": [], ' + STATUS[2:])], wrong, NOT_A_MODEL_SERVER),
    "NaN": (lambda: [reply(STATUS.replace('"2"', "NaN"))], wrong, NOT_A_MODEL_SERVER),
    "deep lists": (lambda: [reply("[" * 100_000)], wrong, NOT_A_MODEL_SERVER),
    "deep objects": (lambda: [reply('{"a":' * 100_000)], wrong, NOT_A_MODEL_SERVER),
    "a deep refusal": (lambda: [reply("[" * 100_000, status="400 No")], wrong, NOT_A_MODEL_SERVER),
    "an integer of 5,000 digits": (lambda: [reply("9" * 5000)], wrong, NOT_A_MODEL_SERVER),
    **{
        f"JSON {text}": (lambda text=text: [reply(text)], wrong, NOT_A_MODEL_SERVER)
        for text in ("null", "true", "1e400", '"text"', "[]", "{}", '{"model_version_status": null}')
    },
    **{
        f"JSON {text} for the versions": (lambda text=text: [reply(text)], wrong, NOT_A_MODEL_SERVER)
        for text in ('{"model_version_status": {"a": 1}}', '{"model_version_status": [[]]}')
    },
    **{
        f"version {value!r:.20}": (lambda value=value: [reply(version(version=value))], wrong, NOT_A_MODEL_SERVER)
        for value in (None, True, 1.7, 1e300, [], {}, "", "-1", "1.0", "1e3", "²", "1_0", "9" * 30, "NaN")
    },
    "an unknown state": (lambda: [reply(version(state="FINE"))], wrong, NOT_A_MODEL_SERVER),
    "a list for a state": (lambda: [reply(version(state=["END"]))], wrong, NOT_A_MODEL_SERVER),
    "no error": (lambda: [reply(version(status={}))], wrong, NOT_A_MODEL_SERVER),
    "a number for an error": (
        lambda: [reply(version(status={"error_code": "NOT_FOUND", "error_message": 7}))],
        wrong,
        NOT_A_MODEL_SERVER,
    ),
    # What it says.
    "escapes of a terminal": (lambda: said("\x1b]0;gone\x07\x1b[2J\x9b31m red"), refused, "]0;gone [2J 31m red"),
    "another line": (lambda: said("first\r\nsecond\u2028third"), refused, "first second third"),
    "text from right to left": (lambda: said("\u202etxet"), refused, "request: txet"),
    "half a surrogate": (lambda: said("\ud800 alone"), refused, "request: alone"),
    "a megabyte of words": (lambda: said("word " * 200_000), refused, " ... (HTTP"),
    "a list of words": (lambda: said(["words"]), refused, '{"error": ["words"]}'),
    "no words": (lambda: said(None, "404 Not Found"), unknown, '{"error": null}'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_the_server_sends_is_one_exception_in_time_and_one_line(case):
    script, kind, words = HOSTILE[case]
    before = set(threading.enumerate())
    with hostile_server(script()) as (address, requests):
        client = Client(address, timeout=TIMEOUT if kind is late else LEISURE, max_bytes=MOST_BYTES)
        started = time.monotonic()
        with pytest.raises((InputError, RunError)) as caught:
            client.status("gan")
        seconds = time.monotonic() - started
        message = str(caught.value)
        assert type(caught.value) is kind and words in message
        assert message.isprintable() and len(message) < 500 and message.encode()
        # Nothing is asked twice or elsewhere, and nothing goes on behind the caller's back.
        assert len(requests) == 1
    for thread in set(threading.enumerate()) - before:
        thread.join(LEISURE)
        assert not thread.is_alive()
    assert kind is not late or TIMEOUT <= seconds < PATIENCE / 2


def test_there_are_many_kinds_of_hostile_answers():
    assert len(HOSTILE) > 100


def test_a_host_that_is_looked_up_for_ever_does_not_outlast_the_deadline(monkeypatch):
    found = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found.wait(PATIENCE) and [])
    started = time.monotonic()
    try:
        with pytest.raises(errors.TimedOutError, match=r"no answer from http://model-server:8501 within 0\.3 s"):
            Client("http://model-server:8501", timeout=TIMEOUT).status("gan")
        assert time.monotonic() - started < PATIENCE / 2
    finally:
        found.set()


def test_several_addresses_of_a_host_share_one_deadline(monkeypatch):
    attempts = []

    def connect(self, address):
        attempts.append(address)
        time.sleep(TIMEOUT)
        raise TimeoutError

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in range(1, 81)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)
    monkeypatch.setattr(socket.socket, "connect", connect)
    started = time.monotonic()
    with pytest.raises(errors.TimedOutError):
        Client("http://model-server:8501", timeout=TIMEOUT).status("gan")
    assert time.monotonic() - started < PATIENCE / 2 and attempts


@pytest.mark.parametrize("script, kind", [([PATIENCE], late), ([b"HTTP/1.1 400 No\r\n\r\n"], gone), ([], gone)])
def test_a_server_that_does_not_speak_tls_is_told_in_time(script, kind):
    with hostile_server(script) as (address, _):
        started = time.monotonic()
        with pytest.raises(kind):
            Client(address.replace("http", "https"), timeout=TIMEOUT if kind is late else LEISURE).status("gan")
        assert time.monotonic() - started < PATIENCE / 2


def test_a_server_that_does_not_read_is_left_at_the_deadline():
    with hostile_server([reply(METADATA, b"Connection: close")], [PATIENCE]) as (address, _):
        client = Client(address, timeout=TIMEOUT)
        client.signatures("gan")
        started = time.monotonic()
        with pytest.raises(errors.TimedOutError):
            client.predict("gan", {"z": np.ones((300_000, 2), np.float32)}, "decode")
        assert time.monotonic() - started < PATIENCE - 1  # It writes 9 MB of JSON first.


def test_a_refusal_that_comes_before_the_request_is_read_is_heard():
    refusal = reply('{"error": "larger than maximum"}', b"Connection: close", status="413 Too Large")
    with hostile_server([reply(METADATA, b"Connection: close")], [refusal, 0.3]) as (address, requests):
        with pytest.raises(errors.TooLargeError, match="larger than maximum"):
            Client(address).predict("gan", {"z": np.ones((300_000, 2), np.float32)}, "decode")
        assert len(requests) == 2


def test_a_kept_connection_that_the_server_has_closed_fails_no_request():
    """It closes after each answer without saying so: at once, after a while, or when the next request has come."""
    for pause in (0, 0.05, 0.2):
        with hostile_server([reply(STATUS), pause]) as (address, requests):
            client = Client(address)
            for _ in range(4):
                assert [status["version"] for status in client.status("gan")] == [2, 1]
                time.sleep(0.1)
            assert len(requests) == 4


def test_a_kept_connection_that_closes_upon_the_next_request_is_replaced_once():
    """The first one answers, reads the next request, and closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(2**16))
                connection.sendall(reply(STATUS))
                seen.append(connection.recv(2**16))

    with listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert client.status("gan") == client.status("gan")
        del client  # Which closes the second connection.
        thread.join(LEISURE)
    assert not thread.is_alive() and seen[0] == seen[1] == seen[2] and seen[3] == b""


def test_an_answer_that_has_begun_is_not_asked_for_again():
    torn = reply(STATUS)[:-1]
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        connection, _ = listener.accept()
        with connection:
            for answer in (reply(STATUS), torn):
                seen.append(connection.recv(2**16))
                connection.sendall(answer)

    with listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        client.status("gan")
        with pytest.raises(errors.ServerError, match=f"broke off after {len(STATUS) - 1} bytes"):
            client.status("gan")
        thread.join(LEISURE)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert len(seen) == 2


def test_32_threads_share_connections_and_each_gets_its_own_answer():
    connections = set()

    def answered(number):
        return f'{{"outputs": [[{number}.0, 0.5, 1.0]]}}'

    answers = {**RECORDED}
    for number in range(8):
        answers[f"GET /v1/models/gan/versions/{number}/metadata"] = (200, METADATA)
        answers[f"POST /v1/models/gan/versions/{number}:predict"] = (200, answered(number))
    with recorded_rest_server(answers, ending="keep", connections=connections) as (address, requests):
        client = Client(address)
        wrong = []

        def ask(first):
            for number in itertools.islice(itertools.cycle(range(8)), first, first + 20):
                image = client.predict("gan", {"z": Z[:1]}, "decode", version=number)["image"]
                if image[0, 0] != number:
                    wrong.append((number, image))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and len([request for request, _ in requests if request.startswith("POST")]) == 640
        assert len(connections) <= 64 < len(requests)
        assert client.status("gan")[0]["version"] == 2


def test_a_connection_is_kept_and_sends_at_once():
    connections = set()
    with recorded_rest_server(RECORDED, ending="keep", connections=connections) as (address, _):
        client = Client(address)
        for _ in range(20):
            client.predict("gan", {"z": Z}, "decode")
        assert len(connections) == 1
        # Nagle's algorithm would cost 40 ms a request.
        (connection,) = client._api.kept
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# What leaves the client is of the package, whatever the bytes.
PIECES = st.one_of(
    st.sampled_from(
        [
            *(
                b"HTTP/1.1 200 OK\r\n",
                b"Content-Length: 9\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"\r\n",
                b"A: b\r\n",
            ),
            *(
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"0\r\n\r\n",
                b"5\r\n",
                b"-1\r\n",
                b"{}",
                STATUS.encode(),
                b"\xff",
                b" ",
            ),
        ]
    ),
    st.binary(max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=8))
def test_any_bytes_are_an_answer_or_an_exception_of_the_package(pieces):
    with hostile_server([b"".join(pieces)]) as (address, _):
        with contextlib.suppress(InputError, RunError):
            assert [status["version"] for status in Client(address, TIMEOUT).status("gan")] == [2, 1]


BY_KIND = {
    "silence": 1,
    "nothing": 1,
    "a body cut short": 1,
    "deep lists": 1,
    "a question for a password": 2,
    "escapes of a terminal": 2,
    "too large, said in HTML": 2,
    "no words": 2,
}


@pytest.mark.parametrize("case", BY_KIND)
def test_the_command_tells_each_kind_of_hostility_in_one_line(case, capfd):
    with hostile_server(HOSTILE[case][0]()) as (address, _):
        assert (
            main(["query", "gan", "--server", address, "--timeout", "0.3" if case == "silence" else "20"])
            == BY_KIND[case]
        )
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err.startswith("tfgen: ") and printed.err.count("\n") == 1
    assert HOSTILE[case][2] in printed.err and printed.err[:-1].isprintable()


@pytest.mark.parametrize(
    "timeout",
    ["1", None, float("nan"), float("inf"), -float("inf"), 1e300, 1_000_001, True, 0, -1, [], 10**5000, 1j, b"1"],
    ids=lambda value: f"{value!r:.9}" if value != 10**5000 else "huge",
)
def test_a_timeout_that_is_none_is_refused(timeout):
    with pytest.raises(
        InputError, match="the timeout must be more than 0 and at most 1,000,000 seconds, got "
    ) as caught:
        Client(timeout=timeout)
    assert len(str(caught.value)) < 500
    with pytest.raises(InputError, match="max_bytes must be an integer of at least 1, got "):
        Client(max_bytes=timeout if timeout not in (1e300, 1_000_001) else 1.5)


def test_timeouts_and_bounds_that_can_be_are_taken():
    with recorded_rest_server(RECORDED) as (address, _):
        for timeout in (1, 0.5, np.float32(2), np.int64(3), 1_000_000):
            assert len(Client(address, timeout, max_bytes=np.int64(len(STATUS))).status("gan")) == 2


ADDRESSES = [
    None,
    b"http://127.0.0.1",
    7,
    ["http://127.0.0.1"],
    "",
    "127.0.0.1",
    "http://",
    "http:///v1",
    "http://:8501",
    "http://127.0.0.1:",
    "http://127.0.0.1:0",
    "http://127.0.0.1:65536",
    "http://127.0.0.1:-1",
    "http://127.0.0.1:٣",
    "http://127.0.0.1:8501?a=b",
    "http://127.0.0.1:8501#a",
    " http://127.0.0.1",
    "http://127.0.0.1 ",
    "http://127.0.0.1\n",
    "http://127.0.0.1\r\nX: y",
    "http://127.0.0.1/a b",
    "http://127.0.0.1/\x00",
    "http://127.0.0.1/%zz",
    "http://127.0.0.1/ä",
    "http://model server",
    "http://model\x1b[2Jserver",
    "http://modèle",
    "http://ⓔxample.org",
    "http://\ud800",
    "http://a..b",
    "http://.",
    "http://" + "a" * 64,
    "http://" + "a." * 127 + "a",
    "http://[::1",
    "http://::1",
    "http://[::g]",
    "http://[1:2]",
    "http://[::1]x",
    "http://[]",
    "http://[127.0.0.1]",
    "http://a%41b",
    "ftp://127.0.0.1",
    "http:/127.0.0.1",
    "http://" + "a" * 10**6,
    "grpc://a..b",
    "grpc://[::g]",
    "grpc://modèle",
    "grpc:///tmp/socket",
    "grpc://unix:/tmp/socket",
]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: f"{address!a:.40}")
def test_an_address_that_is_none_is_refused_in_one_line(address, capsys):
    with pytest.raises(InputError, match="the server's address must ") as caught:
        Client(address)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 and caught.value.__context__ is None
    if isinstance(address, str) and "\x00" not in address and "\ud800" not in address and len(address) < 10**5:
        assert main(["query", "gan", "--server", address]) == 2
        assert capsys.readouterr().err == f"tfgen: {message}\n"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.text().map("http://".__add__), st.text().map("http://[".__add__)))
def test_any_text_is_an_address_or_refused(address):
    with contextlib.suppress(InputError):
        Client(address)


def test_a_host_that_is_not_there_is_told_in_one_line():
    with pytest.raises(
        errors.NotRunningError, match=r"the connection to http://no-such-host\.invalid failed \("
    ) as caught:
        Client("http://no-such-host.invalid", timeout=20).status("gan")
    assert str(caught.value).isprintable()


# Two marks that no message has by chance; what lies between them is special in addresses or anything else.
PASSWORDS = st.text(st.one_of(st.sampled_from("@:/?#[]%\\ \t\n\x1b&=;,é"), st.characters()), max_size=12)


def told(error):
    """All that a traceback or a log would print of an exception: of each in its chain, text, repr and arguments."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args))
        error = error.__cause__ or error.__context__


@settings(max_examples=400, deadline=None)
@given(PASSWORDS, st.sampled_from(["http://", "https://", "grpc://", "", "HTTP:/", "ftp://"]))
def test_no_message_shows_a_password(middle, scheme):
    address = f"{scheme}admin:hun{middle}ter2@127.0.0.1:1"
    texts = []
    try:
        client = Client(address, timeout=TIMEOUT)
        texts += [client.address, repr(client), repr(vars(client)), repr(client._api.address)]
        client.status("gan")
    except (InputError, RunError) as error:
        texts += told(error)
    assert len(texts) >= 3
    for text in texts:
        assert "hun" not in text and "ter2" not in text and "admin" not in text


@pytest.mark.parametrize(
    "address",
    [
        "http://admin:hun#ter2@host",
        "http://admin:hun/ter2@host",
        "http://admin:hun?ter2@host",
        "http://admin:hun@ter2@host",
        "http://admin:hun ter2@host",
        "http://admin:hun%ter2@host",
        "http://admin:hunéter2@host",
        "http://admin:hun[ter2@host",
        "admin:hunter2@host",
        "//admin:hunter2@host",
    ],
)
def test_a_password_that_must_be_percent_encoded_is_told_and_not_shown(address, capfd):
    words = "got '***@host'; percent-encode what is not a letter or digit in its user and password"
    with pytest.raises(InputError) as caught:
        Client(address)
    assert str(caught.value).endswith(words)
    assert main(["query", "gan", "--server", address]) == 2
    printed = capfd.readouterr()
    assert words in printed.err and "ter2" not in printed.err + printed.out
    assert main(["query", "gan", "--server", address, "--debug"]) == 2
    printed = capfd.readouterr()
    assert words in printed.err and "ter2" not in printed.err + printed.out


@pytest.mark.parametrize(
    "address",
    [
        "http://admin:hunter2%40127.0.0.1:1",
        "http://admin%3Ahunter2%40host",
        "http://admin:hunter2\uff20host:1",
        "http://127.0.0.1:1/?token=hunter2",
        "http://127.0.0.1:1/#hunter2",
    ],
)
def test_a_password_elsewhere_in_an_address_is_not_shown(address, capsys):
    assert main(["query", "gan", "--server", address]) == 2
    printed = capsys.readouterr()
    assert "hunter2" not in printed.err and printed.err.endswith(" or grpc://..., got '***'\n")


def test_a_percent_encoded_password_arrives_as_it_is():
    # "admin:hun#t/é@r2" in UTF-8.
    header = "Basic YWRtaW46aHVuI3Qvw6lAcjI="
    with recorded_rest_server(RECORDED, authorization=header) as (address, _):
        client = Client(address.replace("//", "//admin:hun%23t%2f%C3%A9%40r2@"))
        assert client.status("gan")[0]["version"] == 2 and client.address == address
