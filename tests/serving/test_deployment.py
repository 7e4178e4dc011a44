"""docs/serving.md and the files beside it, which users copy: commands, Compose, Kubernetes, nginx, pages, metrics.

Nothing here starts docker or a cluster. nginx runs for real where it is installed with njs, in front of a stand-in that
answers with the published models through TensorFlow.
"""

import base64
import http.server
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import json_format
from PIL import Image
from serving.recorded import recorded_rest_server

from tfgen import cli
from tfgen.errors import InputError
from tfgen.export import meta_graph
from tfgen.serving import Client, config, errors, server

ROOT = pathlib.Path(__file__).parents[2]
FILES = ROOT / "docs" / "serving"
DOCUMENT = (ROOT / "docs" / "serving.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", DOCUMENT, re.MULTILINE)
ADDRESS = "http://127.0.0.1:8501"
NJS = [
    path
    for path in map(pathlib.Path, ("/usr/lib/nginx/modules", "/etc/nginx/modules", "/usr/lib64/nginx/modules"))
    if (path / "ngx_http_js_module.so").exists()
]
# Flags of tensorflow_model_server 2.20.0. Source: model_servers/main.cc.
FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "max_num_load_retries",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "rest_api_enable_cors_support",
}
# The metrics that the dashboard may draw, with their labels. Sources: servables/tensorflow/util.cc, batching/
# batching_session.cc and batching_util.h, servables/tensorflow/saved_model_warmup_util.cc of TensorFlow Serving 2.20.0,
# and TensorFlow's cc/saved_model/loader.cc; the names are as util/prometheus_exporter.cc writes them.
COUNTERS = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
    ":tensorflow:cc:saved_model:load_latency": {"model_path"},
}
HISTOGRAMS = {
    ":tensorflow:serving:request_latency": {"model_name", "API", "entrypoint"},
    ":tensorflow:serving:runtime_latency": {"model_name", "API", "runtime"},
    ":tensorflow:serving:model_warmup_latency": {"model_path", "status"},
    ":tensorflow:serving:batching_session:queuing_latency": {"thread_pool_name"},
    ":tensorflow:serving:batching_session:padding_size": {"execution_batch_size"},
    ":tensorflow:serving:batching_session:input_batch_size": set(),
    ":tensorflow:serving:batching_session:processed_batch_size": set(),
}


def needed(program):
    """Skips a test loudly where a program is not installed."""
    if not shutil.which(program):
        pytest.skip(f"NOT TESTED: {program} is not on PATH")
    return program


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.fixture(scope="module")
def model_server():
    """`(address, requests)` of a stand-in for the server's REST that answers with the published `gan` and `gan-1d`."""
    stored = {name: ROOT / "saved_models" / name for name in ("gan", "gan-1d")}
    versions = {name: path / str(config.versions(path)[-1]) for name, path in stored.items()}
    models = {name: tf.saved_model.load(str(path)) for name, path in versions.items()}
    signatures = {
        name: {key: json_format.MessageToDict(value, preserving_proto_field_name=True) for key, value in found.items()}
        for name, found in ((name, meta_graph(path).signature_def) for name, path in versions.items())
    }
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((f"{self.command} {self.path}", body, dict(self.headers)))
            match = re.fullmatch(r"/v1/models/([^/:]+)(/metadata|:predict)?", self.path)
            if not match or match[1] not in models:
                return self.answer(404, {"error": f"Servable not found for request: Latest({self.path})"})
            if match[2] == "/metadata":
                known = {"signature_def": {"signature_def": signatures[match[1]]}}
                return self.answer(200, {"model_spec": {"name": match[1], "version": "1"}, "metadata": known})
            if match[2] is None:
                status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
                return self.answer(200, {"model_version_status": [status]})
            asked = json.loads(body)
            function = models[match[1]].signatures[asked.get("signature_name", "serving_default")]
            ((name, spec),) = function.structured_input_signature[1].items()
            given = asked["inputs"] if "inputs" in asked else asked["instances"]
            given = given[name] if isinstance(given, dict) else given
            outputs = {key: listed(value) for key, value in function(**{name: tf.constant(given, spec.dtype)}).items()}
            columns = outputs if len(outputs) > 1 else next(iter(outputs.values()))
            if "inputs" in asked:
                return self.answer(200, {"outputs": columns})
            rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
            return self.answer(200, {"predictions": rows if len(outputs) > 1 else columns})

        do_POST = do_GET

        def answer(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    def listed(tensor):
        if tensor.dtype != tf.string:
            return tensor.numpy().tolist()
        return [{"b64": base64.b64encode(file).decode()} for file in tensor.numpy()]

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}", requests
    found.shutdown()
    found.server_close()
    thread.join()


