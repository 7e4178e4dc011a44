"""The versions and the hardware that a result was computed with."""

import importlib.metadata
import os
import platform

import tfgen

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")


def environment():
    """Returns the versions of tfgen, Python and the packages that decide results, the platform and its processors."""
    return {
        "tfgen": tfgen.__version__,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }
