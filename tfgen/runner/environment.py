"""The versions and the hardware that a result was computed with."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess

import tfgen

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn")


def versions():
    """Returns what may change the bits of a result: the versions of tfgen, with its commit, and of what it rests on.

    In a checkout, the commit is that of HEAD, and ends in `-dirty` if files under version control have changed since.
    The number of threads is that of TensorFlow's products, whose sums are split among them.
    """
    packages = {package: importlib.metadata.version(package) for package in ("tensorflow", "keras", "numpy")}
    return {"tfgen": tfgen.__version__, **_commit(), **packages, "threads": str(_threads())}


def _threads():
    # TensorFlow, too, takes any other text, and 0, for none.
    wanted = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else cores()


def cores():
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _commit():
    root = pathlib.Path(tfgen.__file__).parent.parent
    if not (root / ".git").exists():  # An installed package, perhaps within another project's repository.
        return {}
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.CalledProcessError):  # No git, or a repository of another user.
        return {"commit": "unknown"}
    return {"commit": found.strip()}


def environment():
    """Returns the versions of tfgen, Python and the packages that decide results, the platform and its processors."""
    return {
        "tfgen": tfgen.__version__,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": _threads(),
    }
