"""Runs of several workers: real processes on this machine, one of which writes."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from unittest import mock

import keras
import pytest
import tensorflow as tf

from tfgen.cli import main
from tfgen.errors import InputError, RunError
from tfgen.files import read_log
from tfgen.runner.request import Request
from tfgen.runner.run import run
from tfgen.training.checkpoint import read_member
from tfgen.training.workers import strategy_of

SCRIPT = pathlib.Path(__file__).parent.parent / "worker.py"
# What the documents state, with room for a machine that other tests keep busy.
SECONDS_TO_NOTICE = 60
EPOCHS = "8"


def cluster(number):
    """Returns the TF_CONFIG of each of some workers, on ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}) for i in range(number)
    ]


@contextlib.contextmanager
def workers_in(directory):
    """Gives a function that starts workers: worker i writes to the directory `<name>-i`, or all of them to `shared`."""
    processes = []

    def start_workers(name, number, *options, recipe="stub", shared=None, of_last=(), missing=0):
        started = []
        for i, config in enumerate(cluster(number)[: number - missing]):
            arguments = ["run", recipe, "--dataset", "digits", "--strategy", "multiworker", *options]
            arguments += ["--output-dir", directory / (shared or f"{name}-{i}"), *(of_last if i == number - 1 else ())]
            log = open(directory / f"{name}-{i}.log", "w")
            process = subprocess.Popen(
                [sys.executable, SCRIPT, *arguments],
                env={**os.environ, "TF_CONFIG": config},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            log.close()
            started.append(process)
        processes.extend(started)
        return started

    try:
        yield start_workers
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def start(tmp_path):
    with workers_in(tmp_path) as start_workers:
        yield start_workers


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Where two workers, each in a directory of its own, have made a run of `EPOCHS`."""
    directory = tmp_path_factory.mktemp("whole")
    with workers_in(directory) as start_workers:
        assert codes(start_workers("two", 2, "--epochs", EPOCHS)) == [0, 0]
    return directory


def codes(processes):
    return [process.wait(300) for process in processes]


def last_line(path):
    return path.read_text().splitlines()[-1]


def weights(directory):
    """Returns the bytes of the weights and of the optimizer's state in a run's checkpoint."""
    with zipfile.ZipFile(directory / "stub" / "checkpoints" / "model.keras") as archive:
        return archive.read("model.weights.h5")


def log_of(directory, recipe="stub"):
    """Returns a run's log without what the clock decides."""
    log = read_log(directory / recipe / "training.csv")
    return {name: values for name, values in log.items() if name != "seconds"}


def alone(directory, *options, recipe="stub"):
    """Runs the command in this process, without a strategy, and returns its exit code."""
    return main(["run", recipe, "--dataset", "digits", *options, "--output-dir", str(directory)])


def test_two_workers_make_the_run_of_one_and_the_chief_alone_writes(whole, stub, tmp_path):
    assert not (whole / "two-1").exists()
    results = json.loads((whole / "two-0" / "stub" / "results.json").read_text())
    assert results["versions"][-1]["replicas"] == "2"
    assert alone(tmp_path / "one", "--epochs", EPOCHS) == 0
    one = log_of(tmp_path / "one")
    for name, values in log_of(whole / "two-0").items():
        assert values == pytest.approx(one[name], rel=1e-4)
    # Wrong: another order of the images.
    assert alone(tmp_path / "other", "--epochs", EPOCHS, "--seed", "1") == 0
    assert log_of(tmp_path / "other")["loss"] != pytest.approx(one["loss"], rel=1e-4)


@pytest.mark.slow
def test_two_workers_train_a_gan_together_as_the_document_says(start, tmp_path):
    """With the classifier that its measures need, which the chief makes."""
    assert codes(start("gan", 2, "--preset", "smoke", recipe="gan", shared="two")) == [0, 0]
    files = sorted(path.parent.name for path in (tmp_path / "two").glob("*/results.json"))
    assert files == ["digit-classifier", "gan"]
    shutil.copytree(tmp_path / "two" / "digit-classifier", tmp_path / "one" / "digit-classifier")
    assert alone(tmp_path / "one", "--preset", "smoke", recipe="gan") == 0
    one = log_of(tmp_path / "one", "gan")
    assert {"discriminator_loss", "generator_loss"} <= set(one)
    for name, values in log_of(tmp_path / "two", "gan").items():
        # A discriminator that wins leaves small losses, of which rounding is a larger part; another seed's, 0.053 and
        # 5.26 instead of 0.044 and 5.35, are outside.
        assert values == pytest.approx(one[name], rel=1e-2), name


def test_a_worker_with_another_command_is_refused(start, tmp_path):
    chief, other = start("odd", 2, of_last=("--seed", "1"))
    assert other.wait(300) == 2
    assert last_line(tmp_path / "odd-1.log").startswith("tfgen: the chief has seed 0, not 1:")
    assert chief.wait(SECONDS_TO_NOTICE) == 1
    assert not (tmp_path / "odd-0" / "stub" / "results.json").exists()


def wait_for_checkpoint(directory):
    path = directory / "stub" / "checkpoints" / "model.keras"
    deadline = time.monotonic() + 200
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "how"), [(0, signal.SIGKILL), (0, signal.SIGSTOP), (1, signal.SIGSTOP)])
def test_a_lost_worker_ends_the_others_in_time(start, tmp_path, lost, how):
    processes = start("lost", 2, "--epochs", "100000", shared="run")
    wait_for_checkpoint(tmp_path / "run")
    processes[lost].send_signal(how)
    assert processes[1 - lost].wait(SECONDS_TO_NOTICE) == 1
    assert "another worker has ended, or cannot be reached" in last_line(tmp_path / f"lost-{1 - lost}.log")


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_with_as_many_workers_and_nearly_so_with_others(start, whole, stub, tmp_path):
    processes = start("killed-2", 2, "--epochs", EPOCHS, shared="killed-2")
    wait_for_checkpoint(tmp_path / "killed-2")
    processes[1].kill()
    assert processes[0].wait(SECONDS_TO_NOTICE) == 1
    assert "another worker has ended, or cannot be reached" in last_line(tmp_path / "killed-2-0.log")
    _, log = read_member(tmp_path / "killed-2" / "stub" / "checkpoints" / "model.keras")
    assert len(log.splitlines()) - 1 < int(EPOCHS)
    shutil.copytree(tmp_path / "killed-2", tmp_path / "killed-3")
    for number in (2, 3):
        name = f"killed-{number}"
        assert codes(start(f"{name}-again", number, "--epochs", EPOCHS, "--resume", shared=name)) == [0] * number
        expected, resumed = log_of(whole / "two-0"), log_of(tmp_path / name)
        if number == 2:
            assert resumed == expected
            assert weights(tmp_path / name) == weights(whole / "two-0")
        else:
            for column, values in resumed.items():
                assert values == pytest.approx(expected[column], rel=1e-4)
    assert alone(tmp_path / "killed-2", "--epochs", EPOCHS, "--resume") == 0  # Finished, whatever the strategy.


