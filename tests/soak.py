"""Runs recipes at random, stops them at random, resumes them, and compares what they leave with an undisturbed run's.

    python tests/soak.py --runs 200

Each run is of a random recipe, preset smoke, on the digits, with random options. It is stopped up to three times:
killed, told to end by SIGTERM, SIGHUP or Ctrl-C, or its output is closed, in which case it must go on. After a kill its
last checkpoint may be cut short, as a power failure leaves it, or its log or its request be lost. Then it is resumed
until it has finished. It must equal the undisturbed run in every metric, bit for bit, in every line of its logs but the
seconds, and in the names of all its files. Nothing else may be left: no process, no temporary file.

It prints a line for each run, then how often each thing was done, and ends with 1 if anything was wrong.
"""

import argparse
import collections
import csv
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tfgen.data import digits
from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.runner.request import Request

STOPS = {"SIGKILL": 6, "SIGTERM": 2, "SIGINT": 2, "SIGHUP": 2, "close": 2}
DAMAGES = {"none": 6, "torn checkpoint": 2, "no log": 1, "no request": 1}
# Of an undisturbed run, and far longer than one takes.
LIMIT_SECONDS = 900


def choose(generator, weights):
    return generator.choices(list(weights), list(weights.values()))[0]


def random_options(generator, data):
    """Returns the words of a request that can be carried out on a dataset."""
    while True:
        name = generator.choice([name for name, recipe in RECIPES.items() if "smoke" in recipe.presets])
        fields = {field.name for field in dataclasses.fields(RECIPES[name].presets["smoke"])}
        words = [name, "--seed", str(generator.randrange(2))]
        settings = []
        if "batch_size" in fields and generator.random() < 0.3:
            settings.append(f"batch_size={generator.choice((50, 64))}")
        if "precision" in fields and generator.random() < 0.2:
            settings.append("precision=mixed_bfloat16")
        epochs = generator.choice((None, None, 2, 3))
        try:
            Request(name, "smoke", epochs=epochs, settings=tuple(settings)).config().check(data)
        except InputError:
            continue
        words += ["--epochs", str(epochs)] if epochs else []
        words += [word for setting in settings for word in ("--set", setting)]
        return words + (["--deterministic"] if generator.random() < 0.2 else [])


class Process:
    """A `tfgen run` in a process group of its own, with its own directory for temporary files."""

    def __init__(self, words, directory):
        self.temporary = pathlib.Path(tempfile.mkdtemp(dir=directory.parent))
        command = [sys.executable, "-m", "tfgen", "run", *words]
        command += ["--preset", "smoke", "--dataset", "digits", "--output-dir", str(directory)]
        self.started = None
        self.printed = []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )
        # The first recipe's line says that TensorFlow is loaded.
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith("== "):
                self.started = time.monotonic()
                break
        self.readers = [threading.Thread(target=self._read, args=(stream,)) for stream in ("stdout", "stderr")]
        for reader in self.readers:
            reader.start()

    def _read(self, stream):
        self.printed += getattr(self.process, stream)

    def end(self, stop=None, seconds=LIMIT_SECONDS):
        """Stops the process after so many seconds, if it has not ended; returns its exit code when it has.

        Args:
            stop: the name of a signal, "close" for its standard output, or None to wait.
            seconds: from the start of the first recipe.
        """
        try:
            self.process.wait(max(0, seconds - (time.monotonic() - (self.started or time.monotonic()))))
        except subprocess.TimeoutExpired:
            if stop == "close":
                # Closes the reading end of the pipe, though a thread reads from it.
                with open(os.devnull) as null:
                    os.dup2(null.fileno(), self.process.stdout.fileno())
            else:
                os.killpg(self.process.pid, getattr(signal, stop or "SIGKILL"))
            self.process.wait(LIMIT_SECONDS)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode

    def left(self):
        """Returns what the process has left behind: processes of its group, and temporary files."""
        found = [path.name for path in self.temporary.rglob("*")]
        try:
            os.killpg(self.process.pid, 0)
            found.append("a process")
        except ProcessLookupError:
            pass
        shutil.rmtree(self.temporary)
        return found


