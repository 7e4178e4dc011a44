"""The README keeps its word: its code runs, its commands exist, its table has every lecture item."""

import dataclasses
import json
import pathlib
import re
import shlex

import keras
import numpy as np
import pytest

from tfgen import cli, report
from tfgen.benchmark import report as benchmark_report
from tfgen.export import export
from tfgen.models.gan import GAN
from tfgen.recipes import LECTURE, RECIPES

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LECTURE_TABLE = README[README.index("## The lecture") : README.index("## Commands")]
COMMANDS = re.findall(r"^\$ (tfgen .*?)(?: {2,}#.*)?$", README, re.MULTILINE)


def test_five_lines_load_a_saved_model(tmp_path, monkeypatch, capsys):
    model = GAN()
    export(model.endpoints(), tmp_path / "runs" / "gan" / "saved_model")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(import tensorflow.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 5
    exec(code, {})
    shape, low, high = re.fullmatch(r"\((\d+, \d+)\) (\S+) (\S+)\n", capsys.readouterr().out).groups()
    assert shape == "64, 784" and 0 <= float(low) < float(high) <= 1


def test_the_python_example_trains():
    (code,) = re.findall(r"```python\n(import keras\nimport tfgen.*?)```", README, re.DOTALL)
    names = {}
    exec(code, names)
    assert int(names["vae"].optimizer.iterations) == 10 * 10
    assert set(np.unique(names["images"])) == {0, 1}
    assert np.all(np.isfinite(names["vae"].predict(names["images"], verbose=0)))
    keras.backend.clear_session()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_ones_the_parser_takes(command):
    arguments = shlex.split(command, comments=True)
    parsed = cli._parser().parse_args(arguments[1:])
    assert callable(parsed.function)
    assert set(getattr(parsed, "recipes", [])) <= set(RECIPES)


def test_the_readme_shows_commands():
    assert len(COMMANDS) >= 5


def test_every_lecture_item_has_its_row():
    rows = dict(re.findall(r"^\| ([A-D]\d) \| (.+?) \|", LECTURE_TABLE, re.MULTILINE))
    assert rows == LECTURE


@pytest.mark.parametrize("name", RECIPES)
def test_items_of_a_recipe_are_not_called_missing(name):
    for item in RECIPES[name].lecture_items:
        (row,) = re.findall(rf"^\| {item} \|.*$", LECTURE_TABLE, re.MULTILINE)
        assert "not yet" not in row


def test_the_table_of_results_is_that_of_the_results_kept():
    directories = sorted((ROOT / "docs" / "results").iterdir())
    results = [result for directory in directories for result in report.load_results(directory)]
    kept = {(result["recipe"], result["preset"]) for result in results}
    assert kept >= {(name, "quick") for name, recipe in RECIPES.items() if "quick" in recipe.presets}
    assert {name for name, _ in kept} == set(RECIPES)
    start, end = report.README_MARKS
    shown = README[README.index(start) + len(start) : README.index(end)].strip()
    assert shown == report.readme_table(results)
    for result in results:
        preset = RECIPES[result["recipe"]].presets[result["preset"]]
        assert result["config"] == json.loads(json.dumps(dataclasses.asdict(preset))), result["recipe"]
    # They are MNIST's, and each metric of the table is one that its run computed.
    assert all(result["dataset"] == "mnist" and result["comparable"] for result in results)
    runs = {(result["recipe"], result["preset"]) for result in results}
    assert shown.count("\n| ") == 1 + sum(len(RECIPES[name].headline) for name, _ in runs)


def test_the_table_of_speed_is_that_of_the_measurement_kept():
    measured = json.loads((ROOT / "docs" / "benchmark" / "benchmark.json").read_text())
    assert benchmark_report.summary(measured["training"]) in README
    # Of real images, and of everything that can be left out.
    assert measured["data"] == "mnist"
    for family in ("gan", "vae", "autoencoder", "gan-1200", "autoencoder-1200"):
        assert {"keras", "tensorflow1", "torch-fused", "products"} <= set(measured["training"][family]["variants"])
    assert {"scaling", "inference", "evaluation"} <= set(measured)


def test_pictures_stand_where_the_readme_points():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")


def test_each_script_s_expectations_name_its_recipe():
    for name in RECIPES:
        script = ROOT / "scripts" / f"replicate_{name.replace('-', '_')}.py"
        assert f'["run", "{name}", *sys.argv[1:]]' in script.read_text()
