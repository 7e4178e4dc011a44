"""A model's endpoints as a SavedModel with named signatures, and images generated from one."""

import pathlib
import shutil
import uuid

import keras
import numpy as np
import tensorflow as tf

from tfgen.checks import check_sample
from tfgen.errors import InputError

# Images generated in one call: enough to fill the cores, few enough for the memory.
CHUNK = 1000


def export(endpoints, directory):
    """Writes a SavedModel whose signatures are the given endpoints; TensorFlow alone loads it.

    The directory appears whole: the model is written beside it and renamed. An earlier one is replaced.

    Args:
        endpoints: dict from signature name to `(function, list of named TensorSpecs)`; each function takes its
            inputs by these names and returns a dict of tensors.
        directory: where the SavedModel is to stand.
    """
    archive = keras.export.ExportArchive()
    for name, (function, input_specs) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=input_specs)
    directory = pathlib.Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    try:
        archive.write_out(str(temporary), verbose=False)
        if directory.exists():
            shutil.rmtree(directory)
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def generate(directory, num, seed):
    """Returns images drawn from a SavedModel's `generate` signature.

    Args:
        directory: a SavedModel directory.
        num: number of images, at least 1.
        seed: int >= 0. The first images of a larger `num` are those of a smaller one.

    Returns:
        `(num, 784)` float32 in [0, 1].

    Raises:
        InputError: if the directory holds no SavedModel, the model does not generate, or a number is out of range.
    """
    check_sample(directory, num, seed, "grid.png")
    try:
        model = tf.saved_model.load(str(directory))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(f"the SavedModel in {str(directory)!r} cannot be read: {error}") from error
    if "generate" not in model.signatures:
        raise InputError(
            f"the model in {str(directory)!r} has no signature 'generate', only {', '.join(sorted(model.signatures))}; "
            "sampling needs a generative model, such as vae or gan"
        )
    seeds = np.random.default_rng(seed).integers(2**31, size=num)
    generate_chunk = model.signatures["generate"]
    chunks = [seeds[i : i + CHUNK] for i in range(0, num, CHUNK)]
    return np.concatenate([generate_chunk(seed=tf.constant(chunk))["image"].numpy() for chunk in chunks])
