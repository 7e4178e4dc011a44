"""The text of `tfgen list RECIPE`: docstring, hyper-parameters, the papers' numbers and the kept results."""

import pathlib
import statistics
import textwrap

from tfgen.recipes import RECIPES
from tfgen.report.documents import differences, kept_results, sections
from tfgen.report.tables import as_setting, command, value_text

CHECKOUT = pathlib.Path(__file__).parents[2]


def description(name, width=120):
    """Returns a recipe's description as text.

    Args:
        name: of the recipe.
        width: the number of columns that lines are wrapped to, except for words that are longer.
    """
    recipe, parts = RECIPES[name], sections(name)
    lines = "\n\n".join(" ".join(paragraph.split()) for paragraph in parts[""].split("\n\n")).split("\n")
    if "Source" in parts:
        lines += ["", f"Source: {' '.join(parts['Source'].split())}", "Differs:"]
        lines += [f"- {difference}" for difference in differences(name)]
    lines += ["", "Hyper-parameters (--set FIELD=VALUE changes one):"]
    presets = recipe.presets
    config = next(iter(presets.values()))
    allowed = config.allowed()
    for field, meaning in config.meanings().items():
        values = {preset: as_setting(getattr(config, field)) for preset, config in presets.items()}
        if len(set(values.values())) == 1:
            shown = next(iter(values.values()))
        else:
            shown = ", ".join(f"{value} ({preset})" for preset, value in values.items())
        lines += [f"  {field} = {shown}", f"      {meaning}", f"      Allowed: {allowed[field]}."]
    if recipe.published:
        lines += ["", "Published:"]
        lines += [
            f"  {metric} = {number.value} ({number.source})"
            for metric, published in recipe.published.items()
            for number in (published, *published.others)
        ]
    lines += ["", "Kept results, on MNIST:", *(_kept(name) or ["  none in this installation; see docs/results"])]
    return "\n".join(_wrapped(line, width) for line in lines)


def _wrapped(line, width):
    """Returns a line as several of at most `width` columns; those of an item or an indented line are indented more."""
    indent = " " * (len(line) - len(line.lstrip()))
    more = f"{indent}  " if line[:1] in (" ", "-") else ""
    return textwrap.fill(line, width, subsequent_indent=more, break_long_words=False, break_on_hyphens=False)


def _kept(name):
    """Returns lines with the time and headline metrics of each kept preset; none without a checkout."""
    lines = []
    of_recipe = [result for result in kept_results(CHECKOUT) if result["recipe"] == name]
    for preset in RECIPES[name].presets:
        runs = [result for result in of_recipe if result["preset"] == preset]
        if not runs:
            continue
        seconds = statistics.mean(run["seconds"] for run in runs)
        seeds = ", ".join(str(run["seed"]) for run in runs)
        made = command(runs[0], seed=False, dataset=False)
        lines.append(f"  {made}, seeds {seeds}; {seconds:,.0f} s on {runs[0]['environment']['cpus']} cores:")
        for metric in RECIPES[name].headline:
            values = [value_text(run["metrics"][metric]) for run in runs if metric in run["metrics"]]
            lines.append(f"    {metric} = {', '.join(values) or 'not measured'}")
    return lines
