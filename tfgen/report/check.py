"""Whether a run came out as the kept runs of other seeds did: `tfgen check`. Imports no TensorFlow."""

import dataclasses
import json
import math
import pathlib
import statistics

from tfgen.errors import InputError, RunError
from tfgen.files import read_json, read_log, write_atomically
from tfgen.recipes import RECIPES
from tfgen.report.tables import aligned, groups, number

KEPT = pathlib.Path(__file__).with_name("kept.json")
LEAST_SEEDS = 4
PROBABILITY = 0.999
# A deviation counts as no less than this share of the mean, than one image of n, and for counts than a half: some
# metrics hardly depend on the seed, but in their last digits on the machine and the versions.
FLOOR = 0.001
FLOOR_OF_COUNTS = 0.5
# Measures of generated images depend on the classifier that judges them. Five classifiers, of seeds 0 to 3 and 7, gave
# the same 10,000 images Frechet distances of a relative standard deviation of 0.07, the validation images 0.09, and the
# other measures 0.022 at most (python -m benchmarks.judges).
JUDGES = (("frechet_distance", 0.1), ("", 0.025))
HEADER = ("metric", "value", "kept mean", "deviation", "allowed", "verdict")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A metric of a run beside the same of n kept runs.

    Attributes:
        name: of the metric.
        value: of the run: a number, or None if it is missing or was not finite.
        mean: of the kept runs.
        deviation: their standard deviation, or what it is at least; where another classifier has judged the run than
            the kept ones, with that of the judges.
        seeds: n.
        headline: whether it is one of the recipe's headline metrics, which decide.
    """

    name: str
    value: float | None
    mean: float
    deviation: float
    seeds: int
    headline: bool

    @property
    def margin(self):
        """How far from the mean a value may be: t(0.999, n - 1) s sqrt(1 + 1/n).

        If values are normal, that of one more run with a seed of its own is within it 998 times in 1,000, each metric
        by itself. For the error of the mean adds to that of the value, and the deviation is itself estimated, which
        Student's t accounts for.
        """
        from scipy import stats  # It takes half a second to load.

        return stats.t.ppf(PROBABILITY, self.seeds - 1) * self.deviation * (1 + 1 / self.seeds) ** 0.5

    @property
    def within(self):
        """Whether the value is within the margin."""
        return self.value is not None and abs(self.value - self.mean) <= self.margin


def compare(results, kept):
    """Returns a `Comparison` for each metric that all kept runs have.

    Args:
        results: contents of a run's results.json.
        kept: the entry of its recipe and preset in what `kept_runs` returns.
    """
    headline, comparisons = RECIPES[results["recipe"]].headline, []
    for name, metric in kept["metrics"].items():
        values, mean = metric["values"], statistics.mean(metric["values"])
        counted = all(float(value).is_integer() for value in values)
        least = max(FLOOR * abs(mean), 1 / metric["n"], FLOOR_OF_COUNTS * counted)
        deviation = max(statistics.stdev(values), least)
        own = results["metrics"].get(name, {})
        if own.get("classifier") != metric.get("classifier"):
            deviation = math.hypot(deviation, _of_judges(name) * mean)
        comparisons.append(Comparison(name, own.get("value"), mean, deviation, len(values), name in headline))
    return sorted(comparisons, key=lambda comparison: not comparison.headline)


def _of_judges(name):
    """Returns the relative deviation of a metric from one judge to another."""
    return next(deviation for prefix, deviation in JUDGES if name.startswith(prefix))


def table(comparisons):
    """Returns the comparisons as a plain table, the headline metrics first."""
    lines = []
    for one in comparisons:
        verdict = ("within" if one.within else "outside") + ("" if one.headline else ", not decisive")
        allowed = f"{number(one.mean - one.margin)} to {number(one.mean + one.margin)}"
        value = "missing" if one.value is None else number(one.value)
        lines.append((one.name, value, number(one.mean), f"{one.deviation:.2g}", allowed, verdict))
    return aligned([HEADER, *lines])


def kept_runs(results):
    """Returns what is kept of the recipe and preset of some results: see `summary`.

    Raises:
        InputError: if there is nothing to compare with.
    """
    try:
        kept = read_json(KEPT)
    except (InputError, FileNotFoundError) as error:
        raise InputError(f"{KEPT} is missing or damaged; install tfgen anew, or run make docs in a checkout") from error
    of_recipe = kept.get(results["recipe"], {})
    if results["preset"] not in of_recipe:
        which = "; ".join(f"{recipe}: {', '.join(presets)}" for recipe, presets in kept.items())
        raise InputError(
            f"of {results['recipe']} in preset {results['preset']} fewer than {LEAST_SEEDS} seeds are kept with their "
            f"logs; what can be checked is {which or 'nothing'}"
        )
    entry = of_recipe[results["preset"]]
    # The oldest results have no checksum.
    same_images = results.get("data_sha256") in (None, entry["data_sha256"])
    if results["dataset"] != entry["dataset"] or not same_images:
        other = "" if results["dataset"] != entry["dataset"] else ", but of other images"
        raise InputError(f"the run is of dataset {results['dataset']}{other}; the kept ones are of {entry['dataset']}")
    return entry


def differing_settings(results, kept):
    """Returns the settings of a run that are not those of the kept ones, as text: "epochs 3, kept 20"; else ""."""
    preset = RECIPES[results["recipe"]].presets[results["preset"]]
    config, theirs = (preset.defaults() | one["config"] for one in (results, kept))
    names = [name for name in {**theirs, **config} if config.get(name) != theirs.get(name)]
    return "; ".join(f"{name} {config.get(name)}, kept {theirs.get(name)}" for name in names)


def verdict(results, kept, comparisons):
    """Returns the sentence that a run is as it should be.

    Raises:
        RunError: if it is not: a headline metric is outside.
        InputError: if none could be compared.
    """
    if not any(one.headline for one in comparisons):
        raise InputError(f"no headline metric of {results['recipe']} is kept; run make docs in a checkout")
    run, seeds = f"{results['recipe']}, seed {results['seed']}", ", ".join(map(str, kept["seeds"]))
    outside = [one.name for one in comparisons if one.headline and not one.within]
    if outside:
        raise RunError(f"{run}: outside the spread of seeds {seeds}: {', '.join(outside)}")
    missing = set(RECIPES[results["recipe"]].headline) - {one.name for one in comparisons}
    left_out = f", but these, which are not kept: {', '.join(sorted(missing))}" if missing else ""
    return f"{run}: within the spread of seeds {seeds} in every headline metric{left_out}"


def draw(directory, kept):
    """Writes `check.png`, the curves of its training.csv over the kept ones; returns its path."""
    from tfgen import figures

    log = pathlib.Path(directory, "training.csv")
    own = read_log(log) if log.exists() else {}
    path = pathlib.Path(directory, "check.png")
    write_atomically(path, figures.png(figures.curves_over(own, kept["curves"])))
    return path


def summary(results, root):
    """Returns what `tfgen check` needs of the kept runs, by recipe and preset, where there are `LEAST_SEEDS`.

    Args:
        results: of all kept runs.
        root: directory from which `<preset>-<seed>/<recipe>/training.csv` leads to the log of a kept run.
    """
    kept = {}
    for runs in groups(results):
        first = runs[0]
        paths = [pathlib.Path(root, f"{run['preset']}-{run['seed']}", run["recipe"], "training.csv") for run in runs]
        # The oldest kept results have no log beside them.
        if len(runs) < LEAST_SEEDS or not all(path.exists() for path in paths):
            continue
        logs = list(map(read_log, paths))
        values = {name: [run["metrics"].get(name, {}).get("value") for run in runs] for name in first["metrics"]}
        complete = {name: numbers for name, numbers in values.items() if None not in numbers}
        kept.setdefault(first["recipe"], {})[first["preset"]] = {
            "dataset": first["dataset"],
            "data_sha256": first.get("data_sha256"),
            "config": first["config"],
            "seeds": [run["seed"] for run in runs],
            "metrics": {
                name: {key: first["metrics"][name][key] for key in ("n", "classifier") if key in first["metrics"][name]}
                | {"values": numbers}
                for name, numbers in complete.items()
            },
            "curves": {
                name: [[float(f"{value:.4g}") for value in log[name]] for log in logs]
                for name in logs[0]
                if name not in ("epoch", "seconds")
            },
        }
    return kept


def write_kept(results, root, path):
    """Writes the file that `kept_runs` reads."""
    write_atomically(path, json.dumps(summary(results, root), separators=(",", ":"), allow_nan=False).encode() + b"\n")
