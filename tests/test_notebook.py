"""The lecture's notebook: it runs from top to bottom, has every item of the lecture, and names only what exists."""

import json
import pkgutil
import re
import shutil
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from notebooks.execute import execute
from tfgen.recipe import LECTURE
from tfgen.recipes import RECIPES

ROOT = Path(__file__).parent.parent
PATH = ROOT / "notebooks" / "lecture.ipynb"
NOTEBOOK = nbformat.read(PATH, as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
TEXT = "\n\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
# A path from the root, from a home directory or from a drive. Formulas divide, but not by a word.
ABSOLUTE_PATH = re.compile(r"(?:^|[\s\"'`(=])(?:/[A-Za-z]|~/|[A-Z]:[\\/])", re.MULTILINE)
# What two of the cells print.
MEAN_IMAGE = r"squared error of a test image: ([\d.]+); of the mean image instead: ([\d.]+)"
BOUND = r"-ELBO ([\d.]+) >= ([\d.]+)"


def sections(notebook):
    """Returns the cells of each item of the lecture, from its heading to the next one."""
    found, item = {}, None
    for cell in notebook.cells:
        heading = re.search(r"^### ([A-D]\d) ", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        item = heading[1] if heading else item
        if item:
            found.setdefault(item, []).append(cell)
    return found


def printed(notebook, pattern):
    """Returns the numbers of the one match of a pattern in what the cells print."""
    text = "".join(o.text for cell in notebook.cells for o in cell.get("outputs", ()) if o.output_type == "stream")
    (match,) = re.finditer(pattern, text)
    return [float(number) for number in match.groups()]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run on the digits with 100 updates a training, of a copy beside the trained models."""
    directory = tmp_path_factory.mktemp("notebook")
    path = directory / "copy" / "notebooks" / "lecture.ipynb"
    path.parent.mkdir(parents=True)
    (directory / "copy" / "saved_models").symlink_to(ROOT / "saved_models")
    notebook = nbformat.read(PATH, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.source = re.sub(r"^(updates\b.* = )\d+", r"\g<1>100", cell.source, flags=re.MULTILINE)
    nbformat.write(notebook, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(directory / "no data"))
        patch.setenv("PYTHONPATH", str(ROOT))
        # As in Jupyter, where the notebook itself decides, and where what C++ prints is shown: not so under pytest.
        patch.delenv("TF_CPP_MIN_LOG_LEVEL")
        patch.delenv("PYTEST_CURRENT_TEST")
        execute(path)
    return nbformat.read(path, as_version=4)


def test_it_runs_from_top_to_bottom_without_a_warning(executed):
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert printed(executed, r"digits: ([\d.]+),250 training and (\d+) test images") == [1, 297]
    assert not any("skipped" in output.get("text", "") for output in outputs)
    for item, of_item in sections(executed).items():
        pictures = [o for cell in of_item for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
        assert pictures, f"{item} has no picture"
    error, of_mean = printed(executed, MEAN_IMAGE)
    assert error < of_mean
    # An untrained VAE's bound is 784 log 2.
    bound, nll = printed(executed, BOUND)
    assert nll < bound < 543


def test_every_item_of_the_lecture_has_its_heading_in_order():
    assert re.findall(r"^### ([A-D]\d) (.+)$", TEXT, re.MULTILINE) == list(LECTURE.items())
    assert [heading[:2] for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)] == ["A.", "B.", "C.", "D."]


@pytest.mark.parametrize("item", LECTURE)
def test_every_item_names_what_computes_it_and_uses_it(item):
    kinds = [cell.cell_type for cell in sections(NOTEBOOK)[item]]
    text = sections(NOTEBOOK)[item][0].source
    assert kinds[:2] == ["markdown", "code"] and re.search(r"`tfgen\.[\w.]+`", text)


def test_names_and_commands_in_the_text_exist():
    names = re.findall(r"`(tfgen\.[\w.]+)", TEXT)
    assert len(set(names)) > 30
    for name in names:
        assert pkgutil.resolve_name(name) is not None
    commands = re.findall(r"`tfgen (?:run|list) ([\w-]+)`", TEXT)
    assert len(set(commands)) > 8 and set(commands) <= set(RECIPES)


def test_it_holds_no_absolute_path():
    texts = [cell.source for cell in NOTEBOOK.cells] + [str(o.get("text", "")) for cell in CODE for o in cell.outputs]
    assert [match for text in texts for match in ABSOLUTE_PATH.findall(text)] == []
    for path in ("/data/x", "see ~/x", 'open("/x")', "in C:\\x", "`/content/x`"):
        assert ABSOLUTE_PATH.search(path), path


def test_its_outputs_are_those_of_one_whole_run_on_mnist():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert "mnist: 50,000 training" in CODE[2].outputs[0].text
    outputs = [output for cell in CODE for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) > len(LECTURE)
    assert not any(cell.metadata for cell in NOTEBOOK.cells)
    assert PATH.stat().st_size < 1_500_000
    error, of_mean = printed(NOTEBOOK, MEAN_IMAGE)
    assert error < of_mean / 5
    bound, nll = printed(NOTEBOOK, BOUND)
    assert 50 < nll < bound < 200
    value, optimum = printed(NOTEBOOK, r"V\(D, G\) = ([-\d.]+), and -log 4 = ([-\d.]+)")
    assert value == pytest.approx(optimum, abs=0.02)


def test_any_jupyter_opens_it():
    nbformat.validate(NOTEBOOK)
    assert NOTEBOOK.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def test_without_the_package_its_first_cell_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tfgen", None)
    with pytest.raises(ModuleNotFoundError, match=r"git clone .* %pip install") as error:
        exec(CODE[0].source, {})
    assert error.value.__suppress_context__


def test_without_the_trained_models_it_says_what_is_skipped(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(CODE[0].source, names)
    (helpers,) = (cell.source for cell in CODE if "def trained_model" in cell.source)
    names["keras"] = __import__("keras")
    exec(helpers, names)
    assert names["trained_model"]("vae") is None
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("No saved_models/ here or above") and last.startswith("skipped: vae")


def test_a_run_keeps_outputs_and_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "notebook.ipynb"
    shutil.copy(PATH, path)
    metadata = NOTEBOOK.metadata
    nbformat.write(new_notebook(cells=[new_code_cell("print(6 * 7)")], metadata=metadata), path)
    execute(path)
    written = json.loads(path.read_text())
    assert written["metadata"] == metadata
    (cell,) = written["cells"]
    assert cell["metadata"] == {} and cell["outputs"] == [
        {"name": "stdout", "output_type": "stream", "text": ["42\n"]},
    ]
    nbformat.write(new_notebook(cells=[new_code_cell("print(6 * 7)"), new_code_cell("1 / 0")], metadata=metadata), path)
    before = path.read_bytes()
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before
