"""The model card of a published model: its training, metrics, signatures, intended use and limits."""

import json
import pathlib

from tfgen import schema
from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically
from tfgen.recipe import MNIST_SHAPE
from tfgen.report.tables import command, escaped, markdown_table, metric_rows
from tfgen.runner.results import read_results
from tfgen.serving import config


def json_bytes(value):
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


# What the values of `tfgen.json` must be that a card shows, in a run's export and in what is published. The rest of the
# card is from `results.json`.
EXPORTED = {
    "image_shape": schema.Rule(
        lambda value: type(value) is list and len(value) == 2 and all(map(schema.count(1, 10**6).allows, value)),
        "the height and the width of an image",
    ).optional(),
}
DESCRIPTION = {
    "title": schema.TEXT,
    "signatures": schema.names_of(lambda value: type(value) is dict, "an object of signatures by lower-case names"),
    **EXPORTED,
}
SIGNATURE = dict.fromkeys(
    ("inputs", "outputs"),
    schema.names_of(lambda value: type(value) is dict, "an object of tensors by lower-case names"),
)
TENSOR = {
    "dtype": schema.matching("[a-z0-9]+", "a type, such as 'float32'"),
    "shape": schema.Rule(
        lambda value: type(value) is list and all(map(schema.or_null(schema.count(0, 2**63 - 1)).allows, value)),
        "a list of sizes, null being that of the batch",
    ),
    "minimum": schema.or_null(schema.NUMBER),
    "maximum": schema.or_null(schema.NUMBER),
    "meaning": schema.TEXT,
}


def read_description(path):
    """Returns the contents of a published model's `tfgen.json` as a dict: all that is shown is what it must be.

    Raises:
        InputError: if the file cannot be read as JSON, or a value is missing or may not be.
        FileNotFoundError: if there is none.
    """
    path = pathlib.Path(path)
    description = read_json(path)
    schema.check(path, description, DESCRIPTION)
    for name, signature in description["signatures"].items():
        schema.check(path, signature, SIGNATURE, f"signatures.{name}.")
        for role in SIGNATURE:
            for key, tensor in signature[role].items():
                schema.check(path, tensor, TENSOR, f"signatures.{name}.{role}.{key}.")
    return description


def write(model):
    """Writes the newest version's model card, `README.md`, and its `results.json` into a model's directory."""
    version = config.versions(model)[-1]
    assets = model / str(version) / "assets.extra"
    foreign = f"so tfgen publish did not make version {version}; move it away and publish again"
    try:
        text = model_card(read_description(assets / "tfgen.json"), read_results(assets / "results.json"), version)
    except FileNotFoundError as error:
        raise InputError(
            f"the version is published, but its model card is not written: {error.filename} is missing, {foreign}"
        ) from error
    except InputError as error:
        raise InputError(f"the version is published, but its model card is not written: {error}") from error
    write_atomically(model / "results.json", (assets / "results.json").read_bytes())
    write_atomically(model / "README.md", text.encode())


def model_card(description, results, version):
    """Returns the card in Markdown.

    Args:
        description: contents of `tfgen.json`, as `read_description` returns them.
        results: contents of `results.json`, as `read_results` returns them.
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
    lecture_items = ", ".join(results["lecture_items"])
    sections = [
        f"# {results['recipe']}",
        escaped(f"{description['title']}. Version {version}; lecture {lecture_items}."),
        "## Training",
        f"Dataset {escaped(results['dataset'])}, preset {results['preset']}, seed {results['seed']}: "
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
        "\n".join(f"- {limit}" for limit in _limits(description, results)),
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
    return f"`{name}` {tensor['dtype']} ({shape}){limits}: {escaped(tensor['meaning'])}"


def _averaged(results):
    if any(name.endswith("__averaged_weights") for name in results["metrics"]):
        yield (
            "The model is that of `__averaged_weights`: its generator has the moving average of the weights. The same "
            "metrics without that suffix are those of the last weights, which are not exported."
        )


def _limits(description, results):
    inputs = {name for signature in description["signatures"].values() for name in signature["inputs"]}
    outputs = {name for signature in description["signatures"].values() for name in signature["outputs"]}
    # Models of tfgen 0.1.0 do not record the shape of their images, which is MNIST's.
    height, width = description.get("image_shape", MNIST_SHAPE)
    if "x" in outputs:
        yield "It knows one distribution on the line and nothing else."
    if "image" in inputs:
        yield (
            f"It has seen {escaped(results['dataset'])} alone, centred images of {height}x{width} pixels, light on "
            "dark. Other images are outside what it was measured on."
        )
    if "seed" in inputs and "image" in outputs:
        yield "Some generated images are no legible digit, and the digits are not equally frequent."
    if "class_id" in outputs:
        yield "It calls every image one of its classes, noise as well; its probabilities are not calibrated."
    if not results["comparable"]:
        yield "Its numbers are not comparable to published ones, which were measured on MNIST."
    if results["preset"] == "smoke":
        yield "Preset smoke trains for seconds, to try the program: it is no useful model."
    if results["preset"] == "quick":
        yield "Preset quick trains for minutes; preset paper trains longer."
