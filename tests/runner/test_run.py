"""What surrounds an experiment, on a stub recipe: files, runs in its way, resuming, what a mistake leaves behind."""

import dataclasses
import gc
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import keras
import numpy as np
import pytest
from helpers import Killed, StubModule, contents

import tfgen
from tfgen import cli
from tfgen.errors import InputError, RunError
from tfgen.files import lock_of, locked, read_log
from tfgen.recipes import MODULES, RECIPES
from tfgen.runner.environment import versions
from tfgen.runner.request import Request
from tfgen.runner.run import carry_out, run

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True, scope="module")
def collected():
    """Collects what killed trainings have left open before the tests of another file, whose warnings are errors."""
    yield
    gc.collect()


@pytest.fixture
def instant(stub, monkeypatch):
    """The stub's name, where nothing is trained: its metric is the seed."""

    def experiment(run):
        run.metric("test_squared_error", run.seed, "squared error per image", "test", len(run.data.test))
        run.figure_file("training.png", b"picture")

    monkeypatch.setattr(StubModule, "experiment", staticmethod(experiment))
    return stub


@pytest.fixture
def needy(instant, monkeypatch):
    """Name of a recipe that needs a run of the stub."""

    class NeedyModule(StubModule):
        RECIPE = dataclasses.replace(StubModule.RECIPE, needs=("stub",))

    monkeypatch.setitem(MODULES, "needy", NeedyModule)
    monkeypatch.setitem(RECIPES, "needy", NeedyModule.RECIPE)
    return "needy"


def weights_of(directory):
    return keras.models.load_model(directory / "checkpoints" / "model.keras").get_weights()


def test_a_run_leaves_its_files_its_request_and_its_results(stub, digits, tmp_path):
    options = {"preset": "smoke", "seed": 7, "epochs": 2, "settings": ("batch_size=25",), "output_dir": tmp_path}
    results = run(stub, digits, **options)
    directory = tmp_path / stub
    assert json.loads((directory / "results.json").read_text()) == results
    changed = {"epochs": 2, "batch_size": 25, "learning_rate": 0.1}
    assert (results["recipe"], results["seed"], results["preset"], results["config"]) == (stub, 7, "smoke", changed)
    assert json.loads((directory / "request.json").read_text()) == {
        "versions": [versions()],
        "recipe": stub,
        "dataset": "digits",
        "data_sha256": digits.sha256,
        "preset": "smoke",
        "seed": 7,
        "deterministic": False,
        **changed,
    }
    files = {path.name for path in directory.iterdir()}
    assert files == {"results.json", "request.json", "training.csv", "figures", "checkpoints", "saved_model"}
    assert (directory / "figures" / "training.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir() if path != directory] == [lock_of(directory).name]


def test_the_public_run_is_the_runner_s():
    assert tfgen.run is run


def test_a_request_is_carried_out_with_its_options(instant, digits, tmp_path):
    given = Request(instant, "smoke", seed=3, settings=("learning_rate=0.5",), output_dir=tmp_path)
    results = carry_out(given, digits)
    assert (results["seed"], results["metrics"]["test_squared_error"]["value"]) == (3, 3)
    assert results["config"] == {"epochs": 1, "batch_size": 50, "learning_rate": 0.5}


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(stub, digits, tmp_path, monkeypatch):
    options = {"preset": "smoke", "epochs": 3, "settings": ("batch_size=25",)}
    whole = run(stub, digits, output_dir=tmp_path / "whole", **options)
    original = keras.callbacks.CSVLogger.on_epoch_end

    def killed_in_the_second_epoch(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            raise Killed

    options["output_dir"] = tmp_path / "parts"
    with monkeypatch.context() as patch:
        # After the log's line and before the checkpoint: the worst moment.
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed_in_the_second_epoch)
        with pytest.raises(Killed):
            run(stub, digits, **options)
    directory = tmp_path / "parts" / stub
    left = contents(directory)
    assert pathlib.Path("results.json") not in left
    with pytest.raises(InputError, match="unfinished run; add --resume"):
        run(stub, digits, **options)
    for other, said in (
        ({"seed": 1}, "seed 0, not 1"),
        ({"settings": ("batch_size=50",)}, "batch_size 25, not 50"),
        ({"epochs": 4}, "epochs 3, not 4"),
    ):
        with pytest.raises(InputError, match=f"holds an unfinished run with {said}: give the same options"):
            run(stub, digits, **{**options, **other}, resume=True)
    assert contents(directory) == left

    resumed = run(stub, digits, **options, resume=True)
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}
    for a, b in zip(weights_of(tmp_path / "whole" / stub), weights_of(directory), strict=True):
        np.testing.assert_array_equal(a, b)
    logs = [read_log(path / stub / "training.csv") for path in (tmp_path / "whole", tmp_path / "parts")]
    assert logs[0]["epoch"] == logs[1]["epoch"] == [0, 1, 2]
    for column in set(logs[0]) - {"seconds"}:
        assert logs[0][column] == logs[1][column], column
    # The seconds before the kill count as well.
    assert resumed["seconds"] >= round(sum(logs[1]["seconds"]), 1)


