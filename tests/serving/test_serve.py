"""Starting the model server: with stand-ins for its binary and for docker, and for real where there is one."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from google.protobuf import text_format
from helpers import decoded
from tensorflow_serving.config import model_server_config_pb2

from tfgen.cli import main
from tfgen.errors import InputError, RunError
from tfgen.export import describe
from tfgen.serving import Client, config, errors, server

# Stands for the server: it understands the flags that it is given, and answers what the client asks on starting. It
# checks how the server is started and stopped, not what it computes.
STAND_IN = """#!{python}
import http.server, json, os, re, sys, time
flags = dict(re.match("--([a-z_]+)=?(.*)", flag).groups() for flag in sys.argv[1:])
time.sleep(float(os.environ.get("STAND_IN_DELAY", 0)))
if os.environ.get("STAND_IN_FAILS"):
    print("E failed to start: " + os.environ["STAND_IN_FAILS"], file=sys.stderr)
    sys.exit(3)
open(os.environ["STAND_IN_RECORD"], "w").write(json.dumps({{"flags": flags, "pid": os.getpid(), **{{
    name: open(flags[name]).read() for name in ("model_config_file", "batching_parameters_file",
    "monitoring_config_file") if name in flags}}}}))
if "STAND_IN_LOG" in os.environ:  # As the server, which opens REST only after all versions.
    print(os.environ["STAND_IN_LOG"], file=sys.stderr, flush=True)
    time.sleep(60)
tensor = lambda *sizes: {{"dtype": "DT_FLOAT", "tensor_shape": {{"dim": [{{"size": str(size)}} for size in sizes]}}}}
signatures = {{"generate": {{"inputs": {{"seed": tensor(-1)}}, "outputs": {{"image": tensor(-1, 784)}}}}}}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith("/metadata"):
            reply = {{"metadata": {{"signature_def": {{"signature_def": signatures}}}}}}
        else:
            version = self.path.rsplit("/", 1)[-1]
            error = os.environ.get("STAND_IN_ERROR", "")
            status = {{"error_code": "UNKNOWN" if error else "OK", "error_message": error}}
            state = os.environ.get("STAND_IN_STATE", "AVAILABLE")
            reply = {{"model_version_status": [{{"version": version, "state": state, "status": status}}]}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *arguments):
        pass

