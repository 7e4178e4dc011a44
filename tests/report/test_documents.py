"""What README.md and docs/ take from recipes and kept results: deviations, the table, presets that have changed."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import types

import pytest
from helpers import StubModule

from tfgen.recipes import MODULES, RECIPES
from tfgen.report import check, documents, tables

ROOT = pathlib.Path(__file__).parents[2]
METRIC = {"value": 13.866, "unit": "u", "split": "test", "n": 10_000}
RESULT = {
    "recipe": "stub",
    "lecture_items": ["A1"],
    "dataset": "mnist",
    "comparable": True,
    "preset": "smoke",
    "seed": 5,
    "seconds": 60.4,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "config": {"epochs": 1, "batch_size": 50, "learning_rate": 0.1},
    "metrics": {"test_squared_error": METRIC},
}
STORY = """A linear unit (A1).

What it learns: the mean.

Source: Someone 1999, section 3:
two lines. No number.
Differs:
- The first
  deviation - with a dash: and a colon.
- The second: Source: is not a heading here.
"""


@pytest.fixture
def story(stub, monkeypatch):
    """The stub's name, whose file has a docstring."""
    module = types.ModuleType("tfgen.recipes.the_stub", STORY)
    module.RECIPE = StubModule.RECIPE
    monkeypatch.setitem(MODULES, stub, module)
    return stub


# Deviations.


def test_a_story_falls_into_its_sections(story):
    assert documents.sections(story) == {
        "": "A linear unit (A1).\n\nWhat it learns: the mean.",
        "Source": "Someone 1999, section 3:\ntwo lines. No number.",
        "Differs": "- The first\n  deviation - with a dash: and a colon.\n- The second: Source: is not a heading here.",
    }
    assert documents.differences(story) == [
        "The first deviation - with a dash: and a colon.",
        "The second: Source: is not a heading here.",
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_its_source_is_and_in_what_it_differs(name):
    sections = documents.sections(name)
    assert list(sections) == ["", "Source", "Differs"] and all(sections.values())
    assert sections["Differs"].startswith("- ")
    # Nothing of the section is lost in the items.
    assert " ".join(f"- {item}" for item in documents.differences(name)) == " ".join(sections["Differs"].split())
    # The lecture's items that its title names are the recipe's.
    named = re.search(r"\((.+?)\)", sections[""])[1]
    items = set()
    for first, last in re.findall(r"\b([A-D]\d)(?:-([A-D]\d))?", named):
        items |= {f"{first[0]}{i}" for i in range(int(first[1]), int((last or first)[1]) + 1)}
    assert items and items <= set(RECIPES[name].lecture_items)


def test_every_deviation_of_every_recipe_is_numbered_in_the_order_of_the_recipes():
    text = documents.deviations()
    of_recipes = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [re.match(r"\[(.+?)\]", part)[1] for part in of_recipes] == list(RECIPES)
    number = 0
    for name, part in zip(RECIPES, of_recipes, strict=True):
        (file,) = re.findall(r"^\[.+\]\(\.\./(.+)\)$", part, re.MULTILINE)
        assert (ROOT / file).read_text().startswith(f'"""{MODULES[name].__doc__[:40]}')
        (source,) = re.findall(r"^Source: (.+)$", part, re.MULTILINE)
        assert source == " ".join(documents.sections(name)["Source"].split())
        items = re.findall(r"^(\d+)\. (.+)$", part, re.MULTILINE)
        differences = documents.differences(name)
        assert items == [(str(number + i), item) for i, item in enumerate(differences, 1)]
        number += len(differences)
    # And nothing else is: every item of every file's docstring, counted in the files themselves.
    files = [pathlib.Path(module.__file__).read_text() for module in MODULES.values()]
    assert number == sum(len(re.findall(r"^- ", file.split('"""')[1], re.MULTILINE)) for file in files)


def test_the_document_of_deviations_is_what_the_recipes_say():
    assert (ROOT / "docs" / "deviations.md").read_text() == documents.deviations(), "run make docs"


def test_the_table_for_machines_is_that_of_the_kept_results():
    text = (ROOT / "docs" / "results.csv").read_text()
    assert text == tables.csv_table(documents.kept_results(ROOT)), "run make docs"


def test_what_the_package_has_of_the_kept_results_is_theirs():
    kept = check.summary(documents.kept_results(ROOT), ROOT / documents.KEPT)
    assert json.loads(check.KEPT.read_text()) == kept, "run make docs"


# Kept results.


def keep(root, result, directory):
    path = root / documents.KEPT / directory / result["recipe"] / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result))


