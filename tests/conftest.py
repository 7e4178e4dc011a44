"""What several test files share: TensorFlow's start-up noise kept down, small data, small models."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest


class Killed(BaseException):
    """Stands for a kill: no handler of the package may catch it."""


@pytest.fixture
def images():
    """256 made-up binary images of 784 pixels: noisy copies of ten prototypes, so that there is something to learn."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((10, 784)) < 0.3
    flips = rng.random((256, 784)) < 0.02
    return (prototypes[rng.integers(10, size=256)] ^ flips).astype(np.float32)


@pytest.fixture(scope="session")
def digits():
    """The embedded set, loaded once; no test changes it."""
    from tfgen import datasets

    return datasets.digits()
