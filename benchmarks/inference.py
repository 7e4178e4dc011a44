"""Measures inference: latency for one image and throughput for 256, for every way to call the model, in rounds."""

import contextlib
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks.training import has, summary
from benchmarks.worker import Worker
from benchmarks.workloads import WORKLOADS
from tfgen.errors import RunError

BATCHES = (1, 256)
# Signature -> workload, the networks that compute it, and the length of a row of input (None: a seed).
SIGNATURES = {
    "generate": ("gan", ("generator",), None),
    "generate_from_z": ("gan", ("generator",), 100),
    "reconstruct": ("autoencoder", ("encoder", "decoder"), 784),
}


def measure(directory, rounds, seconds):
    """Times each signature of `SIGNATURES` in TensorFlow's C++ runtime, and its networks in all other ways.

    Args:
        directory: directory for the SavedModels.
        rounds: number of rounds.
        seconds: approximate seconds for each way in each round.

    Returns:
        dict from signature to batch size to way to a dict: `milliseconds`, the median of the calls of each round;
        `ratio`, the `summary` of these over the C++ runtime's; `images_per_second`, at the median of the rounds.
    """
    results = {}
    for signature, (workload, networks, input_dim) in SIGNATURES.items():
        layers = [layer for name in networks for layer in WORKLOADS[workload].networks[name]]
        with contextlib.ExitStack() as stack:
            saved_model = pathlib.Path(directory) / signature
            keras = Worker(".keras_inference:Inference", model=workload, directory=str(saved_model))
            stack.enter_context(keras)
            tensors = keras.description["signatures"][signature]
            served = Worker(".c_library:Inference", directory=str(saved_model), tensors=tensors, input_dim=input_dim)
            ways = {"C++ runtime": (stack.enter_context(served), {})}
            if input_dim is not None:
                ways |= {how: (keras, {"how": how}) for how in ("predict", "call", "function")}
                if has("torch"):
                    ways["torch"] = (stack.enter_context(Worker(".pytorch:Inference", layers=layers)), {})
            ways["products"] = (stack.enter_context(Worker(".numpy_peers:MatrixProducts", layers=layers)), {})
            results[signature] = {str(batch): _rounds(ways, batch, rounds, seconds) for batch in BATCHES}
    return results


def _rounds(ways, batch, rounds, seconds):
    calls, milliseconds = {}, {way: [] for way in ways}
    for way, (worker, options) in ways.items():
        worker.call("run", batch=batch, calls=20, **options)
        _, taken = worker.call("run", batch=batch, calls=20, **options)
        calls[way] = max(20, round(20 * seconds / taken))
    for number in range(rounds):
        for way in list(ways)[:: -1 if number % 2 else 1]:
            worker, options = ways[way]
            durations, _ = worker.call("run", batch=batch, calls=calls[way], **options)
            milliseconds[way].append(1000 * statistics.median(durations))
    return {
        way: {
            "milliseconds": values,
            "ratio": summary(values, milliseconds["C++ runtime"]),
            "images_per_second": 1000 * batch / statistics.median(values),
        }
        for way, values in milliseconds.items()
    }


def sample(saved_model, directory, num):
    """Returns the seconds that the command `tfgen sample --num <num>` takes, start-up included."""
    output = pathlib.Path(directory) / "grid.png"
    command = [sys.executable, "-m", "tfgen", "sample", str(saved_model), "--num", str(num), "--output", str(output)]
    started = time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RunError(f"tfgen sample ended with code {process.returncode}: {process.stderr.strip()}")
    return seconds
