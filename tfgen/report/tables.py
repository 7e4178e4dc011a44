"""Tables of results: one row a run for the command line, means over seeds for the documents."""

import csv
import dataclasses
import io
import json
import pathlib
import re
import shlex
import statistics

from tfgen.errors import InputError
from tfgen.files import write_atomically
from tfgen.recipe import PRESETS
from tfgen.recipes import RECIPES

# Relative; of a mean over many images.
FLOAT32_ROUNDING = 1e-6


def number(value):
    """Returns a number as text, in four significant digits or with two decimals."""
    if value is None:
        return "not finite"
    if 1 <= abs(value) < 1e15 and float(value).is_integer():  # a count
        return f"{value:,.0f}"
    return f"{value:.2f}" if 100 <= abs(value) < 1e15 else f"{value:.4g}"


def value_text(metric):
    """Returns a metric's value as text, with its standard deviation over seeds or its standard error if known."""
    value = number(metric["value"])
    if "std" in metric:
        # Seeds that differ by float32's rounding alone do not differ.
        rounding = metric["value"] is not None and metric["std"] < FLOAT32_ROUNDING * abs(metric["value"])
        value += f" ± {0 if rounding else metric['std']:.2g}"
    details = []
    if "standard_error" in metric:
        details.append(f"standard error {metric['standard_error']:.2g}")
    if "sigma" in metric:
        details.append(f"sigma {metric['sigma']:.3f}")
    if metric.get("at_edge"):
        details.append("sigma at the edge of the grid")
    return value + (f" ({', '.join(details)})" if details else "")


def _unit(metric):
    """Returns a metric's unit, with the test error of the classifier if one was used."""
    error = metric.get("classifier_test_error")
    return metric["unit"] + (f", classifier of test error {error:.4g}" if error is not None else "")


def published_values(result, name, source=True):
    """Returns what papers report for a metric, from the recipe: with the sources all numbers, else the first alone."""
    published = RECIPES[result["recipe"]].published.get(name)
    if not result["comparable"]:
        return "not comparable"
    if published is None:
        return "not reported"
    if not source:
        return number(published.value)
    return "; ".join(f"{number(one.value)} ({one.source})" for one in (published, *published.others))


def rows(results):
    """Returns `(recipe, lecture items, metric, published, ours, unit and split)` for every metric of every run."""
    return [
        (
            result["recipe"],
            " ".join(result["lecture_items"]),
            name,
            published_values(result, name, source=False),
            value_text(metric),
            f"{_unit(metric)}; {metric['split']}, n = {metric['n']:,}",
        )
        for result in results
        for name, metric in result["metrics"].items()
    ]


HEADER = ("recipe", "lecture item", "metric", "published", "ours", "unit; split")


def table(results):
    """Returns the results as a plain table with aligned columns: of several seeds, the mean and standard deviation."""
    if len({result["seed"] for result in results}) > 1:
        results = [_mean_run(runs) for runs in groups(results)]
    return aligned([HEADER, *rows(results)])


