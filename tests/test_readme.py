"""The README keeps its word: its code runs, its commands exist, its tables are what was measured."""

import json
import pathlib
import pkgutil
import re
import shlex
import shutil
import statistics
import sys

import keras
import numpy as np
import pytest

from tfgen import cli
from tfgen.recipe import LECTURE
from tfgen.recipes import RECIPES
from tfgen.report import documents, tables
from tfgen.runner.request import Request

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LECTURE_TABLE = README[README.index("## The lecture") : README.index("## Commands")]
COMMANDS = re.findall(r"^\$ (tfgen .*?)(?: {2,}#.*)?$", README, re.MULTILINE)
KEPT = documents.kept_results(ROOT)


def table_of(text):
    """Returns the cells of a Markdown table's rows, without its heading."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return [row for row in rows if not set("".join(row)) <= {"-", "|", " "}][1:]


def test_five_lines_load_a_saved_model(exported, tmp_path, monkeypatch, capsys):
    shutil.copytree(exported["gan"][1], tmp_path / "runs" / "gan" / "saved_model")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(import tensorflow.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 5
    exec(code, {})
    shape, low, high = re.fullmatch(r"\((\d+, \d+)\) (\S+) (\S+)\n", capsys.readouterr().out).groups()
    assert shape == "64, 784" and 0 <= float(low) < float(high) <= 1


def test_the_python_example_trains(monkeypatch):
    # Other tests have imported modules that a fresh process would not have: its own imports must do.
    for name in list(sys.modules):
        package, _, module = name.rpartition(".")
        if re.fullmatch(r"tfgen\.(data|models|evaluation|training)", package):
            monkeypatch.delattr(sys.modules[package], module, raising=False)
    (code,) = re.findall(r"```python\n(import keras\nimport tfgen.*?)```", README, re.DOTALL)
    names = {}
    exec(code, names)
    assert int(names["vae"].optimizer.iterations) == 10 * 10
    assert names["images"].shape == (1250, 784) and set(np.unique(names["images"])) == {0, 1}
    assert np.all(np.isfinite(names["vae"].predict(names["images"], verbose=0)))
    keras.backend.clear_session()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_ones_the_parser_takes(command, tmp_path):
    arguments = shlex.split(command, comments=True)
    parsed = cli._parser().parse_args(arguments[1:])
    assert callable(parsed.function)
    if parsed.command == "run":
        names = list(RECIPES) if parsed.all else parsed.recipes
        # Those without the preset are left out of --all.
        for name in (name for name in names if not parsed.all or parsed.preset in RECIPES[name].presets):
            request = Request(name, parsed.preset, parsed.seed, parsed.epochs, parsed.settings, output_dir=tmp_path)
            assert (request.config() == RECIPES[name].presets[parsed.preset]) is not bool(
                parsed.settings or parsed.epochs
            )
    if parsed.command == "list":
        assert parsed.recipe is None or parsed.recipe in RECIPES


def test_the_readme_shows_commands():
    assert len(COMMANDS) >= 5
    assert any("--set" in command for command in COMMANDS) and not any("--precision" in command for command in COMMANDS)


def test_every_lecture_item_has_its_row():
    rows = dict(re.findall(r"^\| ([A-D]\d) \| (.+?) \|", LECTURE_TABLE, re.MULTILINE))
    assert rows == LECTURE


@pytest.mark.parametrize("name", RECIPES)
def test_items_of_a_recipe_are_not_called_missing(name):
    for item in RECIPES[name].lecture_items:
        (row,) = re.findall(rf"^\| {item} \|.*$", LECTURE_TABLE, re.MULTILINE)
        assert "not yet" not in row


def test_recipes_and_names_of_the_lecture_table_exist():
    for command in re.findall(r"`tfgen run ([^`]+)`", LECTURE_TABLE):
        assert set(re.split(" --", command)[0].split()) <= set(RECIPES), command
    names = re.findall(r"`(tfgen\.[\w.]+)`", LECTURE_TABLE)
    assert len(names) >= 10
    for name in names:
        assert pkgutil.resolve_name(name) is not None


# Results.


def test_results_of_every_recipe_are_kept_and_are_mnist_s():
    kept = {(result["recipe"], result["preset"]) for result in KEPT}
    assert kept >= {(name, "quick") for name, recipe in RECIPES.items() if "quick" in recipe.presets}
    assert {name for name, _ in kept} == set(RECIPES)
    assert all(result["dataset"] == "mnist" and result["comparable"] for result in KEPT)


def test_the_table_of_results_is_that_of_the_results_kept():
    """Each row's numbers are those of the files; its options those that the files record, whatever a preset is now."""
    start, end = tables.README_MARKS
    shown = README[README.index(start) + len(start) : README.index(end)].strip()
    expected = tables.readme_table(KEPT)
    assert shown.split("\n\n")[1] == expected.split("\n\n")[1]
    rows, expected_rows = table_of(shown), table_of(expected)
    # Each metric of the table is one that its run computed.
    groups = {}
    for result in KEPT:
        groups.setdefault((result["recipe"], result["preset"]), []).append(result)
    assert len(rows) == len(expected_rows) == sum(len(RECIPES[name].headline) for name, _ in groups)
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert [row[0], *row[2:]] == [expected_row[0], *expected_row[2:]]
        parsed = cli._parser().parse_args(["run", *shlex.split(row[1].strip("`"))])
        runs = groups[parsed.recipes[0], parsed.preset]
        # What the row says of a hyper-parameter is what the runs record.
        changed = {"epochs": str(parsed.epochs)} if parsed.epochs else {}
        changed |= dict(text.split("=", 1) for text in parsed.settings)
        for result in runs:
            recorded = {name: tables.as_setting(value) for name, value in result["config"].items()}
            assert changed.items() <= recorded.items()
            assert result.get("deterministic", False) == parsed.deterministic
        # And it names all that differs from the preset, unless the preset has changed since.
        if not documents.changed_presets(runs):
            assert row == expected_row and not changed


