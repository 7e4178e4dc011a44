"""What is printed is never in the way of the work, and a signal ends a run with the line to go on."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from helpers import StubModule

from tfgen import console
from tfgen.cli import main
from tfgen.training.run import StopWhereItIsAsked


@pytest.fixture
def line(stub, tmp_path):
    """The words of a run of the stub."""
    return f"run {stub} --preset smoke --dataset digits --output-dir {tmp_path}".split()


def stream(file, encoding="utf-8"):
    return io.TextIOWrapper(file, encoding=encoding, write_through=True)


@pytest.fixture
def closed_pipe():
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        yield pipe


def test_a_run_whose_output_nobody_reads_goes_on_to_its_results(line, stub, tmp_path, closed_pipe, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", stream(closed_pipe))
    assert main(line) == 0
    assert json.loads((tmp_path / stub / "results.json").read_text())["recipe"] == stub
    assert (tmp_path / "report.html").exists()
    assert capsys.readouterr().err == ""


def test_a_run_goes_on_where_neither_of_its_streams_is_read(line, stub, tmp_path, closed_pipe, monkeypatch):
    with stream(os.fdopen(os.dup(closed_pipe.fileno()), "wb", buffering=0)) as errors:
        monkeypatch.setattr(sys, "stdout", stream(closed_pipe))
        monkeypatch.setattr(sys, "stderr", errors)
        assert main(line) == 0
    assert (tmp_path / stub / "results.json").exists()


def test_a_run_goes_on_without_any_stream(line, stub, tmp_path, monkeypatch):
    """So Python starts where the file descriptors are closed."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(line) == 0
    assert (tmp_path / stub / "results.json").exists()
    assert sys.stdout is None


def test_a_run_on_a_full_disk_for_its_output_writes_its_files_and_says_so(line, stub, tmp_path, monkeypatch, capsys):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", stream(full))
        assert main(line) == 1
    assert (tmp_path / stub / "results.json").exists() and (tmp_path / "report.html").exists()
    assert capsys.readouterr().err == "tfgen: standard output could not be written (No space left on device)\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_a_console_cannot_show_is_written_as_escapes(line, stub, tmp_path, monkeypatch, encoding):
    def experiment(run):
        print("0 \u2264 p \udcff")
        run.metric("test_squared_error", 2.5, "squared error \u2264 1", "test", 297)

    monkeypatch.setattr(StubModule, "experiment", staticmethod(experiment))
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", stream(shown, encoding))
    assert main(line) == 0
    text = shown.getvalue().decode(encoding)
    assert "0 \\u2264 p \\udcff" in text and "squared error \\u2264 1" in text