def test_resuming_a_finished_run_keeps_it(stub, digits, tmp_path, capsys):
    first = run(stub, digits, preset="smoke", output_dir=tmp_path)
    before = contents(tmp_path)
    written = (tmp_path / stub / "results.json").stat().st_mtime_ns
    assert run(stub, digits, preset="smoke", output_dir=tmp_path, resume=True) == first
    assert contents(tmp_path) == before
    assert (tmp_path / stub / "results.json").stat().st_mtime_ns == written
    assert "already finished" in capsys.readouterr().out
    path = tmp_path / stub / "results.json"
    path.write_text(json.dumps({**first, "seconds": "<b>"}))
    with pytest.raises(InputError, match=f"{path}: seconds must be a number from 0 to 1e.09, got '<b>'; restore it"):
        run(stub, digits, preset="smoke", output_dir=tmp_path, resume=True)


def test_running_again_repeats_the_run_and_spares_the_user_s_files(stub, digits, tmp_path):
    first = run(stub, digits, preset="smoke", output_dir=tmp_path)
    directory = tmp_path / stub
    weights = weights_of(directory)
    (directory / "notes.txt").write_text("mine")
    (directory / "figures" / "stale.png").write_text("of an earlier version")
    # As left by a run that was killed while it wrote.
    (directory / "checkpoints" / ".model.keras").write_text("half")
    (directory / ".saved_model.0123").mkdir()
    again = run(stub, digits, preset="smoke", output_dir=tmp_path)
    assert again["metrics"] == first["metrics"]
    for a, b in zip(weights, weights_of(directory), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (directory / "notes.txt").read_text() == "mine"
    assert not (directory / "figures" / "stale.png").exists()
    assert not list(directory.rglob(".*")) and not (tmp_path / f"{stub}.1").exists()


def test_seeds_decide_a_run(stub, digits, tmp_path):
    errors = [
        run(stub, digits, preset="smoke", seed=seed, output_dir=tmp_path / str(i))["metrics"]["test_squared_error"]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert errors[0] == errors[1] != errors[2]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "other, said",
    [
        ({"seed": 3}, "seed 0, not 3"),
        ({"epochs": 2}, "epochs 1, not 2"),
        ({"preset": "quick", "epochs": 1}, "preset 'smoke', not 'quick'"),
        ({"settings": ("learning_rate=0.5",), "seed": 3}, "seed 0, not 3; learning_rate 0.1, not 0.5"),
        ({}, "no request.json"),
    ],
)
def test_results_of_another_request_are_moved_aside_and_never_discarded(
    other, said, resume, instant, digits, tmp_path, capsys
):
    directory = tmp_path / instant
    run(instant, digits, preset="smoke", output_dir=tmp_path)
    (tmp_path / f"{instant}.1").mkdir()
    if not other:
        (directory / "request.json").unlink()
    before, kept = contents(directory), tmp_path / f"{instant}.2"
    results = run(instant, digits, **{"preset": "smoke", "output_dir": tmp_path, "resume": resume, **other})
    assert contents(kept) == before and not list((tmp_path / f"{instant}.1").iterdir())
    assert f"{directory} held a finished run with {said}: moved to {kept}\n" in capsys.readouterr().out
    assert json.loads((directory / "results.json").read_text()) == results
    assert results["seed"] == other.get("seed", 0) and results["config"]["epochs"] == other.get("epochs", 1)


def test_results_of_other_data_are_moved_aside(instant, digits, tmp_path, capsys):
    first = run(instant, digits, preset="smoke", output_dir=tmp_path)
    run(instant, dataclasses.replace(digits, name="mnist"), preset="smoke", output_dir=tmp_path)
    assert json.loads((tmp_path / f"{instant}.1" / "results.json").read_text()) == first
    assert "with dataset 'digits', not 'mnist': moved to" in capsys.readouterr().out


def test_two_runs_do_not_share_a_directory(instant, digits, tmp_path):
    directory = tmp_path / instant
    directory.mkdir()
    with locked(lock_of(directory)):
        with pytest.raises(InputError, match=rf"another run is writing to .*{instant}; wait for it"):
            run(instant, digits, preset="smoke", output_dir=tmp_path)
        assert not list(directory.iterdir())
    run(instant, digits, preset="smoke", output_dir=tmp_path)


def test_a_run_holds_its_lock_while_it_works(stub, digits, tmp_path, monkeypatch):
    def experiment(run_):
        with pytest.raises(InputError, match="another run is writing"):
            run(stub, digits, preset="smoke", output_dir=tmp_path)
        raise RunError("the first ends")

    monkeypatch.setattr(StubModule, "experiment", staticmethod(experiment))
    with pytest.raises(RunError, match="the first ends"):
        run(stub, digits, preset="smoke", output_dir=tmp_path)


def test_a_run_that_is_stopped_leaves_no_temporary_file(stub, digits, tmp_path, monkeypatch):
    made = []

    def stopped(run):
        made.append(pathlib.Path(tempfile.mkdtemp()))
        raise KeyboardInterrupt

    before = tempfile.gettempdir()
    monkeypatch.setattr(StubModule, "experiment", staticmethod(stopped))
    with pytest.raises(KeyboardInterrupt):
        run(stub, digits, preset="smoke", output_dir=tmp_path)
    assert made and not made[0].exists() and not made[0].parent.exists()
    assert tempfile.gettempdir() == before == str(made[0].parents[1])


@pytest.mark.parametrize(
    "file, content, said",
    [
        ("checkpoints/model.keras", b"PK", "model.keras cannot be read .*delete .*stub to start over"),
        ("request.json", b"{", "request.json is damaged .*delete .*stub"),
        ("request.json", 7, "request.json: versions must be a list of objects .*, got 7; .*delete .*stub"),
    ],
)
def test_damaged_files_of_an_unfinished_run_are_named_with_the_remedy(file, content, said, stub, digits, tmp_path):
    run(stub, digits, preset="smoke", output_dir=tmp_path)
    (tmp_path / stub / "results.json").unlink()
    path = tmp_path / stub / file
    if content == 7:
        content = json.dumps({**json.loads(path.read_text()), "versions": 7}).encode()
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        run(stub, digits, preset="smoke", output_dir=tmp_path, resume=True)


@pytest.fixture
def unfinished(stub, digits, tmp_path):
    """The options of a run of three epochs whose results were not written, and the results of a whole one."""
    options = {"preset": "smoke", "epochs": 3, "output_dir": tmp_path}
    results = run(stub, digits, **options)
    (tmp_path / stub / "results.json").unlink()
    return {**options, "resume": True}, results


def without(contents, key):
    return {other: value for other, value in contents.items() if other != key}


def without_seconds(results):
    return {**results, "seconds": None}


@pytest.mark.parametrize("with_request", [True, False])
@pytest.mark.parametrize("other, said", [({"seed": 1}, "seed 0, not 1"), ({"epochs": 4}, "epochs 3, not 4")])
def test_a_run_does_not_go_on_with_the_checkpoint_of_another_request(
    other, said, with_request, unfinished, stub, digits, tmp_path
):
    options, _ = unfinished
    if not with_request:
        (tmp_path / stub / "request.json").unlink()
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"holds an unfinished run with {said}: give the same options"):
        run(stub, digits, **{**options, **other})
    assert contents(tmp_path) == before


