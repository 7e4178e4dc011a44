"""`results.json` is written whole, holds what is said of a run, and is refused where a value is not what it must be."""

import dataclasses
import json
import math
import pathlib
import platform
import typing
from typing import Literal

import keras
import pytest
import tensorflow as tf
from helpers import StubModule
from hypothesis import given, settings
from hypothesis import strategies as st

import tfgen
from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.runner.results import ENVIRONMENT, load_results, read_results, write_results
from tfgen.runner.results import METRIC as METRIC_RULES
from tfgen.runner.results import RESULTS as RULES
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
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "metrics": {"test_negative_elbo": {"value": 99.5, "unit": "nats", "split": "test", "n": 10_000}},
}

METRIC = RESULTS["metrics"]["test_negative_elbo"]


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


def test_results_say_what_was_run_and_with_what(finished, digits):
    results = write_results(finished, "stub", 61.26, [{"tfgen": "0.1.0"}])
    assert json.loads((finished.directory / "results.json").read_text()) == results
    environment = results.pop("environment")
    assert results == {
        "recipe": "stub",
        "lecture_items": ["A1"],
        "dataset": "digits",
        "data_sha256": digits.sha256,
        "versions": [{"tfgen": "0.1.0"}],
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
        "trainings": {},
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
    assert write_results(finished, "stub", 1, [])["saved_model"] == "saved_model"


def test_what_is_no_json_is_not_written(finished):
    finished.metrics["other"]["standard_error"] = math.nan
    with pytest.raises(ValueError, match="JSON compliant"):
        write_results(finished, "stub", 1, [])
    assert not (finished.directory / "results.json").exists()


def test_results_are_read_as_they_were_written(tmp_path):
    assert read_results(write(tmp_path, RESULTS)) == RESULTS


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule.needed])
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
    metric = {name: value for name, value in METRIC.items() if name != key}
    path = write(tmp_path, {**RESULTS, "metrics": {"test_negative_elbo": metric}})
    with pytest.raises(InputError, match=f"{path} lacks 'metrics.test_negative_elbo.{key}'; restore it, or delete"):
        read_results(path)


@pytest.mark.parametrize("key", ["cpus", "tfgen", "tensorflow", "keras"])
def test_results_that_do_not_say_what_they_were_computed_with_are_refused(tmp_path, key):
    environment = {name: value for name, value in RESULTS["environment"].items() if name != key}
    path = write(tmp_path, {**RESULTS, "environment": environment})
    with pytest.raises(InputError, match=f"{path} lacks 'environment.{key}'; restore it, or delete"):
        read_results(path)


# From the place of a value to values that it must not have.
WRONG = {
    "recipe": [1, ["vae"], "", "vae\n# Title"],
    "lecture_items": ["B3", [3], ["B3 | D1"], {"B3": 1}],
    "dataset": [
        None,
        "",
        " mnist",
        "m" * 201,
        "mnist\n\n# Title",
        "\x1b[31mmnist",
        "m\u202etsinm",
        "see www.a.b",
        "a@b.c",
    ],
    "data_sha256": ["A" * 64, "0" * 63, 0],
    "comparable": ["yes", 1, None],
    "preset": [{}, None, "quick\r"],
    "seed": ["0", -1, 2**31, 1.0, True],
    "deterministic": [0, "false"],
    "metrics": [[], {"Test error": METRIC}, {"a\x1b[2Jb": METRIC}, {"a|b": METRIC}, {"test_error": 0.1}],
    "trainings": [[], {"training": 1}, {"training": {"loss": "1"}}, {"Training": {}}, {"training": {"a b": 1}}],
    "figures": ["figures/a.png", ["../a.png"], ["/etc/passwd"], ["a) ![b](c"], ["a//b"], [".hidden"], [1]],
    "saved_model": ["..", "/", True, ""],
    "seconds": [-0.1, "60", None, 1e10, True],
    "environment": [None, ["2.21.0"], "TensorFlow 2.21.0"],
    "environment.cpus": [0, 2.0, "2", None, 10**100],
    "environment.threads": [0, 2.0, "2", None, 10**100],
    "environment.tensorflow": [2.21, "", "2.21.0 <b>"],
    "versions": ["0.1.0", ["0.1.0"], [{"tfgen": 1}], [{"tfgen": "see http://a"}], {}],
    "config": [[], {"Epochs": 1}, {"epochs": {"a": 1}}, {"noise": "`a`"}, {"noise": "a | b"}, {"a;rm": 1}],
    "metrics.test_negative_elbo.value": ["99.5", True, [], 10**400, 1e151],
    "metrics.test_negative_elbo.unit": [None, "", "nats\nper image", "\x9b2J", "u\u200bnit", "x" * 201, "http://a"],
    "metrics.test_negative_elbo.split": [["test"], "test\x00", "te\tst", "\ud800"],
    "metrics.test_negative_elbo.n": [-1, 1.0, True, "7", 2**63],
    "metrics.test_negative_elbo.std": ["0", -1, None],
    "metrics.test_negative_elbo.standard_error": [[], -0.5],
    "metrics.test_negative_elbo.sigma": ["wide", 1e7],
    "metrics.test_negative_elbo.at_edge": [0, "no"],
    "metrics.test_negative_elbo.classifier": [7, "a\nb"],
    "metrics.test_negative_elbo.classifier_test_error": [None, 1.5, "0.01"],
}


def changed(key, value, results=RESULTS):
    """Returns results with another value at a place such as "environment.cpus"."""
    first, _, rest = key.partition(".")
    return {**results, first: changed(rest, value, results[first]) if rest else value}


