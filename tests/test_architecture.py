"""The shape of the package: imports run one way, what answers at once loads no TensorFlow, scripts are one call."""

import ast
import json
import pathlib
import runpy
import subprocess
import sys

import pytest

import tfgen
from tfgen.recipes import RECIPES

PACKAGE = pathlib.Path(tfgen.__file__).parent
# A module may import from the floors below its own.
ROOMS = (
    {"errors", "__init__"},
    {"recipe", "files", "schema", "console", "joint", "distributions", "losses"},
    {"data", "figures", "models"},
    {"evaluation", "export"},
    {"training", "sampling"},
    {"recipes"},
    {"runner"},
    {"report"},
    {"serving"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, room in enumerate(ROOMS) for name in room}


def imported_modules(path, package=PACKAGE):
    """Yields the top-level room of every tfgen module that a file of the package imports, anywhere in it."""
    folders = ["tfgen", *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the file's own folder, each further one the folder above.
            above = folders[: len(folders) - node.level + 1] if node.level else []
            module = above + (node.module.split(".") if node.module else [])
            modules = [module] if len(module) > 1 else [[*module, alias.name] for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            # After a bare `import tfgen`, whose attributes are its modules, and `__version__`.
            modules = [[node.value.id, node.attr]] if not node.attr.startswith("__") else []
        else:
            continue
        yield from (module[1] for module in modules if module[0] == "tfgen" and len(module) > 1)


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    room = room_of(path)
    assert room in LEVEL, f"{room} needs a place in ROOMS"
    for imported in imported_modules(path):
        assert LEVEL[imported] < LEVEL[room] or imported == room, f"{path.name} imports {imported}"


@pytest.mark.parametrize(
    "folder, line, rooms",
    [
        (".", "from tfgen.runner.run import run", ["runner"]),
        (".", "from tfgen import cli, idx", ["cli", "idx"]),
        (".", "import tfgen.lecture.part_a", ["lecture"]),
        (".", "import numpy, tfgen.cli as command", ["cli"]),
        (".", "import tfgen; tfgen.runner.run(tfgen.__version__)", ["runner"]),
        (".", "from .runner.run import run", ["runner"]),
        (".", "from . import cli, files", ["cli", "files"]),
        ("models", "from ..runner.run import run", ["runner"]),
        ("models", "from .. import cli", ["cli"]),
        ("models", "from .gan import GAN", ["models"]),
        ("models", "from . import gan", ["models"]),
        (".", "import numpy.testing; from keras import losses; import tfgenerator.cli", []),
    ],
)
def test_the_check_of_imports_sees_every_way_to_write_one(tmp_path, folder, line, rooms):
    path = tmp_path / folder / "losses.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"def f():\n    {line}\n")
    assert list(imported_modules(path, tmp_path)) == rooms


def test_models_and_evaluation_know_nothing_of_files_and_recipes():
    """And `evaluation` takes callables, not models."""
    mathematics = {"errors", "joint", "distributions", "losses"}
    for room in ("models", "evaluation"):
        for path in (PACKAGE / room).glob("*.py"):
            assert set(imported_modules(path)) <= mathematics | {room}, path.name


def test_the_package_needs_nothing_of_what_lies_around_it():
    outside = {"benchmarks", "helpers", "scripts", "tests"}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
        assert not outside & {name.split(".")[0] for name in imported}, path.name


# What is answered before TensorFlow is loaded, or without it: whole rooms, with all that is in them.
AT_ONCE = ("recipes", "report")
AT_ONCE_MODULES = (
    "cli",
    "data",
    "errors",
    "files",
    "joint",
    "recipe",
    "runner.directory",
    "runner.request",
    "runner.results",
    "sampling",
    "serving",
)
HEAVY = ("keras", "matplotlib", "scipy", "sklearn", "tensorflow", "tensorflow_datasets")


def test_what_answers_at_once_loads_no_tensorflow():
    """In one fresh process; a module is blamed if something heavy is there after it and was not before."""
    names = [path.relative_to(PACKAGE).with_suffix("") for room in AT_ONCE for path in (PACKAGE / room).glob("*.py")]
    modules = [f"tfgen.{name}" for name in (*AT_ONCE_MODULES, *(".".join(name.parts) for name in sorted(names)))]
    assert len(modules) > 30
    program = (
        "import importlib, json, sys\n"
        "modules, heavy, blamed = sys.argv[1].split(','), sys.argv[2].split(','), {}\n"
        "for module in modules:\n"
        "    before = set(sys.modules)\n"
        "    importlib.import_module(module)\n"
        "    if loaded := sorted((set(sys.modules) - before) & set(heavy)): blamed[module] = loaded\n"
        "print(json.dumps(blamed))"
    )

    def blamed(modules):
        command = [sys.executable, "-c", program, ",".join(modules), ",".join(HEAVY)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    assert blamed(modules) == {}
    # What is allowed to load it is found out.
    assert blamed(["tfgen.joint", "tfgen.figures"]) == {"tfgen.figures": ["matplotlib"]}


SCRIPTS = {f"replicate_{name.replace('-', '_')}.py": [name] for name in RECIPES} | {"replicate_all.py": ["--all"]}


def test_every_recipe_has_a_script():
    assert {path.name for path in (PACKAGE.parent / "scripts").glob("*.py")} == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_short_and_call_the_command(script, monkeypatch):
    path = PACKAGE.parent / "scripts" / script
    text = path.read_text()
    _, *statements = ast.parse(text).body
    assert ast.get_docstring(ast.parse(text)) and len(text.splitlines()) <= 15
    assert [ast.unparse(statement) for statement in statements[:-1]] == ["import sys", "from tfgen.cli import main"]
    called = []
    monkeypatch.setattr("tfgen.cli.main", lambda arguments: called.append(arguments) or 3)
    monkeypatch.setattr(sys, "argv", [str(path), "--preset", "smoke"])
    runpy.run_path(str(path))
    assert called == []  # importing it runs nothing
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert end.value.code == 3 and called == [["run", *SCRIPTS[script], "--preset", "smoke"]]
