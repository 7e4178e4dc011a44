"""The `tfgen` command: what it takes and refuses, in one line, at once; what its options do to a run."""

import dataclasses
import gzip
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from helpers import StubModule, contents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfgen import cli
from tfgen.cli import main
from tfgen.data import TFDS_NAMES, digits
from tfgen.recipe import LECTURE
from tfgen.recipes import MODULES, RECIPES
from tfgen.report import description, tables
from tfgen.runner.results import load_results

IDX = {
    "train-images-idx3-ubyte": np.arange(12 * 784, dtype=np.uint32).astype(np.uint8).reshape(12, 28, 28),
    "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": np.full((3, 28, 28), 7, np.uint8),
    "t10k-labels-idx1-ubyte": np.uint8([3, 1, 4]),
}
# Other values than those of the preset, whatever it is.
CONFIG = {name: getattr(RECIPES["vae"].presets["quick"], name) + 1 for name in ("epochs", "batch_size")}
RESULTS = {
    "recipe": "vae",
    "lecture_items": ["B3"],
    "dataset": "mnist",
    "comparable": True,
    "preset": "quick",
    "seed": 5,
    "seconds": 60.4,
    "config": CONFIG,
    "environment": {"cpus": 2, "tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "metrics": {
        name: {"value": value, "unit": "nats", "split": "test", "n": 10_000}
        for name, value in (
            ("test_negative_elbo", 99.5),
            ("test_reconstruction_loss", 73.25),
            ("test_kl_divergence", 26.25),
            ("other", 1.0),
        )
    },
}
ELBO_OF_SEED_6 = {"value": 100.5, "unit": "nats", "split": "test", "n": 10_000}
# The lecture's items are its own.
LECTURE_ITEMS = {
    *(f"A{i}" for i in range(1, 8)),
    *(f"B{i}" for i in range(1, 7)),
    *(f"C{i}" for i in range(1, 5)),
    *(f"D{i}" for i in range(1, 6)),
}


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(directory, **changed):
    directory.mkdir()
    for name, array in IDX.items():
        (directory / f"{name}.gz").write_bytes(gzip.compress(changed.get(name[:10].replace("-", "_"), idx(array))))


def no_network(*args, **kwargs):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current directory, with everything in it that a request could stumble over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # Set, it asks for TensorFlow's own messages.
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    (tmp_path / "file").write_text("not a directory")
    (tmp_path / "empty").mkdir()
    info = tmp_path / "corrupt" / "mnist" / "3.0.1" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.write_text("garbage")
    (tmp_path / "no_model").mkdir()
    (tmp_path / "no_model" / "saved_model.pb").write_bytes(b"garbage")
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "vae").write_text("not a directory")
    (tmp_path / "incomplete" / "vae").mkdir(parents=True)
    (tmp_path / "incomplete" / "vae" / "results.json").write_text('{"recipe": "vae"}')
    other_seed = {
        **RESULTS,
        "seed": 6,
        "seconds": 40.0,
        "metrics": {**RESULTS["metrics"], "test_negative_elbo": ELBO_OF_SEED_6},
    }
    judged = {
        judge: {key: {**metric, "classifier": judge} for key, metric in RESULTS["metrics"].items()} for judge in "ab"
    }
    for directory, results in (
        ("results", RESULTS),
        ("other_seed", other_seed),
        ("deterministic", {**other_seed, "deterministic": True}),
        ("judged_by_a", {**RESULTS, "metrics": judged["a"]}),
        ("judged_by_b", {**RESULTS, "metrics": judged["b"], "seed": 6}),
        ("other_epochs", {**other_seed, "config": {"epochs": 1}}),
        ("other_recipe", {**RESULTS, "recipe": "gan-2d"}),
        ("other_preset", {**RESULTS, "preset": "huge"}),
        ("no_unit", {**RESULTS, "metrics": {"test_negative_elbo": {"value": 99.5, "split": "test", "n": 10_000}}}),
    ):
        (tmp_path / directory / "vae").mkdir(parents=True)
        (tmp_path / directory / "vae" / "results.json").write_text(json.dumps(results))
    (tmp_path / "latin").write_bytes("Résultats".encode("latin-1"))
    (tmp_path / "judge_gone" / "digit-classifier").mkdir(parents=True)
    judge = {**RESULTS, "recipe": "digit-classifier", "dataset": "digits", "preset": "smoke"}
    judge["data_sha256"] = digits().sha256
    (tmp_path / "judge_gone" / "digit-classifier" / "results.json").write_text(json.dumps(judge))
    (tmp_path / "judge_gone" / "gan").mkdir()
    (tmp_path / "judge_gone" / "gan" / "results.json").write_text(json.dumps({**judge, "recipe": "gan"}))
    checkpoint = tmp_path / "unfinished" / "vae" / "checkpoints" / "model.keras"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    labels = IDX["train-labels-idx1-ubyte"]
    write_idx(tmp_path / "good")
    write_idx(tmp_path / "truncated", train_imag=idx(IDX["train-images-idx3-ubyte"])[:-1])
    write_idx(tmp_path / "wrong_magic", train_labe=b"\0\0\x0d\1" + idx(labels)[4:])
    write_idx(tmp_path / "wrong_labels", train_labe=idx(labels + 1))
    write_idx(tmp_path / "wrong_count", train_labe=idx(labels[:-1]))
    return tmp_path


