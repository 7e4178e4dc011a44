"""`tfgen check`: the interval holds a right run's value as often as it says, and a wrong run's is outside."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import StubModule
from scipy import stats

from tfgen import cli
from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.report import check

METRIC = {"value": 14.0, "unit": "u", "split": "test", "n": 10}
RESULT = {
    "recipe": "stub",
    "lecture_items": ["A1"],
    "dataset": "mnist",
    "data_sha256": "0" * 64,
    "comparable": True,
    "preset": "smoke",
    "seed": 7,
    "seconds": 60.4,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "config": {"epochs": 2, "batch_size": 50, "learning_rate": 0.1},
    "metrics": {"test_squared_error": METRIC, "other": {**METRIC, "value": 3.0}},
}
LOG = "epoch,loss,seconds,val_loss\n0,{0}.123456,1.5,9\n1,{0},1.5,8\n"


def comparison(value, values):
    (one,) = check.compare(
        {"recipe": "stub", "metrics": {"m": {**METRIC, "value": value}}},
        {"metrics": {"m": {"values": list(values), "n": 10_000}}},
    )
    return one


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    recipe = dataclasses.replace(StubModule.RECIPE, headline=("test_squared_error",))
    monkeypatch.setitem(RECIPES, "stub", recipe)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A file of what is kept: seeds 0 to 4 with errors of 14 to 14.4 and, beside them, one preset of a single seed."""
    root = tmp_path / "results"
    results = [{**RESULT, "preset": "quick", "seed": 0}]
    for seed in range(5):
        metrics = {
            "test_squared_error": {**METRIC, "value": 14 + seed / 10},
            "other": {**METRIC, "value": 3.0},
            "of some seeds": {**METRIC, "value": 1.0 if seed else None},
        }
        results.append({**RESULT, "seed": seed, "metrics": metrics})
        log = root / f"smoke-{seed}" / "stub" / "training.csv"
        log.parent.mkdir(parents=True)
        log.write_text(LOG.format(seed))
    path = tmp_path / "kept.json"
    check.write_kept(results, root, path)
    monkeypatch.setattr(check, "KEPT", path)
    return path


def run_directory(path, **changed):
    path.mkdir()
    (path / "results.json").write_text(json.dumps({**RESULT, **changed}))
    (path / "training.csv").write_text(LOG.format(5))
    return str(path)


def with_error(value):
    return {"metrics": {**RESULT["metrics"], "test_squared_error": {**METRIC, "value": value}}}


def test_the_margin_is_that_of_student():
    """The quantile from a printed table, of 4 degrees of freedom: 7.173."""
    one = comparison(0.0, [8, 9, 10, 11, 12])
    assert one.margin == pytest.approx(7.173 * 2.5**0.5 * 1.2**0.5, rel=1e-4)


def test_of_right_runs_two_in_a_thousand_are_outside():
    values = 10 + np.random.default_rng(0).standard_normal((20_000, 6))
    all_of_them = [comparison(value, others) for value, *others in values[:, :4].tolist()]
    assert np.mean([not one.within for one in all_of_them]) == pytest.approx(0.002, abs=0.0008)
    # Wrong: with a normal's quantile.
    distance = np.array([abs(one.value - one.mean) / one.margin for one in all_of_them])
    assert np.mean(distance > stats.norm.ppf(0.999) / stats.t.ppf(0.999, 2)) > 0.05


def test_a_metric_that_does_not_depend_on_the_seed_may_differ_by_little():
    assert comparison(101.0, [100.5] * 3).within and comparison(-101.0, [-100.5] * 3).within
    assert not comparison(103.6, [100.5] * 3).within
    # Of 10,000 images one is a share of 1e-4, and of counts one is one.
    assert comparison(0.0102, [0.0101] * 3).within and not comparison(0.0201, [0.0101] * 3).within
    assert comparison(24, [23] * 5).within and not comparison(29, [23] * 5).within


@pytest.mark.parametrize(
    "name, deviation, inside, outside", [("frechet_distance__x", 0.1, 2.1, 2.2), ("sample_recall", 0.025, 1.28, 1.29)]
)
def test_another_judge_adds_its_deviation(name, deviation, inside, outside):
    """The quantile from a printed table, of 3 degrees of freedom: 10.21."""

    def compared(value, classifier):
        metrics = {name: {**METRIC, "value": value, "classifier": classifier}}
        kept = {name: {"values": [0.999, 1.001, 0.9995, 1.0005], "n": 10_000, "classifier": "a"}}
        (one,) = check.compare({"recipe": "stub", "metrics": metrics}, {"metrics": kept})
        return one

    assert compared(1.0, "a").margin == pytest.approx(10.21 * 1e-3 * 1.25**0.5, rel=1e-3)
    assert compared(1.0, "b").margin == pytest.approx(10.21 * (deviation**2 + 1e-6) ** 0.5 * 1.25**0.5, rel=1e-3)
    assert not compared(inside, "a").within and compared(inside, "b").within and not compared(outside, "b").within


def test_a_value_that_is_missing_or_not_finite_is_outside():
    assert not comparison(None, [1, 2, 3]).within
    (one,) = check.compare({"recipe": "stub", "metrics": {}}, {"metrics": {"m": {"values": [1, 2, 3], "n": 10}}})
    assert not one.within