@pytest.mark.parametrize("with_request", [True, False])
def test_a_run_does_not_go_on_with_other_data_of_the_same_name(with_request, unfinished, stub, digits, tmp_path):
    """One pixel differs."""
    images = digits.train.images.copy()
    images[0, 0] += 1
    other = dataclasses.replace(digits, train=dataclasses.replace(digits.train, images=images))
    if not with_request:
        (tmp_path / stub / "request.json").unlink()
    with pytest.raises(InputError, match=f"unfinished run with data_sha256 {digits.sha256[:12]}"):
        run(stub, other, **unfinished[0])


def rewrite(path, change):
    """Rewrites the `tfgen.json` of a checkpoint, or another file of JSON, as a function of its contents."""
    if path.suffix != ".keras":
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    member = json.loads(members["tfgen.json"])
    members["tfgen.json"] = json.dumps({**member, "identity": change(member["identity"])})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("with_request", [True, False])
def test_a_run_from_before_a_field_goes_on_where_its_default_is_asked_for(
    with_request, unfinished, stub, digits, tmp_path, monkeypatch
):
    options, results = unfinished
    request, *checkpoints = [tmp_path / stub / "request.json", *(tmp_path / stub / "checkpoints").glob("*.keras")]
    assert len(checkpoints) == 2
    for path in (request, *checkpoints):
        rewrite(path, lambda contents: without(contents, "learning_rate"))
    if not with_request:
        request.unlink()
    said = "holds an unfinished run with learning_rate 0.1, not 0.2: give the same options"
    with pytest.raises(InputError, match=said):
        run(stub, digits, **options, settings=("learning_rate=0.2",))
    # The last of its three epochs is left.
    (tmp_path / stub / "checkpoints" / "model.keras").unlink()
    assert without_seconds(run(stub, digits, **options)) == without_seconds(results)
    assert json.loads(request.read_text())["learning_rate"] == 0.1


