"""Inference: latency of one image and throughput of 256, by every way to call the model, in rounds."""

import contextlib
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks.families import FAMILIES
from benchmarks.training import has_torch, summary
from benchmarks.worker import Worker
from tfgen.errors import RunError

BATCHES = (1, 256)
# Signature -> family, the network that answers, and the length of a row of input (None: a seed).
SIGNATURES = {
    "generate": ("gan", ("generator",), None),
    "generate_from_z": ("gan", ("generator",), 100),
    "reconstruct": ("autoencoder", ("encoder", "decoder"), 784),
}


def measure(directory, rounds, seconds):
    """Calls each signature of `SIGNATURES` under TensorFlow's C++ runtime, and its network by the other ways.

    Args:
        directory: for the SavedModels.
        rounds: how often each way is called in turn.
        seconds: for how long about.

    Returns:
        dict from signature to batch size to way to `milliseconds`, the median call's of each round, `ratio`, the
        `summary` of it over the C++ runtime's, and `images_per_second` by the median round.
    """
    results = {}
    for signature, (family, networks, input_dim) in SIGNATURES.items():
        layers = [layer for name in networks for layer in FAMILIES[family].networks[name]]
        with contextlib.ExitStack() as stack:
            saved_model = pathlib.Path(directory) / signature
            keras = Worker(".keras_inference:Inference", model=family, directory=str(saved_model))
            stack.enter_context(keras)
            tensors = keras.description["signatures"][signature]
            served = Worker(".c_library:Inference", directory=str(saved_model), tensors=tensors, input_dim=input_dim)
            ways = {"C++ runtime": (stack.enter_context(served), {})}
            if input_dim is not None:
                ways |= {how: (keras, {"how": how}) for how in ("predict", "call", "function")}
                if has_torch():
                    ways["torch"] = (stack.enter_context(Worker(".pytorch:Inference", layers=layers)), {})
            ways["products"] = (stack.enter_context(Worker(".numpy_peers:Products", layers=layers)), {})
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
    """Returns the seconds of `tfgen sample --num <num>`, from the start of the command to its end."""
    output = pathlib.Path(directory) / "grid.png"
    command = [sys.executable, "-m", "tfgen", "sample", str(saved_model), "--num", str(num), "--output", str(output)]
    started = time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RunError(f"tfgen sample ended with code {process.returncode}: {process.stderr.strip()}")
    return seconds
