"""Results as text: the table at the end of a run, and the report of all runs in a directory."""

import pathlib

from tfgen.files import read_json, write_atomically
from tfgen.recipes import RECIPES


def _number(value):
    if value is None:
        return "not finite"
    if abs(value) < 1:
        return f"{value:.4g}"
    # Only a count of something is whole and this large.
    return f"{value:,.0f}" if abs(value) >= 1000 and float(value).is_integer() else f"{value:.2f}"


def rows(results):
    """Returns `(recipe, lecture items, metric, published, ours, unit and split)` for every metric of every run."""
    return [
        (
            result["recipe"],
            " ".join(result["lecture_items"]),
            name,
            (_number(metric["published"]) if "published" in metric else "not reported")
            if result["comparable"]
            else "not comparable",
            _number(metric["value"]),
            f"{metric['unit']}; {metric['split']}, n = {metric['n']:,}",
        )
        for result in results
        for name, metric in result["metrics"].items()
    ]


HEADER = ("recipe", "lecture item", "metric", "published", "ours", "unit; split")


def table(results):
    """Returns the results as a plain table with aligned columns."""
    lines = [HEADER, *rows(results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "-+-".join("-" * width for width in widths), *text[1:]])


def load_results(directory):
    """Returns the `results.json` of every finished run below `directory`, in the order of the recipes."""
    found = (pathlib.Path(directory) / name / "results.json" for name in RECIPES)
    return [read_json(path) for path in found if path.exists()]


def write_report(directory):
    """Writes `report.md`: the table and every figure of the finished runs below `directory`. Returns its path."""
    results = load_results(directory)
    lines = ["# Results", "", "| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    lines += ["| " + " | ".join(row) + " |" for row in rows(results)]
    for result in results:
        lines += [
            "",
            f"## {result['recipe']}",
            "",
            f"{RECIPES[result['recipe']].title}. Lecture {', '.join(result['lecture_items'])}. "
            f"Dataset {result['dataset']}, preset {result['preset']}, seed {result['seed']}, "
            f"{result['seconds']} s on {result['environment']['cpus']} CPUs.",
            "",
        ]
        lines += [f"![{pathlib.Path(name).stem}]({result['recipe']}/{name})" for name in result["figures"]]
    path = pathlib.Path(directory) / "report.md"
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path
