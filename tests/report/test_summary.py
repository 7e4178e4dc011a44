"""`report.md`: every metric and every figure of the finished runs of a directory."""

import json
import shutil

import pytest
from helpers import FREE_TEXTS, StubModule, rendered
from hypothesis import given, settings

from tfgen.report import tables
from tfgen.report.summary import write_report

METRIC = {"value": 13.866, "unit": "nats | image", "split": "test", "n": 10_000}
RESULT = {
    "recipe": "stub",
    "lecture_items": ["A1", "A3"],
    "dataset": "digits",
    "comparable": False,
    "preset": "smoke",
    "seed": 5,
    "seconds": 60.4,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "config": {},
    "metrics": {"test_squared_error": METRIC, "other": METRIC},
    "figures": ["figures/training.png", "figures/film.gif"],
}


@pytest.fixture
def runs(stub, tmp_path):
    """A directory of two finished runs, an unfinished one and one that was moved aside."""
    for name, recipe, changed in (
        ("stub", "stub", {}),
        ("vae", "vae", {"seed": 0, "figures": [], "metrics": {"test_negative_elbo": METRIC}}),
        ("stub.1", "stub", {"metrics": {"old": METRIC}}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({**RESULT, "recipe": recipe, **changed}))
    (tmp_path / "gan" / "checkpoints").mkdir(parents=True)
    return tmp_path


def test_the_report_has_the_table_and_the_figures_of_every_finished_run(runs):
    path = write_report(str(runs))
    assert path == runs / "report.md"
    written = path.read_text()
    table, *sections = written.split("\n## ")
    assert table.startswith(f"# Results\n\n| {' | '.join(tables.HEADER)} |\n")
    assert [line.split(" | ")[:3] for line in table.splitlines() if "13.87" in line] == [
        ["| vae", "A1 A3", "test_negative_elbo"],
        ["| stub", "A1 A3", "test_squared_error"],
        ["| stub", "A1 A3", "other"],
    ]
    assert r"| not comparable | 13.87 | nats \| image; test, n = 10,000 |" in table
    assert [section.split("\n")[0] for section in sections] == ["vae", "stub"]
    about = "Lecture A1, A3. Dataset digits, preset smoke, seed 5, 60.4 s on 2 CPUs."
    assert f"{StubModule.RECIPE.title}. {about}" in sections[1]
    # Paths are relative to the report.
    assert "![training](stub/figures/training.png)\n![film](stub/figures/film.gif)\n" in sections[1]
    assert "![" not in sections[0]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory of runs that are written again and again."""
    return tmp_path_factory.mktemp("runs")


@settings(max_examples=50, deadline=None)
@given(text=FREE_TEXTS)
def test_no_text_of_a_results_file_becomes_markup_in_the_report(directory, text):
    def report(text):
        metrics = {"test_negative_elbo": {**METRIC, "unit": text, "split": text}, "other": METRIC}
        result = {**RESULT, "recipe": "vae", "dataset": text, "metrics": metrics}
        (directory / "vae").mkdir(exist_ok=True)
        (directory / "vae" / "results.json").write_text(json.dumps(result))
        return write_report(directory).read_text()

    tags, texts = rendered(report(text))
    plain_tags, plain_texts = rendered(report("plain"))
    assert tags == plain_tags and sum(tag.startswith("<img") for tag in tags) == len(RESULT["figures"])
    assert texts == [shown.replace("plain", text) for shown in plain_texts]


def test_a_report_of_results_without_figures_is_written(runs):
    path = runs / "vae" / "results.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "figures"}))
    assert "## vae" in write_report(runs).read_text()


def test_the_report_is_written_anew(runs):
    """What a killed process has left half-written goes."""
    (runs / "report.md").write_text("stale")
    (runs / f".report.md.{'0' * 32}").write_text("half")
    assert "stale" not in write_report(runs).read_text()
    assert [path.name for path in runs.iterdir() if path.name.startswith(".")] == [".report.md.lock"]


def test_the_table_and_the_report_show_every_metric_of_a_run(smoke, tmp_path):
    run = smoke("vae")
    (tmp_path / "vae").mkdir()
    shutil.copyfile(run.directory / "results.json", tmp_path / "vae" / "results.json")
    printed, written = tables.table([run.results]), write_report(tmp_path).read_text()
    for metric in run.results["metrics"]:
        assert any("vae" in line and metric in line and "not comparable" in line for line in printed.splitlines())
        assert f"| {metric} |" in written
    for figure in run.results["figures"]:
        assert f"(vae/{figure})" in written
        assert (run.directory / figure).is_file()
