"""Runs a recipe: checks the request, keeps the directory, calls the recipe's `experiment`, writes `results.json`."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import shutil
import tempfile
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
from tfgen.runner.request import Request, check, difference_to, missing_runs, needed_runs
from tfgen.runner.results import VERSIONS, read_results, write_results
from tfgen.training.run import Run
from tfgen.training.workers import from_chief, is_chief, replicas_of, strategy_of


def run(recipe: str, data: Dataset, tensorboard: bool = False, **options: Any) -> dict[str, Any] | None:
    """Runs one recipe and writes `<output_dir>/<recipe>/`.

    What the same request has left there is replaced; a finished run of another one is moved to `<recipe>.1`, or so on.

    Args:
        recipe: name of a recipe, such as "vae".
        data: a `Dataset`, such as `tfgen.data.load("mnist")`.
        tensorboard: log to `<output_dir>/<recipe>/tensorboard/` as well.
        **options: of the `Request`: preset, seed, epochs, settings, deterministic, output_dir, resume, strategy. A
            deterministic run leaves its process so.

    Returns:
        The contents of `results.json`; of several workers, None but for the chief, who alone writes.

    Raises:
        InputError: for a request that cannot be run, or that would discard an unfinished run.
        RunError: if training diverges.
    """
    return carry_out(Request(recipe, **options), data, tensorboard)


def carry_out(
    request: Request, data: Dataset, tensorboard: bool = False, needed_by: Request | None = None
) -> dict[str, Any] | None:
    """Runs a `Request` on a `Dataset`; see `run`.

    Args:
        request, data, tensorboard: see `run`.
        needed_by: the request that needs this run, or None. One that another process makes is then waited for.
    """
    check(request, data)
    if tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise InputError("TensorBoard is not installed; install tfgen with its extra: pip install 'tfgen[tensorboard]'")
    strategy = strategy_of(request.strategy)
    rows, replicas = request.config().batch_size, 1 if strategy is None else strategy.num_replicas_in_sync
    if rows < replicas:
        raise InputError(f"batch_size {rows} is less than the {replicas} replicas that share a batch; set a larger one")
    now = versions()
    # Machines of one training may differ in their number of cores.
    from_chief(strategy, {**request.identity(data), **{name: now[name] for name in now if name != "threads"}})
    if not is_chief(strategy):
        return _assist(request, data, strategy)
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
                from_chief(strategy, {"finished": True})
                return read_results(directory / "results.json")
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = any(directory.glob("checkpoints/*.keras")) and request.resume
        clear(directory, keep_unfinished=request.resume)
        now |= replicas_of(strategy)
        seen = _versions_seen(directory / "request.json", now) if unfinished else [now]
        contents = {**request.identity(data), "versions": seen}
        write_atomically(directory / "request.json", json.dumps(contents, indent=1).encode())
        from_chief(strategy, {"finished": False})
        run, seconds = _experiment(request, data, tensorboard, strategy)
        results = write_results(run, request.recipe, seconds, seen)
        from_chief(strategy, {"finished": True})
        return results


def _assist(request, data, strategy):
    """Takes part in the trainings of a run that the chief writes: makes the same run in a directory that goes."""
    if from_chief(strategy, {}, same=False)["finished"]:
        return
    with tempfile.TemporaryDirectory(prefix="tfgen-") as temporary:
        mine = dataclasses.replace(request, output_dir=temporary, needed_dir=None, resume=True)
        for name in needed_runs(request.recipe, data):
            pathlib.Path(temporary, name).symlink_to((request.needed_directory / name).absolute())
        if (request.directory / "checkpoints").exists():
            shutil.copytree(request.directory / "checkpoints", mine.directory / "checkpoints")
        _experiment(mine, data, False, strategy)
        from_chief(strategy, {}, same=False)


def make_needed(request: Request, data: Dataset) -> None:
    """Makes the runs that a request needs and that are not there."""
    for name in missing_runs(request, data):
        print(f"{request.recipe} needs {name}: running it first", flush=True)
        carry_out(request.for_needed(name), data, needed_by=request)


def _versions_seen(path, now):
    """Returns the versions that an unfinished run has been computed with and will be, each once, the present last.

    Prints in what the present ones differ: the same request then need not give the same bits.
    """
    contents = read_json(path) if path.exists() else {}
    schema.check(path, contents, {"versions": VERSIONS})
    earlier = contents.get("versions", [])
    # Runs of before did not record their threads.
    begun = {"threads": now["threads"], **earlier[-1]} if earlier else now
    if begun != now:
        difference = named_difference(begun, now)
        print(f"{path.parent} was begun with {difference}: its results may differ in their last digits", flush=True)
    return [*(one for one in earlier if one != now), now]


def _experiment(request, data, tensorboard, strategy):
    """Calls the recipe's `experiment`; returns the `Run`, and the seconds that it took with those before."""
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
        strategy,
    )
    with own_temporary_files(), deferred():
        module.experiment(run)
    return run, run.seconds_before + time.monotonic() - started
