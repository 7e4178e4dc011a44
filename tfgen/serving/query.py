"""The parts of `tfgen query`: a model's state and signatures, and the inputs and outputs of one signature."""

import io
import json
import math
import pathlib
import struct
import zipfile
import zlib

import numpy as np

from tfgen.errors import InputError
from tfgen.files import write_atomically
from tfgen.sampling import check_seeds, image_seeds
from tfgen.serving.errors import ServerError, shown

# The outputs that a PNG can show.
IMAGES = ("image", "reconstruction")
PNG = b"\x89PNG\r\n\x1a\n"  # What a file begins with.
MOST_PIXELS = 4096  # In each direction; and its square in all.


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
            return json.loads(path.read_bytes())
        with np.load(path) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
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
    lines = []
    for name, value in sorted(outputs.items()):
        dtype, unit = (value.dtype, "") if value.dtype != object else ("bytes", " bytes each")
        sizes = value if value.dtype != object else np.array([len(item) for item in value.flat])
        lines.append(f"{name}: {dtype} {value.shape}, {sizes.min():g} to {sizes.max():g}{unit}")
    return "\n".join(lines)


def write_output(outputs, path):
    """Draws the images among the outputs to a .png file, or writes all outputs to an .npz file."""
    if pathlib.Path(path).suffix.lower() == ".npz":
        content = io.BytesIO()
        # Not numpy.savez, whose own arguments are no names for outputs.
        with zipfile.ZipFile(content, "w") as archive:
            for name, value in outputs.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, _without_objects(name, value), allow_pickle=False)
        write_atomically(path, content.getvalue())
        return
    from tfgen import figures

    pictures = _pictures(outputs)
    write_atomically(path, figures.tiled_png(pictures, columns=math.ceil(len(pictures) ** 0.5)))


def _without_objects(name, value):
    """Returns an array as .npz files may hold it: `bytes` objects as fixed-width bytes, dtype S."""
    if value.dtype != object:
        return value
    fixed = value.astype("S")
    if np.any(fixed.astype(object) != value):
        raise InputError(f"{name!r} holds bytes that end in zeros, which an .npz file does not keep")
    return fixed


def _pictures(outputs):
    """Returns the images among the outputs, `(n, height, width)` in [0, 1]."""
    if "png_bytes" in outputs:
        return np.stack(_decoded(outputs["png_bytes"].ravel()))
    # The server knows the number of pixels but not the shape, so only square images can be drawn.
    images = [outputs[name] for name in IMAGES if name in outputs and outputs[name].ndim == 2]
    sides = [math.isqrt(rows.shape[1]) for rows in images]
    if not images or sides[0] ** 2 != images[0].shape[1]:
        raise InputError(
            f"there is no square image among the outputs {', '.join(sorted(outputs))}; write them to an .npz file"
        )
    return images[0].reshape(-1, sides[0], sides[0])


def _decoded(files):
    """Returns the pixels of PNG files in [0, 1], which must be grey, of one size and not too large."""
    from PIL import Image

    # In the first bytes, so that nothing is unpacked that is too large.
    sizes = {struct.unpack(">II", file[16:24]) if file[:8] == PNG and len(file) > 24 else None for file in files}
    if None in sizes:
        raise ServerError("'png_bytes' in the server's answer holds what is no PNG file")
    pixels = max(map(math.prod, sizes)) * len(files)
    if len(sizes) > 1 or max(map(max, sizes)) > MOST_PIXELS or pixels > MOST_PIXELS**2:
        raise InputError(
            f"only pictures of one size and of at most {MOST_PIXELS:,} x {MOST_PIXELS:,} pixels in all can be drawn; "
            "write them to an .npz file"
        )
    pictures = []
    for file in files:
        try:
            Image.open(io.BytesIO(file), formats=["PNG"]).verify()
            image = Image.open(io.BytesIO(file), formats=["PNG"])
            if image.mode != "L":
                raise ValueError(f"its mode is {image.mode}, not L, shades of grey")
            pictures.append(np.asarray(image, np.float32) / 255)
        # What Pillow raises for a damaged file.
        except (EOFError, OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
            raise ServerError(f"'png_bytes' in the server's answer cannot be drawn: {shown(str(error), 80)}") from error
    return pictures
