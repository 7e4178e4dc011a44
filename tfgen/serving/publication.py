"""Publishes a run's SavedModel as the next version of its model, complete and tested, while a server may be running."""

import contextlib
import errno
import os
import pathlib
import shutil
import uuid

import tfgen
from tfgen import schema
from tfgen.errors import InputError
from tfgen.files import check_writable, lock_of, locked, read_json, sync, write_atomically
from tfgen.recipes import RECIPES
from tfgen.runner.results import read_results
from tfgen.serving import card, config


def check_run(run_dir):
    """Returns the results of a finished run with a SavedModel; raises `InputError` for any other directory."""
    run_dir = pathlib.Path(run_dir)
    if not run_dir.is_dir():
        raise InputError(f"there is no run in {str(run_dir)!r}; name one written by tfgen run, such as runs/vae")
    if not (run_dir / "results.json").is_file():
        raise InputError(f"{run_dir} holds no finished run: it has no results.json; finish it with tfgen run --resume")
    results = read_results(run_dir / "results.json")
    if "deterministic" not in results:
        raise InputError(f"{run_dir / 'results.json'} lacks 'deterministic'; run {results['recipe']} anew")
    if not (run_dir / "saved_model" / "saved_model.pb").is_file():
        raise InputError(f"{run_dir} has no saved_model/saved_model.pb; run {results['recipe']} anew")
    return results


def check_publish(run_dir, to):
    """Raises `InputError` if the run cannot be published, or not to that directory."""
    results = check_run(run_dir)
    model = pathlib.Path(to) / results["recipe"]
    for path in (to, model):
        check_writable(path, "--to")
        _check_outside(run_dir, path)
    if os.path.lexists(model):
        if not config.is_directory(model):
            raise InputError(f"{model} must be a directory that can be read, and no symbolic link; name another --to")
        if (model / "request.json").exists():
            raise InputError(f"{model} is the directory of a run, not of a model's versions; name another --to")
        config.next_version(model)
    return results


def _check_outside(run_dir, to):
    """Raises `InputError` if `to` lies in the run, which would be changed, and its SavedModel copied into itself."""
    real = pathlib.Path(os.path.realpath(to))
    for inside in (run_dir, pathlib.Path(run_dir) / "saved_model"):
        if real.is_relative_to(os.path.realpath(inside)):
            raise InputError(f"--to: {str(to)!r} lies in the run {run_dir} itself; name a directory outside it")


def publish(run_dir, to="saved_models"):
    """Publishes a finished run's SavedModel as the next version of a model, which is named like the recipe.

    It writes the version to a temporary directory beside the final one, checks it, runs its warm-up records and renames
    it, so that a server never sees part of it. It never overwrites a version. Then it rewrites `models.config`, the
    model card and `results.json`. A killed process leaves a directory `.tmp-*`: no server reads it, and it may be
    deleted.

    Args:
        run_dir: directory of a finished run.
        to: directory of models; made if missing.

    Returns:
        The directory of the new version.

    Raises:
        InputError: if the run is not finished, its SavedModel is missing or cannot be served, `to` lies in the run,
            or there is no higher version. Also after the version is published, if the highest version was not made by
            `publish`.
    """
    run_dir, to = pathlib.Path(run_dir), pathlib.Path(to)
    check_publish(run_dir, to)
    from tfgen.serving import warmup

    with contextlib.ExitStack() as stack:
        lock = lock_of(run_dir)
        # If the lock cannot be made, no run can write to the directory either.
        if lock.exists() or os.access(lock.parent, os.W_OK):
            try:
                stack.enter_context(locked(lock, shared=True, wait=False))
            except BlockingIOError:
                raise InputError(f"a run is writing to {run_dir}; wait until it has finished") from None
        results = check_run(run_dir)
        model = to / results["recipe"]
        model.mkdir(parents=True, exist_ok=True)
        temporary = model / f".tmp-{uuid.uuid4().hex}"
        try:
            _copy(run_dir / "saved_model", temporary)
            _add_assets(temporary, run_dir, results, warmup)
            for path in (temporary, *temporary.rglob("*")):
                sync(path)
            version = _rename_to_next(temporary, model)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    with locked(to / ".lock"):
        content = config.models_config(to, "/models")
        write_atomically(to / config.MODELS_CONFIG, content.encode())
    with locked(model / ".lock"):
        card.write(model)
    return version


def _copy(source, target):
    """Copies a directory with what is in it, as new files: their mode follows the umask, not the run's files."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_dir() and not path.is_symlink():
            _copy(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)


def _add_assets(directory, run_dir, results, warmup):
    """Checks the SavedModel in `directory` and adds its warm-up records, `tfgen.json` and the run's results."""
    from tfgen import export

    reasons = export.violations(directory)
    if reasons:
        raise InputError(f"the model in {run_dir} cannot be served: {'; '.join(reasons)}. Run {results['recipe']} anew")
    warmup.write(directory, results["recipe"])
    warmup.replay(directory)
    metadata, path = directory / export.METADATA, run_dir / "saved_model" / export.METADATA
    exported = read_json(path) if path.exists() else {}
    schema.check(path, exported, card.EXPORTED)
    description = {
        **exported,
        "recipe": results["recipe"],
        "title": RECIPES[results["recipe"]].title,
        **{key: results[key] for key in ("lecture_items", "dataset", "comparable", "preset", "seed", "metrics")},
        "signatures": export.describe(directory),
        "published_with": f"tfgen {tfgen.__version__}",
        "environment": results["environment"],
    }
    write_atomically(metadata, card.json_bytes(description))
    shutil.copyfile(run_dir / "results.json", directory / "assets.extra" / "results.json")


def _rename_to_next(temporary, model):
    """Renames to the version after the highest; to a later one if another process takes that first."""
    while True:
        version = model / str(config.next_version(model))
        try:
            os.rename(temporary, version)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            sync(model)
            return version
