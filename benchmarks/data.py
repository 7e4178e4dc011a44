"""The training images of all variants, and the versions of the libraries."""

import importlib.metadata
import pathlib
import platform

import numpy as np

from benchmarks.training import has
from benchmarks.workloads import PIXELS
from tfgen import data
from tfgen.data import tfds
from tfgen.runner.environment import environment


class Images:
    """Writes MNIST's training images to a file, or random pixels if MNIST is not prepared: speed is the same.

    Args:
        data_dir: see `tfgen.data.load`.
        path: path of the `.npy` file.
    """

    def __init__(self, data_dir, path):
        prepared = {name: is_prepared for name, _, is_prepared in tfds.status(data_dir)}["mnist"]
        if prepared:
            images = data.load("mnist", data_dir).train.images
        else:
            images = np.random.default_rng(0).integers(256, size=(50_000, PIXELS), dtype=np.uint8)
        np.save(path, images)
        peers = {name: importlib.metadata.version(name) if has(name) else None for name in ("jax", "torch")}
        versions = {**environment(), **peers, "processor": _processor()}
        self.description = {"data": "mnist" if prepared else "random", "environment": versions}


def _processor():
    """Returns the processor's name on Linux, elsewhere the machine type."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