def outcome(directory):
    """Returns what must be alike in two directories of runs: metrics, logs without seconds, names of files."""
    found = {}
    for path in sorted(directory.glob("*/results.json")):
        results = json.loads(path.read_text())
        found[str(path.relative_to(directory))] = {key: results[key] for key in ("config", "data_sha256", "metrics")}
    for path in sorted(directory.glob("*/training*.csv")):
        with open(path, newline="") as file:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        found[str(path.relative_to(directory))] = rows
    names = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    # Which epochs were saved depends on how long they took.
    found["files"] = sorted(name for name in names if ".previous.keras" not in name)
    return found


def damage(kind, directory):
    """Does to a killed run what a power failure or a user may; returns whether there was anything to damage."""
    patterns = {
        "torn checkpoint": "checkpoints/*.keras",
        "no log": "training*.csv",
        "no request": "request.json",
    }
    unfinished = [run for run in directory.iterdir() if run.is_dir() and not (run / "results.json").exists()]
    files = [path for run in unfinished for path in run.glob(patterns[kind]) if ".previous" not in path.name]
    if not files:
        return False
    newest = max(files, key=lambda path: path.stat().st_mtime)
    if kind == "torn checkpoint":
        os.truncate(newest, newest.stat().st_size // 2)
    else:
        newest.unlink()
    return True


def disturbed(words, directory, seconds, generator, counts):
    """Runs a request with random stops until it has finished; returns what was wrong on the way."""
    wrong = []
    stops = [choose(generator, STOPS) for _ in range(generator.randrange(1, 4))]
    resume = []
    while True:
        stop = stops.pop() if stops else None
        process = Process([*words, *resume], directory)
        code = process.end(stop, generator.uniform(0, 1) * seconds if stop else LIMIT_SECONDS)
        left = process.left()
        if left and code != -signal.SIGKILL:
            wrong.append(f"{stop}: left {left}")
        said = process.printed[-1] if process.printed else ""
        if (directory / words[0] / "results.json").exists():
            # A signal may have come after the end of the work.
            counts[stop if stop == "close" else "ended"] += 1
            return wrong
        if code == 2 and "cannot be read" in said and " to start over" in said:
            # The only checkpoint was the torn one, and the message says what to do.
            counts["started over"] += 1
            shutil.rmtree(said.split("delete ")[-1].split(" to start over")[0])
            continue
        number = getattr(signal, stop or "", None)
        if number is None or code != (-number if stop == "SIGKILL" else 128 + number):
            return [*wrong, f"{stop}: exit code {code}: {''.join(process.printed[-3:])}"]
        counts[stop] += 1
        resume = ["--resume"]
        kind = choose(generator, DAMAGES) if stop == "SIGKILL" else "none"
        if kind != "none" and directory.exists() and damage(kind, directory):
            counts[kind] += 1


def soak(runs, seed, directory):
    """Does all of it; returns the number of runs in which something was wrong."""
    generator = random.Random(seed)
    counts, references, bad = collections.Counter(), {}, 0
    data = digits()
    requests = [random_options(generator, data) for _ in range(max(1, runs // 5))]
    for number in range(runs):
        words = generator.choice(requests)
        key = " ".join(words)
        if key not in references:
            place = directory / "reference"
            started = time.monotonic()
            process = Process(words, place)
            code = process.end()
            if code != 0:
                print(f"{key}: the undisturbed run ends with {code}: {''.join(process.printed[-3:])}", flush=True)
                return runs
            process.left()
            references[key] = outcome(place), time.monotonic() - (process.started or started)
            shutil.rmtree(place)
        expected, seconds = references[key]
        place = directory / "disturbed"
        wrong = disturbed(words, place, seconds, generator, counts)
        found = outcome(place)
        wrong += [f"{name} differs" for name in {**expected, **found} if expected.get(name) != found.get(name)]
        print(f"{number + 1}/{runs} {key}: {'; '.join(wrong) or 'ok'}", flush=True)
        if wrong:
            bad += 1
            place.rename(directory / f"wrong-{number + 1}")
        else:
            shutil.rmtree(place)
    print(f"{runs} runs of {len(references)} requests; {dict(counts)}; {bad} wrong")
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=pathlib.Path, help="where to run; default: a temporary directory")
    args = parser.parse_args()
    # What a background job ignores, its children would ignore as well.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as temporary:
        if args.directory is not None:
            args.directory.mkdir(parents=True, exist_ok=True)
        sys.exit(soak(args.runs, args.seed, args.directory or pathlib.Path(temporary)) > 0)