def test_a_worker_that_waits_for_the_others_can_be_stopped(start, tmp_path):
    (process,) = start("alone", 2, missing=1)
    log, end = tmp_path / "alone-0.log", time.monotonic() + 120
    while "waiting for the workers" not in log.read_text():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.2)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    assert not (tmp_path / "alone-0").exists()


@pytest.mark.slow
def test_a_worker_without_the_checkpoint_is_refused(start, stub, tmp_path, monkeypatch):
    log_epoch = keras.callbacks.CSVLogger.on_epoch_end

    def interrupt(self, epoch, logs=None):
        log_epoch(self, epoch, logs)
        if epoch == 1:
            self.on_train_end()  # Closes the file.
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", interrupt)
        assert alone(tmp_path / "run", "--epochs", "3") == 130
    options = ("--epochs", "3", "--resume")
    chief, other = start("again", 2, *options, shared="run", of_last=("--output-dir", tmp_path / "elsewhere"))
    assert other.wait(300) == 2
    assert "tfgen: the chief has epochs done" in last_line(tmp_path / "again-1.log")
    assert chief.wait(SECONDS_TO_NOTICE) == 1
    assert "tfgen: another worker has ended" in last_line(tmp_path / "again-0.log")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "no JSON",
        "{}",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_workers_without_a_cluster_are_refused_in_a_line(monkeypatch, tmp_path, text):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="--strategy multiworker needs a TF_CONFIG such as"):
        Request("vae", output_dir=tmp_path, strategy="multiworker")


@pytest.mark.parametrize(
    "raised, expected, message",
    [
        (tf.errors.DeadlineExceededError(None, None, "a page"), RunError, "not all the workers that TF_CONFIG names"),
        (tf.errors.UnknownError(None, None, "no gRPC server"), RunError, "no gRPC server: is the port"),
        (RuntimeError("program startup"), InputError, "must be the first that TensorFlow does in a process"),
    ],
)
def test_a_cluster_that_does_not_come_about_is_told_in_a_line(monkeypatch, raised, expected, message):
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", mock.Mock(side_effect=raised))
    with pytest.raises(expected, match=message):
        strategy_of("multiworker")


def test_an_unknown_strategy_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown strategy 'parameter'; choose one of none, mirrored, multiworker"):
        Request("vae", output_dir=tmp_path, strategy="parameter")


def test_a_recipe_whose_batches_are_not_split_is_refused_at_once(tmp_path, capsys):
    with pytest.raises(InputError, match="semi-supervised-vae trains on batches that are not split"):
        Request("semi-supervised-vae", "smoke", output_dir=tmp_path, strategy="mirrored")
    options = ["--preset", "smoke", "--dataset", "digits", "--output-dir", str(tmp_path), "--epochs", "-1"]
    assert main(["run", "--all", "--strategy", "mirrored", *options]) == 2
    assert "skipped, since its batches are not split: semi-supervised-vae\n" in capsys.readouterr().out


def test_batches_of_fewer_rows_than_replicas_are_refused_with_the_earlier_run_left(stub, digits, tmp_path, monkeypatch):
    run("stub", digits, preset="smoke", output_dir=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    replicas = mock.Mock(num_replicas_in_sync=4)
    monkeypatch.setattr("tfgen.runner.run.strategy_of", lambda name: replicas)
    with pytest.raises(InputError, match="batch_size 3 is less than the 4 replicas"):
        run("stub", digits, preset="smoke", settings=["batch_size=3"], output_dir=tmp_path, strategy="mirrored")
    assert sorted(tmp_path.rglob("*")) == before


def test_jobs_and_a_strategy_are_not_both_taken(tmp_path, capsys):
    arguments = ["run", "vae", "gan", "--jobs", "2", "--strategy", "mirrored", "--output-dir", str(tmp_path)]
    assert main(arguments) == 2
    assert capsys.readouterr().err == "tfgen: --jobs and --strategy both share out the machine; give one of them\n"
