import gzip
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest

from tfgen import recipes
from tfgen.cli import main

IDX = {
    "train-images-idx3-ubyte": np.arange(12 * 784, dtype=np.uint32).astype(np.uint8).reshape(12, 28, 28),
    "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": np.full((3, 28, 28), 7, np.uint8),
    "t10k-labels-idx1-ubyte": np.uint8([3, 1, 4]),
}
RESULTS = {
    "recipe": "vae",
    "lecture_items": ["B3"],
    "dataset": "mnist",
    "comparable": True,
    "preset": "quick",
    "seed": 5,
    "seconds": 60.4,
    "config": {"epochs": 30},
    "environment": {"cpus": 2, "tensorflow": "2.21.0"},
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
# Recipes and their order are in recipes.py; the lecture's items are its own.
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


def contents(directory):
    return {path.relative_to(directory): path.is_file() and path.read_bytes() for path in directory.rglob("*")}


def call(argv):
    """Returns the exit code of `tfgen`, called in this process."""
    try:
        return main(argv)
    except SystemExit as end:
        return end.code


def tfgen(*argv, **environment):
    """Returns the finished process of `tfgen`, called in a fresh one."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")} | environment
    command = [sys.executable, "-m", "tfgen", *argv]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


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
    "run vae --epochs 0": ["--epochs", "at least 1", "0"],
    "run vae --epochs -3": ["--epochs", "at least 1", "-3"],
    "run vae --epochs 1.5": ["--epochs", "int", "'1.5'"],
    "run vae --epochs many": ["--epochs", "int", "'many'"],
    "run iwae-burda --preset paper --epochs 1": ["1 epochs", "2 stages", "--epochs"],
    "run vae --seed -1": ["--seed", "-1", "between 0 and"],
    "run vae --seed 2147483648": ["--seed", "2147483648", "2147483647"],
    "run vae --output-dir file": ["'file'", "is a file", "name another"],
    "run vae --output-dir file/runs": ["'file/runs'", "file is a file", "name another"],
    "run vae --output-dir unfinished": ["unfinished/vae", "--resume"],
    "run vae --dataset cifar10": ["'cifar10'", "auto", "mnist", "fashion_mnist", "kmnist", "digits"],
    "run vae --data-dir file": ["'file'", "not a directory"],
    "run vae --data-dir missing": ["'missing'", "not a directory"],
    "run vae --dataset mnist --data-dir corrupt": ["mnist", "corrupt", "cannot be read"],
    "run vae --data-dir corrupt": ["mnist", "corrupt", "cannot be read"],
    "run vae --output-dir=": ["--output-dir", "empty", "runs"],
    "list --jso": ["--jso", "--help"],
    "table incomplete": ["incomplete/vae/results.json", "'lecture_items'", "delete"],
    "run vae --output-dir blocked": ["'blocked'", "blocked/vae is a file", "name another"],
    "table missing": ["missing", "no finished run", "--output-dir"],
    "table results missing": ["missing", "no finished run", "--output-dir"],
    "table other_recipe": ["other_recipe/vae/results.json", "'gan-2d'", "delete"],
    "table other_preset": ["other_preset/vae/results.json", "'huge'", "delete"],
    "table no_unit": ["no_unit/vae/results.json", "test_negative_elbo", "unit", "restore"],
    "table results --write latin": ["latin", "UTF-8", "README"],
    "run gan --preset smoke --dataset digits --output-dir judge_gone": ["judge_gone/digit-classifier", "gone", "anew"],
    "table results results": ["vae in preset quick", "seed twice"],
    "table results other_epochs": ["vae in preset quick", "differ in more than the seed"],
    "table results deterministic": ["vae in preset quick", "differ in more than the seed"],
    "table judged_by_a judged_by_b": ["vae in preset quick", "judged by 2 classifiers", "digit-classifier"],
    "table results --write missing": ["no file 'missing'", "README"],
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
    "sample": ["SAVED_MODEL_DIR", "--help"],
    "sample missing": ["'missing'", "saved_model.pb"],
    "sample empty": ["'empty'", "saved_model.pb"],
    "sample file": ["'file'", "saved_model.pb"],
    "sample no_model": ["'no_model'", "cannot be read"],
    "sample empty --num 0": ["--num", "at least 1", "0"],
    "sample empty --num two": ["--num", "int", "'two'"],
    "sample empty --seed -1": ["--seed", "between 0 and", "-1"],
    "sample empty --output grid.jpg": ["--output", ".png", "'grid.jpg'"],
    "sample empty --output missing/grid.png": ["--output", "existing directory", "'missing/grid.png'"],
    "benchmark speed": ["'speed'", "training", "scaling", "inference", "evaluation"],
    "benchmark --families rbm": ["'rbm'", "gan", "vae", "autoencoder-1200"],
    "benchmark --rounds 0": ["--rounds", "at least 1", "0"],
    "benchmark --seconds 0": ["--seconds", "greater than 0", "0.0"],
    "benchmark --seconds nan": ["--seconds", "greater than 0", "nan"],
    "benchmark --output-dir file": ["'file'", "name another"],
    "benchmark --output-dir=": ["--output-dir", "empty", "benchmark"],
    "benchmark --data-dir missing": ["'missing'", "not a directory"],
    "benchmark evaluation --data-dir corrupt --quick": ["mnist", "corrupt"],
}


@pytest.mark.parametrize("request_line", BAD_REQUESTS)
def test_a_request_that_cannot_be_met_gets_one_line_and_code_2_and_writes_nothing(place, capfd, request_line):
    before = contents(place)
    code = call(request_line.split())
    printed = capfd.readouterr()
    assert_one_line(printed.err, BAD_REQUESTS[request_line])
    assert (code, printed.out) == (2, "")
    assert contents(place) == before


def test_an_environment_that_names_a_file_as_data_directory_gets_one_line_and_code_2(place, capfd, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "file")
    assert call(["run", "vae", "--preset", "smoke"]) == 2
    assert_one_line(capfd.readouterr().err, ["'file'", "no directory that can be read"])


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "--json"],
        ["run", "rbm"],
        ["run", "vae", "--data-dir", "missing"],
        ["publish", "missing"],
        ["serve", "--models", "missing"],
    ],
    ids=" ".join,
)
def test_tensorflow_is_not_loaded_for_what_needs_none(argv):
    program = (
        "import sys, tfgen.cli\n"
        "try: tfgen.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'argparse', 'keras', 'numpy', 'tensorflow'}))"
    )
    process = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, timeout=60)
    assert process.stdout.splitlines()[-1] == "['argparse']"


def test_importing_the_package_loads_tensorflow_only_for_what_needs_it():
    program = (
        "import sys, tfgen\n"
        "before = 'tensorflow' in sys.modules\n"
        "tfgen.stacked_autoencoder\n"
        "print(before, 'tensorflow' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert process.stdout == "False True\n"


def test_help_names_every_command():
    process = tfgen("--help")
    assert process.returncode == 0 and process.stderr == ""
    for command in ("list", "run", "publish", "serve", "query", "sample", "benchmark", "data"):
        assert re.search(rf"^    {command}\s", process.stdout, re.MULTILINE)


def test_list_names_every_recipe_its_items_and_its_published_numbers(capsys):
    assert call(["list"]) == 0
    printed = capsys.readouterr().out
    for name, recipe in recipes.RECIPES.items():
        assert name in printed and recipe.title in printed and ", ".join(recipe.lecture_items) in printed
        for metric, published in recipe.published.items():
            assert f"{metric} = {published.value} ({published.source})" in printed


def test_the_table_of_the_readme_has_the_headline_metrics_and_how_they_came_about(place, capsys):
    assert call(["table", "results"]) == 0
    printed = capsys.readouterr().out
    run = "`vae --preset quick --epochs 30` | 5 | 60"
    assert f"| B3 | {run} | `test_negative_elbo` | nats | test, 10,000 | not reported | 99.5 |" in printed
    assert "73.25" in printed and "26.25" in printed and "other" not in printed
    assert "Dataset mnist; machine of 2 CPU cores, TensorFlow 2.21.0. Of several seeds: mean" in printed
    marks = "<!-- results: written by `tfgen table` -->\n{}<!-- end of results -->"
    readme = place / "README.md"
    readme.write_text(f"before\n{marks.format('stale')}\nafter\n")
    assert call(["table", "results", "--write", "README.md"]) == 0
    assert readme.read_text() == f"before\n{marks.format(printed)}\nafter\n"


def test_the_table_of_several_seeds_has_their_mean_and_standard_deviation(place, capsys):
    assert call(["table", "results", "other_seed"]) == 0
    printed = capsys.readouterr().out
    # 99.5 and 100.5: mean 100, and with two values the standard deviation is their difference over the root of 2.
    assert "| `vae --preset quick --epochs 30` | 5, 6 | 50 | `test_negative_elbo` | nats |" in printed
    assert "| 100 ± 0.71 |" in printed and "| 73.25 ± 0 |" in printed


def test_a_sigma_at_the_edge_in_any_seed_is_told_of_all(place, capsys):
    for directory, sigma, at_edge in (("results", 0.2, False), ("other_seed", 0.1, True)):
        path = place / directory / "vae" / "results.json"
        results = json.loads(path.read_text())
        results["metrics"]["test_negative_elbo"] |= {"sigma": sigma, "at_edge": at_edge}
        path.write_text(json.dumps(results))
    assert call(["table", "results"]) == 0
    assert "| 99.5 (sigma 0.200) |" in capsys.readouterr().out
    assert call(["table", "results", "other_seed"]) == 0
    assert "| 100 ± 0.71 (sigma at the edge of the grid) |" in capsys.readouterr().out


def test_a_reader_that_stops_early_ends_the_command_without_a_complaint():
    process = subprocess.run(
        f"{sys.executable} -m tfgen list --json | head -1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert (process.stdout, process.stderr) == ("{\n", "")


def test_list_as_json_covers_the_lecture(capsys):
    assert call(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert set(listing["lecture"]) == set(recipes.LECTURE) == LECTURE_ITEMS
    assert list(listing["recipes"]) == list(recipes.RECIPES)
    for name, recipe in listing["recipes"].items():
        assert recipe["lecture_items"] and set(recipe["lecture_items"]) <= LECTURE_ITEMS
        # What replicates a paper and not the lecture has no quick preset, so that make replicate stays within minutes.
        assert list(recipe["presets"]) in (["smoke", "quick", "paper"], ["smoke", "paper"])
        for preset, config in recipe["presets"].items():
            assert config["epochs"] == recipes.RECIPES[name].presets[preset].epochs
        for published in recipe["published"].values():
            assert isinstance(published["value"], float) and published["source"]


def test_import_prepares_a_set_that_status_then_reports_and_a_second_import_leaves(place, capfd):
    assert call(["data", "status", "--data-dir", "empty"]) == 0
    before = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in before] == ["mnist", "fashion_mnist", "kmnist", "digits"]
    assert all("not prepared" in line for line in before[:3])

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


def test_a_fresh_process_says_one_line_where_tensorflow_is_loaded(place):
    before = contents(place)
    process = tfgen("sample", "empty")
    assert_one_line(process.stderr, ["'empty'", "saved_model.pb"])
    assert (process.returncode, process.stdout) == (2, "")
    assert contents(place) == before


def test_a_fresh_process_says_one_line_about_a_damaged_set(place, capfd):
    assert call(["data", "import", "--from", "good", "--data-dir", "data"]) == 0
    (records,) = pathlib.Path("data").rglob("*train.tfrecord*")
    records.write_bytes(records.read_bytes()[:-7])
    before = contents(place)
    process = tfgen("run", "vae", "--dataset", "mnist", "--data-dir", "data")
    assert_one_line(process.stderr, ["mnist", "data", "cannot be read", "prepare it again"])
    assert (process.returncode, process.stdout) == (2, "")
    assert contents(place) == before


def test_a_failure_while_running_gets_one_line_and_code_1(place):
    # A proxy that refuses every connection: the network is not reached.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{listener.getsockname()[1]}"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), refusing)
    process = tfgen("run", "vae", "--dataset", "mnist", **proxies, no_proxy="", TFDS_DATA_DIR=str(place / "empty"))
    assert_one_line(process.stderr, [str(place / "empty"), "refused", "--data-dir", "data import", "--dataset digits"])
    assert (process.returncode, process.stdout) == (1, "")
    assert contents(place / "empty") == {} and not (place / "runs").exists()
