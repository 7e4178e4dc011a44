"""Whether what a user asks for can be done, found out before TensorFlow is loaded or anything is written."""

import os
import pathlib

from tfgen import recipes
from tfgen.errors import InputError


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


def check_run(names, preset, output_dir, seed, epochs, resume):
    """Raises `InputError` for a request that cannot be run, before anything is loaded or written."""
    for name in names:
        if name not in recipes.RECIPES:
            raise InputError(f"unknown recipe {name!r}; choose from {', '.join(recipes.RECIPES)}")
    if preset not in recipes.PRESETS:
        raise InputError(f"unknown preset {preset!r}; choose one of {', '.join(recipes.PRESETS)}")
    if epochs is not None and epochs < 1:
        raise InputError(f"--epochs must be at least 1, got {epochs}")
    if not 0 <= seed < 2**31:
        raise InputError(f"--seed must lie between 0 and {2**31 - 1}, got {seed}")
    for path in (pathlib.Path(output_dir), *pathlib.Path(output_dir).parents):
        if path.exists() and not path.is_dir():
            raise InputError(f"the output directory {str(output_dir)!r} cannot be made: {path} is a file; name another")
    if not resume:
        for directory in (pathlib.Path(output_dir) / name for name in names):
            if any(directory.glob("checkpoints/*.keras")) and not (directory / "results.json").exists():
                raise InputError(
                    f"{directory} holds an unfinished run; add --resume to go on with it, or delete it to start over"
                )
