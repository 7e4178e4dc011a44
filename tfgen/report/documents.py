"""`python -m tfgen.report.documents`: writes the parts of README.md and docs/ made from recipes and kept results."""

import dataclasses
import inspect
import json
import pathlib
import sys

from tfgen.files import write_atomically
from tfgen.recipes import MODULES, RECIPES
from tfgen.report.tables import write_readme_table
from tfgen.runner.results import load_results

# In a checkout: for each preset and seed, a directory of runs.
KEPT = pathlib.Path("docs", "results")


def sections(name):
    """Returns the sections of a recipe's docstring: a dict with the keys "" (its beginning), "Source" and "Differs"."""
    parts, section = {"": []}, ""
    for line in inspect.cleandoc(MODULES[name].__doc__).splitlines():
        heading, colon, rest = line.partition(":")
        if colon and heading in ("Source", "Differs"):
            section, line = heading, rest.strip()
            parts[section] = []
        parts[section].append(line)
    return {section: "\n".join(lines).strip() for section, lines in parts.items()}


def differences(name):
    """Returns a list of a recipe's deviations from its sources."""
    text = sections(name).get("Differs", "")
    return [" ".join(item.split()) for item in f"\n{text}".split("\n- ")[1:]]


def deviations():
    """Returns `deviations.md`: the sources and the numbered deviations from each recipe's docstring."""
    lines = [
        "# Deviations from the sources",
        "",
        "Written by `make docs` from the docstrings of the recipes in [tfgen/recipes](../tfgen/recipes).",
    ]
    number = 0
    for name, module in MODULES.items():
        file = pathlib.PurePosixPath("../tfgen/recipes", f"{module.__name__.rpartition('.')[2]}.py")
        lines += ["", f"## [{name}]({file})", "", f"Source: {' '.join(sections(name)['Source'].split())}", ""]
        for difference in differences(name):
            number += 1
            lines.append(f"{number}. {difference}")
    return "\n".join(lines) + "\n"


def kept_results(root="."):
    """Returns the results kept in a checkout."""
    return [result for directory in sorted((pathlib.Path(root) / KEPT).glob("*")) for result in load_results(directory)]


def changed_presets(results):
    """Returns a line for each kept result whose preset has changed since: the fields with old and new values."""
    lines = []
    for result in results:
        preset = json.loads(json.dumps(dataclasses.asdict(RECIPES[result["recipe"]].presets[result["preset"]])))
        kept = result["config"]
        changed = [
            f"{name} {kept.get(name)!r}, now {preset.get(name)!r}"
            for name in {**preset, **kept}
            if kept.get(name) != preset.get(name)
        ]
        if changed:
            lines.append(f"{result['recipe']} {result['preset']} seed {result['seed']}: {'; '.join(changed)}")
    return lines


def main(root="."):
    """Writes docs/deviations.md and the README's table, and prints the presets that differ from their kept results."""
    root = pathlib.Path(root)
    write_atomically(root / "docs" / "deviations.md", deviations().encode())
    results = kept_results(root)
    write_readme_table(results, root / "README.md")
    for line in changed_presets(results):
        print(f"the preset has changed since the kept result: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