def aligned(lines):
    """Returns tuples of texts as a plain table with aligned columns, the first of them as its header."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "-+-".join("-" * width for width in widths), *text[1:]])


def metric_rows(result):
    """Returns `(metric, unit, split and n, published, ours)` in Markdown for every metric of a run."""
    return [(f"`{name}`", *_cells(result, name, metric)) for name, metric in result["metrics"].items()]


def _cells(result, name, metric):
    """Returns the unit, the split and n, the published value and ours, in Markdown."""
    texts = (_unit(metric), f"{metric['split']}, {metric['n']:,}", published_values(result, name))
    return *map(escaped, texts), value_text(metric)


RESULTS_HEADER = ("lecture", "tfgen run ...", "seeds", "seconds", "metric", "unit", "split, n", "published", "ours")
RESULTS_MARKS = ("<!-- results: written by `tfgen table` -->", "<!-- end of results -->")


def results_table(results):
    """Returns the Markdown table of docs/results.md: headline metrics of each recipe and preset, as means over seeds.

    A line below the table names dataset, machine and versions.
    """
    lines = []
    for runs in groups(results):
        result = runs[0]
        options = command(result, seed=False, dataset=False).removeprefix("tfgen run ")
        seeds = ", ".join(str(run["seed"]) for run in runs)
        seconds = statistics.mean(run["seconds"] for run in runs)
        for name in RECIPES[result["recipe"]].headline:
            if any(name not in run["metrics"] for run in runs):
                raise InputError(f"the results of {result['recipe']} have no {name}; run it anew with this version")
            metric = _over_seeds([run["metrics"][name] for run in runs])
            run = (f"`{options}`", seeds, f"{seconds:,.0f}")
            lines.append((" ".join(result["lecture_items"]), *run, f"`{name}`", *_cells(result, name, metric)))
    datasets = ", ".join(sorted({result["dataset"] for result in results}))
    cpus = " or ".join(str(cpus) for cpus in sorted({result["environment"]["cpus"] for result in results}))
    versions = ", ".join(sorted({f"TensorFlow {result['environment']['tensorflow']}" for result in results}))
    made = (
        f"Dataset {escaped(datasets)}; machine of {cpus} CPU cores, {versions}. "
        "Of several seeds: mean ± standard deviation over them, and the mean of the seconds."
    )
    return f"{markdown_table(RESULTS_HEADER, lines)}\n\n{made}"


CSV_HEADER = (
    *("recipe", "preset", "seed", "metric", "value", "unit", "split", "n", "std", "standard_error"),
    *("published", "source", "parameters", "validation_loss", "seconds", "data_sha256", "commit", "command"),
)


def csv_table(results):
    """Returns every metric of every run as comma-separated values: a line each, empty where there is nothing.

    Parameters and validation loss are those of the training that training.csv is of. A published value is the paper's,
    as in the documents; the command makes the run anew.
    """
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(CSV_HEADER)
    for result in results:
        published = RECIPES[result["recipe"]].published if result["comparable"] else {}
        training = result.get("trainings", {}).get("training", {})
        of_run = (
            training.get("parameters"),
            training.get("val_loss"),
            result["seconds"],
            result.get("data_sha256"),
            (result.get("versions") or [{}])[-1].get("commit"),
            command(result),
        )
        for name, metric in result["metrics"].items():
            paper = published.get(name)
            of_metric = (metric.get(key) for key in ("value", "unit", "split", "n", "std", "standard_error"))
            of_paper = (None, None) if paper is None else (paper.value, paper.source)
            rows.writerow((result["recipe"], result["preset"], result["seed"], name, *of_metric, *of_paper, *of_run))
    return file.getvalue()


HIGHLIGHTS_MARKS = ("<!-- highlights: written by `make docs` -->", "<!-- end of highlights -->")


def highlights_table(results, highlights):
    """Returns the short table of the README: some metrics, each with the paper's number, ours and a verdict.

    Args:
        results: the kept results.
        highlights: tuples of recipe, preset, metric, and the words for the model and for the measure.
    """
    kept = {(runs[0]["recipe"], runs[0]["preset"]): runs for runs in groups(results)}
    lines = []
    for recipe, preset, name, model, measure in highlights:
        if (recipe, preset) not in kept:
            raise InputError(
                f"there are no kept results of {recipe} in preset {preset}, which the README's table shows"
            )
        runs = kept[recipe, preset]
        metric, published = _over_seeds([run["metrics"][name] for run in runs]), RECIPES[recipe].published.get(name)
        paper = "not reported" if published is None else number(published.value)
        paper += " (not verified)" if published is not None and "not verified" in published.source else ""
        options = command(runs[0], seed=False, dataset=False).removeprefix("tfgen run ")
        cells = (model, f"`{options}`", measure, paper, value_text(metric).split(", sigma")[0])
        ours = cells[-1] + ")" * (cells[-1].count("(") - cells[-1].count(")"))
        lines.append((*cells[:-1], ours, "" if published is None else verdict(name, metric, published.value)))
    return markdown_table(("model", "`tfgen run`", "measure", "paper", "ours", "verdict"), lines)


MORE_IS_BETTER = ("log_likelihood", "accuracy", "nmi", "auc")


def verdict(name, metric, published):
    """Returns whether a metric is as good as the published number, or by how much it is not.

    Of what `MORE_IS_BETTER` names more is better, of everything else less. As good is what lies within two standard
    errors, or within two standard deviations over seeds, where one of them is known.
    """
    gap = metric["value"] - published
    gap = -gap if any(part in name for part in MORE_IS_BETTER) else gap
    if gap <= 0:
        return "reached"
    error = metric.get("standard_error", metric.get("std", 0))
    return "reached, within its error" if gap <= 2 * error else f"missed by {gap:.2g}"


def command(results, seed=True, dataset=True):
    """Returns the command that made a run, from its results, with its seed and dataset or without."""
    words = ["tfgen", "run", results["recipe"], "--preset", results["preset"]]
    words += ["--dataset", results["dataset"]] if dataset else []
    words += ["--seed", str(results["seed"])] if seed else []
    config = RECIPES[results["recipe"]].presets[results["preset"]]
    preset = dataclasses.asdict(config)
    # In the order of the result's own fields, then those that have come since.
    for name, value in (results["config"] | config.defaults() | results["config"]).items():
        if name in preset and value != json.loads(json.dumps(preset[name])):
            words += [f"--{name}", str(value)] if name == "epochs" else ["--set", f"{name}={as_setting(value)}"]
    if results.get("deterministic"):
        words.append("--deterministic")
    return shlex.join(words)


def as_setting(value):
    """Returns a hyper-parameter's value as `--set` takes it."""
    if isinstance(value, list | tuple):
        inner = (f"({as_setting(item)})" if isinstance(item, list | tuple) else as_setting(item) for item in value)
        return ",".join(inner)
    return str(value).lower() if isinstance(value, bool) else str(value)