def call(argv):
    """Returns the exit code of `tfgen`, called in this process."""
    try:
        return main(argv)
    except SystemExit as end:
        return end.code


def fresh(*argv, program=("-m", "tfgen"), **environment):
    """Returns the finished process of `tfgen`, called in a fresh one, and its seconds of processor time."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")} | environment
    before = os.times()
    command = [sys.executable, *program, *argv]
    process = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return process, seconds


def assert_one_line(stderr, words):
    assert stderr.startswith("tfgen") and stderr.endswith("\n") and stderr.count("\n") == 1
    for word in words:
        assert word in stderr


# From a request that cannot be met to what the answer must hold: what came, and what is allowed or to be done.
BAD_REQUESTS = {
    "": ["COMMAND", "--help"],
    "train": ["'train'", "run", "--help"],
    "list --bogus": ["--bogus", "--help"],
    "run vae --bogus": ["--bogus", "--help"],
    "run": ["name recipes or give --all", "vae"],
    "run --all vae": ["name recipes or give --all", "vae"],
    "run rbm": ["'rbm'", "stacked-autoencoder", "vae", "gan"],
    "run vae rbm": ["'rbm'", "stacked-autoencoder"],
    "run vae --preset huge": ["'huge'", "smoke", "quick", "paper"],
    "run vae-burda": ["vae-burda has no preset 'quick'", "smoke, paper", "--preset"],
    "list rbm": ["'rbm'", "stacked-autoencoder", "vae", "gan"],
    "list gan --json": ["--json", "no RECIPE"],
    "benchmark": ["'benchmark'", "run", "--help"],
    "run vae --epochs 0": ["vae: epochs", "at least 1", "0"],
    "run vae --epochs -3": ["vae: epochs", "at least 1", "-3"],
    "run vae --set": ["--set", "--help"],
    "run vae --set batch_size": ["--set takes FIELD=VALUE", "epochs=3", "'batch_size'"],
    "run vae --set width=3": ["vae: ", "'width'", "epochs", "latent_dim", "learning_rate"],
    "run vae --set batch_size=0": ["vae: batch_size", "at least 1", "0"],
    "run vae --set batch_size=2.5": ["vae: batch_size", "whole number", "2.5"],
    "run vae --set learning_rate=fast": ["vae: learning_rate", "greater than 0", "'fast'"],
    "run vae --set activation=step": ["vae: activation", "one of elu", "tanh", "'step'"],
    "run vae --set batch_size=3 --set batch_size=4": ["--set names batch_size twice", "once"],
    "run vae --epochs 3 --set epochs=4": ["--epochs and --set epochs=", "give one of them"],
    "run vae gan --set noise=gaussian": ["vae: ", "'noise'", "epochs"],
    "run gan --set beta_1=1": ["gan: beta_1", "from 0 to below 1", "1"],
    "run gan --set learning_rate_decay=maybe": ["gan: learning_rate_decay", "true or false", "'maybe'"],
    "run gan --set precision=float16": ["gan: precision", "one of float32, mixed_bfloat16", "'float16'"],
    "run gan --precision mixed_bfloat16": ["--precision", "--help"],
    "run stacked-autoencoder --set hidden_units=30,15": ["hidden_units", "odd number of widths", "(30, 15)"],
    "run iwae-burda --preset paper --set stages=(5,0.5,1e-3)": ["stages", "add up to 1", "0.5"],
    "run vae --epochs 1.5": ["--epochs", "int", "'1.5'"],
    "run vae --epochs many": ["--epochs", "int", "'many'"],
    "run iwae-burda --preset smoke --set stages=(1,0.5,1e-3),(5,0.5,1e-3) --epochs 1": [
        "1 epochs",
        "2 stages",
        "--epochs",
    ],
    "run vae --seed -1": ["--seed", "-1", "between 0 and"],
    "run vae --seed 2147483648": ["--seed", "2147483648", "2147483647"],
    "run vae --output-dir file": ["'file'", "is a file", "name another"],
    "run vae --output-dir file/runs": ["'file/runs'", "file is a file", "name another"],
    "run vae --output-dir unfinished": ["unfinished/vae", "--resume"],
    "run vae --dataset cifar10": ["'cifar10'", "auto", "mnist", "fashion_mnist", "kmnist", "digits"],
    "run vae anomaly-detection --preset smoke --dataset digits --set batch_size=1200": [
        "anomaly-detection: batch_size must be at most",
        "without class 4",
        "1200",
    ],
    "run vae --data-dir file": ["'file'", "not a directory"],
    "run vae --data-dir missing": ["'missing'", "not a directory"],
    "run vae --dataset mnist --data-dir corrupt": ["mnist", "corrupt", "cannot be read"],
    "run vae --data-dir corrupt": ["mnist", "corrupt", "cannot be read"],
    "run vae --output-dir=": ["--output-dir", "empty", "name a directory"],
    "list --jso": ["--jso", "--help"],
    "table incomplete": ["incomplete/vae/results.json", "'lecture_items'", "delete"],
    "run vae --output-dir blocked": ["'blocked/vae'", "blocked/vae is a file", "name another"],
    "table missing": ["missing", "no finished run", "--output-dir"],
    "table results missing": ["missing", "no finished run", "--output-dir"],
    "table other_recipe": ["other_recipe/vae/results.json", "'gan-2d'", "delete"],
    "table other_preset": ["other_preset/vae/results.json", "'huge'", "delete"],
    "table no_unit": ["no_unit/vae/results.json", "test_negative_elbo", "unit", "restore"],
    "run gan --output-dir incomplete": ["incomplete/vae/results.json", "'lecture_items'", "delete"],
    "table results --write latin": ["latin", "UTF-8"],
    "run gan --preset smoke --dataset digits --output-dir judge_gone": ["judge_gone/digit-classifier", "gone", "anew"],
    "table results results": ["vae in preset quick", "seed twice"],
    "table results other_epochs": ["vae in preset quick", "differ in more than the seed"],
    "table results deterministic": ["vae in preset quick", "differ in more than the seed"],
    "table judged_by_a judged_by_b": ["vae in preset quick", "measured with 2 classifiers", "digit-classifier"],
    "table results --write missing": ["no file 'missing'", "marks of the table"],
    "table results --write file": ["file needs one line", "<!-- results", "add them"],
    "data": ["ACTION", "--help"],
    "data status --data-dir missing": ["'missing'", "not a directory"],
    "data status --data-dir file": ["'file'", "not a directory"],
    "data status --data-dir corrupt": ["mnist", "corrupt"],
    "data import": ["--from", "--help"],
    "data import --from missing": ["'missing'", "not a directory"],
    "data import --from file": ["'file'", "not a directory"],
    "data import --from empty": ["empty", "mnist.npz", "train-images-idx3-ubyte"],
    "data import --from truncated": ["truncated/train-images-idx3-ubyte.gz", "9423 bytes", "9424"],
    "data import --from wrong_magic": ["wrong_magic/train-labels-idx1-ubyte.gz", "magic number", "3329", "2049"],
    "data import --from wrong_labels": ["wrong_labels", "train", "1 to 10", "0 to 9"],
    "data import --from wrong_count": ["wrong_count", "train", "12 images", "11 labels"],
    "data import --from good --dataset digits": ["'digits'", "mnist", "fashion_mnist", "kmnist"],
    "data import --from good --data-dir file": ["'file'", "not a directory"],
    "data import --from good --data-dir corrupt": ["mnist", "corrupt"],
    "publish": ["RUN_DIR", "--help"],
    "publish missing": ["'missing'", "no run", "runs/vae"],
    "publish file": ["'file'", "no run", "runs/vae"],
    "publish unfinished/vae": ["unfinished/vae", "no results.json", "--resume"],
    "publish incomplete/vae": ["incomplete/vae/results.json", "'lecture_items'", "delete"],
    "publish results/vae": ["results/vae/results.json", "'deterministic'", "run vae anew"],
    "serve --models missing": ["'missing'", "no directory", "tfgen publish"],
    "serve --models empty": ["empty", "no published model", "tfgen publish"],
    "query": ["MODEL", "--help"],
    "query vae --server localhost": ["'localhost'", "http://127.0.0.1:8501"],
    "query vae --version 1 --label stable": ["--label", "not allowed with", "--version"],
    "sample": ["MODEL", "--help"],
    "sample missing": ["'missing'", "saved_model.pb"],
    "sample empty": ["'empty'", "saved_model.pb"],
    "sample file": ["'file'", "saved_model.pb"],
    "sample no_model": ["'no_model'", "cannot be read"],
    "sample empty --num 0": ["--num", "at least 1", "0"],
    "sample empty --num two": ["--num", "int", "'two'"],
    "sample empty --seed -1": ["--seed", "between 0 and", "-1"],
    "sample empty --output grid.jpg": ["--output", ".png", "'grid.jpg'"],
    "sample empty --output missing/grid.png": ["--output", "existing directory", "'missing/grid.png'"],
}


@pytest.mark.parametrize("request_line", BAD_REQUESTS)
def test_a_request_that_cannot_be_met_gets_one_line_and_code_2_and_writes_nothing(place, capfd, request_line):
    before = contents(place)
    code = call(request_line.split())
    printed = capfd.readouterr()
    assert_one_line(printed.err, BAD_REQUESTS[request_line])
    assert (code, printed.out) == (2, "")
    assert contents(place) == before


class Loaded(Exception):
    """TensorFlow would be loaded: the request has been found good so far."""


# Beginnings of command lines, and what may follow: options with values that are right, nearly right, or anything.
BEGINNINGS = [
    [],
    *(line.split() for line in ("list", "run", "run vae", "run gan vae --preset smoke", "run --all --preset smoke")),
    *(line.split() for line in ("sample no_model", "publish results/vae", "serve --models empty", "table results")),
    *(line.split() for line in ("data", "data status", "data import --from good", "data import --from truncated")),
]
OPTIONS = (
    "--all --json --resume --deterministic --help --preset --dataset --seed --epochs --set --num --output --to "
    "--models --label --rest-port --timeout --write --from --data-dir --output-dir --set=batch_size --strategy "
    "--missing --"
).split()
VALUES = (
    "mirrored multiworker 0-3 "
    "vae gan smoke huge digits mnist file missing results empty 0 -1 3 1e400 nan 2147483648 99999999999999999999 1.5 "
    "grid.png vae:stable=1 batch_size=3 batch_size= =3 epochs=1e9 hidden_units=(((((( learning_rate=nan activation="
).split()
TEXTS = st.text(max_size=20).filter(lambda text: ".." not in text and "/" not in text)
FIELDS = st.sampled_from(["epochs", "batch_size", "learning_rate", "hidden_units", "latent_dim", "activation"])
SETTINGS = st.builds("{}={}".format, FIELDS, TEXTS | st.sampled_from(["1", "(1,2)", "[3", "1_0", "1e3", "true"]))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(BEGINNINGS),
    st.lists(st.sampled_from(OPTIONS) | st.sampled_from(VALUES) | SETTINGS | TEXTS, max_size=6),
)
def test_any_command_line_is_carried_out_or_refused_in_one_line(place, monkeypatch, capsys, beginning, rest):
    def loaded(debug, first=None):
        raise Loaded

    monkeypatch.setattr(cli.console, "load_tensorflow", loaded)
    code = call([*beginning, *rest])
    printed = capsys.readouterr()
    if code == 1:
        assert "Loaded" in printed.err
    elif code == 2:
        assert_one_line(printed.err, [])
    else:
        assert (code, printed.err) == (0, "")


def test_an_environment_that_names_a_file_as_data_directory_gets_one_line_and_code_2(place, capfd, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "file")
    assert call(["run", "vae", "--preset", "smoke"]) == 2
    assert_one_line(capfd.readouterr().err, ["'file'", "cannot be read"])


# From a call that is answered at once to its exit code.
AT_ONCE = {
    "--help": 0,
    "run --help": 0,
    "--version": 0,
    "list": 0,
    "list --json": 0,
    "list gan": 0,
    "list rbm": 2,
    "train": 2,
    "list --jso": 2,
    "run vae --bogus": 2,
    "run rbm": 2,
    "run vae --preset huge": 2,
    "run gan --set noise=loud": 2,
    "run vae --data-dir missing": 2,
    "sample missing": 2,
    "publish missing": 2,
    "serve --models missing": 2,
    "query vae --num 3": 2,
    "table missing": 2,
    "data import --from missing": 2,
}


@pytest.mark.parametrize("line", AT_ONCE)
def test_what_needs_no_tensorflow_is_answered_at_once_and_loads_none(line):
    """It takes 0.2 s of a processor; TensorFlow alone takes three."""
    program = (
        "import sys, tfgen.cli\n"
        "try: code = tfgen.cli.main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(names & {'argparse', 'keras', 'matplotlib', 'numpy', 'scipy', 'tensorflow'}))\n"
        "sys.exit(code)"
    )
    process, seconds = fresh(*line.split(), program=("-c", program))
    assert process.returncode == AT_ONCE[line]
    printed, _, loaded = process.stdout.rstrip("\n").rpartition("\n")
    # Of images' seeds and IDX files: NumPy, which takes a tenth of a second.
    numpy = ["numpy"] if line.startswith(("query", "data import")) else []
    assert loaded == str(["argparse", *numpy])
    if AT_ONCE[line]:
        assert_one_line(process.stderr, [])
        assert printed == ""
    else:
        assert printed and process.stderr == ""
    assert seconds < 1


def test_the_module_is_the_command_and_returns_its_code():
    """`python -m tfgen`."""
    process, _ = fresh("--help")
    assert (process.returncode, process.stderr) == (0, "")
    for command in ("list", "run", "sample", "publish", "serve", "query", "table", "data"):
        assert re.search(rf"^    {command}\s", process.stdout, re.MULTILINE)
    process, _ = fresh("run", "rbm")
    assert_one_line(process.stderr, ["'rbm'", "vae"])
    assert (process.returncode, process.stdout) == (2, "")


def test_the_help_of_run_says_what_its_options_are(capsys):
    assert call(["run", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for option in ("--all", "--preset", "--dataset", "--output-dir", "--seed", "--epochs", "--resume", "--debug"):
        assert option in printed
    assert "--set FIELD=VALUE set a hyper-parameter, such as batch_size=64; repeatable" in printed
    # Lines end at hyphens too.
    assert all(name in printed.replace("- ", "-") for name in RECIPES) and "--precision" not in printed


def test_list_names_every_recipe_its_items_and_its_published_numbers(capsys):
    assert call(["list"]) == 0
    printed = capsys.readouterr().out
    for name, recipe in RECIPES.items():
        assert name in printed and recipe.title in printed and ", ".join(recipe.lecture_items) in printed
        for metric, published in recipe.published.items():
            assert f"{metric} = {published.value} ({published.source})" in printed


@pytest.mark.parametrize("name", RECIPES)
def test_list_with_a_recipe_tells_its_story(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")  # The width of the terminal, for the shell and Python.
    assert call(["list", name]) == 0
    printed = capsys.readouterr().out
    assert printed == description.description(name, 50) + "\n"
    assert " ".join(printed.split()).startswith(" ".join(MODULES[name].__doc__.split()))
    assert "--set FIELD=VALUE" in printed


def test_the_table_is_that_of_all_the_directories_and_is_printed_or_written(place, capsys):
    results = [*load_results("results"), *load_results("other_seed")]
    assert [result["seed"] for result in results] == [5, 6]
    assert call(["table", "results", "other_seed"]) == 0
    printed = capsys.readouterr().out
    assert printed == tables.results_table(results) + "\n"
    # 99.5 and 100.5 of seeds 5 and 6, in 60.4 and 40 seconds.
    options = "--preset quick --epochs {epochs} --set batch_size={batch_size}".format(**CONFIG)
    assert f"| `vae {options}` | 5, 6 | 50 | `test_negative_elbo` |" in printed
    assert "| 100 ± 0.71 |" in printed and "| 73.25 ± 0 |" in printed and "other" not in printed
    marks = "<!-- results: written by `tfgen table` -->\n{}<!-- end of results -->"
    readme = place / "README.md"
    readme.write_text(f"before\n{marks.format('stale')}\nafter\n")
    assert call(["table", "results", "other_seed", "--write", "README.md"]) == 0
    assert readme.read_text() == f"before\n{marks.format(printed)}\nafter\n"
    assert capsys.readouterr().out == "2 runs: README.md\n"


def test_the_table_is_that_of_runs_where_no_directory_is_named(place, capsys):
    (place / "results").rename(place / "runs")
    assert call(["table"]) == 0
    assert capsys.readouterr().out == tables.results_table(load_results("runs")) + "\n"


def test_a_reader_that_stops_early_ends_the_command_without_a_complaint():
    process = subprocess.run(
        f"{sys.executable} -m tfgen list --json | head -1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert (process.stdout, process.stderr) == ("{\n", "")


def test_list_as_json_covers_the_lecture(capsys):
    assert call(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert set(listing["lecture"]) == set(LECTURE) == LECTURE_ITEMS
    assert list(listing["recipes"]) == list(RECIPES)
    for name, recipe in listing["recipes"].items():
        assert recipe["lecture_items"] and set(recipe["lecture_items"]) <= LECTURE_ITEMS
        # What replicates a paper and not the lecture has no quick preset, so that make replicate stays within minutes.
        assert list(recipe["presets"]) in (["smoke", "quick", "paper"], ["smoke", "paper"])
        for preset, config in recipe["presets"].items():
            assert config["epochs"] == RECIPES[name].presets[preset].epochs
        for published in recipe["published"].values():
            assert isinstance(published["value"], float) and published["source"]


def test_import_prepares_a_set_that_status_then_reports_and_a_second_import_leaves(place, capfd):
    assert call(["data", "status", "--data-dir", "empty"]) == 0
    before = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in before] == [*TFDS_NAMES, "digits"]
    # One below the other.
    assert len({line.index("not prepared") for line in before[:-1]} | {before[-1].index("built in")}) == 1

    assert call(["data", "import", "--from", "good", "--data-dir", "new"]) == 0
    printed = capfd.readouterr().out
    assert "12 training and 3 test images" in printed and "no result is comparable" in printed
    prepared = contents(place / "new")

    assert call(["data", "status", "--data-dir", "new"]) == 0
    after = capfd.readouterr().out.splitlines()
    assert after[0].split()[:2] == ["mnist", "prepared"] and "new" in after[0]
    assert "not prepared" in after[1] and "not prepared" in after[2]

    assert call(["data", "import", "--from", "good", "--data-dir", "new"]) == 2
    assert_one_line(capfd.readouterr().err, ["exists already", "new", "remove"])
    assert contents(place / "new") == prepared


def test_a_fresh_process_says_one_line_where_tensorflow_is_loaded(place, capfd):
    """Of a damaged set, a network that is not reached and a damaged model, one after the other."""
    assert call(["data", "import", "--from", "good", "--data-dir", "data"]) == 0
    (records,) = pathlib.Path("data").rglob("*train.tfrecord*")
    records.write_bytes(records.read_bytes()[:-7])
    before = contents(place)
    lines = {
        "run vae --dataset mnist --data-dir data": (2, ["mnist", "data", "cannot be read", "prepare it again"]),
        "run vae --dataset mnist": (1, [str(place / "empty"), "refused", "--data-dir", "data import", "digits"]),
        "sample no_model": (2, ["'no_model'", "cannot be read"]),
    }
    program = (
        "import sys, tfgen.cli\n"
        "for line in sys.argv[1:]:\n"
        "    code = tfgen.cli.main(line.split())\n"
        "    print('---', code, file=sys.stderr, flush=True)"
    )
    # A proxy that refuses every connection: the network is not reached.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), refusing)
    environment |= {"no_proxy": "", "TFDS_DATA_DIR": str(place / "empty")}
    process, _ = fresh(*lines, program=("-c", program), **environment)
    assert (process.returncode, process.stdout) == (0, "")
    answers = re.findall(r"(.*?)--- (\d+)\n", process.stderr, re.DOTALL)
    assert len(answers) == len(lines)
    for (answer, code), (expected, words) in zip(answers, lines.values(), strict=True):
        assert_one_line(answer, words)
        assert int(code) == expected
    assert contents(place) == before


# Runs.


def test_the_commands_of_a_first_hour(stub, smoke, tmp_path, capsys, monkeypatch):
    """Train, read the table, sample: what the options say is what happens."""
    monkeypatch.chdir(tmp_path)
    pictures, model = [], str(smoke("vae").directory / "saved_model")
    capsys.readouterr()
    for seed in ("3", "4"):
        arguments = ["run", stub, "--preset", "smoke", "--dataset", "digits", "--seed", seed]
        assert main([*arguments, "--output-dir", f"runs{seed}"]) == 0
        printed = capsys.readouterr().out
        results = json.loads((tmp_path / f"runs{seed}" / stub / "results.json").read_text())
        assert (results["seed"], results["deterministic"]) == (int(seed), False)
        for metric, entry in results["metrics"].items():
            assert any(metric in line and f"{entry['value']:.4g}" in line for line in printed.splitlines())
        assert "1 recipe, " in printed and f"runs{seed}/report.html" in printed and "no result is comparable" in printed
        assert "data:image/webp" in (tmp_path / f"runs{seed}" / "report.html").read_text()
    values = [json.loads((tmp_path / f"runs{seed}/{stub}/results.json").read_text())["metrics"] for seed in (3, 4)]
    assert values[0] != values[1]

    for seed in ("0", "0", "1"):
        assert main(["sample", model, "--num", "5", "--seed", seed, "--output", "five.png"]) == 0
        assert capsys.readouterr().out == f"5 images of {model}: five.png\n"
        pictures.append(matplotlib.image.imread("five.png"))
    # Three columns and two rows of 28 pixels and a line between, each pixel 11 wide; the sixth place stays white.
    assert pictures[0].shape == (57 * 11, 86 * 11, 4)
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert np.any(pictures[0] != pictures[2])
    assert np.all(pictures[0][29 * 11 :, 58 * 11 :, :3] == 1) and np.any(pictures[0][29 * 11 :, : 57 * 11, :3] < 0.9)


def test_what_set_changes_is_used_and_stands_in_results_and_in_the_command_of_the_table(
    stub, tmp_path, capsys, monkeypatch
):
    seen = []
    experiment = StubModule.experiment
    monkeypatch.setattr(StubModule, "experiment", staticmethod(lambda run: seen.append(run.config) or experiment(run)))
    monkeypatch.chdir(tmp_path)
    arguments = ["run", stub, "--preset", "smoke", "--dataset", "digits", "--epochs", "2"]
    assert main([*arguments, "--set", "batch_size=25", "--set", "learning_rate=3e-2"]) == 0
    assert dataclasses.asdict(seen[0]) == {"epochs": 2, "batch_size": 25, "learning_rate": 0.03}
    results = json.loads((tmp_path / "runs" / stub / "results.json").read_text())
    assert results["config"] == {"epochs": 2, "batch_size": 25, "learning_rate": 0.03}
    capsys.readouterr()
    assert main(["table"]) == 0
    options = "--preset smoke --epochs 2 --set batch_size=25 --set learning_rate=0.03"
    assert f"| `{stub} {options}` | 0 |" in capsys.readouterr().out
    # The same values written otherwise, and given to --set alone, are the same request.
    settings = [f"--set={text}" for text in ("epochs=2", "learning_rate=0.03", "batch_size=25")]
    assert main(["run", stub, "--preset", "smoke", "--dataset", "digits", "--resume", *settings]) == 0
    assert "already finished" in capsys.readouterr().out and len(seen) == 1


def test_every_request_is_checked_before_the_first_is_trained(stub, place, capfd):
    before = contents(place)
    line = f"run {stub} gan --preset smoke --dataset digits --output-dir judge_gone"
    assert call(line.split()) == 2
    assert_one_line(capfd.readouterr().err, ["judge_gone/digit-classifier", "gone"])
    assert contents(place) == before


@pytest.mark.parametrize("options", ["", "--resume"])
def test_damaged_results_of_a_neighbour_are_told_before_the_training(stub, place, capfd, monkeypatch, options):
    """The report at the end shows the neighbours too. What the run will replace is not in its way."""

    def loaded(debug, first=None):
        raise RuntimeError("TensorFlow is loaded")

    monkeypatch.setattr(cli.console, "load_tensorflow", loaded)
    (place / "incomplete" / stub).mkdir()
    (place / "incomplete" / stub / "results.json").write_text('{"recipe": "stub", ')
    before = contents(place)
    line = f"run {stub} --preset smoke --dataset digits --output-dir incomplete {options}"
    assert call(line.split()) == 2
    assert_one_line(capfd.readouterr().err, ["incomplete/vae/results.json lacks", "delete"])
    assert contents(place) == before
    (place / "incomplete" / "vae" / "results.json").unlink()
    assert call(line.split()) == (2 if options else 1)
    said = [f"incomplete/{stub}/results.json is damaged", "delete"] if options else ["TensorFlow is loaded"]
    assert_one_line(capfd.readouterr().err, said)


def test_all_are_the_recipes_that_have_the_preset(stub, tmp_path, capsys, monkeypatch):
    ran = []

    def experiment(run):
        ran.append((run.recipe, run.preset))
        run.metric("test_squared_error", 2.5, "squared error per image", "test", 297)

    monkeypatch.setattr(StubModule, "experiment", staticmethod(experiment))
    smoke_only = dataclasses.replace(StubModule.RECIPE, presets={"smoke": StubModule.RECIPE.presets["smoke"]})
    for name in MODULES:
        if name != stub:
            monkeypatch.setitem(MODULES, name, StubModule)
            monkeypatch.setitem(RECIPES, name, smoke_only if name in ("vae", "gan") else StubModule.RECIPE)
    assert main(["run", "--all", "--dataset", "digits", "--output-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "skipped, since they have no preset quick: vae, gan\n" in printed
    names = [name for name in RECIPES if name not in ("vae", "gan")]
    assert re.findall(r"^== (.*): One linear unit$", printed, re.MULTILINE) == [
        f"{name} ({i} of {len(names)})" for i, name in enumerate(names, 1)
    ]
    assert len(ran) == len(RECIPES) - 2 and {preset for _, preset in ran} == {"quick"}
    assert f"{len(ran)} recipes, " in printed


def test_a_recipe_s_own_dataset_is_taken_whatever_is_chosen_and_passed_over_where_it_is_not_prepared(
    stub, tmp_path, capsys, monkeypatch
):
    """The owner's are the digits."""
    monkeypatch.setitem(MODULES, "owner", StubModule)
    monkeypatch.setitem(RECIPES, "owner", dataclasses.replace(StubModule.RECIPE, dataset="digits"))
    monkeypatch.setattr("tfgen.cli.RECIPES", {name: RECIPES[name] for name in (stub, "owner")})
    images = digits().test.images[:120].reshape(-1, 28, 28)
    labels = np.arange(120) % 10
    np.savez(tmp_path / "mine.npz", x_train=images[:90], y_train=labels[:90], x_test=images[90:], y_test=labels[90:])
    line = f"run --all --preset smoke --dataset {tmp_path}/mine.npz --set batch_size=20 --output-dir {tmp_path}/runs"
    assert main(line.split()) == 0
    assert "skipped, since digits is not prepared: owner; name it to download the set\n" in capsys.readouterr().out
    assert not (tmp_path / "runs" / "owner").exists()

    monkeypatch.setattr("tfgen.data.is_prepared", lambda name, data_dir: name == "digits")
    assert main(line.split()) == 0
    results = [json.loads((tmp_path / "runs" / name / "results.json").read_text()) for name in (stub, "owner")]
    assert [one["dataset"] for one in results] == ["mine.npz", "digits"]
    assert "*** Dataset mine.npz, digits: no result is comparable" in capsys.readouterr().out


def test_a_recipe_that_is_named_twice_runs_once(stub, tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(StubModule, "experiment", staticmethod(ran.append))
    line = f"run {stub} {stub} --preset smoke --dataset digits --output-dir {tmp_path}"
    assert main(line.split()) == 0
    assert len(ran) == 1
    assert "\n== stub: One linear unit\n" in capsys.readouterr().out


def test_an_error_is_one_line_and_debug_shows_where(stub, tmp_path, monkeypatch, capsys):
    def fail(run):
        raise ZeroDivisionError("of the\n  experiment")

    monkeypatch.setattr(StubModule, "experiment", staticmethod(fail))
    arguments = ["run", stub, "--preset", "smoke", "--dataset", "digits", "--output-dir", str(tmp_path)]
    assert main(arguments) == 1
    assert capsys.readouterr().err == "tfgen: of the experiment (--debug shows where)\n"
    assert main([*arguments, "--debug"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and "in fail" in shown
    assert shown.endswith("tfgen: of the experiment (--debug shows where)\n")
