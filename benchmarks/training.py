"""Training: every family by every variant, in rounds; where a step's time goes; how the cost grows."""

import contextlib
import importlib.util
import statistics

from benchmarks.families import FAMILIES, sized
from benchmarks.worker import Worker

# Variant -> the class that trains it, and its options. The first is what the others are compared with.
VARIANTS = {
    "tfgen": (".ours:Trainer", {}),
    "keras": (".plain_keras:Trainer", {}),
    "tensorflow1": (".tensorflow1:Trainer", {}),
    "torch": (".pytorch:Trainer", {}),
    "torch-fused": (".pytorch:Trainer", {"fused": True}),
    "torch-dataloader": (".pytorch:Trainer", {"data_loader": True}),
    "products": (".products:Trainer", {}),
}
# Besides, where the products are large enough for half the bytes to tell.
BFLOAT16 = {
    "tfgen-bfloat16": (".ours:Trainer", {"precision": "mixed_bfloat16"}),
    "products-bfloat16": (".products:Trainer", {"precision": "mixed_bfloat16"}),
}
BFLOAT16_FAMILIES = ("gan-1200", "autoencoder-1200")
SCALES = {
    "batch_size": (64, 128, 256, 512, 1024),
    "units": (128, 256, 512, 1024, 2048),
    "num_images": (10_000, 50_000, 200_000),
}


def has_torch():
    """Returns whether PyTorch is installed, without loading it."""
    return importlib.util.find_spec("torch") is not None


def variants(family):
    """Returns the variants of a family that can run here; see `VARIANTS`."""
    chosen = VARIANTS | (BFLOAT16 if family in BFLOAT16_FAMILIES else {})
    return {name: variant for name, variant in chosen.items() if has_torch() or not name.startswith("torch")}


def measure(name, images, rounds, seconds, chosen, size):
    """Trains one family by several variants in turn.

    Args:
        name: key of `FAMILIES`.
        images: path of the training images.
        rounds: how often each variant trains.
        seconds: for how long about.
        chosen: what `variants` returns.
        size: dict, see `families.sized`.

    Returns:
        dict from a variant to its `images_per_second` in each round; `import_seconds`, from the process's start until
        the model stood; `compile_seconds`, what the first training took more than the second; `first_step_seconds`,
        their sum and the second training's first step; `peak_memory`; `gflops` (see `Family.flops`); for tfgen's own
        variants the `breakdown` of a step. And from "ratios" to, for every tfgen variant, `summary`s of its rate
        over each other variant's.
    """
    family = sized(name, **size)
    results = {}
    with contextlib.ExitStack() as stack:
        workers, steps = {}, {}
        for variant, (subject, options) in chosen.items():
            worker = stack.enter_context(Worker(subject, images=str(images), family=name, **size, **options))
            unit = worker.description["unit"]
            first, second = (worker.call("train", steps=unit)[1] for _ in range(2))
            compiling = max(0.0, first - second)
            results[variant] = {
                "import_seconds": worker.seconds,
                "compile_seconds": compiling,
                "first_step_seconds": worker.seconds + compiling + second / unit,
                "threads": worker.description["threads"],
                "images_per_second": [],
            }
            workers[variant], steps[variant] = worker, unit * max(1, round(seconds / second))
        for number in range(rounds):
            # There and back, so that a machine which slows down favours nobody.
            for variant in list(workers)[:: -1 if number % 2 else 1]:
                count, taken = workers[variant].call("train", steps=steps[variant])
                results[variant]["images_per_second"].append(count / taken)
        for variant, worker in workers.items():
            result = results[variant]
            result["peak_memory"] = worker.peak_memory
            rate = statistics.median(result["images_per_second"])
            result["gflops"] = family.flops() * rate / family.config.batch_size / 1e9
            if variant.startswith("tfgen"):
                result["breakdown"] = worker.call("breakdown")[0]
    rates = {variant: result["images_per_second"] for variant, result in results.items()}
    ratios = {
        ours: {other: summary(rates[ours], rates[other]) for other in rates if other != ours}
        for ours in rates
        if ours.startswith("tfgen")
    }
    return {"variants": results, "ratios": ratios, "flops": family.flops()}


def summary(numerators, denominators):
    """Returns median, least and greatest of the quotients, round by round."""
    quotients = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return {"median": statistics.median(quotients), "min": min(quotients), "max": max(quotients)}


def scaling(images, seconds, scales=SCALES):
    """Returns how the lecture's GAN trains at other sizes: dict from what varies to a list of rates, one a value.

    The set has 100 batches, but where its size is what varies.
    """
    rates = {}
    for dimension, values in scales.items():
        rates[dimension] = []
        for value in values:
            size = {dimension: value}
            if dimension != "num_images":
                size["num_images"] = 100 * size.get("batch_size", FAMILIES["gan"].config.batch_size)
            with Worker(".ours:Trainer", images=str(images), family="gan", **size) as worker:
                unit = worker.description["unit"]
                _, second = [worker.call("train", steps=unit)[1] for _ in range(2)]
                count, taken = worker.call("train", steps=unit * max(1, round(seconds / second)))
                rates[dimension].append(
                    {"value": value, "images_per_second": count / taken, "peak_memory": worker.peak_memory}
                )
    return rates
