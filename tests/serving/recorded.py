"""A stand-in for the REST interface of the model server: it checks the client only. It sends recorded bodies."""

import contextlib
import http.server
import json
import threading
import time

import numpy as np

STATUS = """{
 "model_version_status": [
  {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
  {"version": "1", "state": "END", "status": {"error_code": "NOT_FOUND", "error_message": "no such file"}}
 ]
}"""


def tensor(dtype, *sizes):
    dims = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": "t:0"}


def signature(inputs, outputs):
    return {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}


SEED, IMAGE, LATENTS = tensor("DT_INT64", -1), tensor("DT_FLOAT", -1, 3), tensor("DT_FLOAT", -1, 2)
SIGNATURES = {
    "generate": signature({"seed": SEED}, {"image": IMAGE, "z": LATENTS}),
    "decode": signature({"z": LATENTS}, {"image": IMAGE}),
    "__saved_model_init_op": signature({}, {"__saved_model_init_op": tensor("DT_INVALID")}),
}
METADATA = json.dumps(
    {
        "model_spec": {"name": "gan", "signature_name": "", "version": "2"},
        "metadata": {"signature_def": {"signature_def": SIGNATURES}},
    }
)
NOT_FOUND = '{"error": "Could not find any versions of model gam"}'
RECORDED = {
    "GET /v1/models/gan": (200, STATUS),
    "GET /v1/models/gan/metadata": (200, METADATA),
    "GET /v1/models/gan/versions/2/metadata": (200, METADATA),
    "GET /v1/models/gan/labels/stable/metadata": (200, METADATA),
    "GET /v1/models/gam": (404, NOT_FOUND),
    "GET /v1/models/gam/metadata": (404, '{"error": "Servable not found for request: Latest(gam)"}'),
    "POST /v1/models/gan:predict": (200, '{"outputs": [[0.0, 0.5, 1.0], [1.0, 0.25, 0.1]]}'),
}
Z = np.float32([[0.1, -2.0], [3.0, 0.0]])


@contextlib.contextmanager
def recorded_rest_server(answers, delay=0, ending="length", authorization=None, connections=None):
    """A server that sends recorded bodies: `METHOD PATH` -> (status, body). It lists the requests that it gets.

    `ending` is how an answer does: at its "length" over HTTP/1.0; over HTTP/1.1 at its length, the connection being
    told to "close" or to "keep"; or with the last "chunk". `connections` is a set to which it adds those that it gets.
    """
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # It sends headers and body one after the other.
        protocol_version = "HTTP/1.0" if ending == "length" else "HTTP/1.1"

        def do_GET(self):
            if connections is not None:
                connections.add(self.client_address)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((f"{self.command} {self.path}", body))
            status, answer = answers.get(f"{self.command} {self.path}", (404, NOT_FOUND))
            if self.headers.get("Authorization") != authorization:
                status, answer = 401, "<html>Who are you?</html>"
            time.sleep(delay)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if ending == "close":
                self.send_header("Connection", "close")
            if ending == "chunk":
                self.send_header("Transfer-Encoding", "chunked")
                answer = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (answer[:20], answer[20:], ""))
            else:
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(answer.encode())

        do_POST = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
