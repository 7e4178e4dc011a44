"""Starts TensorFlow's model server on a directory of published models, and stops it."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

from tfgen.errors import InputError, RunError
from tfgen.serving import config
from tfgen.serving.errors import ModelNotFoundError, NotAvailableError, NotRunningError, TimedOutError

BINARY = "tensorflow_model_server"
IMAGE = "tensorflow/serving:2.20.0"
# Time for the server and docker to stop once they are told to.
STOP_SECONDS = 10
# A line of the server's log for a version that it cannot load. Source: util/retrier.cc and core/loader_harness.cc.
LOAD_FAILURE = re.compile(
    r"(?:Loading servable: |for servable version )\{name: (.+) version: (-?[0-9]+)\}(?: failed)?: (.+)\n"
)


def check_serve(directory, labels, rest_port, grpc_port, timeout, all_interfaces):
    """Returns `(versions by model, labels by model)`; raises `InputError` if they cannot be served as asked.

    Args:
        directory: directory of published models.
        labels: sequence of strings such as "vae:stable=1".
        rest_port, grpc_port: two free ports.
        timeout: seconds to wait for the models, more than 0.
        all_interfaces: whether the ports are opened to other machines.
    """
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise InputError(f"there is no directory {str(directory)!r}; publish a run first: tfgen publish runs/vae")
    if not config.is_directory(directory.resolve()):
        raise InputError(f"{directory} cannot be read; change its mode, or name another --models")
    found = config.models(directory)
    if not found:
        raise InputError(f"{directory} holds no published model; publish a run first: tfgen publish runs/vae")
    by_model = {}
    for text in labels:
        match = re.fullmatch(r"([^:=]+):([^:=]+)=([0-9]+)", text)
        if not match:
            raise InputError(f"--label must look like vae:stable=1, got {text!r}")
        model, label, version = match[1], match[2], int(match[3])
        if version not in found.get(model, []):
            offered = "; ".join(f"{name} {', '.join(map(str, numbers))}" for name, numbers in found.items())
            raise InputError(f"--label {text}: {directory} has no version {version} of {model!r}, only {offered}")
        by_model.setdefault(model, {})[label] = version
    if not timeout > 0:
        raise InputError(f"--timeout must be more than 0 seconds, got {timeout:g}")
    if rest_port == grpc_port:
        raise InputError(f"--rest-port and --grpc-port must differ, got {rest_port} for both")
    for option, port in (("--rest-port", rest_port), ("--grpc-port", grpc_port)):
        if not 0 < port < 2**16:
            raise InputError(f"{option} must lie between 1 and {2**16 - 1}, got {port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("" if all_interfaces else "127.0.0.1", port))
            except OSError as error:
                raise InputError(f"port {port} cannot be used ({error.strerror}); change it by {option}") from error
    return found, by_model


def serve(
    directory="saved_models",
    labels=(),
    rest_port=8501,
    grpc_port=8500,
    timeout=120,
    all_interfaces=False,
    batching=True,
    wait=None,
):
    """Serves all versions of every published model until it is interrupted.

    Args:
        directory, labels, rest_port, grpc_port, timeout, all_interfaces: see `check_serve`.
        batching: whether the server computes requests that arrive together in one batch.
        wait: function to call with the server's process once all models are available; the server is stopped when it
            returns. None waits for the process to end.

    Raises:
        InputError: if there is no model or no model server, an argument is invalid, or a port is taken.
        RunError: if the server fails, or the models are not available in time.
    """
    found, by_model = check_serve(directory, labels, rest_port, grpc_port, timeout, all_interfaces)
    directory = pathlib.Path(directory).resolve()
    from tfgen.serving.client import Client

    runner = _runner(all_interfaces)
    with tempfile.TemporaryDirectory(prefix="tfgen-serving-") as temporary, contextlib.ExitStack() as stack:
        temporary = pathlib.Path(temporary)
        temporary.chmod(0o755)  # The container may run as another user.
        models_seen, temporary_seen = (directory, temporary) if runner == BINARY else ("/models", "/config")
        (temporary / config.MODELS_CONFIG).write_text(config.models_config(directory, models_seen, by_model))
        (temporary / "batching.config").write_text(config.batching_config(os.cpu_count()))
        (temporary / "monitoring.config").write_text(config.monitoring_config())
        flags = [
            f"--model_config_file={temporary_seen}/{config.MODELS_CONFIG}",
            f"--monitoring_config_file={temporary_seen}/monitoring.config",
            "--allow_version_labels_for_unavailable_models",
            # A version appears complete, by a rename: what fails once fails again, and REST stays closed meanwhile.
            "--max_num_load_retries=0",
        ]
        if batching:
            flags += ["--enable_batching", f"--batching_parameters_file={temporary_seen}/batching.config"]
        name = f"tfgen-serving-{uuid.uuid4().hex[:12]}"
        if runner == BINARY:
            command = [BINARY, f"--port={grpc_port}", f"--rest_api_port={rest_port}", *flags]
            stop = []
        else:
            host = "" if all_interfaces else "127.0.0.1:"
            command = ["docker", "run", "--rm", "--init", "--name", name]
            command += ["--publish", f"{host}{grpc_port}:8500", "--publish", f"{host}{rest_port}:8501"]
            command += ["--volume", f"{directory}:/models:ro", "--volume", f"{temporary}:/config:ro", IMAGE, *flags]
            stop = ["docker", "rm", "--force", name]
        stack.enter_context(_sigterm_interrupts())
        log = stack.enter_context(open(temporary / "server.log", "wb"))
        # In its own session: Ctrl-C reaches this process, which then stops the server.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        stack.callback(_stop, process, stop)
        client = Client(f"http://127.0.0.1:{rest_port}", timeout=5)
        _wait_until_available(client, found, process, temporary / "server.log", timeout)
        with contextlib.suppress(KeyboardInterrupt):
            _greet(client, directory, found, grpc_port, all_interfaces)
            if wait is not None:
                wait(process)
                return
            process.wait()
            raise RunError(f"the server ended by itself: {_end_of_log(temporary / 'server.log')}")
    print("stopped")


def _runner(all_interfaces):
    """Returns the program that starts the server: its binary or docker."""
    binary = shutil.which(BINARY)
    if binary and all_interfaces:
        return BINARY
    docker = shutil.which("docker")
    trouble = "docker is not installed"
    if docker:
        answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode != 0:
                print(f"fetching {IMAGE} ...", flush=True)
                if subprocess.run(["docker", "pull", IMAGE], check=False).returncode != 0:
                    raise RunError(f"docker could not fetch {IMAGE}; see above, and try docker pull {IMAGE}")
            return "docker"
        trouble = f"docker does not run ({' '.join(answer.stderr.split())[-200:]})"
    if binary:
        raise InputError(
            f"{BINARY} always listens on all network interfaces: add --all-interfaces where a firewall keeps others "
            f"out; on loopback alone only docker can run it, and {trouble}"
        )
    raise InputError(
        f"no model server: {trouble}, and {BINARY} is not on PATH; install docker or start it, or install "
        "TensorFlow's Debian package tensorflow-model-server"
    )


@contextlib.contextmanager
def _sigterm_interrupts():
    """Makes SIGTERM raise `KeyboardInterrupt` like Ctrl-C, so that the server is stopped."""

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _stop(process, stop):
    """Stops the server, ignoring further interrupts meanwhile."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # Twice, since docker may still have been creating the container when first told to remove it.
    for _ in range(2):
        if stop:
            subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        else:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return
    process.kill()
    process.wait()


