"""Baselines beside the runs: computed once, again for other data, parameters or seeds, and when damaged."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import StubModule

from tfgen.data import Split
from tfgen.runner.results import load_results
from tfgen.training import baselines
from tfgen.training.run import Run


@pytest.fixture
def make_run(digits, tmp_path):
    """Function that makes a `Run` in one of the directories beside each other."""

    def make(name="stub", data=digits, **options):
        return Run(StubModule.RECIPE, StubModule.RECIPE.presets["smoke"], data, tmp_path / name, "smoke", **options)

    return make


class Counted:
    """A computation whose answer is how often it has been asked for."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"times": self.times, "share": 0.1, "at_edge": True}


def path_of(tmp_path):
    return tmp_path / "baselines" / "some.json"


def files_of(tmp_path):
    return sorted(path.name for path in (tmp_path / "baselines").iterdir())


def test_runs_beside_each_other_compute_a_baseline_once(make_run, tmp_path):
    compute = Counted()
    first = make_run().baseline("some", compute, n=10, seed=0)
    assert first == {"times": 1, "share": 0.1, "at_edge": True}
    assert make_run("other").baseline("some", compute, seed=0, n=10) == first
    assert make_run("elsewhere/stub").baseline("some", compute, n=10, seed=0)["times"] == 2
    assert files_of(tmp_path) == ["some_seed_0.json"]
    assert load_results(tmp_path) == []


def test_tuples_and_lists_are_the_same_parameters(make_run):
    compute = Counted()
    for counts in ((100, 600), [100, 600], (100, 600)):
        assert make_run().baseline("some", compute, counts=counts)["times"] == 1


def test_each_seed_has_a_file_which_another_seed_s_cannot_stand_for(make_run, tmp_path):
    compute = Counted()
    asked = (0, 1, None, 0, 1, None)
    assert [make_run().baseline("some", compute, seed=seed)["times"] for seed in asked] == [1, 2, 3, 1, 2, 3]
    assert files_of(tmp_path) == ["some.json", "some_seed_0.json", "some_seed_1.json"]
    directory = tmp_path / "baselines"
    (directory / "some_seed_0.json").rename(directory / "some_seed_1.json")
    assert make_run().baseline("some", compute, seed=1)["times"] == 4


def test_runs_of_several_seeds_share_what_no_seed_decides(make_run, tmp_path):
    """Each in a directory of its own; those that others need are in the first one's."""
    compute, needed = Counted(), tmp_path / "seed-0"
    for seed in (0, 1):
        run = make_run(f"seed-{seed}/stub", seed=seed, needed_dir=needed)
        assert run.baseline("some", compute) == {"times": 1, "share": 0.1, "at_edge": True}
    assert [path.name for path in (needed / "baselines").iterdir()] == ["some.json"]


@pytest.mark.parametrize("changed", [{"n": 11}, {"more": None}])
def test_other_parameters_are_computed_anew_and_replace_the_file(make_run, changed):
    compute = Counted()
    make_run().baseline("some", compute, n=10)
    for _ in range(2):
        assert make_run().baseline("some", compute, **{"n": 10, **changed})["times"] == 2
    assert make_run().baseline("some", compute, n=10)["times"] == 3


def test_other_data_versions_and_kernels_are_computed_anew(make_run, digits, monkeypatch):
    """The data differ by one pixel, which the checksum alone tells."""
    compute = Counted()
    make_run().baseline("some", compute)
    images = digits.test.images.copy()
    images[0, 0] ^= 1
    other = dataclasses.replace(digits, test=Split(images, digits.test.labels))
    assert make_run(data=other).baseline("some", compute)["times"] == 2
    assert make_run(data=other, deterministic=True).baseline("some", compute)["times"] == 3
    monkeypatch.setattr(np, "__version__", "0")
    assert make_run(data=other, deterministic=True).baseline("some", compute)["times"] == 4


def damaged_contents(contents):
    """Yields what a file may hold instead of its contents."""
    yield b""
    whole = json.dumps(contents).encode()
    yield whole[:-5]
    yield whole[:-1] + b"\xff}"
    for key in contents:
        yield json.dumps({name: value for name, value in contents.items() if name != key}).encode()
    for values in ([1], {"times": "1"}, {"times": None}, {"Times": 1}):
        yield json.dumps({**contents, "values": values}).encode()
    yield json.dumps({**contents, "values": {"times": 1}}).replace(": 1}", ": NaN}").encode()


def test_a_damaged_file_is_named_and_computed_again(make_run, tmp_path, capsys):
    compute = Counted()
    path = path_of(tmp_path)
    make_run().baseline("some", compute)
    assert capsys.readouterr().out == ""
    for number, content in enumerate(damaged_contents(json.loads(path.read_text())), 2):
        path.write_bytes(content)
        assert make_run().baseline("some", compute)["times"] == number
        assert capsys.readouterr().out == f"{path} is damaged: computing it again\n"
        assert make_run().baseline("some", compute)["times"] == number
        assert capsys.readouterr().out == ""
    assert number > 8


def test_what_fails_leaves_what_was_there(make_run, tmp_path):
    make_run().baseline("some", Counted())
    before = path_of(tmp_path).read_bytes()
    with pytest.raises(ZeroDivisionError):
        make_run().baseline("some", lambda: {"x": 1 / 0}, n=1)
    with pytest.raises(ValueError):
        make_run().baseline("some", lambda: {"x": float("nan")}, n=1)
    assert path_of(tmp_path).read_bytes() == before


def test_of_two_that_compute_at_once_each_gets_its_own_and_the_file_is_whole(make_run, tmp_path):
    """The second writes while the first still computes."""

    def slow():
        make_run("other").baseline("some", Counted())
        return {"times": 5}

    assert make_run().baseline("some", slow) == {"times": 5}
    assert baselines.read_json(path_of(tmp_path))["values"] == {"times": 5}
    assert make_run().baseline("some", Counted()) == {"times": 5}