# The document.


def test_every_command_is_run_here_or_is_one_of_tfgen_s_or_is_marked_as_not_run():
    run_here = ("curl -d ", "python -c ", "cd docs/serving && mkdir ", "openssl ", "printf ")
    for command in COMMANDS:
        program = shlex.split(command)[0]
        if program in ("docker", "kubectl", "sudo"):
            assert re.search(r" # not run$", command), command
        elif program == "tfgen":
            arguments = shlex.split(command, comments=True)[1:]
            assert callable(cli._parser().parse_args(arguments).function)
        else:
            assert command.startswith(run_here) and "not run" not in command, command


def test_files_that_the_document_names_are_there_and_are_all_that_there_are():
    text = re.sub("```.*?```", "", DOCUMENT, flags=re.DOTALL)
    links = {link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")}
    assert all((ROOT / "docs" / link).exists() for link in links)
    named = {pathlib.Path(link) for link in links}
    for path in FILES.rglob("*"):
        if path.is_file() and "secrets" not in path.parts and path.name != "monitoring.config":
            assert path.relative_to(ROOT / "docs") in named, path


def test_five_lines_load_a_saved_model(exported, tmp_path, monkeypatch, capsys):
    shutil.copytree(exported["gan"][1], tmp_path / "runs" / "gan" / "saved_model")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(import tensorflow.*?)```", DOCUMENT, re.DOTALL)
    exec(code, {})
    shape, low, high = re.fullmatch(r"\((\d+, \d+)\) (\S+) (\S+)\n", capsys.readouterr().out).groups()
    assert shape == "64, 784" and 0 <= float(low) < float(high) <= 1


def test_the_client_of_the_document_prints_what_it_says(model_server, capsys):
    code, printed = re.findall(r"```python\n(import numpy.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    exec(code.replace(ADDRESS, model_server[0]), {})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("curl")])
def test_curl_gets_what_the_document_says(command, model_server):
    needed("curl")
    asked = shlex.split(command.replace(ADDRESS, model_server[0]))
    found = json.loads(run("curl", "--silent", "--fail", *asked[1:]).stdout)["predictions"]
    shown = DOCUMENT.split(f"$ {command}\n")[1].split("```")[0]
    if shown:
        np.testing.assert_allclose(found, json.loads(shown)["predictions"], atol=2e-6)
    elif "png" in command:
        (file,) = found
        assert Image.open(io.BytesIO(base64.b64decode(file["b64"]))).size == (28, 28)
    else:
        assert [len(row["image"]) for row in found] == [784] * 3


