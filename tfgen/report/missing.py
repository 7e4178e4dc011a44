"""Which of many runs are done, begun and missing. Imports no TensorFlow."""

import contextlib
import pathlib
import time

from tfgen.report.tables import aligned
from tfgen.runner.results import read_results

WRITTEN = ("request.json", "training*.csv", "checkpoints/*.keras")


def state_of(directory, preset):
    """Returns the state of a run, as a text, by what lies in its directory.

    "done", "missing", "of preset ..." where a finished run of another preset lies, and of an unfinished one how long
    ago it wrote something. The lock would tell whether it lives, but not on every network file system.
    """
    if (directory / "results.json").exists():
        found = read_results(directory / "results.json")["preset"]
        return "done" if found == preset else f"of preset {found}"
    written = []
    for path in (path for name in WRITTEN for path in directory.glob(name)):
        with contextlib.suppress(FileNotFoundError):  # A run renames what it has written.
            written.append(path.stat().st_mtime)
    return f"{(time.time() - max(written)) / 60:.0f} min ago" if written else "missing"


def states(directory, names, seeds, preset):
    """Returns `(recipe, state of each seed ...)` of the runs that `tfgen run --seeds` makes in a directory."""
    directory = pathlib.Path(directory)
    return [(name, *(state_of(directory / f"seed-{seed}" / name, preset) for seed in seeds)) for name in names]


def table(found, seeds):
    """Returns what `states` has found as a plain table, and below it a line that counts."""
    every = [state for row in found for state in row[1:]]
    counts = f"{every.count('done')} of {len(every)} runs are done, {every.count('missing')} are missing"
    return f"{aligned([('recipe', *(f'seed {seed}' for seed in seeds)), *found])}\n\n{counts}"
