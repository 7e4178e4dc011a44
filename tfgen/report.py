"""Results as text: the table at the end of a run, and the report of all runs in a directory."""

import pathlib
import shlex
import statistics

from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically
from tfgen.recipes import PRESETS, RECIPES


def _number(value):
    if value is None:
        return "not finite"
    if abs(value) >= 1 and float(value).is_integer():  # a count
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.2f}"


def _ours(metric):
    """Returns a metric's value, with the standard deviation over seeds, or the standard error, where it has one."""
    value = _number(metric["value"]) + (f" ± {metric['std']:.2g}" if "std" in metric else "")
    details = []
    if "standard_error" in metric:
        details.append(f"standard error {metric['standard_error']:.2g}")
    if "sigma" in metric:
        details.append(f"sigma {metric['sigma']:.3f}")
    if metric.get("at_edge"):
        details.append("sigma at the edge of the grid")
    return value + (f" ({', '.join(details)})" if details else "")


def _unit(metric):
    """Returns a metric's unit; where a classifier is the measure, with how good that is."""
    judge = f", classifier of test error {metric['classifier_test_error']:.4g}" if "classifier" in metric else ""
    return metric["unit"] + judge


def _published(result, name, source=True):
    """Returns what papers report for a metric, as the recipe knows it today, with where it stands or without."""
    published = RECIPES[result["recipe"]].published.get(name)
    if not result["comparable"]:
        return "not comparable"
    if published is None:
        return "not reported"
    return _number(published.value) + (f" ({published.source})" if source else "")


def rows(results):
    """Returns `(recipe, lecture items, metric, published, ours, unit and split)` for every metric of every run."""
    return [
        (
            result["recipe"],
            " ".join(result["lecture_items"]),
            name,
            _published(result, name, source=False),
            _ours(metric),
            f"{_unit(metric)}; {metric['split']}, n = {metric['n']:,}",
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
    """Returns `(metric, unit, split and n, published, ours)` for every metric of a run."""
    return [(f"`{name}`", *_cells(result, name, metric)) for name, metric in result["metrics"].items()]


def _cells(result, name, metric):
    return _unit(metric), f"{metric['split']}, {metric['n']:,}", _published(result, name), _ours(metric)


README_HEADER = ("lecture", "tfgen run ...", "seeds", "seconds", "metric", "unit", "split, n", "published", "ours")
README_MARKS = ("<!-- results: written by `tfgen table` -->", "<!-- end of results -->")


def readme_table(results):
    """Returns the README's Markdown table: the headline metrics of each recipe and preset, as means over its seeds.

    Below it stands how they were computed.
    """
    lines = []
    for runs in _groups(results):
        result = runs[0]
        options = command(result, seed=False).split(" ", 2)[2].replace(f" --dataset {result['dataset']}", "")
        seeds = ", ".join(str(run["seed"]) for run in runs)
        seconds = statistics.mean(run["seconds"] for run in runs)
        for name in RECIPES[result["recipe"]].headline:
            if any(name not in run["metrics"] for run in runs):
                raise InputError(f"the results of {result['recipe']} have no {name}: run it anew with this version")
            metric = _over_seeds([run["metrics"][name] for run in runs])
            run = (f"`{options}`", seeds, f"{seconds:,.0f}")
            lines.append((" ".join(result["lecture_items"]), *run, f"`{name}`", *_cells(result, name, metric)))
    datasets = ", ".join(sorted({result["dataset"] for result in results}))
    cpus = " or ".join(str(cpus) for cpus in sorted({result["environment"]["cpus"] for result in results}))
    versions = ", ".join(sorted({f"TensorFlow {result['environment']['tensorflow']}" for result in results}))
    made = (
        f"Dataset {datasets}; machine of {cpus} CPU cores, {versions}. "
        "Of several seeds: mean ± standard deviation over them, and the mean of the seconds."
    )
    return f"{markdown_table(README_HEADER, lines)}\n\n{made}"


def command(results, seed=True):
    """Returns the command that made a run, from its results; with the seed or without."""
    recipe = RECIPES[results["recipe"]]
    words = ["tfgen", "run", results["recipe"], "--preset", results["preset"], "--dataset", results["dataset"]]
    words += ["--seed", str(results["seed"])] if seed else []
    preset = recipe.presets[results["preset"]]
    for name in ("epochs", "precision"):
        if name in results["config"] and results["config"][name] != getattr(preset, name, None):
            words += [f"--{name}", str(results["config"][name])]
    if results.get("deterministic"):
        words.append("--deterministic")
    return shlex.join(words)


def _groups(results):
    """Returns lists of the runs that differ in nothing but the seed, in the order of recipes, presets and seeds."""
    groups = {}
    for result in results:
        groups.setdefault((result["recipe"], result["preset"]), []).append(result)
    recipes, names = list(RECIPES), list(PRESETS)
    ordered = sorted(groups.items(), key=lambda item: (recipes.index(item[0][0]), names.index(item[0][1])))
    groups = [sorted(runs, key=lambda run: run["seed"]) for _, runs in ordered]
    for runs in groups:
        what = f"the runs of {runs[0]['recipe']} in preset {runs[0]['preset']}"
        if len({run["seed"] for run in runs}) < len(runs):
            raise InputError(f"{what} have a seed twice; name each run's directory once")
        if any(run.get(key) != runs[0].get(key) for run in runs for key in ("dataset", "config", "deterministic")):
            raise InputError(f"{what} differ in more than the seed; a table needs one dataset and configuration")
        judges = {metric["classifier"] for run in runs for metric in run["metrics"].values() if "classifier" in metric}
        if len(judges) > 1:
            raise InputError(f"{what} are judged by {len(judges)} classifiers; run them beside one digit-classifier")
    return groups


def _over_seeds(metrics):
    """Returns the metric of one run as it is; of several, the first with the mean and the standard deviation."""
    values = [metric["value"] for metric in metrics]
    if len(metrics) == 1 or None in values:
        return metrics[0] if len(metrics) == 1 else {**metrics[0], "value": None}
    # What differs from seed to seed, such as a chosen sigma, is no fact about their mean; one at the edge is.
    common = {key: value for key, value in metrics[0].items() if all(metric.get(key) == value for metric in metrics)}
    common["at_edge"] = any(metric.get("at_edge") for metric in metrics)
    return {**common, "value": statistics.mean(values), "std": statistics.stdev(values)}


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
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error}); name a README") from error
    start, end = README_MARKS
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise InputError(
            f"{path} needs one line {start!r} and, after it, one line {end!r}; add them where it is to stand"
        )
    if len({result["dataset"] for result in results}) > 1:
        raise InputError("the runs are of several datasets; a README's table needs one")
    head, tail = text[: text.index(start)], text[text.index(end) :]
    write_atomically(path, f"{head}{start}\n{readme_table(results)}\n{tail}".encode())


def load_results(directory):
    """Returns the `results.json` of every finished run below `directory`, in the order of the recipes."""
    found = (pathlib.Path(directory) / name / "results.json" for name in RECIPES)
    return [read_results(path) for path in found if path.exists()]


def read_results(path):
    """Returns the results in a file; raises `InputError` if one that is shown is missing, or of an unknown recipe."""
    results = read_json(path)
    shown = (
        "recipe",
        "lecture_items",
        "dataset",
        "comparable",
        "preset",
        "seed",
        "metrics",
        "seconds",
        "environment",
        "config",
    )
    missing = [key for key in shown if key not in results]
    if missing:
        raise InputError(f"{path} lacks {missing[0]!r}; restore it, or delete {path.parent}")
    if results["recipe"] not in RECIPES or results["preset"] not in PRESETS:
        what = f"{results['recipe']!r} in preset {results['preset']!r}"
        raise InputError(f"{path} is of {what}, which this version does not have; delete {path.parent}")
    for name, metric in results["metrics"].items():
        if not {"value", "unit", "split", "n"} <= set(metric):
            raise InputError(f"{path} has {name} without value, unit, split or n; restore it, or delete {path.parent}")
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