def test_a_finished_run_from_before_a_field_is_that_of_its_default(instant, digits, tmp_path, capsys):
    first = run(instant, digits, preset="smoke", output_dir=tmp_path)
    rewrite(tmp_path / instant / "request.json", lambda contents: without(contents, "learning_rate"))
    assert run(instant, digits, preset="smoke", output_dir=tmp_path, resume=True) == first
    assert "already finished" in capsys.readouterr().out
    other = {"preset": "smoke", "output_dir": tmp_path, "settings": ("learning_rate=0.2",)}
    run(instant, digits, **other, resume=True)
    assert "held a finished run with learning_rate 0.1, not 0.2: moved to" in capsys.readouterr().out


def test_a_run_without_its_request_goes_on_as_the_same(unfinished, stub, digits, tmp_path):
    (tmp_path / stub / "request.json").unlink()
    assert without_seconds(run(stub, digits, **unfinished[0])) == without_seconds(unfinished[1])


@pytest.mark.parametrize("key", ["tfgen", "commit", "tensorflow", "keras", "numpy", "threads"])
def test_a_run_that_goes_on_with_other_versions_says_so_and_lists_them_all(
    key, unfinished, stub, digits, tmp_path, monkeypatch, capsys
):
    options, results = unfinished
    now = {**versions(), key: "9.9"}
    monkeypatch.setattr("tfgen.runner.run.versions", lambda: now)
    resumed = run(stub, digits, **options)
    printed = capsys.readouterr().out
    assert f"was begun with {key} " in printed and "not '9.9': its results may differ in their last digits" in printed
    assert (results["versions"], resumed["versions"]) == ([versions()], [versions(), now])
    assert resumed["metrics"] == results["metrics"]


def test_a_run_that_did_not_record_its_threads_goes_on_without_a_word(unfinished, stub, digits, tmp_path, capsys):
    path = tmp_path / stub / "request.json"
    begun = [without(one, "threads") for one in json.loads(path.read_text())["versions"]]
    path.write_text(json.dumps({**json.loads(path.read_text()), "versions": begun}))
    assert run(stub, digits, **unfinished[0])["versions"] == [*begun, versions()]
    assert "was begun with" not in capsys.readouterr().out