def _wait_until_available(client, models, process, log, timeout):
    """Returns once every version of every model is available; raises `RunError` if one fails or it takes too long."""
    deadline = time.monotonic() + timeout
    pending = [(name, version) for name, versions in models.items() for version in versions]
    while pending:
        ended = process.poll() is not None
        failure = LOAD_FAILURE.search(log.read_text(errors="replace"))
        if failure:
            raise RunError(f"the server cannot load {failure[1]} version {failure[2]}: {failure[3]}")
        if ended:
            raise RunError(f"the server ended while starting: {_end_of_log(log)}")
        name, version = pending[0]
        try:
            status = client.status(name, version=version)[0]
        except (NotRunningError, NotAvailableError, ModelNotFoundError, TimedOutError) as error:
            trouble = str(error)
        else:
            trouble = f"{name} version {version} is {status['state']}"
            if status["state"] == "AVAILABLE":
                pending.pop(0)
                continue
            if status["error"]:
                raise RunError(f"the server cannot load {name} version {version}: {status['error']}")
        if time.monotonic() > deadline:
            raise RunError(f"not available after {timeout:g} s ({trouble}): {_end_of_log(log)}; try a longer --timeout")
        time.sleep(0.2)


def _end_of_log(log):
    """Returns the last line that the server wrote."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it wrote nothing"


def _greet(client, directory, models, grpc_port, all_interfaces):
    """Prints what is served and a line to try it with."""
    print(f"{directory}: {len(models)} model{'s' if len(models) > 1 else ''}, available over REST at {client.address}")
    for name, versions in models.items():
        print(f"  {name}: version {', '.join(map(str, versions))}")
        for stray in config.strays(directory / name):
            print(
                f"  not served: {name}/{stray} is no version; while it is there, new ones of {name} wait for a restart"
            )
    print(f"gRPC: 127.0.0.1:{grpc_port}; metrics: {client.address}{config.METRICS_PATH}")
    if all_interfaces:
        print("*** Open to every machine that reaches this one, without authentication. ***")
    for name in models:
        signature = client.signatures(name).get("generate")
        if signature and "image" in signature["outputs"]:
            data = '{"signature_name": "generate", "instances": [0, 1, 2]}'
            print(f"try: curl -d '{data}' {client.address}/v1/models/{name}:predict")
            break
    else:
        print(f"try: curl {client.address}/v1/models/{next(iter(models))}/metadata")
    print("Ctrl-C stops the server.", flush=True)
