"""Writes `report.md`, with the table and all figures of the runs in a directory."""

import pathlib

from tfgen.files import half_written, lock_of, locked, write_atomically
from tfgen.recipes import RECIPES
from tfgen.report.tables import HEADER, escaped, markdown_table, rows
from tfgen.runner.results import load_results


def write_report(directory):
    """Writes `report.md`, with the table and all figures of the finished runs in `directory`. Returns its path."""
    results = load_results(directory)
    lines = ["# Results", "", markdown_table(HEADER, [map(escaped, row) for row in rows(results)])]
    for result in results:
        lines += [
            "",
            f"## {result['recipe']}",
            "",
            f"{RECIPES[result['recipe']].title}. Lecture {', '.join(result['lecture_items'])}. "
            f"Dataset {escaped(result['dataset'])}, preset {result['preset']}, seed {result['seed']}, "
            f"{result['seconds']} s on {result['environment']['cpus']} CPUs.",
            "",
        ]
        figures = result.get("figures", ())
        lines += [f"![{escaped(pathlib.Path(name).stem)}]({result['recipe']}/{name})" for name in figures]
    path = pathlib.Path(directory) / "report.md"
    with locked(lock_of(path)):
        for leftover in half_written(directory):
            leftover.unlink()
        write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path
