"""Measures the chosen sections and writes `benchmark.json`, `benchmark.md` and `benchmark.png`."""

import json
import os
import pathlib
import statistics
import tempfile

from benchmarks import evaluation, inference, load, report, training
from benchmarks.worker import Worker
from tfgen import figures
from tfgen.files import write_atomically

SECTIONS = ("training", "scaling", "inference", "evaluation")
SAMPLED = 60_000
BUSY = 0.5  # Load average of the last minute.
QUICK = {"rounds": 1, "seconds": 0.05}


def run(sections, workloads, rounds, seconds, full, quick, data_dir, output_dir):
    """Returns the contents of `benchmark.json`.

    Args:
        sections: members of `SECTIONS`.
        workloads: keys of `WORKLOADS` to train.
        rounds: number of times that each variant is measured.
        seconds: approximate seconds of each measurement.
        full: whether the importance-sampled likelihood is computed for 10,000 images instead of 500.
        quick: whether to measure as little as possible, to try the program; overrides `rounds` and `seconds`.
        data_dir: see `tfgen.data.load`.
        output_dir: directory for the files.
    """
    if quick:
        rounds, seconds = QUICK["rounds"], QUICK["seconds"]
    load_before, _, _ = os.getloadavg()
    results = {"rounds": rounds, "seconds": seconds, "load_before": load_before}
    with tempfile.TemporaryDirectory() as directory:
        images = pathlib.Path(directory) / "images.npy"
        with Worker(".data:Images", data_dir=data_dir, path=str(images)) as worker:
            results |= worker.description
        print(f"training images: {results['data']}; {os.cpu_count()} CPU cores", flush=True)
        if {"training", "inference"} & set(sections):
            for variant in training.VARIANTS:
                if (lack := training.lack(variant)) is not None:
                    print(f"skipped: {variant}: {lack}", flush=True)
        if load_before > BUSY:
            print(
                f"*** Other programs are running (load {load_before:.1f}): the ratios are unreliable. ***", flush=True
            )
        if "training" in sections:
            results["training"] = {}
            for workload in workloads:
                # An epoch of a small set still has 100 steps.
                size = {"num_images": 1000} if quick else {}
                print(f"training {workload} ...", flush=True)
                measured = training.measure(workload, images, rounds, seconds, training.variants(workload), size)
                results["training"][workload] = measured
                for variant, result in measured["variants"].items():
                    beside = " beside other programs" if load.disturbed(result["load_of_others"]) else ""
                    rate = statistics.median(result["images_per_second"])
                    print(f"  {variant}: {rate:,.0f} images/s{beside}", flush=True)
        if "scaling" in sections:
            print("training at other sizes ...", flush=True)
            scales = {"batch_size": (64,)} if quick else training.SCALES
            results["scaling"] = training.scaling(images, seconds, scales)
        if "inference" in sections:
            print("inference ...", flush=True)
            # Calls are short, so a fraction of the time is enough for many of them.
            signatures = inference.measure(directory, rounds, seconds / 5)
            sampled = 100 if quick else SAMPLED
            sample_seconds = inference.sample(pathlib.Path(directory) / "generate", directory, sampled)
            results["inference"] = {"signatures": signatures, "sampled": sampled, "sample_seconds": sample_seconds}
        if "evaluation" in sections:
            print("evaluation ...", flush=True)
            results["evaluation"] = evaluation.measure(images, 10_000 if full else 500, quick)
        return _write(results, pathlib.Path(output_dir))


def _write(results, output_dir):
    """Writes the files; returns the results."""
    write_atomically(output_dir / "benchmark.json", json.dumps(results, indent=1, allow_nan=False).encode())
    write_atomically(output_dir / "benchmark.md", f"{report.tables(results)}\n".encode())
    if "training" in results:
        write_atomically(output_dir / "benchmark.png", figures.png(report.figure(results["training"])))
    return results
