"""Whether what a user asks for can be done, found out before TensorFlow is loaded or anything is written."""

import dataclasses
import os
import pathlib

from tfgen import recipes
from tfgen.errors import InputError

BENCHMARKS = ("training", "scaling", "inference", "evaluation")


def check_data(dataset, data_dir):
    """Raises `InputError` for an unknown dataset, or a `data_dir` that is no directory; None is the default one."""
    if dataset not in recipes.DATASETS:
        raise InputError(f"unknown dataset {dataset!r}; choose one of {', '.join(recipes.DATASETS)}")
    if data_dir is not None and not pathlib.Path(data_dir).is_dir():
        raise InputError(f"the data directory {str(data_dir)!r} is not a directory; make it or name another")
    # The one that is named by the environment need not exist: the set is then not prepared.
    directory = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR", "."))
    if directory.exists() and not (directory.is_dir() and os.access(directory, os.R_OK | os.X_OK)):
        raise InputError(f"the data directory {str(directory)!r} is no directory that can be read; name another")


def check_run(names, preset, output_dir, seed, epochs, precision, resume):
    """Raises `InputError` for a request that cannot be run, before anything is loaded or written."""
    for name in names:
        if name not in recipes.RECIPES:
            raise InputError(f"unknown recipe {name!r}; choose from {', '.join(recipes.RECIPES)}")
    if preset not in recipes.PRESETS:
        raise InputError(f"unknown preset {preset!r}; choose one of {', '.join(recipes.PRESETS)}")
    for name in names:
        presets = recipes.RECIPES[name].presets
        if preset not in presets:
            raise InputError(f"{name} has no preset {preset!r}; choose one of {', '.join(presets)} with --preset")
    if precision not in (None, *recipes.PRECISIONS):
        raise InputError(f"unknown precision {precision!r}; choose one of {', '.join(recipes.PRECISIONS)}")
    for name in names if precision else ():
        if not hasattr(recipes.RECIPES[name].presets[preset], "precision"):
            with_one = [
                name for name, recipe in recipes.RECIPES.items() if hasattr(recipe.presets["smoke"], "precision")
            ]
            raise InputError(f"{name} trains in float32 only; --precision is for {', '.join(with_one)}")
    if epochs is not None and epochs < 1:
        raise InputError(f"--epochs must be at least 1, got {epochs}")
    for name in names if epochs is not None else ():
        dataclasses.replace(recipes.RECIPES[name].presets[preset], epochs=epochs)  # some refuse too few
    if not 0 <= seed < 2**31:
        raise InputError(f"--seed must lie between 0 and {2**31 - 1}, got {seed}")
    if not str(output_dir):
        raise InputError("--output-dir is empty; name a directory, such as runs")
    for directory in (pathlib.Path(output_dir) / name for name in names):
        path = next(path for path in (directory, *directory.parents) if path.exists())
        if not path.is_dir():
            raise InputError(f"the output directory {str(output_dir)!r} cannot be made: {path} is a file; name another")
        if not os.access(path, os.W_OK | os.X_OK):
            raise InputError(f"the output directory {str(output_dir)!r} cannot be written to: see {path}; name another")
        unfinished = any(directory.glob("checkpoints/*.keras")) and not (directory / "results.json").exists()
        if unfinished and not resume:
            raise InputError(
                f"{directory} holds an unfinished run; add --resume to go on with it, or delete it to start over"
            )


def check_seeds(num, seed):
    """Raises `InputError` for a number of images or a seed of which there are no `image_seeds`."""
    if num < 1:
        raise InputError(f"--num must be at least 1, got {num}")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed must lie between 0 and {2**63 - 1}, got {seed}")


def image_seeds(num, seed):
    """Returns the seed of each image, `(num,)` int64, that a user's one seed stands for."""
    import numpy as np

    return np.random.default_rng(seed).integers(2**31, size=num)


def check_sample(saved_model, num, seed, output):
    """Raises `InputError` for a request for samples that cannot be met."""
    check_seeds(num, seed)
    output = pathlib.Path(output)
    if output.suffix.lower() != ".png" or output.is_dir() or not output.parent.is_dir():
        raise InputError(f"--output must name a .png file in an existing directory, got {str(output)!r}")
    if not (pathlib.Path(saved_model) / "saved_model.pb").is_file():
        raise InputError(f"{str(saved_model)!r} holds no SavedModel; name a directory with saved_model.pb in it")


def check_benchmark(sections, rounds, seconds, output_dir):
    """Raises `InputError` for a benchmark that cannot be run."""
    for section in sections:
        if section not in BENCHMARKS:
            raise InputError(f"unknown section {section!r}; choose from {', '.join(BENCHMARKS)}")
    if rounds < 1:
        raise InputError(f"--rounds must be at least 1, got {rounds}")
    if not 0 < seconds < float("inf"):
        raise InputError(f"--seconds must be greater than 0, got {seconds}")
    if not str(output_dir):
        raise InputError("--output-dir is empty; name a directory, such as benchmark")
    directory = pathlib.Path(output_dir)
    path = next(path for path in (directory, *directory.parents) if path.exists())
    if not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        raise InputError(f"the output directory {str(output_dir)!r} cannot be written to: see {path}; name another")