def test_the_line_of_python_writes_images(tmp_path):
    (command,) = (command for command in COMMANDS if command.startswith("python -c"))
    done = run(sys.executable, *shlex.split(command)[1:], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    images = np.load(tmp_path / "images.npz")["image"]
    assert images.dtype == np.float32 and images.shape[1] == 784 and images.max() == 1


# What the server is started with.


def test_the_server_s_files_are_those_of_tfgen_serve():
    assert (FILES / "monitoring.config").read_text() == config.monitoring_config()
    assert (FILES / "batching.config").read_text() == config.batching_config(2)
    (found,) = (entry for entry in manifest() if entry["kind"] == "ConfigMap")
    assert found["data"]["monitoring.config"] == config.monitoring_config()


def flags(arguments):
    found = dict(re.fullmatch(r"--([a-z_]+)(?:=(\S+))?", argument).groups() for argument in arguments)
    assert set(found) <= FLAGS
    return found


def test_compose_serves_on_loopback_and_keeps_the_models_as_they_are():
    services = yaml.safe_load((FILES / "compose.yaml").read_text())["services"]
    assert services["server"]["image"] == server.IMAGE and f" {server.IMAGE} " in DOCUMENT
    assert {port.rpartition(":")[0] for port in services["server"]["ports"]} == {"127.0.0.1:8500", "127.0.0.1:8501"}
    found = flags(services["server"]["command"])
    volumes = [volume.rpartition(":") for service in services.values() for volume in service["volumes"]]
    assert {mode for _, _, mode in volumes} == {"ro"}
    outside = {}
    for mounted, _, _ in volumes:
        path, _, inside = mounted.rpartition(":")
        outside[inside] = FILES / re.sub(r"\$\{MODELS:-(.+)\}", r"\1", path)
    assert outside["/models"].resolve() == ROOT / "saved_models"
    assert all(path.exists() for path in outside.values() if path.name != "secrets")
    for name, path in found.items():
        if name.endswith("_file"):
            assert path in outside or (outside["/models"] / pathlib.Path(path).name).exists(), name
    # The proxy is for those who ask for it.
    assert services["proxy"]["profiles"] == ["proxy"] and "profiles" not in services["server"]


@pytest.mark.parametrize("state, healthy", [("available", True), ("loading", False), ("none", False)])
def test_the_health_check_of_compose_says_whether_the_model_answers(state, healthy):
    check = yaml.safe_load((FILES / "compose.yaml").read_text())["services"]["server"]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "bash", "-c"] and "$" not in check[3]  # Compose would take it for a variable.
    needed("bash")
    answers = {"GET /v1/models/gan": (200, "{}")}
    if state == "available":
        answers["GET /v1/models/gan/metadata"] = (200, "{}")
    with recorded_rest_server(answers) as (address, requests):
        script = check[3].replace("8501", address.rpartition(":")[2] if state != "none" else "1")
        assert (run("bash", "-c", script).returncode == 0) is healthy
    assert len(requests) == (state != "none")


def manifest():
    return list(yaml.safe_load_all((FILES / "kubernetes.yaml").read_text()))


