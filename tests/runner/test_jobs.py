"""Several processes: what runs when, the same results as one process, and what an end before the end leaves behind."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from helpers import contents

import tfgen
from tfgen import cli
from tfgen.errors import InputError, RunError
from tfgen.recipes import RECIPES
from tfgen.runner import jobs
from tfgen.runner.request import Request, seeds_of
from tfgen.runner.results import read_results

# A process with two more recipes: the stub, and one that needs it and does what its learning rate says.
PROGRAM = """
import dataclasses, json, os, sys, time
from helpers import StubModule
from tfgen.console import stop_if_asked
from tfgen.errors import RunError
from tfgen.recipes import MODULES, RECIPES
from tfgen.runner import jobs

class NeedyModule(StubModule):
    RECIPE = dataclasses.replace(StubModule.RECIPE, needs=("stub",))

    @staticmethod
    def experiment(run):
        rate = run.config.learning_rate
        if rate == 0.25:
            raise RunError("the run fails as it should")
        if rate == 0.5:
            os._exit(3)
        for _ in range(600 if rate == 0.75 else 0):
            stop_if_asked()
            time.sleep(0.1)
        print("a line of the run")
        run.metric("test_squared_error", run.seed, "squared error per image", "test", len(run.data.test))
        run.metric("threads", int(os.environ["TF_NUM_INTRAOP_THREADS"]), "threads", "none", 1)