@pytest.mark.parametrize("wanted, found", [("3", "3"), ("0", "cores"), ("", "cores"), ("many", "cores")])
def test_threads_are_those_of_tensorflow_s_products(wanted, found, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", wanted)
    assert versions()["threads"] == found.replace("cores", str(len(os.sched_getaffinity(0))))


@pytest.mark.parametrize(
    "change", ["a row is missing", "a row has changed", "it is empty", "it is garbled", "it is lost"]
)
def test_a_changed_log_is_not_taken_over(change, unfinished, stub, digits, tmp_path):
    options, results = unfinished
    log = tmp_path / stub / "training.csv"
    before = log.read_bytes()
    lines = before.splitlines(keepends=True)
    changed = {
        "a row is missing": b"".join(lines[:2] + lines[3:]),
        "a row has changed": before.replace(lines[2], lines[3]),
        "it is empty": b"",
        "it is garbled": b"\x00\xff,,,",
    }
    log.unlink()
    if change in changed:
        log.write_bytes(changed[change])
    assert without_seconds(run(stub, digits, **options)) == without_seconds(results)
    assert log.read_bytes() == before


def test_a_torn_checkpoint_costs_an_epoch_and_nothing_else(unfinished, stub, digits, tmp_path, capsys):
    options, results = unfinished
    checkpoint = tmp_path / stub / "checkpoints" / "model.keras"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    assert run(stub, digits, **options)["metrics"] == results["metrics"]
    printed = capsys.readouterr().out
    assert "going on from model.previous.keras" in printed and "resuming after epoch" in printed


def test_a_directory_of_checkpoints_that_is_a_link_is_replaced_and_its_target_spared(stub, digits, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    (tmp_path / stub).mkdir()
    (tmp_path / stub / "checkpoints").symlink_to(tmp_path / "elsewhere")
    run(stub, digits, preset="smoke", output_dir=tmp_path)
    assert contents(tmp_path / "elsewhere") == {pathlib.Path("file"): b"mine"}
    assert not (tmp_path / stub / "checkpoints").is_symlink()


def test_tensorboard_is_asked_for_before_anything_is_removed(instant, digits, tmp_path, monkeypatch):
    run(instant, digits, preset="smoke", output_dir=tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tfgen\[tensorboard\]'"):
        run(instant, digits, preset="smoke", output_dir=tmp_path, tensorboard=True)
    assert contents(tmp_path) == before


def test_a_recipe_that_is_needed_runs_first_as_it_stands_and_is_not_repeated(needy, digits, tmp_path, capsys):
    options = {"preset": "smoke", "epochs": 3, "settings": ("batch_size=25",), "output_dir": tmp_path}
    run(needy, digits, seed=5, **options)
    assert "needy needs stub: running it first" in capsys.readouterr().out
    needed = json.loads((tmp_path / "stub" / "results.json").read_text())
    assert needed["seed"] == 0 and needed["config"] == {"epochs": 1, "batch_size": 50, "learning_rate": 0.1}
    # The model that a run which needs it reads.
    (tmp_path / "stub" / "saved_model").mkdir()
    (tmp_path / "stub" / "saved_model" / "saved_model.pb").write_bytes(b"model")
    before = contents(tmp_path / "stub")
    run(needy, digits, seed=6, **options)
    assert "needs" not in capsys.readouterr().out
    assert contents(tmp_path / "stub") == before
    # Of another preset, it is no longer what is needed.
    run(needy, digits, preset="quick", output_dir=tmp_path)
    assert "needy needs stub: running it first" in capsys.readouterr().out
    assert contents(tmp_path / "stub.1") == before
    assert json.loads((tmp_path / "stub" / "results.json").read_text())["preset"] == "quick"


def test_a_needed_run_that_was_killed_is_gone_on_with(needy, digits, tmp_path, monkeypatch):
    seen = []

    def killed(run):
        seen.append((run.recipe is RECIPES["stub"], sorted(path.name for path in run.directory.iterdir())))
        (run.directory / "training.csv").write_text("epoch\n")
        raise Killed

    monkeypatch.setattr(StubModule, "experiment", staticmethod(killed))
    for _ in range(2):
        with pytest.raises(Killed):
            run(needy, digits, preset="smoke", output_dir=tmp_path)
    assert seen == [(True, ["request.json"]), (True, ["request.json", "training.csv"])]
    assert not (tmp_path / needy).exists()


def test_a_diverging_training_ends_in_one_line_and_code_1_and_no_results(stub, tmp_path, capsys):
    arguments = ["run", stub, "--preset", "smoke", "--dataset", "digits", "--set", "learning_rate=1e6"]
    assert cli.main([*arguments, "--output-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("tfgen: training diverged in epoch 1 (") and printed.count("\n") == 1
    assert "there is no checkpoint yet. Try another --seed, or a lower learning rate with --set" in printed
    assert not (tmp_path / stub / "results.json").exists()


def test_an_interrupted_command_keeps_its_checkpoint_and_prints_the_line_to_resume(stub, tmp_path, monkeypatch, capsys):
    original = keras.callbacks.CSVLogger.on_epoch_end

    def interrupt(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    line = f"run {stub} --preset smoke --epochs 3 --set batch_size=25 --dataset digits --output-dir 'my runs'"
    arguments = ["run", stub, *"--preset smoke --epochs 3 --set batch_size=25 --dataset digits --output-dir".split()]
    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", interrupt)
        assert cli.main([*arguments, "my runs"]) == 130
        printed = capsys.readouterr().err
        assert "tfgen: interrupted\n" in printed and printed.endswith(f"tfgen {line} --resume\n")
        assert (tmp_path / "my runs" / stub / "checkpoints" / "model.keras").exists()
    # Interrupted again while it is resumed, it says the same.
    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", interrupt)
        assert cli.main([*arguments, "my runs", "--resume"]) == 130
    assert capsys.readouterr().err.endswith(f"tfgen {line} --resume\n")
    assert cli.main([*arguments, "my runs", "--resume"]) == 0
    assert "resuming after epoch 1 of 3" in capsys.readouterr().out


def test_a_deterministic_run_says_so_and_goes_without_xla(tmp_path):
    """In a process of its own: TensorFlow offers no way back."""
    program = (
        "import sys\n"
        "from helpers import StubModule\n"
        "from tfgen import cli, recipes\n"
        "class Module(StubModule):\n"
        "    @staticmethod\n"
        "    def experiment(run):\n"
        "        from tfgen.data.batches import Batches\n"
        "        batches = Batches(run.data.train.images, 50, run.seed)\n"
        "        print('options', run.deterministic, run.compile_options(batches)['jit_compile'])\n"
        "        StubModule.experiment(run)\n"
        "recipes.MODULES['stub'], recipes.RECIPES['stub'] = Module, Module.RECIPE\n"
        "code = cli.main(['run', 'stub', '--preset', 'smoke', '--dataset', 'digits', '--deterministic'])\n"
        "from tensorflow.python.framework import config\n"
        "print('outcome', code, config.is_op_determinism_enabled())"
    )
    tests = pathlib.Path(__file__).parents[1]
    program = f"import sys\nsys.path.insert(0, {str(tests)!r})\n{program}"
    command = [sys.executable, "-c", program]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True)
    assert "options True False\n" in process.stdout
    assert process.stdout.splitlines()[-1] == "outcome 0 True"
    assert json.loads((tmp_path / "runs" / "stub" / "results.json").read_text())["deterministic"] is True


def test_a_deterministic_run_is_another_request(instant, digits, tmp_path):
    """Without one: it would leave this process deterministic."""
    run(instant, digits, preset="smoke", output_dir=tmp_path)
    shutil.move(tmp_path / instant / "results.json", tmp_path / "results.json")
    (tmp_path / instant / "checkpoints").mkdir()
    (tmp_path / instant / "checkpoints" / "model.keras").write_bytes(b"")
    with pytest.raises(InputError, match="an unfinished run with deterministic False, not True"):
        run(instant, digits, preset="smoke", output_dir=tmp_path, deterministic=True, resume=True)
