"""What is asked for: checked before TensorFlow is loaded or anything is written. Imports no TensorFlow."""

import contextlib
import dataclasses
import json
import os
import pathlib

from tfgen.errors import InputError
from tfgen.files import check_writable, named_difference, read_json
from tfgen.recipe import MNIST_CLASSES, MNIST_SHAPE, PRESETS
from tfgen.recipes import RECIPES
from tfgen.runner.results import read_results

STRATEGIES = ("none", "mirrored", "multiworker")


@dataclasses.dataclass(frozen=True)
class Request:
    """One run that is asked for.

    Attributes:
        recipe: key of `RECIPES`.
        preset: name of one of its presets.
        seed: int >= 0; initial weights, order of the data and all noise are functions of it.
        epochs: instead of the preset's, or None.
        settings: texts such as "batch_size=64", which change fields of the preset's configuration.
        deterministic: whether TensorFlow uses deterministic kernels only, and no XLA.
        output_dir: directory of runs.
        resume: whether an unfinished run is gone on with, and a finished one kept.
        needed_dir: directory of the runs that this one needs, or None: the same.
        strategy: "mirrored" over the machine's GPUs, "multiworker" over the machines that TF_CONFIG names, or "none".

    Raises:
        InputError: for a recipe, a preset, a value or a directory that cannot be.
    """

    recipe: str
    preset: str = "quick"
    seed: int = 0
    epochs: int | None = None
    settings: tuple = ()
    deterministic: bool = False
    output_dir: str | os.PathLike = "runs"
    resume: bool = False
    needed_dir: str | os.PathLike | None = None
    strategy: str = "none"

    def __post_init__(self):
        for name, kind, allowed in (
            ("recipe", str, "a text"),
            ("preset", str, "a text"),
            ("seed", int, "a whole number"),
            ("epochs", int | None, "a whole number or None"),
            ("settings", tuple | list, "a list of texts"),
            ("deterministic", bool, "True or False"),
            ("output_dir", str | os.PathLike, "a path"),
            ("resume", bool, "True or False"),
            ("needed_dir", str | os.PathLike | None, "a path or None"),
            ("strategy", str, "a text"),
        ):
            value = getattr(self, name)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise InputError(f"{name} must be {allowed}, got {value!r}")
        if not all(isinstance(text, str) for text in self.settings):
            raise InputError(f"settings must be a list of texts, got {self.settings!r}")
        if self.recipe not in RECIPES:
            raise InputError(f"unknown recipe {self.recipe!r}; choose from {', '.join(RECIPES)}")
        if self.preset not in PRESETS:
            raise InputError(f"unknown preset {self.preset!r}; choose one of {', '.join(PRESETS)}")
        presets = RECIPES[self.recipe].presets
        if self.preset not in presets:
            raise InputError(
                f"{self.recipe} has no preset {self.preset!r}; choose one of {', '.join(presets)} with --preset"
            )
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed must lie between 0 and {2**31 - 1}, got {self.seed}")
        if self.strategy not in STRATEGIES:
            raise InputError(f"unknown strategy {self.strategy!r}; choose one of {', '.join(STRATEGIES)}")
        if self.strategy != "none" and not RECIPES[self.recipe].splits_batches:
            raise InputError(f"{self.recipe} trains on batches that are not split; leave out --strategy")
        if self.strategy == "multiworker":
            check_cluster(os.environ.get("TF_CONFIG"))
        self.config()
        check_writable(self.output_dir, "--output-dir")
        check_writable(self.directory, "--output-dir")
        unfinished = any(self.directory.glob("checkpoints/*.keras"))
        if unfinished and not (self.directory / "results.json").exists() and not self.resume:
            raise InputError(
                f"{self.directory} holds an unfinished run; add --resume to go on with it, or delete it to start over"
            )

    @property
    def directory(self):
        """The run's directory."""
        return pathlib.Path(self.output_dir) / self.recipe

    def config(self):
        """Returns the recipe's configuration in this preset, with the changes."""
        epochs = () if self.epochs is None else (f"epochs={self.epochs}",)
        if epochs and any(text.partition("=")[0] == "epochs" for text in self.settings):
            raise InputError("--epochs and --set epochs=... both say how many epochs; give one of them")
        try:
            # At once: which epochs can be may depend on the other fields.
            return RECIPES[self.recipe].presets[self.preset].with_settings((*epochs, *self.settings))
        except InputError as error:
            raise InputError(f"{self.recipe}: {error}") from error

    def for_needed(self, name):
        """Returns the request for the run of a recipe that this one needs: of seed 0, and as it stands."""
        return dataclasses.replace(
            self,
            recipe=name,
            seed=0,
            epochs=None,
            settings=(),
            output_dir=self.needed_directory,
            needed_dir=None,
            resume=True,
            strategy="none",
        )

    @property
    def needed_directory(self):
        """The directory of the runs that this one needs."""
        return pathlib.Path(self.output_dir if self.needed_dir is None else self.needed_dir)

    def identity(self, data):
        """Returns all that decides the results but the versions, as JSON will give it back: tuples become lists."""
        contents = {
            "recipe": self.recipe,
            "dataset": data.name,
            "data_sha256": data.sha256,
            "preset": self.preset,
            "seed": self.seed,
            "deterministic": self.deterministic,
            **dataclasses.asdict(self.config()),
        }
        return json.loads(json.dumps(contents))


def check_cluster(text):
    """Raises `InputError` unless a text is a TF_CONFIG that names workers, and which of them this process is."""
    example = '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text or "")
        cluster, kind, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        if set(cluster) - {"chief", "worker"} or not all(type(hosts) is list for hosts in cluster.values()):
            raise ValueError
        if index < 0 or not isinstance(cluster[kind][index], str) or len(cluster.get("chief", ())) > 1:
            raise ValueError
    except (ValueError, LookupError, TypeError):
        given = "it is not set" if text is None else f"got {text[:200]!r}"
        raise InputError(f"--strategy multiworker needs a TF_CONFIG such as {example}; {given}") from None