MODULES |= {"stub": StubModule, "needy": NeedyModule}
RECIPES |= {name: MODULES[name].RECIPE for name in ("stub", "needy")}
sys.exit(jobs.main(json.loads(sys.argv[1])))
"""
OPTIONS = {"dataset": "digits", "data_dir": None, "tensorboard": False, "debug": False}


@pytest.fixture
def recipes(stub, monkeypatch):
    """The stub, and a recipe that needs it, in the parent and in its processes."""
    monkeypatch.setitem(RECIPES, "needy", dataclasses.replace(RECIPES[stub], needs=(stub,)))
    monkeypatch.setattr(jobs, "PROGRAM", (sys.executable, "-c", PROGRAM))
    paths = [pathlib.Path(__file__).parent.parent, pathlib.Path(tfgen.__file__).parent.parent]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    return stub, "needy"


def requests_of(directory, names, seeds=(0, 1), **options):
    return [
        Request(name, "smoke", seed, output_dir=directory / f"seed-{seed}", needed_dir=directory / "seed-0", **options)
        for seed in seeds
        for name in names
    ]


# What runs when.


def test_needed_runs_come_first_then_those_that_need_them(recipes, tmp_path):
    tasks = jobs.tasks_of(requests_of(tmp_path, ("shallow-autoencoder", "needy", "stub")))
    assert [task.label for task in tasks] == [
        "stub, seed 0",
        "needy, seed 0",
        "needy, seed 1",
        "shallow-autoencoder, seed 0",
        "shallow-autoencoder, seed 1",
        "stub, seed 1",
    ]
    needed = tmp_path / "seed-0" / "stub"
    assert [task.after for task in tasks] == [set(), {needed}, {needed}, set(), set(), set()]


def test_what_nobody_asked_for_is_made_once_for_all_that_need_it(recipes, tmp_path):
    first, *others = jobs.tasks_of(requests_of(tmp_path, ("needy",), seeds=(3, 4)))
    assert first.needed and first.label == "stub" and first.makes == {tmp_path / "seed-0" / "stub"}
    assert [task.after for task in others] == [first.makes] * 2 and not any(task.needed for task in others)


@pytest.mark.parametrize(
    "text, seeds", [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("3,0-1", [3, 0, 1]), ("2-2,10-11", [2, 10, 11])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-1", "0..4", "4-0", "0,1,0", "0-2,1", "1,,2", "0-1000", "1.5", "\u0661"]
)
def test_other_texts_are_no_seeds(text):
    with pytest.raises(InputError, match="--seeds"):
        seeds_of(text)


# What is made.


def test_processes_make_the_runs_that_one_process_makes(recipes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "cores", lambda: 6)
    stub, needy = recipes
    asked = requests_of(tmp_path / "several", (needy, stub), seeds=(2, 0))
    results = jobs.carry_out_all(asked, 2, OPTIONS)
    assert [(each["recipe"], each["seed"]) for each in results] == [(needy, 2), (stub, 2), (needy, 0), (stub, 0)]
    assert results[0]["metrics"]["test_squared_error"]["value"] == 2
    # Six cores for two processes, as is recorded.
    assert results[0]["metrics"]["threads"]["value"] == results[0]["environment"]["threads"] == 3
    printed = capsys.readouterr().out
    assert "needy, seed 2: a line of the run\n" in printed and "stub, seed 0: begins, 1 of 4\n" in printed
    assert "waiting" not in printed and "needs" not in printed
    alone = requests_of(tmp_path / "alone", (stub,), seeds=(2,))
    assert jobs.carry_out_all(alone, 5, OPTIONS)[0]["metrics"] == results[1]["metrics"]
    # Resumed, nothing is made again.
    before = contents(tmp_path / "several" / "seed-0")
    again = requests_of(tmp_path / "several", (needy, stub), seeds=(2, 0), resume=True)
    assert jobs.carry_out_all(again, 2, OPTIONS) == results
    assert contents(tmp_path / "several" / "seed-0") == before
    assert "already finished" in capsys.readouterr().out


def test_the_command_makes_means_over_seeds_judged_by_the_needed_run_of_seed_0(recipes, tmp_path, capsys):
    line = f"run needy --seeds 3,5 --jobs 2 --preset smoke --dataset digits --output-dir {tmp_path}"
    assert cli.main(line.split()) == 0
    printed = capsys.readouterr().out
    assert "| 4 ± 1.4 " in printed and "2 runs, " in printed and "no result is comparable" in printed
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"seed-0", "seed-3", "seed-5"}
    assert not (tmp_path / "seed-3" / "stub").exists()
    assert read_results(tmp_path / "seed-0" / "stub" / "results.json")["seed"] == 0
    for seed in (3, 5):
        assert "needy" in (tmp_path / f"seed-{seed}" / "report.html").read_text()


# What goes wrong.


def test_a_run_that_fails_stops_the_others_which_can_be_resumed(recipes, tmp_path, capsys):
    jobs.carry_out_all(requests_of(tmp_path, ("stub",), seeds=(0,)), 1, OPTIONS)
    endless = requests_of(tmp_path, ("needy",), seeds=(1,), settings=("learning_rate=0.75",))
    failing = requests_of(tmp_path, ("needy",), seeds=(2,), settings=("learning_rate=0.25",))
    with pytest.raises(RunError, match=r"^the run fails as it should$"):
        jobs.carry_out_all([*endless, *failing], 2, OPTIONS)
    assert not (tmp_path / "seed-1" / "needy" / "results.json").exists()
    assert json.loads((tmp_path / "seed-1" / "needy" / "request.json").read_text())["learning_rate"] == 0.75


def test_a_process_that_dies_is_told_of(recipes, tmp_path):
    with pytest.raises(RunError, match=r"^the process of needy, seed 0 ended with code 3; add --resume to go on$"):
        jobs.carry_out_all(
            requests_of(tmp_path, ("stub", "needy"), seeds=(0,), settings=("learning_rate=0.5",)), 2, OPTIONS
        )


def test_a_wrong_request_is_refused_before_anything_runs(recipes, tmp_path, capsys):
    line = (
        f"run stub needy --jobs 2 --set batch_size=100000 --preset smoke --dataset digits --output-dir {tmp_path}/out"
    )
    assert cli.main(line.split()) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and "100000" in errors[0]
    assert not (tmp_path / "out").exists()
    assert cli.main(f"run stub --jobs 0 --output-dir {tmp_path}/out".split()) == 2
    assert capsys.readouterr().err == "tfgen: --jobs must be at least 1, got 0\n"


def test_an_interruption_stops_the_processes(recipes, tmp_path, monkeypatch):
    seen = []

    def interrupted(answers):
        if seen:
            raise KeyboardInterrupt
        seen.append(True)
        return wait(answers)

    wait, processes = jobs._wait, []
    monkeypatch.setattr(jobs, "_wait", interrupted)
    start = jobs._Worker.__init__

    def started(self, *args):
        start(self, *args)
        processes.append(self.process)

    monkeypatch.setattr(jobs._Worker, "__init__", started)
    with pytest.raises(KeyboardInterrupt):
        jobs.carry_out_all(
            requests_of(tmp_path, ("stub", "needy"), seeds=(0, 1), settings=("learning_rate=0.75",)), 2, OPTIONS
        )
    assert len(processes) == 2
    for process in processes:
        assert process.poll() in (0, 130, -signal.SIGTERM)


def test_a_process_whose_parent_is_gone_ends_without_a_traceback(recipes):
    read, write = os.pipe()
    process = subprocess.Popen(
        [*jobs.PROGRAM, json.dumps(OPTIONS)], stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    os.close(read)
    _, errors = process.communicate('["check", []]\n', timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors and "BrokenPipeError" not in errors
