"""Results as text: the table at the end of a run, and the report of all runs in a directory."""

import pathlib

from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically
from tfgen.recipes import RECIPES


def _number(value):
    if value is None:
        return "not finite"
    if abs(value) >= 1 and float(value).is_integer():  # a count
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.2f}"


def _ours(metric):
    """Returns a metric's value, with the standard deviation over seeds where it is a mean over them."""
    return _number(metric["value"]) + (f" ± {metric['std']:.2g}" if "std" in metric else "")


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
            _ours(metric),
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


def metric_rows(result):
    """Returns `(metric, unit, split and n, published, ours)` for every metric of a run, for Markdown."""
    return [
        (
            f"`{name}`",
            metric["unit"],
            f"{metric['split']}, {metric['n']:,}",
            _published(result, metric),
            _ours(metric),
        )
        for name, metric in result["metrics"].items()
    ]


def _published(result, metric):
    if not result["comparable"]:
        return "not comparable"
    return f"{_number(metric['published'])} ({metric['source']})" if "published" in metric else "not reported"


README_HEADER = ("lecture", "recipe", "metric", "unit", "split, n", "published", "ours")
README_MARKS = ("<!-- results: written by `tfgen table` -->", "<!-- end of results -->")


def readme_table(results):
    """Returns the README's Markdown table: each recipe's headline metrics, and below it how they were computed."""
    lines = []
    for result in results:
        for name in RECIPES[result["recipe"]].headline:
            if name not in result["metrics"]:
                raise InputError(f"the results of {result['recipe']} have no {name}: run it anew with this version")
        metrics = {name: result["metrics"][name] for name in RECIPES[result["recipe"]].headline}
        identity = (" ".join(result["lecture_items"]), f"`{result['recipe']}`")
        lines += [(*identity, *row) for row in metric_rows({**result, "metrics": metrics})]
    runs = {(result["dataset"], result["preset"], result["seed"]) for result in results}
    made = "; ".join(f"dataset {dataset}, preset {preset}, seed {seed}" for dataset, preset, seed in sorted(runs))
    seconds = sum(result["seconds"] for result in results)
    cpus = " or ".join(str(cpus) for cpus in sorted({result["environment"]["cpus"] for result in results}))
    versions = sorted({f"TensorFlow {result['environment']['tensorflow']}" for result in results})
    hardware = f"{seconds:.0f} s in all on {cpus} CPU cores without GPU, {', '.join(versions)}"
    return f"{markdown_table(README_HEADER, lines)}\n\n{made.capitalize()}; {hardware}."


def markdown_table(header, rows):
    """Returns a Markdown table."""
    return "\n".join(["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *map(_markdown_row, rows)])


def _markdown_row(cells):
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def write_readme_table(results, path):
    """Replaces what stands between the marks in a README by `readme_table(results)`."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}; name a README with the marks of the table in it")
    text = path.read_text()
    start, end = README_MARKS
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise InputError(
            f"{path} needs one line {start!r} and, after it, one line {end!r}; add them where it is to stand"
        )
    if len({(result["dataset"], result["preset"], result["seed"]) for result in results}) > 1:
        raise InputError("the runs are of several datasets, presets or seeds; a README's table needs one of each")
    head, tail = text[: text.index(start)], text[text.index(end) :]
    write_atomically(path, f"{head}{start}\n{readme_table(results)}\n{tail}".encode())


def load_results(directory):
    """Returns the `results.json` of every finished run below `directory`, in the order of the recipes."""
    found = (pathlib.Path(directory) / name / "results.json" for name in RECIPES)
    return [read_results(path) for path in found if path.exists()]


def read_results(path):
    """Returns the results in a file; raises `InputError` if one that is shown is missing."""
    results = read_json(path)
    shown = ("recipe", "lecture_items", "dataset", "comparable", "preset", "seed", "metrics", "seconds", "environment")
    missing = [key for key in shown if key not in results]
    if missing:
        raise InputError(f"{path} lacks {missing[0]!r}; restore it, or delete {path.parent}")
    return results


def write_report(directory):
    """Writes `report.md`: the table and every figure of the finished runs below `directory`. Returns its path."""
    results = load_results(directory)
    lines = ["# Results", "", markdown_table(HEADER, rows(results))]
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
