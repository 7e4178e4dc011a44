"""`results.json`: what a finished run leaves for tables, model cards and readers. Imports no TensorFlow."""

import dataclasses
import json
import pathlib
import re

from tfgen import schema
from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically
from tfgen.recipes import RECIPES
from tfgen.runner.environment import environment

RELATIVE = r"(\w[\w.-]*/)*\w[\w.-]*"


def _is_setting(value):
    """Returns whether a value is one that a hyper-parameter may have, in this version or another."""
    if isinstance(value, list):
        return all(map(_is_setting, value))
    scalar = value is None or type(value) is bool or schema.NUMBER.allows(value)
    return scalar or (type(value) is str and re.fullmatch(r"[\w .,+-]{1,100}", value, re.ASCII) is not None)


# What a run was computed with: at the end of a list, the last.
VERSIONS = schema.Rule(
    lambda value: (
        type(value) is list and all(type(one) is dict and all(map(schema.TEXT.allows, one.values())) for one in value)
    ),
    "a list of objects from package to version",
).optional()
# What the values of a results file must be; those of the metrics and of the environment follow.
RESULTS = {
    "recipe": schema.TEXT,
    "lecture_items": schema.list_of("[A-Z][0-9]{1,2}", "a list of the lecture's items, such as 'B3'"),
    "dataset": schema.TEXT,
    "data_sha256": schema.matching("[0-9a-f]{64}", "64 hexadecimal digits").optional(),
    "comparable": schema.FLAG,
    "preset": schema.TEXT,
    "seed": schema.count(0, 2**31 - 1),
    "deterministic": schema.FLAG.optional(),
    "metrics": schema.names_of(lambda value: type(value) is dict, "an object of metrics by lower-case names"),
    "trainings": schema.names_of(
        schema.names_of(schema.NUMBER.allows, "").allows, "an object of trainings, each of numbers by lower-case names"
    ).optional(),
    "figures": schema.list_of(RELATIVE, "a list of files in the run's directory").optional(),
    "saved_model": schema.or_null(schema.matching(RELATIVE, "a directory in the run's directory")).optional(),
    "seconds": schema.number(0, 1e9),
    "environment": schema.OBJECT,
    "versions": VERSIONS,
    # Of another version perhaps, with other fields.
    "config": schema.names_of(_is_setting, "an object of hyper-parameters: numbers, words, true, false, lists of them"),
}
METRIC = {
    "value": schema.or_null(schema.NUMBER),
    "unit": schema.TEXT,
    "split": schema.TEXT,
    "n": schema.count(0, 2**63 - 1),
    "std": schema.number(0, 1e150).optional(),
    "standard_error": schema.number(0, 1e150).optional(),
    "sigma": schema.number(0, 1e6).optional(),
    "at_edge": schema.FLAG.optional(),
    "classifier": schema.TEXT.optional(),
    "classifier_test_error": schema.number(0, 1).optional(),
}
ENVIRONMENT = {
    **dict.fromkeys(("tfgen", "tensorflow", "keras"), schema.matching(r"[\w.+-]+", "a version, such as '2.21.0'")),
    "cpus": schema.count(1, 10**6),
    "threads": schema.count(1, 10**6).optional(),
}


def write_results(run, name, seconds, versions):
    """Writes a run's `results.json`; returns its contents.

    Args:
        run: the `Run` whose experiment has ended.
        name: of the recipe.
        seconds: that the run took, with those before it was resumed.
        versions: list of all that it was computed with, more than one if it was resumed with others.
    """
    results = {
        "recipe": name,
        "lecture_items": list(run.recipe.lecture_items),
        "dataset": run.data.name,
        "data_sha256": run.data.sha256,
        "comparable": run.data.comparable,
        "preset": run.preset,
        "seed": run.seed,
        "deterministic": run.deterministic,
        "metrics": run.metrics,
        "trainings": run.trainings,
        "figures": run.figures,
        "saved_model": "saved_model" if (run.directory / "saved_model").exists() else None,
        "seconds": round(seconds, 1),
        "environment": environment(),
        "versions": versions,
        "config": json.loads(json.dumps(dataclasses.asdict(run.config))),
    }
    write_atomically(run.directory / "results.json", json.dumps(results, indent=1, allow_nan=False).encode())
    return results


def read_results(path):
    """Returns the contents of a `results.json` as a dict: every value that is shown anywhere is what it must be.

    Texts such as a unit can be printed, but hold what they will: in Markdown they are escaped.

    Raises:
        InputError: if the file cannot be read as JSON, a value is missing or may not be, or it is of a recipe or preset
            that this version does not have.
        FileNotFoundError: if there is none.
    """
    path = pathlib.Path(path)
    results = read_json(path)
    schema.check(path, results, RESULTS)
    recipe, preset = results["recipe"], results["preset"]
    if recipe not in RECIPES or preset not in RECIPES[recipe].presets:
        what = f"{recipe!r} in preset {preset!r}"
        raise InputError(f"{path} is of {what}, which this version does not have; delete {path.parent}")
    schema.check(path, results["environment"], ENVIRONMENT, "environment.")
    for name, metric in results["metrics"].items():
        schema.check(path, metric, METRIC, f"metrics.{name}.")
    return results


def load_results(directory, but=()):
    """Returns the `results.json` of every finished run below `directory`, in the order of the recipes.

    Args:
        directory: of runs, each in a directory named like its recipe.
        but: names of recipes whose runs are left out.
    """
    found = (pathlib.Path(directory) / name / "results.json" for name in RECIPES if name not in but)
    return [read_results(path) for path in found if path.exists()]
