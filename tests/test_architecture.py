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
    {"serving", "benchmark"},
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
        (".", "from tfgen.experiment import run", ["experiment"]),
        (".", "from tfgen import cli, idx", ["cli", "idx"]),
        (".", "import tfgen.lecture.part_a", ["lecture"]),
        (".", "import numpy, tfgen.cli as command", ["cli"]),
        (".", "import tfgen; tfgen.experiment.run(tfgen.__version__)", ["experiment"]),
        (".", "from .experiment import run", ["experiment"]),
        (".", "from . import cli, idx", ["cli", "idx"]),
        ("models", "from ..experiment import run", ["experiment"]),
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
