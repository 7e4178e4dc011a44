"""`results.json` is written whole, holds what is said of a run, and is refused where it lacks what is shown."""

import json
import math
import pathlib
import platform

import keras
import pytest
import tensorflow as tf
from helpers import StubModule

import tfgen
from tfgen.errors import InputError
from tfgen.runner.results import SHOWN, load_results, read_results, write_results
from tfgen.training.run import Run

RESULTS = {
    "recipe": "vae",
    "lecture_items": ["B3"],
    "dataset": "mnist",
    "comparable": True,
    "preset": "quick",
    "seed": 5,
    "seconds": 60.4,
    "config": {"epochs": 30},
    "environment": {"cpus": 2, "tensorflow": "2.21.0"},
    "metrics": {"test_negative_elbo": {"value": 99.5, "unit": "nats", "split": "test", "n": 10_000}},
}


def write(directory, results):
    path = directory / results.get("recipe", "vae") / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(results))
    return path


@pytest.fixture
def finished(digits, tmp_path):
    """A `Run` of the stub that has done its work."""
    config = StubModule.RECIPE.presets["smoke"]
    run = Run(StubModule.RECIPE, config, digits, tmp_path / "stub", "smoke", seed=4)
    run.metric("test_squared_error", 8.25, "squared error per image", "test", 297, standard_error=0.5)
    run.metric("other", math.inf, "nats", "test", 297)
    run.figure_file("training.png", b"picture")
    return run


def test_results_say_what_was_run_and_with_what(finished):
    results = write_results(finished, "stub", 61.26)
    assert json.loads((finished.directory / "results.json").read_text()) == results
    environment = results.pop("environment")
    assert results == {
        "recipe": "stub",
        "lecture_items": ["A1"],
        "dataset": "digits",
        "comparable": False,
        "preset": "smoke",
        "seed": 4,
        "deterministic": False,
        "metrics": {
            "test_squared_error": {
                "value": 8.25,
                "unit": "squared error per image",
                "split": "test",
                "n": 297,
                "standard_error": 0.5,
            },
            # Infinity is no JSON.
            "other": {"value": None, "unit": "nats", "split": "test", "n": 297},
        },
        "figures": ["figures/training.png"],
        "saved_model": None,
        "seconds": 61.3,
        "config": {"epochs": 1, "batch_size": 50, "learning_rate": 0.1},
    }
    assert environment["tfgen"] == tfgen.__version__ and environment["python"] == platform.python_version()
    assert (environment["tensorflow"], environment["keras"]) == (tf.__version__, keras.__version__)
    assert environment["cpus"] >= 1 and {"numpy", "scikit-learn", "tensorflow-datasets", "platform"} <= set(environment)


def test_results_name_the_model_where_there_is_one(finished):
    (finished.directory / "saved_model").mkdir()
    assert write_results(finished, "stub", 1)["saved_model"] == "saved_model"


def test_what_is_no_json_is_not_written(finished):
    finished.metrics["other"]["standard_error"] = math.nan
    with pytest.raises(ValueError, match="JSON compliant"):
        write_results(finished, "stub", 1)
    assert not (finished.directory / "results.json").exists()


def test_results_are_read_as_they_were_written(tmp_path):
    assert read_results(write(tmp_path, RESULTS)) == RESULTS


@pytest.mark.parametrize("key", SHOWN)
def test_results_without_what_is_shown_are_refused(tmp_path, key):
    path = write(tmp_path, {name: value for name, value in RESULTS.items() if name != key})
    with pytest.raises(InputError, match=rf"{path} lacks '{key}'; restore it, or delete {path.parent}$"):
        read_results(path)


@pytest.mark.parametrize("key, value", [("recipe", "gan-2d"), ("preset", "huge")])
def test_results_of_a_recipe_or_preset_that_is_gone_are_refused(tmp_path, key, value):
    path = write(tmp_path, {**RESULTS, key: value})
    with pytest.raises(InputError, match=f"{path} is of .*{value!r}.*; delete {path.parent}$"):
        read_results(path)


@pytest.mark.parametrize("key", ["value", "unit", "split", "n"])
def test_metrics_that_do_not_say_what_they_are_are_refused(tmp_path, key):
    metric = {name: value for name, value in RESULTS["metrics"]["test_negative_elbo"].items() if name != key}
    path = write(tmp_path, {**RESULTS, "metrics": {"test_negative_elbo": metric}})
    with pytest.raises(InputError, match=f"{path} has test_negative_elbo without value, unit, split or n; restore it"):
        read_results(path)


def test_a_damaged_result_is_named_with_the_remedy(tmp_path):
    path = write(tmp_path, RESULTS)
    path.write_text('{"recipe": "va')
    with pytest.raises(InputError, match=r"results.json is damaged .*delete .*vae"):
        load_results(tmp_path)


def test_the_finished_runs_of_a_directory_are_read_in_the_order_of_the_recipes(tmp_path):
    for name in ("gan", "vae", "stacked-autoencoder"):
        write(tmp_path, {**RESULTS, "recipe": name})
    # Unfinished, moved aside, and what is no run.
    (tmp_path / "vae-2d" / "checkpoints").mkdir(parents=True)
    write(tmp_path / "vae.1", RESULTS).rename(tmp_path / "vae.1" / "results.json")
    (tmp_path / "notes").mkdir()
    assert [result["recipe"] for result in load_results(str(tmp_path))] == ["stacked-autoencoder", "vae", "gan"]
    assert load_results(pathlib.Path(tmp_path, "missing")) == []
