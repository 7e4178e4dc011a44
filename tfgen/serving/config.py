"""The configuration files of `tensorflow_model_server`, as text. Paths in them are as the server sees them."""

import json
import os
import pathlib
import re

from tfgen.errors import InputError

# The server refuses a request of more examples than the last size. It lets a smaller one wait 1 ms for others, and pads
# the batch to the next size.
BATCH_SIZES = (1, 8, 32, 128, 512, 1024)
METRICS_PATH = "/monitoring/prometheus/metrics"
MODELS_CONFIG = "models.config"
# The server keeps a version as an int64.
HIGHEST_VERSION = 2**63 - 1


def is_directory(path):
    """Returns whether a path is a directory that can be read, and no symbolic link, which containers cannot follow."""
    return os.path.isdir(path) and not os.path.islink(path) and os.access(path, os.R_OK | os.X_OK)


def versions(model):
    """Returns a model's versions in ascending order: its directories named by an integer from 0 to 2**63 - 1."""
    return sorted(int(name) for name in _numbered(model) if _is_version(model, name))


def strays(model):
    """Returns the names in a model's directory that the server takes for versions although they are none.

    Such are files, symbolic links, directories that cannot be read, and integers written in another way: `07`, `+7`
    and `-7`. What is no int64, such as `99999999999999999999`, is no version to the server either.
    """
    return sorted(name for name in _numbered(model) if not _is_version(model, name))


def next_version(model):
    """Returns the integer after the highest that the server finds in a model's directory, at least 1.

    Raises:
        InputError: if it would be more than 2**63 - 1.
    """
    version = max([0, *_numbered(model).values()]) + 1
    if version > HIGHEST_VERSION:
        raise InputError(
            f"{model} has the highest version that there can be, {HIGHEST_VERSION}; move it away, or name another --to"
        )
    return version


def _numbered(model):
    """Returns a dict from each name in a model's directory that the server reads as an int64 to the number it reads.

    Source: ParseVersionNumber of TensorFlow Serving's file_system_storage_path_source.cc, whose absl::SimpleAtoi takes
    signs, leading zeros and spaces around.
    """
    found = {}
    for name in os.listdir(model):
        if re.fullmatch(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*", name):
            number = int(name)
            if -HIGHEST_VERSION - 1 <= number <= HIGHEST_VERSION:
                found[name] = number
    return found


def _is_version(model, name):
    return re.fullmatch("0|[1-9][0-9]*", name) is not None and is_directory(os.path.join(model, name))


def models(directory):
    """Returns a dict from the name of each model in a directory of models to its versions."""
    found = {path.name: versions(path) for path in sorted(pathlib.Path(directory).iterdir()) if is_directory(path)}
    return {name: numbers for name, numbers in found.items() if numbers and not name.startswith(".")}


def models_config(directory, base_path, labels=None):
    """Returns `models.config`: the server serves all versions of every model, by default the highest.

    It loads those that appear while it runs, too. But beside a stray (see `strays`), which it would load as well, it
    serves only the versions that there are now.

    Args:
        directory: directory of models.
        base_path: its path as the server sees it.
        labels: dict from model to a dict from label to version, or None.
    """
    entries = []
    for name, numbers in models(directory).items():
        policy = "all {}"
        if strays(pathlib.Path(directory) / name):
            policy = f"specific {{ {' '.join(f'versions: {number}' for number in numbers)} }}"
        quoted = (
            f"{{ key: {json.dumps(key)} value: {number} }}" for key, number in (labels or {}).get(name, {}).items()
        )
        lines = [
            f"name: {json.dumps(name)}",
            f"base_path: {json.dumps(f'{base_path}/{name}')}",
            'model_platform: "tensorflow"',
            f"model_version_policy {{ {policy} }}",
            *(f"version_labels {pair}" for pair in quoted),
        ]
        entries.append("  config {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n")
    return "model_config_list {\n" + "".join(entries) + "}\n"


def batching_config(threads):
    """Returns the batching parameters: the server computes requests that arrive together in one batch."""
    lines = [
        f"max_batch_size {{ value: {BATCH_SIZES[-1]} }}",
        "batch_timeout_micros { value: 1000 }",
        "max_enqueued_batches { value: 100 }",
        f"num_batch_threads {{ value: {threads} }}",
        *(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES),
    ]
    return "\n".join(lines) + "\n"


def monitoring_config():
    """Returns the configuration that lets Prometheus read the server's metrics on the REST port."""
    return f"prometheus_config {{ enable: true path: {json.dumps(METRICS_PATH)} }}\n"
