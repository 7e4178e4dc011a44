"""The model card of a published model: its training, metrics, signatures, intended use and limits."""

import json

from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically
from tfgen.recipe import MNIST_SHAPE
from tfgen.report.tables import command, markdown_table, metric_rows
from tfgen.serving import config


def json_bytes(value):
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def write(model):
    """Writes the newest version's model card, `README.md`, and its `results.json` into a model's directory."""
    version = config.versions(model)[-1]
    assets = model / str(version) / "assets.extra"
    for path in (assets / "tfgen.json", assets / "results.json"):
        if not path.is_file():
            raise InputError(
                f"the version is published, but its model card is not written: {path} is missing, so tfgen publish did "
                "not make the highest version; move that version away and publish again"
            )
    results = (assets / "results.json").read_bytes()
    write_atomically(model / "results.json", results)
    text = model_card(read_json(assets / "tfgen.json"), json.loads(results), version)
    write_atomically(model / "README.md", text.encode())


def model_card(description, results, version):
    """Returns the card in Markdown.

    Args:
        description: contents of `tfgen.json`.
        results: contents of `results.json`.
        version: int, the version described.
    """
    environment = results["environment"]
    signatures = [
        (
            f"`{name}`",
            *("; ".join(_tensor(*item) for item in signature[role].items()) for role in ("inputs", "outputs")),
        )
        for name, signature in description["signatures"].items()
    ]
    sections = [
        f"# {description['recipe']}",
        f"{description['title']}. Version {version}; lecture {', '.join(description['lecture_items'])}.",
        "## Training",
        f"Dataset {description['dataset']}, preset {description['preset']}, seed {description['seed']}: "
        f"{results['seconds']} s on a machine of {environment['cpus']} CPU cores with TensorFlow "
        f"{environment['tensorflow']}, "
        f"Keras {environment['keras']}, tfgen {environment['tfgen']}. Every hyper-parameter is in "
        "[results.json](results.json).",
        f"```console\n$ {command(results)}\n```",
        "## Metrics",
        markdown_table(("metric", "unit", "split, n", "published", "value"), metric_rows(results)),
        *_averaged(results),
        "## Signatures",
        markdown_table(("signature", "inputs", "outputs"), signatures),
        "The first dimension is the batch, of any size.",
        "## Intended use",
        "Teaching, and reproducing the lecture's experiments: its formulas, pictures and numbers.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(description)),
    ]
    return "\n\n".join(sections) + "\n"


def _tensor(name, tensor):
    shape = ", ".join("batch" if size is None else str(size) for size in tensor["shape"])
    lowest, highest = tensor["minimum"], tensor["maximum"]
    limits = (
        f" in [{lowest:g}, {highest:g}]"
        if None not in (lowest, highest)
        else (f" of at least {lowest:g}" if lowest is not None else "")
    )
    return f"`{name}` {tensor['dtype']} ({shape}){limits}: {tensor['meaning']}"


def _averaged(results):
    if any(name.endswith("__averaged_weights") for name in results["metrics"]):
        yield (
            "The model is that of `__averaged_weights`: its generator has the moving average of the weights. The same "
            "metrics without that suffix are those of the last weights, which are not exported."
        )


def _limits(description):
    inputs = {name for signature in description["signatures"].values() for name in signature["inputs"]}
    outputs = {name for signature in description["signatures"].values() for name in signature["outputs"]}
    # Models of tfgen 0.1.0 do not record the shape of their images, which is MNIST's.
    height, width = description.get("image_shape", MNIST_SHAPE)
    if "x" in outputs:
        yield "It knows one distribution on the line and nothing else."
    if "image" in inputs:
        yield (
            f"It has seen {description['dataset']} alone, centred images of {height}x{width} pixels, light on dark. "
            "Other images are outside what it was measured on."
        )
    if "seed" in inputs and "image" in outputs:
        yield "Some generated images are no legible digit, and the digits are not equally frequent."
    if "class_id" in outputs:
        yield "It calls every image one of its classes, noise as well; its probabilities are not calibrated."
    if not description["comparable"]:
        yield "Its numbers are not comparable to published ones, which were measured on MNIST."
    if description["preset"] == "smoke":
        yield "Preset smoke trains for seconds, to try the program: it is no useful model."
    if description["preset"] == "quick":
        yield "Preset quick trains for minutes; preset paper trains longer."