def groups(results):
    """Returns lists of runs that differ only in the seed, in the order of recipes, presets and seeds."""
    found = {}
    for result in results:
        found.setdefault((result["recipe"], result["preset"]), []).append(result)
    recipes, names = list(RECIPES), list(PRESETS)
    ordered = sorted(found.items(), key=lambda item: (recipes.index(item[0][0]), names.index(item[0][1])))
    ordered = [sorted(runs, key=lambda run: run["seed"]) for _, runs in ordered]
    for runs in ordered:
        what = f"the runs of {runs[0]['recipe']} in preset {runs[0]['preset']}"
        if len({run["seed"] for run in runs}) < len(runs):
            raise InputError(f"{what} have the same seed twice; name each run's directory once")
        defaults = RECIPES[runs[0]["recipe"]].presets[runs[0]["preset"]].defaults()
        made_for = [(run.get("dataset"), defaults | run.get("config", {}), run.get("deterministic")) for run in runs]
        if any(each != made_for[0] for each in made_for):
            raise InputError(f"{what} differ in more than the seed; use one dataset and configuration")
        metrics = [metric for run in runs for metric in run["metrics"].values()]
        classifiers = {metric["classifier"] for metric in metrics if "classifier" in metric}
        if len(classifiers) > 1:
            raise InputError(
                f"{what} were measured with {len(classifiers)} classifiers; run them with the same digit-classifier"
            )
    return ordered


def _mean_run(runs):
    """Returns a run whose metrics are those over some runs that differ in the seed, of the metrics that all have."""
    names = [name for name in runs[0]["metrics"] if all(name in run["metrics"] for run in runs)]
    return runs[0] | {"metrics": {name: _over_seeds([run["metrics"][name] for run in runs]) for name in names}}


def _over_seeds(metrics):
    """Returns the metric of one run unchanged; for several, the mean and standard deviation of its value."""
    values = [metric["value"] for metric in metrics]
    if len(metrics) == 1 or None in values:
        return metrics[0] if len(metrics) == 1 else {**metrics[0], "value": None}
    # Details that differ between seeds, such as sigma, do not apply to the mean. A sigma at the edge is worth noting.
    common = {key: value for key, value in metrics[0].items() if all(metric.get(key) == value for metric in metrics)}
    common |= {key: metrics[0][key] for key in ("unit", "split", "n")}
    common["at_edge"] = any(metric.get("at_edge") for metric in metrics)
    return {**common, "value": statistics.mean(values), "std": statistics.stdev(values)}


# In a line of text, what Markdown would take for markup. An underscore within a word is none.
MARKUP = re.compile(r"[\\`*~$\[\]|]|(?<!\w)_+|_+(?!\w)|^[#+-]+(?=\s|$)")


def markdown_table(header, rows):
    """Returns a Markdown table of cells in Markdown: text of which nobody knows what it holds is `escaped` before."""
    return "\n".join([_markdown_row(header), "|" + " --- |" * len(header), *map(_markdown_row, rows)])


def _markdown_row(cells):
    return f"| {' | '.join(cells)} |"


def escaped(text):
    """Returns one line of text as Markdown that shows it as it is, in a sentence, in an item of a list or in a cell.

    Nothing of it begins a link, an image, HTML, code, emphasis, mathematics, an entity, a heading, a list or a cell.
    """
    text = MARKUP.sub(lambda found: "".join(f"\\{character}" for character in found[0]), text)
    text = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def write_results_table(results, path):
    """Replaces the text between the marks in a file by `results_table(results)`.

    Raises:
        InputError: if there is no such file or there are no such marks, or the runs are of several datasets, not
            counting those that recipes have of their own.
    """
    chosen = {result["dataset"] for result in results if result["dataset"] != RECIPES[result["recipe"]].dataset}
    if len(chosen) > 1:
        raise InputError("the runs are of several datasets; name runs of one")
    replace_between(path, RESULTS_MARKS, results_table(results))


def replace_between(path, marks, text):
    """Replaces what stands between two lines of a file."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}; name one that has the marks of the table")
    try:
        contents = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error}); name another file") from error
    start, end = marks
    if contents.count(start) != 1 or contents.count(end) != 1 or contents.index(start) > contents.index(end):
        raise InputError(
            f"{path} needs one line {start!r} and, after it, one line {end!r}; add them where the table belongs"
        )
    head, tail = contents[: contents.index(start)], contents[contents.index(end) :]
    write_atomically(path, f"{head}{start}\n{text}\n{tail}".encode())