def test_kept_results_are_those_of_every_preset_and_seed(stub, tmp_path):
    assert documents.kept_results(tmp_path) == []
    keep(tmp_path, {**RESULT, "seed": 1}, "smoke-1")
    keep(tmp_path, RESULT, "smoke-0")
    assert documents.kept_results(str(tmp_path)) == [RESULT, {**RESULT, "seed": 1}]


def test_a_preset_that_has_changed_since_a_result_is_reported(stub):
    kept = {"epochs": 3, "batch_size": 50, "learning_rate": 0.1}
    assert documents.changed_presets([RESULT]) == []
    assert documents.changed_presets([RESULT, {**RESULT, "config": kept}]) == ["stub smoke seed 5: epochs 3, now 1"]
    # A field that has come since, and one that has gone.
    kept = {"epochs": 1, "learning_rate": 0.2, "old": [1, 2]}
    (line,) = documents.changed_presets([{**RESULT, "config": kept}])
    assert line == "stub smoke seed 5: learning_rate 0.2, now 0.1; old [1, 2], now None"


def test_lists_in_results_are_the_tuples_of_presets():
    config = json.loads(json.dumps(dataclasses.asdict(RECIPES["vae"].presets["quick"])))
    assert type(config["hidden_units"]) is list
    assert documents.changed_presets([{"recipe": "vae", "preset": "quick", "seed": 0, "config": config}]) == []


def test_the_documents_are_written_from_recipes_and_results_and_moved_presets_are_named(
    story, tmp_path, capsys, monkeypatch
):
    """As `make docs` does, in a checkout of its own."""
    changed = {**RESULT, "config": {**RESULT["config"], "batch_size": 10}}
    for seed in (5, 6):
        keep(tmp_path, {**changed, "seed": seed}, f"smoke-{seed}")
    highlights = [("stub", "smoke", next(iter(RESULT["metrics"])), "the stub", "a measure")]
    monkeypatch.setattr(documents, "HIGHLIGHTS", highlights)
    marked = {"docs/results.md": tables.RESULTS_MARKS}
    marked |= dict.fromkeys(("README.md", "README.zh-CN.md"), tables.HIGHLIGHTS_MARKS)
    for name, (start, end) in marked.items():
        (tmp_path / name).write_text(f"before\n{start}\nstale\n{end}\nafter\n")
    documents.main(str(tmp_path))
    results = documents.kept_results(tmp_path)
    assert len(results) == 2
    for name, (start, end) in marked.items():
        short = "README" in name
        table = tables.highlights_table(results, highlights) if short else tables.results_table(results)
        assert (tmp_path / name).read_text() == f"before\n{start}\n{table}\n{end}\nafter\n"
    assert (tmp_path / "docs" / "deviations.md").read_text() == documents.deviations()
    number = len(re.findall(r"^\d+\. ", documents.deviations(), re.MULTILINE))
    assert documents.deviations().endswith(
        "## [stub](../tfgen/recipes/the_stub.py)\n\n"
        "Source: Someone 1999, section 3: two lines. No number.\n\n"
        f"{number - 1}. The first deviation - with a dash: and a colon.\n"
        f"{number}. The second: Source: is not a heading here.\n"
    )
    said = "the preset has changed since the kept result: stub smoke seed {}: batch_size 10, now 50"
    assert capsys.readouterr().out.splitlines() == [said.format(5), said.format(6)]


def test_the_documents_of_the_checkout_are_written_without_tensorflow(tmp_path):
    program = (
        "import runpy, sys\n"
        "sys.argv = ['documents', sys.argv[1]]\n"
        "runpy.run_module('tfgen.report.documents', run_name='__main__')\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    kept = tmp_path / documents.KEPT
    kept.parent.mkdir(parents=True)
    (tmp_path / "docs" / "results.md").write_text("\n".join(tables.RESULTS_MARKS))
    for name in ("README.md", "README.zh-CN.md"):
        (tmp_path / name).write_text("\n".join(tables.HIGHLIGHTS_MARKS))
    kept.symlink_to(ROOT / documents.KEPT)
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / "docs" / "deviations.md").read_text() == documents.deviations()
    assert tables.results_table(documents.kept_results(ROOT)) in (tmp_path / "docs" / "results.md").read_text()