def seeds_of(text):
    """Returns the seeds that a text such as "0-4" or "0,3,7-9" names, in their order.

    Raises:
        InputError: for another text, a range that falls, or a seed named twice.
    """
    seeds = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isascii() and first.isdigit() and ((last.isascii() and last.isdigit()) or part == first)):
            raise InputError(f"--seeds must be whole numbers and ranges such as 0-4 or 0,3,7-9; got {text!r}")
        first, last = int(first), int(last or first)
        if last < first or last - first >= 1000:
            raise InputError(f"--seeds: a range must rise, by less than 1,000; got {part!r}")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds must name each seed once; got {text!r}")
    return seeds


def check_images(name, data):
    """Raises `InputError` if a recipe does not take a dataset's images."""
    free = {other: recipe for other, recipe in RECIPES.items() if recipe.dataset is None}
    if data.classes is None and RECIPES[name].needs_labels:
        others = ", ".join(other for other, recipe in free.items() if not recipe.needs_labels)
        raise InputError(f"{name} needs labels, and {data.name} has none; recipes that need none: {others}")
    if not RECIPES[name].any_images and (data.image_shape, data.classes) != (MNIST_SHAPE, MNIST_CLASSES):
        (height, width), (own_height, own_width) = MNIST_SHAPE, data.image_shape
        others = ", ".join(other for other, recipe in free.items() if recipe.any_images)
        raise InputError(
            f"{name} takes images of {height}x{width} in {MNIST_CLASSES} classes only, and {data.name} has "
            f"{own_height}x{own_width} in {data.classes}; of any size and number of classes: {others}"
        )


def check(request, data, run_before=(), needed_by=None):
    """Checks a request against the data and what lies in its directory, and those of the runs that it needs.

    Args:
        request: the `Request`.
        data: the `Dataset`.
        run_before: names of recipes that run before it: it need not run them as they stand.
        needed_by: the recipe that needs this run, or None.

    Raises:
        InputError: if the recipe does not take the images, or a value does not suit them, or the request is to resume
            what another one has begun.
    """
    check_images(request.recipe, data)
    try:
        request.config().check(data)
    except InputError as error:
        if needed_by is None:
            raise InputError(f"{request.recipe}: {error}") from error
        raise InputError(
            f"{needed_by} needs a run of {request.recipe}, which as it stands does not take these images: {error}; "
            f"name {request.recipe} before {needed_by}, so that --set holds for both"
        ) from error
    for name in missing_runs(request, data):
        if name not in run_before:
            check(request.for_needed(name), data, needed_by=request.recipe)
    if request.resume and not (request.directory / "results.json").exists():
        difference = difference_of_unfinished(request, data)
        if difference:
            raise InputError(
                f"{request.directory} holds an unfinished run with {difference}: give the same options to resume it, "
                "name another --output-dir, or delete it"
            )


def check_all(requests, source):
    """Checks requests that are to be carried out in this order, on the images of a `data.Source`; see `check`."""
    for i, request in enumerate(requests):
        before = [each.recipe for each in requests[:i] if each.directory == request.needed_directory / each.recipe]
        check(request, source.of(RECIPES[request.recipe].dataset), run_before=before)


def needed_runs(name, data):
    """Returns the recipes whose finished runs a recipe reads: without labels there is none of those that need them."""
    return [other for other in RECIPES[name].needs if data.classes is not None or not RECIPES[other].needs_labels]


def missing_runs(request, data):
    """Returns the recipes that a request needs of which no finished run of the same data and preset is there.

    Raises:
        InputError: if one that is there has damaged results, or has lost its model.
    """
    missing = []
    for name in needed_runs(request.recipe, data):
        directory = request.needed_directory / name
        path = directory / "results.json"
        wanted = {"dataset": data.name, "data_sha256": data.sha256, "preset": request.preset}
        found = read_results(path) if path.exists() else {}
        if {key: found.get(key) for key in wanted} != wanted:
            missing.append(name)
        elif not (directory / "saved_model" / "saved_model.pb").exists():
            raise InputError(
                f"{request.recipe} needs the model of {directory}, which is gone; delete {directory} to train it anew"
            )
        else:
            for metric in RECIPES[name].headline:
                if found["metrics"].get(metric, {}).get("value") is None:
                    raise InputError(
                        f"{request.recipe} needs {metric} of {path}: it has none; delete {directory} to train it anew"
                    )
    return missing


def difference_to(request, data):
    """Returns in what the request that the directory's run was made for differs from this one; empty if in nothing.

    A field that it lacks, since it came later, had its default.
    """
    path = request.directory / "request.json"
    if not path.exists():
        return "no request.json"
    earlier = {key: value for key, value in read_json(path).items() if key != "versions"}
    return named_difference(earlier, request.identity(data), request.config().defaults())


def difference_of_unfinished(request, data):
    """Returns in what an unfinished run differs from a request, by its checkpoints where `request.json` is gone.

    A checkpoint that cannot be read says nothing: whether there is another one to go on from shows when it is restored.
    """
    if (request.directory / "request.json").exists():
        return difference_to(request, data)
    from tfgen.training.checkpoint import read_member

    for path in sorted(request.directory.glob("checkpoints/*.keras")):
        with contextlib.suppress(InputError):
            identity, _ = read_member(path)
            identity.pop("training", None)
            return named_difference(identity, request.identity(data), request.config().defaults())
    return ""
