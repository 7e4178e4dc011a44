"""Generates images from a SavedModel and seeds. Imports TensorFlow only to generate."""

from __future__ import annotations

import os
import pathlib
import typing

from tfgen.errors import InputError
from tfgen.files import read_json

if typing.TYPE_CHECKING:
    import numpy as np

# Images generated in one call: enough to use all cores, few enough to fit into memory.
CHUNK = 1000
# More would fill the memory, and no one can look at them.
MOST = 100_000


def check_seeds(num: int, seed: int) -> None:
    """Raises `InputError` if `image_seeds` does not take the number of images or the seed."""
    if not 1 <= num <= MOST:
        raise InputError(f"--num must be at least 1 and at most {MOST:,}, got {num}")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed must lie between 0 and {2**63 - 1}, got {seed}")


def image_seeds(num: int, seed: int) -> np.ndarray:
    """Returns a seed for each image, `(num,)` int64, drawn from the user's seed."""
    import numpy as np

    return np.random.default_rng(seed).integers(2**31, size=num)


def check_output(output: str | os.PathLike[str]) -> None:
    """Raises `InputError` if `tfgen sample` cannot write its images to a path."""
    output = pathlib.Path(output)
    if output.suffix.lower() != ".png" or output.is_dir() or not output.parent.is_dir():
        raise InputError(f"--output must name a .png file in an existing directory, got {str(output)!r}")


def generate(directory: str | os.PathLike[str], num: int, seed: int) -> np.ndarray:
    """Returns images drawn from a SavedModel's `generate` signature.

    A SavedModel is a program. It is loaded only if it holds no operation that tfgen's own exports never use, such as
    one that writes a file.

    Args:
        directory: a SavedModel directory.
        num: number of images, from 1 to 100,000.
        seed: int >= 0. A larger `num` adds images and leaves the first ones as they are, but for the rounding of
            products of another size, at most 2e-6.

    Returns:
        `(num, pixels)` float32 in [0, 1].

    Raises:
        InputError: if the directory has no SavedModel, it holds an operation of another kind, it does not generate
            images, its images are not finite or not in [0, 1], or `num` or `seed` is out of range.
    """
    check_seeds(num, seed)
    if not (pathlib.Path(directory) / "saved_model.pb").is_file():
        raise InputError(f"{str(directory)!r} holds no SavedModel; name a directory with saved_model.pb in it")
    import numpy as np
    import tensorflow as tf

    from tfgen import export

    foreign = export.foreign_operations(directory)
    if foreign:
        named = ", ".join(repr(name[:80]) for name in foreign[:5])
        raise InputError(
            f"the model in {str(directory)!r} holds the operation {named}, which tfgen's exports never use: it may "
            "read or change any file, so it is not run; sample what tfgen run or tfgen publish has written"
        )
    try:
        model = tf.saved_model.load(str(directory))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise InputError(f"the SavedModel in {str(directory)!r} cannot be read: {error}") from error
    generate = model.signatures.get("generate")
    if (
        generate is None
        or set(generate.structured_input_signature[1]) != {"seed"}
        or not isinstance(generate.structured_outputs.get("image"), tf.TensorSpec)
    ):
        raise InputError(
            f"the model in {str(directory)!r} has no signature 'generate' of images, only "
            f"{', '.join(sorted(model.signatures))}; sampling needs a generative model, such as vae or gan"
        )
    seeds = image_seeds(num, seed)
    chunks: list[np.ndarray] = []
    for i in range(0, num, CHUNK):
        chunk = seeds[i : i + CHUNK]
        images = generate(seed=tf.constant(chunk))["image"].numpy()
        pixels = (chunks[0] if chunks else images).shape[-1:]
        if images.dtype != np.float32 or images.shape != (len(chunk), *pixels):
            raise InputError(
                f"the model in {str(directory)!r} answers {len(chunk)} seeds with {images.dtype} {images.shape}, not "
                "with one row of float32 pixels a seed; train it anew"
            )
        if not np.all((images >= 0) & (images <= 1)):
            raise InputError(
                f"the model in {str(directory)!r} generates pixels that are not finite or not in [0, 1], from "
                f"{images.min()} to {images.max()}; train it anew"
            )
        chunks.append(images)
    return np.concatenate(chunks)


def image_shape(directory: str | os.PathLike[str], pixels: int) -> tuple[int, int]:
    """Returns `(height, width)` of a SavedModel's images, from its metadata.

    Models of tfgen 0.1 have no such entry: their images are square.

    Args:
        directory: a SavedModel directory.
        pixels: number of pixels of an image.

    Raises:
        InputError: if the metadata are damaged, or missing for images that are not square.
    """
    path = pathlib.Path(directory) / "assets.extra" / "tfgen.json"
    shape = read_json(path).get("image_shape") if path.exists() else None
    side = int(pixels**0.5)
    if shape is None and side * side == pixels:
        shape = [side, side]
    sides = shape if isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape) else []
    if len(sides) != 2 or sides[0] * sides[1] != pixels:
        raise InputError(f"the height and width of the images in {str(directory)!r}, of {pixels} pixels, are not known")
    return sides[0], sides[1]