def test_the_report_is_written_before_the_table_is_shown(line, stub, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("tfgen.report.tables.table", lambda results: seen.append((tmp_path / "report.html").exists()))
    assert main(line) == 0
    assert seen == [True]


@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_a_run_with_the_line_to_resume(line, stub, tmp_path, monkeypatch, capsys, name, code):
    experiment = StubModule.experiment

    def stopped(run):
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(10)

    before = signal.signal(getattr(signal, name), signal.SIG_DFL)
    monkeypatch.setattr(console, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(StubModule, "experiment", staticmethod(stopped))
    try:
        assert main(line) == code
        assert signal.getsignal(getattr(signal, name)) == signal.SIG_DFL
    finally:
        signal.signal(getattr(signal, name), before)
    printed = capsys.readouterr().err.splitlines()
    assert printed[1] == f"tfgen: stopped by {name}"
    assert printed[2].startswith("resume with: ") and printed[2].endswith(" ".join([*line, "--resume"]))
    assert not (tmp_path / stub / "results.json").exists()
    monkeypatch.setattr(StubModule, "experiment", staticmethod(experiment))
    assert main([*line, "--resume"]) == 0


class Waits:
    """Sends the process signals, goes on where the work cannot be stopped, and comes to a place where it can.

    Args:
        *numbers: of the signals.
    """

    def __init__(self, *numbers):
        self.numbers, self.seen = numbers, []

    def __call__(self):
        for number in self.numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            self.seen.append("went on")
        console.stop_if_asked()
        self.seen.append("was not stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_a_place_where_the_work_can_be_stopped(number):
    """Raised wherever the process is, its exception can crash TensorFlow, which leaves temporary files."""
    waits = Waits(number)
    # The tests may be run by a process that ignores them.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt) as stopped, console.interruptible(), console.deferred():
            waits()
        assert waits.seen == ["went on"]
        assert getattr(stopped.value, "number", signal.SIGINT) == number
        assert signal.getsignal(number) == signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
        # Nothing of it is left for the next work.
        with console.interruptible(), console.deferred():
            console.stop_if_asked()
    finally:
        signal.signal(number, before)


def test_a_second_signal_does_not_wait():
    waits = Waits(signal.SIGTERM, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as stopped, console.interruptible(), console.deferred():
            waits()
    finally:
        signal.signal(signal.SIGINT, before)
    assert waits.seen == ["went on"] and not isinstance(stopped.value, console.Terminated)


def test_a_signal_waits_no_longer_than_its_time(monkeypatch):
    monkeypatch.setattr(console, "GRACE_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(console.Terminated), console.interruptible(), console.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert 0.1 <= time.monotonic() - started < 5


def test_a_signal_that_finds_no_place_stops_at_the_end_of_the_work():
    with pytest.raises(console.Terminated), console.interruptible(), console.deferred():
        os.kill(os.getpid(), signal.SIGTERM)


def test_elsewhere_a_signal_does_not_wait():
    waits = Waits(signal.SIGTERM)
    with pytest.raises(console.Terminated), console.interruptible():
        waits()
    assert waits.seen == []


def test_a_training_is_stopped_between_two_calls_of_tensorflow():
    """Not while the graph is built, however long that takes, and before the epoch has ended."""
    seen = []

    class Ask(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append("begin")
            os.kill(os.getpid(), signal.SIGTERM)

        def on_train_batch_end(self, batch, logs=None):
            seen.append("end")

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((40, 2))
    with pytest.raises(console.Terminated), console.interruptible(), console.deferred():
        model.fit(x, x[:, :1], batch_size=10, verbose=0, callbacks=[Ask(), StopWhereItIsAsked()])
    assert seen == ["begin", "end"]


def test_a_signal_that_the_process_ignores_stays_ignored():
    """As `nohup` sets it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with console.interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_command_runs_in_any_thread(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["list", "gan"])))
    thread.start()
    thread.join(timeout=60)
    assert codes == [0]


def test_a_signal_after_the_end_of_the_work_does_not_make_it_look_stopped():
    """Libraries take a while to end; the process has its results, and ends with 0."""
    program = (
        "import atexit, os, signal, sys\n"
        "from tfgen.cli import main\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "sys.argv = ['tfgen', 'list']\n"
        "sys.exit(main())"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0


def test_help_that_cannot_be_written_is_no_success():
    process = subprocess.run(
        f"{sys.executable} -m tfgen --help > /dev/full", shell=True, timeout=60, capture_output=True
    )
    assert process.returncode == 1 and b"could not be written (No space left on device)" in process.stderr


@pytest.mark.parametrize("redirection, code", [("| head -1", 0), ("> /dev/full", 1), (">&- 2>&-", 0)])
def test_a_fresh_process_ends_with_its_own_code_whatever_becomes_of_its_output(redirection, code):
    """Python itself would complain, and end with 120, about what is still to be flushed at its end."""
    script = f"{sys.executable} -m tfgen list --json {redirection}; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert process.returncode == code
    said = "tfgen: standard output could not be written (No space left on device)\n"
    assert process.stderr == (said if code else "")


def test_closed_streams_are_not_taken_for_files(tmp_path):
    """What is written to standard error reaches no file that is opened later."""
    program = (
        "import os\n"
        "from tfgen import console\n"
        "with console.unbroken():\n"
        f"    with open({str(tmp_path / 'file')!r}, 'wb') as file: file.write(b'mine'); descriptor = file.fileno()\n"
        "    os.write(2, b'not mine')\n"
        "raise SystemExit(descriptor)"
    )
    process = subprocess.run(["bash", "-c", f'{sys.executable} -c "{program}" <&- >&- 2>&-'], timeout=60)
    assert process.returncode > 2
    assert (tmp_path / "file").read_bytes() == b"mine"
