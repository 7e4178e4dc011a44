"""`report.html`: one page with the lecture, the results and figures of the runs in a directory, and their networks."""

import base64
import hashlib
import io
import json
import pathlib
import typing

import numpy as np

from tfgen.errors import InputError
from tfgen.files import half_written, lock_of, locked, write_atomically
from tfgen.recipe import LECTURE, MNIST_SHAPE, Noise
from tfgen.recipes import RECIPES
from tfgen.report import networks
from tfgen.report.costs import costs
from tfgen.report.tables import command, number, published_values, rows
from tfgen.runner.results import read_results

SOURCES = pathlib.Path(__file__).parent / "page"
# In this order they become one script; the first three also run in the worker.
MATHEMATICS = ("tensors", "models", "gan_1d")
SCRIPTS = (*MATHEMATICS, "language", "state", "canvas", "pad", "draw", "plane", "elbo", "gan", "line", "main")
# The live parts, each at the end of a part of the lecture, and the runs whose networks they show.
LIVE = {
    "live-draw": (
        "A",
        ("stacked-autoencoder", "denoising-autoencoder", "vae", "feature-classifier", "anomaly-detection", "gan"),
    ),
    "live-plane": ("B", ("clustering-autoencoder", "vae-2d")),
    "live-elbo": ("B", ("vae",)),
    "live-gan": ("D", ("gan",)),
    "live-line": ("D", ()),
}
NOISES = typing.get_args(Noise)
PARTS = sorted({item[0] for item in LECTURE})
# Of the weights, where it is not int8: there that costs a hundredth of this run's error, elsewhere less.
ENCODINGS = {"stacked-autoencoder": "float16"}
# Test images to choose from, as many of each digit.
DIGITS_OF_EACH = 10


def write_page(directory, output=None):
    """Writes the page of the runs in `directory`, as `report.html` in it or as `output`. Returns its path.

    What is missing, damaged or of another kind is named in the page, which holds the rest.

    Raises:
        InputError: if there is no such directory.
    """
    directory = check_directory(directory)
    path = pathlib.Path(output) if output is not None else directory / "report.html"
    content = page(directory).encode()
    with locked(lock_of(path)):
        for leftover in half_written(path.parent):
            if leftover.name.startswith(f".{path.name}."):
                leftover.unlink()
        write_atomically(path, content)
    return path


def check_directory(directory):
    """Returns the path of a directory of runs; raises `InputError` if there is none."""
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise InputError(f"{str(directory)!r} is no directory; name the one that tfgen run has written, such as runs")
    seeds = sorted(directory.glob("seed-*/*/results.json"))
    if seeds and not any(directory.glob("*/results.json")):
        raise InputError(
            f"{directory} holds the runs of several seeds; name one of them, such as {seeds[0].parents[1]}"
        )
    return directory


