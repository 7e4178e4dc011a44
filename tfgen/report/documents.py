"""`python -m tfgen.report.documents`: writes the parts of README.md and docs/ made from recipes and kept results."""

import dataclasses
import inspect
import json
import pathlib
import sys

from tfgen.files import write_atomically
from tfgen.recipes import MODULES, RECIPES
from tfgen.report import check
from tfgen.report.tables import HIGHLIGHTS_MARKS, csv_table, highlights_table, replace_between, write_results_table
from tfgen.runner.results import load_results

# In a checkout: for each preset and seed, a directory of runs.
KEPT = pathlib.Path("docs", "results")
SQUARED_ERROR = "squared error, sum over 784 pixels"
# Of the README's table: recipe, preset, metric, model, measure.
HIGHLIGHTS = (
    ("autoencoder-30d", "paper", "pca_squared_error__30", "PCA, 30 components", SQUARED_ERROR),
    ("autoencoder-30d", "paper", "test_squared_error", "deep autoencoder, 30-D code", SQUARED_ERROR),
    ("stacked-autoencoder", "paper", "test_squared_error", "784-300-150-300-784", SQUARED_ERROR),
    ("feature-classifier", "quick", "test_error__100_labels_scratch", "100 labels alone", "share misclassified"),
    (
        "feature-classifier",
        "quick",
        "test_error__100_labels_finetuned",
        "100 labels, pre-trained",
        "share misclassified",
    ),
    (
        "semi-supervised-vae",
        "paper",
        "test_error__100_labels_m1_m2",
        "100 labels, other images unlabelled: M1+M2",
        "share misclassified",
    ),
    (
        "feature-classifier",
        "quick",
        "test_error__all_labels_finetuned",
        "all labels, pre-trained",
        "share misclassified",
    ),
    (
        "deep-embedded-clustering",
        "paper",
        "clustering_accuracy__papers_all_images",
        "deep embedded clustering, all 70,000 images",
        "share in its digit's cluster",
    ),
    ("digit-classifier", "paper", "test_error", "classifier that judges samples", "share misclassified"),
    ("vae", "quick", "test_negative_elbo", "the lecture's VAE", "-ELBO, nats"),
    ("vae-burda", "paper", "test_nll", "VAE, Burda et al. 2015", "-log p(x), nats"),
    ("iwae-burda", "paper", "test_nll", "IWAE, Burda et al. 2015", "-log p(x), nats"),
    ("gan", "paper", "frechet_distance__averaged_weights", "the lecture's GAN, averaged weights", "Frechet distance"),
    ("gan-goodfellow", "paper", "parzen_log_likelihood", "GAN of 2014, last weights", "Parzen log-likelihood, nats"),
    (
        "gan-goodfellow",
        "paper",
        "parzen_log_likelihood__averaged_weights",
        "GAN of 2014, averaged weights",
        "Parzen log-likelihood, nats",
    ),
    (
        "gan-goodfellow",
        "paper",
        "parzen_log_likelihood__train_images",
        "true images, for comparison",
        "Parzen log-likelihood, nats",
    ),
)


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
        now = RECIPES[result["recipe"]].presets[result["preset"]]
        preset, kept = json.loads(json.dumps(dataclasses.asdict(now))), now.defaults() | result["config"]
        changed = [
            f"{name} {kept.get(name)!r}, now {preset.get(name)!r}"
            for name in {**preset, **kept}
            if kept.get(name) != preset.get(name)
        ]
        if changed:
            lines.append(f"{result['recipe']} {result['preset']} seed {result['seed']}: {'; '.join(changed)}")
    return lines


def main(root="."):
    """Writes from the recipes and the kept results what the documents and `tfgen check` have of them.

    These are docs/deviations.md, docs/results.csv, the tables of docs/results.md and both READMEs, and the package's
    kept.json.

    It prints the presets that differ from their kept results.
    """
    root = pathlib.Path(root)
    write_atomically(root / "docs" / "deviations.md", deviations().encode())
    results = kept_results(root)
    write_results_table(results, root / "docs" / "results.md")
    for name in ("README.md", "README.zh-CN.md"):
        replace_between(root / name, HIGHLIGHTS_MARKS, highlights_table(results, HIGHLIGHTS))
    write_atomically(root / "docs" / "results.csv", csv_table(results).encode())
    check.write_kept(results, root / KEPT, root / "tfgen" / "report" / check.KEPT.name)
    for line in changed_presets(results):
        print(f"the preset has changed since the kept result: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