http.server.HTTPServer(("127.0.0.1", int(flags["rest_api_port"])), Handler).serve_forever()
"""
# Stands for docker: it runs the server's stand-in with the container's paths and ports turned into those outside.
DOCKER = """#!{python}
import json, os, re, signal, subprocess, sys
place, arguments = os.path.dirname(os.path.abspath(__file__)), sys.argv[1:]
with open(os.path.join(place, "docker.log"), "a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[0] == "version" and os.environ.get("NO_DAEMON"):
    sys.exit("Cannot connect to the Docker daemon")
if arguments[:2] == ["image", "inspect"]:
    sys.exit(not os.path.exists(os.path.join(place, "pulled")))
if arguments[0] == "pull":
    open(os.path.join(place, "pulled"), "w").close()
if arguments[0] == "rm":
    os.kill(int(open(os.path.join(place, arguments[-1])).read()), signal.SIGKILL)
if arguments[0] == "run":
    options = list(zip(arguments, arguments[1:]))
    volumes = {{value.split(":")[1]: value.split(":")[0] for name, value in options if name == "--volume"}}
    ports = {{value.split(":")[-1]: value.split(":")[-2] for name, value in options if name == "--publish"}}
    flags = [flag for flag in arguments if "=" in flag or flag.startswith("--enable_") or flag.startswith("--allow_")]
    for inside, outside in volumes.items():
        flags = [flag.replace("=" + inside + "/", "=" + outside + "/") for flag in flags]
    flags += ["--port=" + ports["8500"], "--rest_api_port=" + ports["8501"]]
    process = subprocess.Popen([sys.executable, os.path.join(place, "server"), *flags])
    name = dict(options)["--name"]
    open(os.path.join(place, name), "w").write(str(process.pid))
    sys.exit(process.wait())
"""


def executable(path, text):
    path.write_text(text.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A PATH of its own, without any server."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("STAND_IN_RECORD", str(tmp_path / "record.json"))
    return tmp_path


@pytest.fixture
def models(tmp_path):
    """A directory of models as the server sees one: three versions and what is none."""
    for version in ("gan/1", "gan/2", "vae/12", ".hidden/1", "gan/.tmp-0123", "empty/notes"):
        (tmp_path / "models" / version).mkdir(parents=True)
    for lock in (".lock", "gan/.lock", "empty/.lock"):
        (tmp_path / "models" / lock).touch()
    return tmp_path / "models"


@pytest.fixture
def ports():
    return {"rest_port": free_port(), "grpc_port": free_port()}


def started(place, models, ports, **options):
    """Serves the models; returns what the server's stand-in saw and what was true while it ran."""
    seen = {}

    def wait(process):
        seen["running"] = process.poll() is None
        seen["status"] = Client(f"http://127.0.0.1:{ports['rest_port']}").status("gan", version=2)

    server.serve(models, **ports, timeout=60, wait=wait, **options)
    with contextlib.suppress(ProcessLookupError):
        pid = json.loads((place / "record.json").read_text())["pid"]
        os.kill(pid, 0)
        pytest.fail("the server outlived tfgen serve")
    return json.loads((place / "record.json").read_text()) | seen


def test_the_binary_is_started_with_paths_of_this_machine_and_stopped(place, models, ports, capsys):
    executable(place / "bin" / "tensorflow_model_server", STAND_IN)
    seen = started(place, models, ports, all_interfaces=True, labels=["gan:stable=1", "gan:canary=2"])
    assert seen["running"] and seen["status"][0]["state"] == "AVAILABLE"
    flags = seen["flags"]
    assert (flags["port"], flags["rest_api_port"]) == (str(ports["grpc_port"]), str(ports["rest_port"]))
    assert flags["max_num_load_retries"] == "0"
    assert "enable_batching" in flags and "allow_version_labels_for_unavailable_models" in flags
    parsed = text_format.Parse(seen["model_config_file"], model_server_config_pb2.ModelServerConfig())
    gan, vae = parsed.model_config_list.config
    assert (gan.base_path, vae.base_path) == (str(models / "gan"), str(models / "vae"))
    assert dict(gan.version_labels) == {"stable": 1, "canary": 2} and not vae.version_labels
    assert "max_batch_size { value: 1024 }" in seen["batching_parameters_file"]
    assert config.METRICS_PATH in seen["monitoring_config_file"]
    assert not pathlib.Path(flags["model_config_file"]).exists()
    printed = capsys.readouterr().out
    assert "2 models, available over REST" in printed and "  gan: version 1, 2\n  vae: version 12\n" in printed
    assert "Open to every machine" in printed
    assert f"http://127.0.0.1:{ports['rest_port']}/v1/models/gan:predict" in printed


def test_without_batching_the_server_is_given_no_batching(place, models, ports):
    executable(place / "bin" / "tensorflow_model_server", STAND_IN)
    flags = started(place, models, ports, all_interfaces=True, batching=False)["flags"]
    assert not any("batching" in flag for flag in flags)


def test_what_is_not_served_is_named(place, models, ports, capsys):
    executable(place / "bin" / "tensorflow_model_server", STAND_IN)
    (models / "gan" / "07").mkdir()
    started(place, models, ports, all_interfaces=True)
    said = "  not served: gan/07 is no version; while it is there, new ones of gan wait for a restart\n"
    assert said in capsys.readouterr().out


def test_docker_fetches_the_image_once_and_opens_the_ports_on_loopback_alone(place, models, ports, capsys):
    executable(place / "bin" / "server", STAND_IN)
    executable(place / "bin" / "docker", DOCKER)
    for _ in range(2):
        seen = started(place, models, ports)
        assert seen["running"] and seen["status"][0]["state"] == "AVAILABLE"
    calls = [json.loads(line) for line in (place / "bin" / "docker.log").read_text().splitlines()]
    assert [call[0] for call in calls].count("pull") == 1
    run = next(call for call in calls if call[0] == "run")
    assert server.IMAGE in run and f"{models}:/models:ro" in run
    published = [value for name, value in itertools.pairwise(run) if name == "--publish"]
    assert published == [f"127.0.0.1:{ports['grpc_port']}:8500", f"127.0.0.1:{ports['rest_port']}:8501"]
    parsed = text_format.Parse(seen["model_config_file"], model_server_config_pb2.ModelServerConfig())
    assert [model.base_path for model in parsed.model_config_list.config] == ["/models/gan", "/models/vae"]
    assert calls[-1][:2] == ["rm", "--force"]
    assert "Open to every machine" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "programs, all_interfaces, environment, words",
    [
        ([], False, {}, "docker is not installed, and tensorflow_model_server is not on PATH; install docker"),
        ([], True, {}, "tensorflow_model_server is not on PATH"),
        (["docker"], False, {"NO_DAEMON": "1"}, "docker does not run (Cannot connect to the Docker daemon)"),
        (["tensorflow_model_server"], False, {}, "always listens on all network interfaces: add --all-interfaces"),
        (
            ["tensorflow_model_server", "docker"],
            False,
            {"NO_DAEMON": "1"},
            "only docker can run it, and docker does not run",
        ),
    ],
)
def test_without_a_server_one_line_says_how_to_get_one(
    place, models, ports, monkeypatch, programs, all_interfaces, environment, words
):
    for program in programs:
        executable(place / "bin" / program, DOCKER if program == "docker" else STAND_IN)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        server.serve(models, **ports, all_interfaces=all_interfaces)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "environment, timeout, words",
    [
        ({"STAND_IN_FAILS": "bad flag"}, 60, "the server ended while starting: E failed to start: bad flag"),
        ({"STAND_IN_STATE": "LOADING"}, 3, "not available after 3 s (gan version 1 is LOADING): it wrote nothing"),
        ({"STAND_IN_DELAY": "60"}, 0.5, "not available after 0.5 s (no server answers at"),
        (
            {"STAND_IN_STATE": "END", "STAND_IN_ERROR": "no saved_model.pb"},
            60,
            "the server cannot load gan version 1: no saved_model.pb",
        ),
    ],
)
def test_a_server_that_does_not_come_up_is_stopped_and_told(
    place, models, ports, monkeypatch, environment, timeout, words
):
    executable(place / "bin" / "tensorflow_model_server", STAND_IN)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=re.escape(words)):
        server.serve(models, **ports, timeout=timeout, all_interfaces=True)
    with pytest.raises(errors.NotRunningError):
        Client(f"http://127.0.0.1:{ports['rest_port']}").status("gan")