def page(directory):
    """Returns the page of the runs in `directory` as HTML."""
    problems = []

    def tried(read, path):
        """Returns what `read` makes of a file, or None for one that is missing, or damaged, which becomes a problem."""
        try:
            return read(path) if path.exists() else None
        except InputError as error:
            problems.append(str(error))
            return None

    results = {name: tried(_read_results, directory / name / "results.json") for name in RECIPES}
    results = {name: result for name, result in results.items() if result is not None}
    shown = [name for name in results if name in networks.NEEDED]
    kept = {name: tried(_read_networks, directory / name / "networks.npz") for name in shown}
    kept = {name: one for name, one in kept.items() if one is not None}
    if "gan" in kept and results["gan"]["config"].get("noise") not in NOISES:
        problems.append("gan: its configuration has no noise that is known, so its networks are not shown")
        del kept["gan"]
    if len({results[name].get("data_sha256") for name in kept}) > 1:
        problems.append("the networks were trained on different data; the test images are those of the first of them")
    figures = {name: _figures(directory / name, result) for name, result in results.items()}
    lecture = json.loads((SOURCES / "lecture.json").read_text("utf-8"))
    missing = {id: [name for name in needed if name not in kept] for id, (_, needed) in LIVE.items()}
    script = _script(SCRIPTS)
    text = json.loads((SOURCES / "text.json").read_text("utf-8"))
    return _template().render(
        text=text,
        style=_trusted((SOURCES / "style.css").read_text("utf-8")),
        script=_trusted(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        worker=_trusted(_script((*MATHEMATICS, "worker"))),
        data=_trusted(_json(_data(kept, results, text))),
        parts=[
            {
                "letter": letter,
                "items": [_item(id, lecture[id], results, figures) for id in LECTURE if id[0] == letter],
                "live": [id for id, (part, _) in LIVE.items() if part == letter],
            }
            for letter in PARTS
        ],
        live_ids=list(LIVE),
        missing=missing,
        alive=[id for id, (_, needed) in LIVE.items() if len(missing[id]) < len(needed) or not needed],
        problems=problems,
        runs=[
            _run(result, [one for one in figures[name] if not _in_lecture(name, one, lecture)])
            for name, result in results.items()
        ],
        costs=[cost for name, one in kept.items() for cost in _costs(results[name], one)],
        short=any(result["preset"] != "paper" for result in results.values()),
        comparable=all(result["comparable"] for result in results.values()),
    )


def _read_results(path):
    """Returns the results of a run, which its directory is named after."""
    results = read_results(path)
    if results["recipe"] != path.parent.name:
        raise InputError(f"{path} is of {results['recipe']}; move {path.parent} to a directory of that name")
    return results


def _read_networks(path):
    """Returns what a run has kept for the page, if the page can show it."""
    kept, (height, width) = networks.read(path), MNIST_SHAPE
    if kept.pixels != height * width:
        raise InputError(f"{path}: its images are not of {height}x{width} pixels, so its networks are not shown")
    networks.check(path, path.parent.name, kept)
    return kept


def _template():
    import jinja2

    loader = jinja2.FileSystemLoader(SOURCES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("page.html.jinja")


def _trusted(text):
    """Returns a text of the package's own, or one that is escaped already, which the template takes as it is."""
    import markupsafe

    return markupsafe.Markup(text)


def _script(names):
    """Returns source files joined, in a scope of their own."""
    sources = [(SOURCES / "js" / f"{name}.js").read_text("utf-8") for name in names]
    return "\n".join(['(() => {\n"use strict";', *sources, "})();"])


def _json(value):
    """Returns JSON that ends no script element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _rows(result):
    """Returns the rows of a run's table: each metric, with what papers report and what this run has."""
    return [
        {"name": name, "published": published_values(result, name), "ours": ours, "unit": unit}
        for _, _, name, _, ours, unit in rows([result])
    ]


def _item(id, item, results, figures):
    """Returns what the page shows of an item of the lecture."""
    recipe = item["recipe"]
    shown = {**item, "id": id, "title": LECTURE[id], "figures": [], "rows": [], "command": f"tfgen run {recipe}"}
    shown |= {
        "formula": _formula(item.get("formula")),
        "missing": recipe not in results,
    }
    if recipe in results:
        by_stem = {figure["stem"]: figure for figure in figures[recipe]}
        shown["command"] = command(results[recipe])
        shown["figures"] = [
            by_stem.get(stem, {"source": None, "name": f"{recipe}/figures/{stem}.png"}) for stem in item["figures"]
        ]
        shown["rows"] = [row for row in _rows(results[recipe]) if row["name"] in item["metrics"]]
    return shown


def _in_lecture(recipe, figure, lecture):
    """Returns whether an item of the lecture shows a figure, which then stands once in the page."""
    return any(item["recipe"] == recipe and figure["stem"] in item["figures"] for item in lecture.values())


def _formula(tex):
    """Returns a formula as MathML, which browsers draw by themselves."""
    if tex is None:
        return None
    from latex2mathml.converter import convert

    return _trusted(convert(tex, display="block"))


def _run(result, figures):
    """Returns what the page shows of a run among all results."""
    return {
        **{key: result[key] for key in ("recipe", "dataset", "preset", "seed", "seconds", "environment")},
        "title": RECIPES[result["recipe"]].title,
        "command": command(result),
        "rows": _rows(result),
        "figures": figures,
    }


def _encoding(recipe):
    return ENCODINGS.get(recipe, "int8")


def _costs(result, kept):
    """Returns what the page shows of a run's measures with the weights as trained and as embedded."""
    recipe = result["recipe"]
    encoding = _encoding(recipe)
    return [
        {
            "recipe": recipe,
            "measure": measure,
            "encoding": encoding,
            "as_trained": number(as_trained),
            "as_embedded": number(as_embedded),
            "n": f"{len(kept.arrays['images']):,}",
        }
        for measure, (as_trained, as_embedded) in costs(kept, encoding, result["config"].get("noise")).items()
    ]


def _figures(directory, result):
    """Returns the figures of a run, in WebP, which takes a third of the bytes; films are left out: they do not stop."""
    return [
        {"name": f"{result['recipe']}/{name}", "stem": pathlib.Path(name).stem, **_picture(directory / name)}
        for name in result.get("figures", ())
        if name.endswith(".png")
    ]


def _picture(path):
    """Returns a PNG's address, size and description; the address is None if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            description = image.text.get("Description", "")
            picture = image.convert("RGB")
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=70, method=4)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return {"source": None}
    source = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    alt = description or path.stem.replace("_", " ")
    return {"source": source, "width": picture.width, "height": picture.height, "alt": alt}


def _data(kept, results, text):
    """Returns what the page's scripts compute with, by the names that they know it by.

    Args:
        kept: dict from a recipe to what its run has kept, a `networks.Kept`.
        results: dict from a recipe to its results.
        text: the page's words in both languages.
    """
    return {
        "image_shape": MNIST_SHAPE,
        "digits": _digits(kept),
        "networks": {
            f"{recipe}/{name}": networks.embedded(layers, _encoding(recipe))
            for recipe, one in kept.items()
            for name, layers in one.networks.items()
        },
        "codes": {name: _codes(one) for name, one in kept.items() if "codes" in one.arrays},
        "gan": _gan(kept["gan"], results["gan"]["config"]["noise"]) if "gan" in kept else None,
        "anomaly": _left_out(kept.get("anomaly-detection")),
        "text": text,
    }


def _digits(kept):
    """Returns test images to choose from, of each digit as many, in the order of the digits."""
    if not kept:
        return None
    arrays = next(iter(kept.values())).arrays
    images, labels = arrays["images"], arrays.get("labels")
    if labels is None:
        return {"images": networks.base64_of(images[:100], "u1"), "labels": None}
    labels = labels[: len(images)]
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:DIGITS_OF_EACH] for digit in np.unique(labels)])
    return {"images": networks.base64_of(images[chosen], "u1"), "labels": labels[chosen].tolist()}


def _codes(one):
    labels = one.arrays.get("labels")
    return {
        "points": networks.base64_of(one.arrays["codes"], "<f4"),
        "labels": None if labels is None else networks.base64_of(labels, "u1"),
    }


def _gan(one, noise):
    """Returns what the page needs to know of the generators and discriminators of several epochs."""
    epochs = sorted(int(name.split("/")[1]) for name in one.networks if name.startswith("generator/"))
    return {
        "noise": noise,
        "noise_dim": len(one.networks[f"generator/{epochs[0]}"][0].kernel),
        "epochs": epochs,
        "generators": [f"gan/generator/{epoch}" for epoch in epochs],
        "discriminators": [f"gan/discriminator/{epoch}" for epoch in epochs],
    }


def _left_out(one):
    return None if one is None else {"left_out": int(one.arrays["left_out"][0])}
