"""The benchmark's results as Markdown tables and as a picture."""

import statistics

from benchmarks import load
from tfgen import figures

MIB = 2**20
# Column of the summary -> variant.
PEERS = {
    "JAX": "jax",
    "Keras `fit`": "keras",
    "TensorFlow 1": "tensorflow1",
    "PyTorch": "torch-fused",
    "`torch.compile`": "torch-compile",
    "DataLoader": "torch-dataloader",
}
MARK = " *"


def summary(training):
    """Returns the README's Markdown table: how many times as fast as each peer tfgen trains, the median over rounds.

    The last column is the fraction that tfgen reaches of the rate of a step's matrix products alone, see `limit`.
    """
    rows = []
    for workload, result in training.items():
        for name, ratios in result["ratios"].items():
            rate = f"{statistics.median(result['variants'][name]['images_per_second']):,.0f}"
            times = [
                f"{ratios[peer]['median']:.2f}{_mark(result, name, peer)}" if peer in ratios else "not measured"
                for peer in PEERS.values()
            ]
            fraction = _fraction(result, name)
            model = f"`{workload}`{name.removeprefix('tfgen').replace('-', ', ')}"
            rows.append([model, f"{rate}{_mark(result, name)}", *times, fraction])
    return _table(["model", "images/s", *PEERS, "of the products' rate"], rows)


def limit(result, name):
    """Returns the variant that computes the matrix products fastest, in the median, in the precision of a variant."""
    rates = {
        variant: statistics.median(measured["images_per_second"])
        for variant, measured in result["variants"].items()
        if variant.startswith("products") and variant.endswith("bfloat16") == name.endswith("bfloat16")
    }
    return max(rates, key=rates.get)


def _fraction(result, name):
    products = limit(result, name)
    return f"{100 * result['ratios'][name][products]['median']:.0f} %{_mark(result, name, products)}"


def _mark(result, *names):
    """Returns the mark of what a variant was measured in if other programs disturbed one of the variants."""
    return MARK if any(load.disturbed(result["variants"][name]["load_of_others"]) for name in names) else ""


def tables(results):
    """Returns the Markdown of what was measured."""
    environment = results["environment"]
    versions = ", ".join(f"{name} {environment[name]}" for name in ("tensorflow", "keras", "jax", "torch"))
    parts = [
        f"{environment['processor']}, {environment['cpus']} cores; {versions}; images: {results['data']}; "
        f"{results['rounds']} rounds; load before: {results['load_before']:.1f}."
    ]
    if "training" in results:
        parts.append(_note(results["training"]))
        parts.append(f"### Training: times as fast as\n\n{summary(results['training'])}")
    for name, workload in results.get("training", {}).items():
        parts.append(f"### Training: {name}\n\n{_training(workload)}")
    if "scaling" in results:
        rows = [
            [dimension.replace("_", " "), f"{entry['value']:,}", f"{entry['images_per_second']:,.0f}", _mib(entry)]
            for dimension, entries in results["scaling"].items()
            for entry in entries
        ]
        header = ["lecture GAN, varied", "value", "images/s", "peak memory, MiB"]
        parts.append(f"### Training: growth\n\n{_table(header, rows)}")
    if "inference" in results:
        parts.append(f"### Inference\n\n{_inference(results['inference'])}")
    if "evaluation" in results:
        parts.append(f"### Evaluation\n\n{_evaluation(results['evaluation'])}")
    return "\n\n".join(parts)


def _note(training):
    """Returns a line on the programs that ran beside the variants."""
    disturbed = {
        load.disturbed(variant["load_of_others"])
        for result in training.values()
        for variant in result["variants"].values()
    }
    if None in disturbed:
        return "Whether other programs took a part of the machine is not known: it has no /proc/stat."
    limit = f"{100 * load.LIMIT:.0f} % of the machine in the median round"
    if True in disturbed:
        return f"What has the mark{MARK} is unreliable: meanwhile other programs took more than {limit}."
    return f"While a variant of training was measured, other programs took no more than {limit}."


def _training(workload):
    references = list(workload["ratios"])
    header = ["variant", "images/s", *(f"{name} is faster by" for name in references)]
    header += ["GFLOP/s", "compiling, s", "to the first step, s", "peak memory, MiB"]
    rows = []
    for name, result in workload["variants"].items():
        ratios = [
            f"{_ratio(ratio)}{_mark(workload, reference, name)}"
            if (ratio := workload["ratios"][reference].get(name))
            else ""
            for reference in references
        ]
        rates = [f"{statistics.median(result['images_per_second']):,.0f}", *ratios, f"{result['gflops']:.0f}"]
        start = [f"{result[key]:.1f}" for key in ("compile_seconds", "first_step_seconds")]
        rows.append([f"{name}{_mark(workload, name)}", *rates, *start, _mib(result)])
    lines = [_table(header, rows), ""]
    for name in references:
        fastest = limit(workload, name)
        lines.append(f"{name}: {_fraction(workload, name)} of the rate of the matrix products alone, by `{fastest}`.")
        parts = workload["variants"][name]["breakdown"]
        rest = ", ".join(f"{part} {1000 * parts[part]:.2f}" for part in ("input", "compute", "update", "rest"))
        lines.append(f"{name}: a step of {1000 * parts['whole']:.2f} ms: {rest} ms.")
    return "\n".join(lines)


def _inference(inference):
    rows = []
    for signature, batches in inference["signatures"].items():
        for batch, ways in batches.items():
            for way, result in ways.items():
                milliseconds = f"{statistics.median(result['milliseconds']):.3f}"
                rate = f"{result['images_per_second']:,.0f}"
                rows.append([signature, batch, way, milliseconds, rate, _ratio(result["ratio"])])
    table = _table(["signature", "batch", "way", "ms a call", "images/s", "times the C++ runtime's"], rows)
    one = inference["signatures"]["generate"]["1"]
    served, products = (statistics.median(one[way]["milliseconds"]) for way in ("C++ runtime", "products"))
    limit = f"twice its matrix products and 0.2 ms are {2 * products + 0.2:.3f} ms"
    sampling = f"`tfgen sample --num {inference['sampled']}`: {inference['sample_seconds']:.1f} s in all."
    return f"{table}\n\nOne image of `generate` takes {served:.3f} ms; {limit}.\n\n{sampling}"


def _evaluation(evaluation):
    rows = []
    for name, result in evaluation.items():
        for way in ("tfgen", "numpy"):
            measured, ratio = result[way], f"{result['ratio']:.1f}" if way == "tfgen" else ""
            counts = [f"{measured['num_images']:,}", f"{result['num_samples']:,}"]
            speed = [f"{measured['seconds']:.1f}", f"{measured['images_per_second']:,.1f}"]
            rows.append([name, way, *counts, *speed, _mib(measured), ratio])
    header = ["evaluation", "by", "images", "samples", "seconds", "images/s", "peak memory, MiB", "times NumPy's rate"]
    return _table(header, rows)


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(summary):
    return f"{summary['median']:.2f} ({summary['min']:.2f} to {summary['max']:.2f})"


def _mib(result):
    return f"{result['peak_memory'] / MIB:,.0f}"


def figure(training):
    """Returns a bar chart of the median ratios: how many times as fast as each peer tfgen trains each workload."""
    groups = {
        f"{workload}\n{reference}": {
            other: ratio["median"] for other, ratio in ratios.items() if not other.startswith(("tfgen", "products"))
        }
        for workload, result in training.items()
        for reference, ratios in result["ratios"].items()
    }
    return figures.grouped_bars(
        groups, "Training: images per second over the peer's", "times as fast (median of rounds)"
    )
