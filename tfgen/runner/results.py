"""`results.json`: what a finished run leaves for tables, model cards and readers. Imports no TensorFlow."""

import dataclasses
import json
import pathlib

from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically
from tfgen.recipe import PRESETS
from tfgen.recipes import RECIPES
from tfgen.runner.environment import environment

# What a results file must have to be shown.
SHOWN = (
    "recipe",
    "lecture_items",
    "dataset",
    "comparable",
    "preset",
    "seed",
    "metrics",
    "seconds",
    "environment",
    "config",
)


def write_results(run, name, seconds):
    """Writes a run's `results.json`; returns its contents.

    Args:
        run: the `Run` whose experiment has ended.
        name: of the recipe.
        seconds: that the run took, with those before it was resumed.
    """
    results = {
        "recipe": name,
        "lecture_items": list(run.recipe.lecture_items),
        "dataset": run.data.name,
        "comparable": run.data.comparable,
        "preset": run.preset,
        "seed": run.seed,
        "deterministic": run.deterministic,
        "metrics": run.metrics,
        "figures": run.figures,
        "saved_model": "saved_model" if (run.directory / "saved_model").exists() else None,
        "seconds": round(seconds, 1),
        "environment": environment(),
        "config": json.loads(json.dumps(dataclasses.asdict(run.config))),
    }
    write_atomically(run.directory / "results.json", json.dumps(results, indent=1, allow_nan=False).encode())
    return results


def read_results(path):
    """Returns the results in a file; raises `InputError` if one that is shown is missing, or of an unknown recipe."""
    results = read_json(path)
    missing = [key for key in SHOWN if key not in results]
    if missing:
        raise InputError(f"{path} lacks {missing[0]!r}; restore it, or delete {path.parent}")
    if results["recipe"] not in RECIPES or results["preset"] not in PRESETS:
        what = f"{results['recipe']!r} in preset {results['preset']!r}"
        raise InputError(f"{path} is of {what}, which this version does not have; delete {path.parent}")
    for name, metric in results["metrics"].items():
        if not {"value", "unit", "split", "n"} <= set(metric):
            raise InputError(f"{path} has {name} without value, unit, split or n; restore it, or delete {path.parent}")
    return results


def load_results(directory):
    """Returns the `results.json` of every finished run below `directory`, in the order of the recipes."""
    found = (pathlib.Path(directory) / name / "results.json" for name in RECIPES)
    return [read_results(path) for path in found if path.exists()]