@pytest.mark.parametrize("key", WRONG)
def test_results_with_a_value_that_may_not_be_are_refused_in_one_line(tmp_path, key):
    path = write(tmp_path, RESULTS)
    for value in WRONG[key]:
        path.write_text(json.dumps(changed(key, value)))
        with pytest.raises(InputError) as refused:
            read_results(path)
        message = str(refused.value)
        assert message.startswith(str(path)) and message.isprintable() and len(message) < 500
        assert message.endswith(f"; restore it, or delete {path.parent}")
        # A text that could not be printed is refused wherever it stands.
        assert f"{path}: {key}" in message or "cannot be printed" in message


def test_every_value_that_is_checked_is_tried():
    rules = {*RULES, *(f"environment.{key}" for key in ENVIRONMENT)}
    rules |= {f"metrics.test_negative_elbo.{key}" for key in METRIC_RULES}
    assert rules - set(WRONG) == {"environment.tfgen", "environment.keras"}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_results_with_nan_or_infinity_are_refused(tmp_path, text):
    path = write(tmp_path, RESULTS)
    path.write_text(path.read_text().replace("99.5", text))
    with pytest.raises(InputError, match=f"{path} is damaged .{text} is no finite number.; restore it, or delete"):
        read_results(path)


def test_results_of_earlier_versions_and_of_later_ones_are_read(tmp_path):
    """They lack the checksum of the data, have fields that the recipe has lost, and entries that nobody knows yet."""
    config = {
        "epochs": 30,
        "ema_momentum": 0.99,
        "stages": [[1, 0.5, 1e-3]],
        "noise": "unit-variance uniform",
        "a": None,
    }
    metric = {**METRIC, "value": None, "another": [1]}
    results = {**RESULTS, "config": config, "versions": [{"tfgen": "1"}], "metrics": {"value": metric}}
    assert read_results(write(tmp_path, results)) == results
    root = pathlib.Path(tfgen.__file__).parents[1]
    kept = [*root.glob("docs/results/**/results.json"), *root.glob("saved_models/**/results.json")]
    assert len(kept) > 30
    for path in kept:
        assert read_results(path) == json.loads(path.read_text())


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


@pytest.mark.parametrize("name", RECIPES)
def test_every_configuration_of_every_recipe_is_read_back(tmp_path, name):
    for preset, config in RECIPES[name].presets.items():
        kept = json.loads(json.dumps(dataclasses.asdict(config)))
        path = tmp_path / preset / "results.json"
        path.parent.mkdir()
        path.write_text(json.dumps({**RESULTS, "recipe": name, "preset": preset, "config": kept}))
        assert read_results(path)["config"] == kept
    words = [item for value in vars(recipe).values() if typing.get_origin(value) is Literal for item in value.__args__]
    assert "unit-variance uniform" in words and all(RULES["config"].allows({"word": word}) for word in words)


def test_runs_that_are_to_be_replaced_are_not_read(tmp_path):
    for name in ("gan", "vae"):
        write(tmp_path, {**RESULTS, "recipe": name})
    (tmp_path / "vae" / "results.json").write_text("{")
    assert [result["recipe"] for result in load_results(tmp_path, but=("vae",))] == ["gan"]
    with pytest.raises(InputError, match=r"vae/results\.json is damaged"):
        load_results(tmp_path, but=("gan",))


# Any file at all.

TEXTS = st.text(max_size=20) | st.sampled_from(["vae", "quick", "B3", "test", "<img src=x>", "\x1b[2J", "a|b", "NaN"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
KEYS = TEXTS | st.sampled_from([*RULES, *METRIC_RULES, *ENVIRONMENT])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Path of a results file that is written again and again."""
    return tmp_path_factory.mktemp("runs") / "vae" / "results.json"


def read_or_refuse(path, content):
    """Returns the results in a file of these bytes, or None where it is refused, in one line that can be printed."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    try:
        results = read_results(path)
    except InputError as error:
        message = str(error)
        assert message.startswith(str(path)) and message.isprintable() and len(message) < 600
        assert f"delete {path.parent}" in message
        return None
    # What is shown of them is what its rules allow.
    assert all(rule.allows(results[key]) for key, rule in RULES.items() if rule.needed or key in results)
    environment = results["environment"]
    assert all(rule.allows(environment[key]) for key, rule in ENVIRONMENT.items() if rule.needed or key in environment)
    for metric in results["metrics"].values():
        assert all(rule.allows(metric[key]) for key, rule in METRIC_RULES.items() if rule.needed or key in metric)
    return results


@settings(max_examples=150, deadline=None)
@given(value=JSON)
def test_any_json_in_the_place_of_results_is_refused(file, value):
    assert read_or_refuse(file, json.dumps(value).encode()) is None


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from([*WRONG, "metrics.test_negative_elbo", "metrics.other", "config.epochs"]), value=JSON)
def test_results_with_any_json_in_the_place_of_a_value_are_read_or_refused(file, key, value):
    results = changed(key, value)
    found = read_or_refuse(file, json.dumps(results).encode())
    assert found is None or found == results


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_cut_and_changed_bytes_of_results_are_read_or_refused(file, data):
    content = json.dumps(RESULTS).encode()
    at = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.integers(at, min(at + 3, len(content))))
    read_or_refuse(file, content[:at] + data.draw(st.binary(max_size=4)) + content[cut:])
    assert read_or_refuse(file, content[:at]) is None
    assert read_or_refuse(file, data.draw(st.binary(max_size=100))) is None
