"""The parts of `tfgen query`: a model's state and signatures, and the inputs and outputs of one signature."""

import io
import json
import math
import pathlib
import zipfile

import numpy as np

from tfgen.errors import InputError
from tfgen.files import write_atomically
from tfgen.sampling import check_seeds, image_seeds

# The outputs that a PNG can show.
IMAGES = ("image", "reconstruction")


def description(client, model, version=None, label=None):
    """Returns text: a model's versions with their states, and the signatures of the version asked for."""
    lines = []
    for status in client.status(model, version, label):
        error = f": {status['error']}" if status["error"] else ""
        lines.append(f"{model} version {status['version']}: {status['state']}{error}")
    for name, signature in sorted(client.signatures(model, version, label).items()):
        inputs, outputs = (", ".join(map(_tensor, sorted(signature[role].items()))) for role in ("inputs", "outputs"))
        lines.append(f"  {name}: {inputs} -> {outputs}")
    return "\n".join(lines)


def _tensor(item):
    name, (dtype, shape) = item
    return f"{name} {dtype} ({', '.join('batch' if size == -1 else str(size) for size in shape)})"


def check_output(path):
    """Raises `InputError` if outputs cannot be written to `path`, unless it is None."""
    if path is not None:
        path = pathlib.Path(path)
        if path.suffix.lower() not in (".png", ".npz") or path.is_dir() or not path.parent.is_dir():
            raise InputError(f"--output must name a .png or .npz file in an existing directory, got {str(path)!r}")


def read_inputs(path):
    """Returns the arrays in an .npz file, or the lists in a .json file, by name."""
    path = pathlib.Path(path)
    if path.suffix.lower() not in (".npz", ".json") or not path.is_file():
        raise InputError(f"--input must name an existing .npz or .json file, got {str(path)!r}")
    try:
        if path.suffix.lower() == ".json":
            return json.loads(path.read_text())
        with np.load(path) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}); see numpy.savez, or write JSON") from error


def seeds(client, signature, num=None, seed=None, **address):
    """Returns the inputs of a signature that generates images from seeds, the seeds as in `tfgen sample`."""
    num, seed = 16 if num is None else num, 0 if seed is None else seed
    check_seeds(num, seed)
    offered = client.signatures(**address)
    if signature in offered and set(offered[signature]["inputs"]) != {"seed"}:
        inputs = ", ".join(map(_tensor, sorted(offered[signature]["inputs"].items())))
        raise InputError(f"signature {signature!r} of {address['model']} takes {inputs}; give --input FILE")
    return {"seed": image_seeds(num, seed)}


def summary(outputs):
    """Returns text with a line for each output: its name, type, shape and range."""
    return "\n".join(
        f"{name}: {value.dtype} {value.shape}, {value.min():g} to {value.max():g}"
        for name, value in sorted(outputs.items())
    )


def write_output(outputs, path):
    """Draws the images among the outputs to a .png file, or writes all outputs to an .npz file."""
    if pathlib.Path(path).suffix.lower() == ".npz":
        content = io.BytesIO()
        np.savez(content, **outputs)
        write_atomically(path, content.getvalue())
        return
    # The server knows the number of pixels but not the shape, so only square images can be drawn.
    images = [outputs[name] for name in IMAGES if name in outputs and outputs[name].ndim == 2]
    sides = [math.isqrt(rows.shape[1]) for rows in images]
    if not images or sides[0] ** 2 != images[0].shape[1]:
        raise InputError(
            f"there is no square image among the outputs {', '.join(sorted(outputs))}; write them to an .npz file"
        )
    from tfgen import figures

    pictures = images[0].reshape(-1, sides[0], sides[0])
    write_atomically(path, figures.tiled_png(pictures, columns=math.ceil(len(pictures) ** 0.5)))
