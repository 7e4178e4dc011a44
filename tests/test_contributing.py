"""What CONTRIBUTING.md, CHANGELOG.md and CITATION.cff say is so: the example runs, versions and names are real."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import tfgen
from tfgen.recipes import RECIPES

ROOT = pathlib.Path(tfgen.__file__).parents[1]
CONTRIBUTING, CHANGELOG, CITATION = (
    (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff")
)


def test_the_example_of_a_recipe_runs_when_it_is_put_where_it_is_told(tmp_path):
    (file,) = re.findall(r"here `(\w+\.py)`", CONTRIBUTING)
    (recipe,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    ((entry, name, module),) = re.findall(r'`("([\w-]+)": (\w+))`', CONTRIBUTING)
    assert file == f"{module}.py"
    shutil.copytree(tfgen.__path__[0], tmp_path / "tfgen", ignore=shutil.ignore_patterns("__pycache__"))
    recipes = tmp_path / "tfgen" / "recipes"
    (recipes / file).write_text(recipe)
    names = (recipes / "__init__.py").read_text()
    names = names.replace("    vae,\n", f"    {module},\n    vae,\n").replace(
        "MODULES = {\n", f"MODULES = {{\n    {entry},\n"
    )
    (recipes / "__init__.py").write_text(names)

    def call(*command):
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        called = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert called.returncode == 0, called.stderr
        return called.stdout

    told = call(sys.executable, "-m", "tfgen", "list", name)
    assert "with tied weights (A3, A4)" in told and "code_dim = 64\n      number of hidden units." in told
    (command,) = re.findall(rf"`tfgen (run {name} .*?)`", CONTRIBUTING)
    printed = call(sys.executable, "-m", "tfgen", *command.split())
    metric = json.loads((tmp_path / "runs" / name / "results.json").read_text())["metrics"]["test_squared_error"]
    assert f"{metric['value']:.4g}" in printed and metric["n"] == 297 and metric["split"] == "test"
    # The mean of an image's squared pixels, the error of a reconstruction that is black, is 90.
    assert 0 < metric["value"] < 60
    for path in ("results.json", "figures/training.png", "saved_model/saved_model.pb"):
        assert (tmp_path / "runs" / name / path).stat().st_size > 0
    reload = (
        "import tensorflow as tf\n"
        f"model = tf.saved_model.load('runs/{name}/saved_model')\n"
        "print(model.signatures['encode'](image=tf.zeros((3, 784)))['code'].shape)"
    )
    assert call(sys.executable, "-c", reload) == "(3, 64)\n"


@pytest.mark.parametrize("text, lines", [(CONTRIBUTING, 90), (CHANGELOG, 60)], ids=["contributing", "changelog"])
def test_documents_stay_short_and_link_to_what_is_there(text, lines):
    assert len(text.splitlines()) <= lines
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link


def test_commands_of_make_are_there():
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"`make ([\w-]+)`", CONTRIBUTING + CHANGELOG)
    assert len(set(commands)) >= 6
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command


def test_the_changelog_begins_with_what_is_not_released_and_has_the_version():
    headings = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", CHANGELOG, re.MULTILINE)
    assert headings == re.findall(r"^## \[(.+?)\].*$", CHANGELOG, re.MULTILINE)
    assert headings[:2] == ["Unreleased", tfgen.__version__]


def test_the_citation_is_of_this_version_and_names_the_recipes_of_each_paper():
    assert f"\nversion: {tfgen.__version__}\n" in CITATION and CITATION.startswith("cff-version: 1.2.0\n")
    notes = re.findall(r"notes: Recipes? (.+)\.", CITATION)
    named = [name for note in notes for name in re.split(", | and ", note)]
    assert len(notes) == CITATION.count("    title: ") == 8
    assert len(set(named)) == len(named) and set(named) <= set(RECIPES)
