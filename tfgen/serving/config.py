"""The configuration files of `tensorflow_model_server`, as text. Paths in them are as the server sees them."""

import json
import pathlib
import re

# The server refuses a request of more examples than the last size. It lets a smaller one wait 1 ms for others, and pads
# the batch to the next size.
BATCH_SIZES = (1, 8, 32, 128, 512, 1024)
METRICS_PATH = "/monitoring/prometheus/metrics"
MODELS_CONFIG = "models.config"


def versions(model):
    """Returns a model's versions in ascending order: the names in its directory that are integers."""
    return sorted(int(path.name) for path in pathlib.Path(model).iterdir() if re.fullmatch("[0-9]+", path.name))


def models(directory):
    """Returns a dict from the name of each model in a directory of models to its versions."""
    found = {path.name: versions(path) for path in sorted(pathlib.Path(directory).iterdir()) if path.is_dir()}
    return {name: numbers for name, numbers in found.items() if numbers and not name.startswith(".")}


def models_config(names, base_path, labels=None):
    """Returns `models.config`: the server serves all versions of every model, by default the highest.

    Args:
        names: names of the models.
        base_path: path of their directory as the server sees it.
        labels: dict from model to a dict from label to version, or None.
    """
    entries = []
    for name in names:
        quoted = (
            f"{{ key: {json.dumps(key)} value: {number} }}" for key, number in (labels or {}).get(name, {}).items()
        )
        lines = [
            f"name: {json.dumps(name)}",
            f"base_path: {json.dumps(f'{base_path}/{name}')}",
            'model_platform: "tensorflow"',
            "model_version_policy { all {} }",
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
