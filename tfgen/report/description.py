"""The text of `tfgen list RECIPE`: docstring, hyper-parameters, the papers' numbers and the kept results."""

import pathlib
import statistics

from tfgen.recipes import MODULES, RECIPES
from tfgen.report.documents import kept_results
from tfgen.report.tables import as_setting, value_text

CHECKOUT = pathlib.Path(__file__).parents[2]


def description(name):
    """Returns a recipe's description as text."""
    recipe = RECIPES[name]
    lines = [MODULES[name].__doc__.strip(), "", "Hyper-parameters (--set FIELD=VALUE changes one):"]
    presets = recipe.presets
    for field, meaning in next(iter(presets.values())).meanings().items():
        values = {preset: as_setting(getattr(config, field)) for preset, config in presets.items()}
        if len(set(values.values())) == 1:
            shown = next(iter(values.values()))
        else:
            shown = ", ".join(f"{value} ({preset})" for preset, value in values.items())
        lines += [f"  {field} = {shown}", f"      {meaning}"]
    if recipe.published:
        lines += ["", "Published:"]
        lines += [f"  {metric} = {number.value} ({number.source})" for metric, number in recipe.published.items()]
    lines += ["", "Kept results, on MNIST:", *(_kept(name) or ["  none in this installation; see docs/results"])]
    return "\n".join(lines)


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
        lines.append(f"  preset {preset}, seeds {seeds}; {seconds:,.0f} s on {runs[0]['environment']['cpus']} cores:")
        for metric in RECIPES[name].headline:
            values = [value_text(run["metrics"][metric]) for run in runs if metric in run["metrics"]]
            lines.append(f"    {metric} = {', '.join(values) or 'not measured'}")
    return lines