def test_a_preset_that_moves_on_breaks_no_table(monkeypatch):
    """As the test above must hold when it does: every preset is another one."""
    for name, recipe in RECIPES.items():
        presets = {key: config.replace(epochs=config.epochs + 10) for key, config in recipe.presets.items()}
        monkeypatch.setitem(RECIPES, name, type(recipe)(**{**vars(recipe), "presets": presets}))
    assert len(documents.changed_presets(KEPT)) == len(KEPT)
    test_the_table_of_results_is_that_of_the_results_kept()


def test_the_table_of_speed_is_that_of_the_measurement_kept():
    measured = json.loads((ROOT / "docs" / "benchmark" / "benchmark.json").read_text())
    rows = {row[0]: row[1:] for row in table_of(README[README.index("## Speed") : README.index("## The lecture")])}
    variants = [(family, name) for family, result in measured["training"].items() for name in result["ratios"]]
    assert list(rows) == [f"`{family}`" + ", bfloat16" * name.endswith("bfloat16") for family, name in variants]
    for (family, name), cells in zip(variants, rows.values(), strict=True):
        result = measured["training"][family]
        rate = statistics.median(result["variants"][name]["images_per_second"])
        peers = ("keras", "tensorflow1", "torch", "torch-fused", "torch-dataloader")
        ratios = [f"{result['ratios'][name][peer]['median']:.2f}" for peer in peers]
        share = result["ratios"][name][name.replace("tfgen", "products")]["median"]
        assert cells == [f"{rate:,.0f}", *ratios, f"{100 * share:.0f} %"]
    # Of real images, and of everything that can be left out.
    assert measured["data"] == "mnist"
    for family in ("gan", "vae", "autoencoder", "gan-1200", "autoencoder-1200"):
        assert {"keras", "tensorflow1", "torch-fused", "products"} <= set(measured["training"][family]["variants"])
    assert {"scaling", "inference", "evaluation"} <= set(measured)


# What it points at.


def test_pictures_and_documents_stand_where_the_readme_points():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = [link for link in re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)", text) if not link.startswith("http")]
    assert "docs/deviations.md" in links
    for link in links:
        assert (ROOT / link).exists(), link


def test_each_promise_of_reliability_names_its_test():
    promises = re.findall(
        r"^\| (.+) \| `([\w/]+\.py)::(\w+)` \|$", (ROOT / "docs" / "reliability.md").read_text(), re.M
    )
    assert len(promises) > 30
    for _, file, name in promises:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), (file, name)


def test_each_script_runs_its_recipe_and_says_what_it_is():
    for name, recipe in RECIPES.items():
        script = (ROOT / "scripts" / f"replicate_{name.replace('-', '_')}.py").read_text()
        assert f'["run", "{name}", *sys.argv[1:]]' in script
        # A docstring's first line that names the lecture's items of the recipe.
        assert all(item in script.partition("\n\n")[0] for item in recipe.lecture_items)
        (story,) = re.findall(r"tfgen/recipes/\w+\.py", script)
        assert story == f"tfgen/recipes/{name.replace('-', '_')}.py" and (ROOT / story).is_file()