def test_what_is_kept_has_the_values_and_the_curves_of_all_seeds(kept):
    entries = json.loads(kept.read_text())
    assert list(entries) == ["stub"] and list(entries["stub"]) == ["smoke"]  # Of quick there is one seed.
    entry = entries["stub"]["smoke"]
    assert entry["seeds"] == [0, 1, 2, 3, 4] and entry["config"] == RESULT["config"]
    assert entry["metrics"] == {
        "test_squared_error": {"values": [14, 14.1, 14.2, 14.3, 14.4], "n": 10},
        "other": {"values": [3] * 5, "n": 10},
    }
    assert entry["curves"]["loss"][4] == [4.123, 4] and entry["curves"]["val_loss"] == [[9, 8]] * 5
    assert set(entry["curves"]) == {"loss", "val_loss"}


@pytest.mark.parametrize("config", [RESULT["config"], {"epochs": 2, "batch_size": 50}])
def test_a_run_within_the_spread_is_told_so(config, kept, tmp_path, capsys):
    """Also one from before a field, which had its default."""
    run = run_directory(tmp_path / "run", **with_error(14.5), config=config)
    assert cli.main(["check", run]) == 0
    output = capsys.readouterr().out
    assert "stub, seed 7: within the spread of seeds 0, 1, 2, 3, 4 in every headline metric\n" in output
    assert "test_squared_error" in output.splitlines()[2] and "Other settings" not in output
    assert (tmp_path / "run" / "check.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_outside_fails_and_says_what_was_set_otherwise(kept, tmp_path, capsys):
    run = run_directory(tmp_path / "run", **with_error(24.0), config={**RESULT["config"], "learning_rate": 1.0})
    assert cli.main(["check", run]) == 1
    captured = capsys.readouterr()
    assert captured.err == "tfgen: stub, seed 7: outside the spread of seeds 0, 1, 2, 3, 4: test_squared_error\n"
    assert "Other settings than the kept runs': learning_rate 1.0, kept 0.1\n" in captured.out


def test_another_metric_outside_is_shown_and_does_not_decide(kept, tmp_path, capsys):
    run = run_directory(tmp_path / "run", metrics={**RESULT["metrics"], "other": {**METRIC, "value": 30.0}})
    assert cli.main(["check", run]) == 0
    assert "outside, not decisive" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"preset": "quick"}, "fewer than 4 seeds are kept with their logs; what can be checked is stub: smoke"),
        ({"dataset": "digits"}, "the run is of dataset digits; the kept ones are of mnist"),
        ({"data_sha256": "1" * 64}, "the run is of dataset mnist, but of other images; the kept ones are of mnist"),
    ],
)
def test_what_cannot_be_compared_is_refused(kept, tmp_path, changed, message, monkeypatch, capsys):
    smoke = RECIPES["stub"].presets["smoke"]
    recipe = dataclasses.replace(RECIPES["stub"], presets={"smoke": smoke, "quick": smoke})
    monkeypatch.setitem(RECIPES, "stub", recipe)
    assert cli.main(["check", run_directory(tmp_path / "run", **changed)]) == 2
    assert message in capsys.readouterr().err


def test_a_directory_without_a_finished_run_is_refused(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"tfgen: no finished run in {tmp_path}; name a directory such as runs/vae\n"


def test_a_damaged_log_is_refused_and_a_missing_one_leaves_the_kept_curves(kept, tmp_path):
    run_directory(tmp_path / "run")
    entry = check.kept_runs(RESULT)
    (tmp_path / "run" / "training.csv").write_text("epoch,loss\n0,much\n")
    with pytest.raises(InputError, match=r"training\.csv cannot be read as the log of a training"):
        check.draw(tmp_path / "run", entry)
    (tmp_path / "run" / "training.csv").unlink()
    assert check.draw(tmp_path / "run", entry).exists()


@pytest.mark.parametrize("text", [None, "{", '{"stub": {}}'])
def test_without_what_is_kept_the_remedy_is_named(kept, tmp_path, capsys, text):
    kept.unlink() if text is None else kept.write_text(text)
    assert cli.main(["check", run_directory(tmp_path / "run")]) == 2
    message = "what can be checked is stub: " if text == '{"stub": {}}' else "kept.json is missing or damaged; install"
    assert message in capsys.readouterr().err


def test_a_headline_metric_that_is_not_kept_is_named(kept, tmp_path, capsys, monkeypatch):
    headline = ("test_squared_error", "newer")
    monkeypatch.setitem(RECIPES, "stub", dataclasses.replace(RECIPES["stub"], headline=headline))
    assert cli.main(["check", run_directory(tmp_path / "run")]) == 0
    assert "in every headline metric, but these, which are not kept: newer\n" in capsys.readouterr().out


def test_a_run_of_which_no_headline_metric_is_kept_is_not_called_right(kept, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "stub", dataclasses.replace(RECIPES["stub"], headline=("newer",)))
    assert cli.main(["check", run_directory(tmp_path / "run")]) == 2
    assert "no headline metric of stub is kept" in capsys.readouterr().err
