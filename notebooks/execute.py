"""Runs the lecture's notebook from top to bottom and keeps its outputs in it: `make notebook`."""

import base64
import io
import pathlib

import nbclient
import nbformat
from PIL import Image


def execute(path):
    """Runs a notebook in its own directory and writes it back, whole or, if a cell fails, not at all.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    resources = {"metadata": {"path": str(path.parent)}}
    # Nothing is kept that the next run would change: no times of cells, no version of Python, no accidental pieces.
    nbclient.NotebookClient(
        notebook, kernel_name="python3", resources=resources, record_timing=False, coalesce_streams=True
    ).execute()
    notebook.metadata = metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _of_few_colours(output.data["image/png"])
    nbformat.write(notebook, path)


def _of_few_colours(png):
    """Returns a PNG, as base64 text, with 256 colours at most: it looks the same at a third of the size."""
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    image.quantize(256, Image.Quantize.MAXCOVERAGE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    execute(pathlib.Path(__file__).with_name("lecture.ipynb"))
