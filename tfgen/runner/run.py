"""Runs a recipe: checks the request, keeps the directory, calls the recipe's `experiment`, writes `results.json`."""

from __future__ import annotations

import importlib.util
import json
import time
from typing import Any

import tensorflow as tf

from tfgen import schema
from tfgen.console import deferred
from tfgen.data import Dataset
from tfgen.errors import InputError
from tfgen.files import named_difference, read_json, write_atomically
from tfgen.recipes import MODULES
from tfgen.runner.directory import clear, move_aside, own_temporary_files, reserved
from tfgen.runner.environment import versions
from tfgen.runner.request import Request, check, difference_to, missing_runs
from tfgen.runner.results import VERSIONS, read_results, write_results
from tfgen.training.run import Run


def run(recipe: str, data: Dataset, tensorboard: bool = False, **options: Any) -> dict[str, Any]:
    """Runs one recipe and writes `<output_dir>/<recipe>/`.

    What the same request has left there is replaced; a finished run of another one is moved to `<recipe>.1`, or so on.

    Args:
        recipe: name of a recipe, such as "vae".
        data: a `Dataset`, such as `tfgen.data.load("mnist")`.
        tensorboard: log to `<output_dir>/<recipe>/tensorboard/` as well.
        **options: of the `Request`: preset, seed, epochs, settings, deterministic, output_dir, resume. A deterministic
            run leaves its process so.

    Returns:
        The contents of `results.json`.

    Raises:
        InputError: for a request that cannot be run, or that would discard an unfinished run.
        RunError: if training diverges.
    """
    return carry_out(Request(recipe, **options), data, tensorboard)


def carry_out(
    request: Request, data: Dataset, tensorboard: bool = False, needed_by: Request | None = None
) -> dict[str, Any]:
    """Runs a `Request` on a `Dataset`; see `run`.

    Args:
        request, data, tensorboard: see `run`.
        needed_by: the request that needs this run, or None. One that another process makes is then waited for.
    """
    check(request, data)
    if tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise InputError("TensorBoard is not installed; install tfgen with its extra: pip install 'tfgen[tensorboard]'")
    make_needed(request, data)
    directory = request.directory
    with reserved(directory, wait=needed_by is not None):
        if needed_by is not None and request.recipe not in missing_runs(needed_by, data):
            return read_results(directory / "results.json")
        if (directory / "results.json").exists():
            difference = difference_to(request, data)
            if difference:
                kept = move_aside(directory)
                print(f"{directory} held a finished run with {difference}: moved to {kept}", flush=True)
            elif request.resume:
                print(f"{request.recipe}: already finished, see {directory / 'results.json'}", flush=True)
                return read_results(directory / "results.json")
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = any(directory.glob("checkpoints/*.keras")) and request.resume
        clear(directory, keep_unfinished=request.resume)
        seen = _versions_seen(directory / "request.json") if unfinished else [versions()]
        contents = {**request.identity(data), "versions": seen}
        write_atomically(directory / "request.json", json.dumps(contents, indent=1).encode())
        return _experiment(request, data, tensorboard, seen)


def make_needed(request: Request, data: Dataset) -> None:
    """Makes the runs that a request needs and that are not there."""
    for name in missing_runs(request, data):
        print(f"{request.recipe} needs {name}: running it first", flush=True)
        carry_out(request.for_needed(name), data, needed_by=request)


def _versions_seen(path):
    """Returns the versions that an unfinished run has been computed with and will be, each once, the present last.

    Prints in what the present ones differ: the same request then need not give the same bits.
    """
    now = versions()
    contents = read_json(path) if path.exists() else {}
    schema.check(path, contents, {"versions": VERSIONS})
    earlier = contents.get("versions", [])
    if earlier and earlier[-1] != now:
        difference = named_difference(earlier[-1], now)
        print(f"{path.parent} was begun with {difference}: its results may differ in their last digits", flush=True)
    return [*(one for one in earlier if one != now), now]


def _experiment(request, data, tensorboard, seen):
    """Calls the recipe's `experiment` and writes its results."""
    started = time.monotonic()
    if request.deterministic:
        tf.config.experimental.enable_op_determinism()
    module = MODULES[request.recipe]
    run = Run(
        module.RECIPE,
        request.config(),
        data,
        request.directory,
        request.preset,
        request.seed,
        request.deterministic,
        tensorboard,
        request.identity(data),
        request.needed_directory,
    )
    with own_temporary_files(), deferred():
        module.experiment(run)
    return write_results(run, request.recipe, run.seconds_before + time.monotonic() - started, seen)