# What the server 2.20.0 writes where a version has no model, without the times.
LOG = """
I tensorflow_serving/core/loader_harness.cc:95] Successfully loaded servable version {name: gan version: 1}
E tensorflow_serving/util/retrier.cc:41] Loading servable: {name: gan version: 2} failed: NOT_FOUND: \
Could not find SavedModel .pb or .pbtxt at supplied export directory path: /models/gan/2
I tensorflow_serving/core/loader_harness.cc:95] Successfully loaded servable version {name: vae version: 12}
"""


def test_a_version_that_cannot_load_is_told_at_once_with_the_server_s_own_error(place, models, ports, monkeypatch):
    executable(place / "bin" / "tensorflow_model_server", STAND_IN)
    monkeypatch.setenv("STAND_IN_LOG", LOG)
    started = time.monotonic()
    with pytest.raises(RunError) as caught:
        server.serve(models, **ports, timeout=50, all_interfaces=True)
    assert str(caught.value) == (
        "the server cannot load gan version 2: NOT_FOUND: Could not find SavedModel .pb or .pbtxt at supplied export "
        "directory path: /models/gan/2"
    )
    assert time.monotonic() - started < 30


def tfgen_serve(*options, **streams):
    """Starts `tfgen serve` in a process that Ctrl-C reaches."""
    # A script's background jobs ignore it, and so would what these tests start when they are one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, "-m", "tfgen", "serve", *map(str, options), "--all-interfaces"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **streams)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def command_running(place, models, ports):
    """`tfgen serve` in a process of its own, its models available."""
    executable(place / "bin" / "tensorflow_model_server", STAND_IN)
    options = ["--models", models, "--rest-port", ports["rest_port"], "--grpc-port", ports["grpc_port"]]
    process = tfgen_serve(*options, stderr=subprocess.PIPE)
    try:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_the_server(place, models, ports, number):
    with command_running(place, models, ports) as process:
        pid = json.loads((place / "record.json").read_text())["pid"]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "stopped\n", "")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_dies_ends_the_command(place, models, ports):
    with command_running(place, models, ports) as process:
        os.kill(json.loads((place / "record.json").read_text())["pid"], signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1 and out == ""
        assert err == "tfgen: the server ended by itself: it wrote nothing\n"


def test_models_that_cannot_be_read_get_one_line(models, ports, monkeypatch):
    monkeypatch.setattr("tfgen.serving.config.os.access", lambda path, mode: False)  # Root may read all.
    with pytest.raises(InputError, match="models cannot be read; change its mode, or name another --models"):
        server.serve(models, **ports)


def test_what_cannot_be_served_gets_one_line(models, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options, words in (
            ([], "there is no directory 'saved_models'; publish a run first"),
            (["--models", "none"], "none holds no published model"),
            (["--models", "models", "--label", "gan"], "--label must look like vae:stable=1, got 'gan'"),
            (["--models", "models", "--label", "gan:old=3"], "no version 3 of 'gan', only gan 1, 2; vae 12"),
            (["--models", "models", "--label", "gam:old=1"], "no version 1 of 'gam', only gan 1, 2"),
            (["--models", "models", "--timeout", "0"], "--timeout must be more than 0 seconds"),
            (["--models", "models", "--rest-port", "8500"], "must differ, got 8500 for both"),
            (["--models", "models", "--rest-port", "0"], "--rest-port must lie between 1 and 65535, got 0"),
            (["--models", "models", "--rest-port", str(port)], f"port {port} cannot be used (Address already in use)"),
        ):
            assert main(["serve", *options]) == 2
            printed = capfd.readouterr()
            assert words in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.fixture(scope="module")
def real_server(published):
    """Address of a real server of the published models; one in TFGEN_TF_SERVING_URL serves its own."""
    if "TFGEN_TF_SERVING_URL" in os.environ:
        yield os.environ["TFGEN_TF_SERVING_URL"], None
        return
    if shutil.which(server.BINARY) is None:
        pytest.skip(
            f"NOT TESTED on a real server: {server.BINARY} is not on PATH, and TFGEN_TF_SERVING_URL (of a server of "
            "saved_models/) is not set"
        )
    rest_port, grpc_port = free_port(), free_port()
    process = tfgen_serve("--models", published, "--rest-port", rest_port, "--grpc-port", grpc_port)
    try:
        while "Ctrl-C" not in (line := process.stdout.readline()):
            assert line, "tfgen serve ended"
        yield f"http://127.0.0.1:{rest_port}", f"grpc://127.0.0.1:{grpc_port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_real_server_answers_every_signature_as_tensorflow_does(real_server, published):
    import tensorflow as tf

    from tfgen.export import meta_graph, signatures
    from tfgen.serving import warmup

    store = published if real_server[1] else pathlib.Path(__file__).parents[2] / "saved_models"
    for address in filter(None, real_server):
        client = Client(address)
        for name, versions in config.models(store).items():
            directory = store / name / str(versions[-1])
            model = tf.saved_model.load(str(directory))
            assert client.status(name)[0] == {"version": versions[-1], "state": "AVAILABLE", "error": ""}
            assert set(client.signatures(name)) == set(describe(directory))
            for key, signature in signatures(meta_graph(directory)).items():
                for batch_size in (1, 5):
                    inputs = warmup.example_inputs(signature, batch_size)
                    outputs = client.predict(name, inputs, key)
                    expected = model.signatures[key](**{k: tf.constant(value) for k, value in inputs.items()})
                    assert set(outputs) == set(expected)
                    for output, value in expected.items():
                        if output == "png_bytes":
                            drawn, wanted = decoded(outputs[output]), decoded(value.numpy())
                            np.testing.assert_allclose(drawn, wanted, atol=1.001 / 255)
                        else:
                            np.testing.assert_allclose(outputs[output], value, rtol=1e-3, atol=1e-4)


def test_a_real_server_tells_failures_apart_and_shows_its_metrics(real_server):
    client = Client(real_server[0])
    with pytest.raises(errors.ModelNotFoundError):
        client.status("no-such-model")
    with pytest.raises(errors.ModelNotFoundError):
        client.predict("gan", {"seed": [1]}, "generate", version=999)
    with pytest.raises(errors.ModelNotFoundError):
        client.predict("gan", {"seed": [1]}, "generate", label="no-such-label")
    with pytest.raises(errors.TooLargeError):
        client.predict("gan", {"seed": np.arange(config.BATCH_SIZES[-1] + 1)}, "generate")
    time.sleep(0.1)
    with urllib.request.urlopen(f"{real_server[0]}{config.METRICS_PATH}", timeout=10) as reply:
        assert b"tensorflow:core:" in reply.read().replace(b"_", b":")
