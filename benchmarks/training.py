"""Measures training: every variant on every workload, in rounds; the parts of a step; the growth with size."""

import contextlib
import importlib.util
import os
import pathlib
import shutil
import statistics
import sys
import sysconfig

from benchmarks.worker import Worker
from benchmarks.workloads import WORKLOADS, sized

# Variant -> the class that trains it, and its options. The others are compared with the first.
VARIANTS = {
    "tfgen": (".tfgen_trainer:Trainer", {}),
    "jax": (".jax_scan:Trainer", {}),
    "keras": (".plain_keras:Trainer", {}),
    "tensorflow1": (".tensorflow1:Trainer", {}),
    "torch": (".pytorch:Trainer", {}),
    "torch-fused": (".pytorch:Trainer", {"fused": True}),
    "torch-compile": (".pytorch:Trainer", {"fused": True, "compiled": True}),
    "torch-dataloader": (".pytorch:Trainer", {"data_loader": True}),
    "products-tensorflow": (".matrix_products:Trainer", {"way": "tensorflow"}),
    "products-xla": (".matrix_products:Trainer", {"way": "xla"}),
    "products-numpy": (".matrix_products:Trainer", {"way": "numpy"}),
    "products-torch": (".matrix_products:Trainer", {"way": "torch"}),
}
# More variants for workloads whose matrix products are large enough to gain from half the bytes.
BFLOAT16 = {
    f"{name}-bfloat16": (VARIANTS[name][0], {**VARIANTS[name][1], "precision": "mixed_bfloat16"})
    for name in ("tfgen", "products-tensorflow", "products-xla", "products-torch")
}
BFLOAT16_WORKLOADS = ("gan-1200", "autoencoder-1200")
SCALES = {
    "batch_size": (64, 128, 256, 512, 1024),
    "units": (128, 256, 512, 1024, 2048),
    "num_images": (10_000, 50_000, 200_000),
}


def has(package):
    """Returns whether a package is installed, without loading it."""
    return importlib.util.find_spec(package) is not None


def lack(variant):
    """Returns what a variant lacks to run on this machine, or None."""
    packages = {"jax": ("jax", "optax"), "torch": ("torch",)}
    for framework, needed in packages.items():
        if framework in variant.split("-") and not all(map(has, needed)):
            return f"{' or '.join(needed)} is not installed: pip install 'tfgen[benchmark]'"
    if variant == "torch-compile" and not has_compiler():
        return "torch.compile needs a C++ compiler and Python's headers: install g++ and python3-dev, say"
    return None


def has_compiler():
    """Returns whether `torch.compile` finds what it compiles with: the compiler of CXX, or its default, and headers."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return bool(shutil.which(compiler)) and (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists()


def variants(workload):
    """Returns the variants that can train a workload on this machine; see `VARIANTS`."""
    chosen = VARIANTS | (BFLOAT16 if workload in BFLOAT16_WORKLOADS else {})
    return {name: variant for name, variant in chosen.items() if lack(name) is None}


def measure(name, images, rounds, seconds, chosen, size):
    """Trains one workload with several variants in turn.

    Args:
        name: key of `WORKLOADS`.
        images: path of the training images.
        rounds: number of times that each variant trains.
        seconds: approximate seconds of each training.
        chosen: what `variants` returns.
        size: dict, see `workloads.sized`.

    Returns:
        dict of "variants", "ratios" and "flops", the operations of a step. "variants" has for each variant a dict:
        `images_per_second` and `load_of_others` (see `load.of_others`) in each round; `import_seconds`, from the start
        of the process until the model is built; `compile_seconds`, by which the first training took longer than the
        second; `first_step_seconds`, the sum of these two and a step; `peak_memory`; `gflops`, see `Workload.flops`;
        for variants of tfgen, `breakdown` of a step. "ratios" has for each variant of tfgen the `summary` of its rate
        over every other variant's.
    """
    workload = sized(name, **size)
    results = {}
    with contextlib.ExitStack() as stack:
        workers, steps = {}, {}
        for variant, (subject, options) in chosen.items():
            worker = stack.enter_context(Worker(subject, images=str(images), workload=name, **size, **options))
            unit = worker.description["unit"]
            first, second = (worker.call("train", steps=unit)[1] for _ in range(2))
            compiling = max(0.0, first - second)
            results[variant] = {
                "import_seconds": worker.seconds,
                "compile_seconds": compiling,
                "first_step_seconds": worker.seconds + compiling + second / unit,
                "threads": worker.description["threads"],
                "images_per_second": [],
                "load_of_others": [],
            }
            workers[variant], steps[variant] = worker, unit * max(1, round(seconds / second))
        for number in range(rounds):
            # Every other round is reversed, so that a machine that slows down favours no variant.
            for variant in list(workers)[:: -1 if number % 2 else 1]:
                count, taken = workers[variant].call("train", steps=steps[variant])
                results[variant]["images_per_second"].append(count / taken)
                results[variant]["load_of_others"].append(workers[variant].load_of_others)
        for variant, worker in workers.items():
            result = results[variant]
            result["peak_memory"] = worker.peak_memory
            rate = statistics.median(result["images_per_second"])
            result["gflops"] = workload.flops() * rate / workload.config.batch_size / 1e9
            if variant.startswith("tfgen"):
                result["breakdown"] = worker.call("breakdown")[0]
    rates = {variant: result["images_per_second"] for variant, result in results.items()}
    ratios = {
        reference: {other: summary(rates[reference], rates[other]) for other in rates if other != reference}
        for reference in rates
        if reference.startswith("tfgen")
    }
    return {"variants": results, "ratios": ratios, "flops": workload.flops()}


def summary(numerators, denominators):
    """Returns the median, minimum and maximum of the quotients of each round."""
    quotients = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return {"median": statistics.median(quotients), "min": min(quotients), "max": max(quotients)}


def scaling(images, seconds, scales=SCALES):
    """Returns how fast the lecture's GAN trains at other sizes: dict from what varies to a list with a rate per value.

    The training set has 100 batches unless its size varies.
    """
    rates = {}
    for dimension, values in scales.items():
        rates[dimension] = []
        for value in values:
            size = {dimension: value}
            if dimension != "num_images":
                size["num_images"] = 100 * size.get("batch_size", WORKLOADS["gan"].config.batch_size)
            with Worker(".tfgen_trainer:Trainer", images=str(images), workload="gan", **size) as worker:
                unit = worker.description["unit"]
                _, second = [worker.call("train", steps=unit)[1] for _ in range(2)]
                count, taken = worker.call("train", steps=unit * max(1, round(seconds / second)))
                rates[dimension].append(
                    {"value": value, "images_per_second": count / taken, "peak_memory": worker.peak_memory}
                )
    return rates