def test_the_manifest_fits_together():
    found = {entry["kind"]: entry for entry in manifest()}
    assert set(found) == {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
    pod = found["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {port["targetPort"]: port["port"] for port in found["Service"]["spec"]["ports"]}
    assert container["image"] == server.IMAGE
    # Every pod of the cluster may call it: it does not batch.
    assert "enable_batching" not in flags(container["args"])
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claim, given = volumes["models"]["persistentVolumeClaim"], found["PersistentVolumeClaim"]
    assert claim == {"claimName": given["metadata"]["name"], "readOnly": True}
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == config.METRICS_PATH
    assert annotations["prometheus.io/port"] == str(ports["rest"])


def test_the_pod_has_no_rights_and_its_probes_tell_the_truth():
    (pod,) = (entry["spec"]["template"]["spec"] for entry in manifest() if entry["kind"] == "Deployment")
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True and rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    # The status is 200 whatever the state; metadata only while a version can answer.
    assert paths == {
        "startup": "/v1/models/gan",
        "readiness": "/v1/models/gan/metadata",
        "liveness": "/v1/models/gan",
    }
    assert "gan" in config.models(ROOT / "saved_models")


# The proxy.

IMAGE = [0.5] * 784
ALLOWED = [
    '{"instances": [0]}',
    '{"inputs": [0, 1]}',
    '{"inputs": {"seed": [9007199254740993]}}',
    '{"signature_name": "generate", "instances": [{"seed": 1}, {"seed": 2}]}',
    json.dumps({"signature_name": "discriminate", "instances": [IMAGE]}),
    json.dumps({"signature_name": "discriminate", "inputs": {"image": [IMAGE] * 3}}),
    json.dumps({"inputs": list(range(1024))}),
]
REFUSED = {
    "": "not JSON",
    "{": "not JSON",
    '{"inputs": [1]} and more': "not JSON",
    '{"inputs": [NaN]}': "not JSON",
    "[1]": "must be an object",
    "null": "must be an object",
    "{}": "either instances or inputs",
    '{"instances": [1], "inputs": [1]}': "either instances or inputs",
    '{"signature": "generate", "instances": [1]}': "unknown key signature",
    '{"__proto__": {"inputs": [1]}}': "unknown key __proto__",
    '{"signature_name": "encode", "instances": [1]}': "unknown signature encode",
    '{"signature_name": 7, "instances": [1]}': "unknown signature 7",
    '{"signature_name": "toString", "instances": [1]}': "unknown signature toString",
    '{"signature_name": "__saved_model_init_op", "inputs": {}}': "unknown signature",
    '{"inputs": []}': "between 1 and 1024 examples",
    '{"inputs": {"seed": []}}': "between 1 and 1024 examples",
    '{"instances": []}': "between 1 and 1024 examples",
    json.dumps({"inputs": list(range(1025))}): "there are 1025",
    json.dumps({"instances": list(range(1025))}): "there are 1025",
    '{"inputs": 1}': "it has []",
    '{"inputs": null}': "it has []",
    '{"inputs": {}}': "it is missing",
    '{"inputs": {"image": [1]}}': "it is missing",
    '{"instances": {"seed": [1]}}': "it is missing",
    '{"instances": [[1]]}': "it has [1,1]",
    '{"inputs": [[1]]}': "it has [1,1]",
    json.dumps({"signature_name": "discriminate", "instances": [IMAGE[1:]]}): "it has [1,783]",
    json.dumps({"signature_name": "discriminate", "inputs": [[], []]}): "it has [2,0]",
    json.dumps({"signature_name": "discriminate", "instances": []}): "it has [0]",
    # The server reads the first of two keys, njs the last.
    '{"inputs": [], "inputs": [1]}': "twice",
    '{"inputs": {"seed": [], "seed": [1]}}': "twice",
    '{"instances": [{"seed": 1, "seed": 1}]}': "twice",
    r'{"\u0069nputs": [], "inputs": [1]}': "twice",
    '{"inputs": ["a"]}': "twice",
}


def test_the_gate_lets_through_what_fits_the_signature(model_server, tmp_path):
    """In Node.js; below in nginx."""
    needed("node")
    address, _ = model_server
    shutil.copy(FILES / "gate.js", tmp_path / "gate.mjs")
    program = (
        "import gate from './gate.mjs'; import fs from 'fs';"
        "const [bodies, address] = JSON.parse(fs.readFileSync(0));"
        "const metadata = await (await fetch(`${address}/v1/models/gan/metadata`)).json();"
        "const signatures = metadata.metadata.signature_def.signature_def;"
        "console.log(JSON.stringify(bodies.map((body) => gate.refusal(body, signatures))))"
    )
    bodies = [*ALLOWED, *REFUSED]
    command = ["node", "--input-type=module", "-e", program]
    done = run(*command, input=json.dumps([bodies, address]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers[: len(ALLOWED)] == [""] * len(ALLOWED)
    for body, answer in zip(bodies[len(ALLOWED) :], answers[len(ALLOWED) :], strict=True):
        assert REFUSED[body] in answer, body


@pytest.fixture(scope="module")
def proxy(model_server, tmp_path_factory):
    """`(port, password, certificate)` of nginx with the configuration and the document's secrets, paths aside."""
    for program in ("nginx", "openssl", "bash"):
        needed(program)
    if not NJS:
        pytest.skip("NOT TESTED: nginx has no module njs")
    place = tmp_path_factory.mktemp("nginx")
    shutil.copytree(FILES, place / "docs" / "serving", ignore=shutil.ignore_patterns("secrets"))
    first = next(index for index, command in enumerate(COMMANDS) if command.startswith("cd docs/serving"))
    script = "\n".join(COMMANDS[first : first + 4]).replace("passwd -apr1", "passwd -apr1 -stdin <<< $password")
    script = script.replace("openssl rand -hex 16", "password=$(openssl rand -hex 16); echo $password")
    password = run("bash", "-e", "-c", script, cwd=place).stdout.strip()
    files = place / "docs" / "serving"
    (files / "tmp").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (FILES / "nginx.conf").read_text()
    places = {
        "/etc/nginx/": f"{files}/",
        "modules/": f"{NJS[0]}/",
        "/tmp/": f"{files}/tmp/",
        "/dev/stdout": f"{files}/tmp/access.log",
        "stderr": f"{files}/tmp/error.log",
        "server:8501": model_server[0].removeprefix("http://"),
        "listen 8443": f"listen 127.0.0.1:{port}",
    }
    text, count = re.subn("|".join(map(re.escape, places)), lambda found: places[found[0]], text)
    assert count == 17, "a path of nginx.conf that is not known here"
    (files / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(files), "-c", str(files / "nginx.conf"), "-g", "daemon off; user root;"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while not (files / "tmp" / "nginx.pid").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read().decode()
            time.sleep(0.05)
        yield port, password, files / "secrets" / "certificate.pem"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def ask(proxy, path, body=None, method=None, user=None):
    """Returns the status code and the body of the proxy's answer; `user` is by default the one with the password."""
    port, password, certificate = proxy
    connection = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=certificate))
    user = f"alice:{password}" if user is None else user
    headers = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


PREDICT = "/v1/models/gan:predict"


def test_the_proxy_lets_nobody_in_without_the_password(proxy, model_server):
    _, requests = model_server
    before = len(requests)
    for user in ("", "alice:wrong", "bob:" + proxy[1]):
        for path, body in (("/v1/models/gan", None), (PREDICT, ALLOWED[0]), ("/", None), ("/tfgen.js", None)):
            assert ask(proxy, path, body, user=user)[0] == 401
    assert len(requests) == before


def test_what_the_gate_refuses_never_reaches_the_server(proxy, model_server):
    _, requests = model_server
    before = len(requests)
    for body, reason in REFUSED.items():
        status, text = ask(proxy, PREDICT, body)
        assert status == 400 and reason in json.loads(text)["error"], body
    assert {request.split()[0] for request, _, _ in requests[before:]} <= {"GET"}


def test_what_the_gate_lets_through_arrives_as_it_was_sent_without_the_password(proxy, model_server):
    _, requests = model_server
    bodies = [body for body in ALLOWED if '[{"' not in body]  # The stand-in knows no rows with names.
    before = len(requests)
    for body in bodies:
        assert ask(proxy, PREDICT, body)[0] == 200
    arrived = [(request, body.decode()) for request, body, _ in requests[before:] if request.startswith("POST")]
    assert arrived == [(f"POST {PREDICT}", body) for body in bodies]
    assert not any("Authorization" in headers for _, _, headers in requests)


@pytest.mark.parametrize(
    "path, body, method, status",
    [
        ("/v1/models/gan", None, "GET", 200),
        ("/v1/models/gan/metadata", None, "GET", 200),
        ("/", None, "GET", 200),
        ("/tfgen.js", None, "GET", 200),
        ("/v1/models/gam", None, "GET", 404),
        ("/v1/models/gam:predict", ALLOWED[0], "POST", 404),
        ("/v1/models/gan/versions/7:predict", ALLOWED[0], "POST", 404),
        ("/monitoring/prometheus/metrics", None, "GET", 404),
        ("/signatures/v1/models/gan", None, "GET", 404),
        ("/v1/models", None, "GET", 404),
        ("/v1/models/gan:classify", ALLOWED[0], "POST", 404),
        ("/V1/models/gan:predict", '{"inputs": []}', "POST", 404),
        ("/v1/models/gan:predict%0A", '{"inputs": []}', "POST", 404),
        ("/v1/models/gan%3Apredict", '{"inputs": []}', "POST", 400),
        ("/v1/models/x/../gan:predict", '{"inputs": []}', "POST", 400),
        ("/v1//models/gan:predict", '{"inputs": []}', "POST", 400),
        ("/v1/models/gan", None, "DELETE", 403),
        ("/v1/models/gan", ALLOWED[0], "POST", 403),
        (PREDICT, None, "GET", 403),
        (PREDICT, ALLOWED[0], "PUT", 403),
        (PREDICT, " " * (8 * 2**20 + 1), "POST", 413),
    ],
)
def test_the_proxy_knows_few_paths_and_methods(proxy, path, body, method, status):
    assert ask(proxy, path, body, method)[0] == status


def test_the_client_goes_through_the_proxy(proxy, monkeypatch):
    port, password, certificate = proxy
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = Client(f"https://alice:{password}@localhost:{port}")
    assert client.status("gan") == [{"version": 1, "state": "AVAILABLE", "error": ""}]
    assert client.predict("gan", {"seed": np.arange(3)}, signature="generate")["image"].shape == (3, 784)
    with pytest.raises(errors.BadInputError, match="there are 1025"):
        client.predict("gan", {"seed": np.arange(1025)}, signature="generate")
    with pytest.raises(InputError, match="give a user and password"):
        Client(f"https://localhost:{port}").status("gan")


# Pages.


def test_pictures_in_javascript_are_those_of_the_model(model_server, tmp_path):
    needed("node")
    address, requests = model_server
    # Node.js takes a file for a module by its name.
    shutil.copy(FILES / "pages" / "tfgen.js", tmp_path / "tfgen.mjs")
    program = (
        "import {pictures, predict} from './tfgen.mjs';"
        f"const address = {json.dumps(address)};"
        "const found = await pictures('gan', [3, 4], address);"
        "const {z} = await predict('gan', 'generate', {seed: [3]}, address);"
        "const error = await pictures('gam', [1], address).catch((error) => error.message);"
        "console.log(JSON.stringify([found, z, await pictures('gan', [], address), error]));"
    )
    done = run("node", "--input-type=module", "-e", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    urls, z, none, error = json.loads(done.stdout)
    assert none == [] and "404" in error and len(z) == 1
    assert not any(json.loads(body or "{}").get("inputs") == {"seed": []} for _, body, _ in requests)
    model = ROOT / "saved_models" / "gan" / str(config.versions(ROOT / "saved_models" / "gan")[-1])
    files = tf.saved_model.load(str(model)).signatures["generate_png"](seed=tf.constant([3, 4], tf.int64))["png_bytes"]
    assert urls == [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in files.numpy()]


def test_the_page_names_what_there_is():
    page = (FILES / "pages" / "index.html").read_text()
    assert 'from "./tfgen.js"' in page and 'pictures("gan"' in page


# Metrics.


def test_prometheus_asks_where_the_metrics_are():
    (job,) = yaml.safe_load((FILES / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"] == config.METRICS_PATH
    assert job["static_configs"] == [{"targets": [ADDRESS.removeprefix("http://")]}]


def test_the_dashboard_draws_metrics_that_the_server_has():
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert sorted(panel["id"] for panel in panels) == list(range(1, len(panels) + 1))
    assert len({panel["title"] for panel in panels}) == len(panels)
    known = dict(COUNTERS)
    for name, labels in HISTOGRAMS.items():
        known |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
    drawn = set()
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}" and panel["gridPos"]["w"] == 12
        for target in panel["targets"]:
            expression = target["expr"]
            assert expression.count("(") == expression.count(")")
            names = re.findall(r"[a-z_]*(?::[a-z_]+)+", expression)
            assert names and set(names) <= set(known), expression
            labels = set.union(*(known[name] for name in names))
            asked = re.findall(r"(\w+)(?:=~|!=|=)\"", expression)
            grouped = ", ".join(re.findall(r"by \(([^)]*)\)", expression)).split(", ")
            assert {*asked, *grouped} - {""} <= labels | {"job"}, expression
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(grouped)
            drawn |= set(names)
    assert {re.sub("_(sum|count|bucket)$", "", name) for name in drawn} >= set(HISTOGRAMS) - {"_count"}
    (job,) = (variable for variable in dashboard["templating"]["list"] if variable["name"] == "job")
    assert re.search(r"\((\S+), job\)", job["query"])[1] in COUNTERS
