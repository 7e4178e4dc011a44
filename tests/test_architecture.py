"""The shape of the package: imports run one way, hyper-parameters have one home."""

import ast
import pathlib

import pytest

import tfgen

PACKAGE = pathlib.Path(tfgen.__file__).parent
# A module may import from the rooms before its own.
ROOMS = (
    {"errors", "__init__"},
    {"recipes", "files", "joint"},
    {"checks", "idx", "distributions", "losses", "figures"},
    {"corruption", "datasets", "report"},
    {"models"},
    {"evaluation", "export"},
    {"lecture"},
    {"experiment"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, room in enumerate(ROOMS) for name in room}


def imported_modules(path):
    """Yields the top-level room of every tfgen module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tfgen":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    room = room_of(path)
    assert room in LEVEL, f"{room} needs a place in ROOMS"
    for imported in imported_modules(path):
        assert LEVEL[imported] < LEVEL[room] or imported == room, f"{path.name} imports {imported}"


def test_the_check_of_imports_sees_a_wrong_one(tmp_path):
    wrong = tmp_path / "losses.py"
    wrong.write_text("def f():\n    from tfgen.experiment import run\n    from tfgen import cli\n")
    assert list(imported_modules(wrong)) == ["experiment", "cli"]


@pytest.mark.parametrize("name", ["errors", "recipes", "joint", "checks", "idx", "files", "report", "cli"])
def test_what_answers_at_once_imports_no_tensorflow_at_the_top(name):
    tree = ast.parse((PACKAGE / f"{name}.py").read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    top |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {module for module in top if module.split(".")[0] in ("tensorflow", "keras", "tensorflow_datasets")}


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_scripts_are_short_and_call_the_command(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 40
    assert "from tfgen.cli import main" in lines
