"""A run's directory: reserved for one run, moved aside under a free name, cleared of leftovers and nothing else."""

import pathlib
import subprocess
import sys

import pytest
from helpers import contents

from tfgen.errors import InputError
from tfgen.runner.directory import clear, move_aside, reserved

LEFT_BY_A_RUN = {
    "results.json": b"{}",
    "training.csv": b"epoch",
    "training_second.csv": b"epoch",
    "checkpoints/model.keras": b"model",
    "checkpoints/second.keras": b"model",
    "checkpoints/second.previous.keras": b"model",
    "figures/training.png": b"picture",
    "saved_model/saved_model.pb": b"model",
    "tensorboard/events": b"events",
}
HEX = "0123456789abcdef" * 2
HALF_WRITTEN = {
    "checkpoints/.model.keras": b"half",
    f"checkpoints/.second.csv.{HEX}": b"half",
    f".training.csv.{HEX}": b"half",
    f".results.json.{HEX}": b"half",
    f"figures/.training.png.{HEX}": b"half",
    f"checkpoints/.epoch_1.npz.{HEX}": b"half",
    ".saved_model.0123/saved_model.pb": b"half",
}
OF_THE_USER = {
    "notes.txt": b"mine",
    "my_figures/results.json": b"{}",
    "training.md": b"mine",
    "training_notes.csv": b"mine",
    ".notes": b"mine",
    f".{HEX}": b"mine",
    f"a.{HEX}": b"mine",
    "request.json": b"{}",
}


@pytest.fixture
def directory(tmp_path):
    """A directory with what a run, a kill and the user have left in it."""
    for name, content in {**LEFT_BY_A_RUN, **HALF_WRITTEN, **OF_THE_USER}.items():
        (tmp_path / "vae" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "vae" / name).write_bytes(content)
    return tmp_path / "vae"


def files(directory):
    return {str(path): content for path, content in contents(directory).items() if content is not False}


def test_a_directory_is_reserved_for_one_run_at_a_time(tmp_path):
    with reserved(tmp_path / "runs" / "vae"):
        with pytest.raises(InputError, match=r"another run is writing to .*vae; wait for it, or name another"):
            with reserved(tmp_path / "runs" / "vae"):
                raise AssertionError
        # A run in another directory is not in its way.
        with reserved(tmp_path / "runs" / "gan"):
            pass
        # The lock lies beside it, so that the directory may be moved.
        assert not (tmp_path / "runs" / "vae").exists()
    with reserved(tmp_path / "runs" / "vae"):
        pass


def test_another_process_is_kept_out(tmp_path):
    program = (
        "import pathlib, sys\n"
        "from tfgen.runner.directory import reserved\n"
        "with reserved(pathlib.Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "vae")]
    with reserved(tmp_path / "vae"):
        process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    assert f"InputError: another run is writing to {tmp_path / 'vae'}" in process.stderr
    assert subprocess.run(command, timeout=60).returncode == 0


def test_an_error_within_the_reservation_ends_it(tmp_path):
    with pytest.raises(BlockingIOError, match="of the run itself"):
        with reserved(tmp_path / "vae"):
            raise BlockingIOError("of the run itself")
    with reserved(tmp_path / "vae"):
        pass


def test_directories_are_moved_aside_under_the_first_free_number(directory):
    before = contents(directory)
    directory.with_name("vae.1").mkdir()
    directory.with_name("vae.2").write_text("a file")
    directory.with_name("vae.4").mkdir()
    assert move_aside(directory) == directory.with_name("vae.3")
    assert contents(directory.with_name("vae.3")) == before
    assert not directory.exists() and not list(directory.with_name("vae.1").iterdir())


def test_a_run_from_the_beginning_removes_what_runs_leave_and_nothing_else(directory):
    clear(directory, keep_unfinished=False)
    assert files(directory) == OF_THE_USER
    assert {path.name for path in directory.iterdir()} == {pathlib.PurePath(name).parts[0] for name in OF_THE_USER}


def test_a_run_that_goes_on_removes_what_is_half_written_only(directory):
    clear(directory, keep_unfinished=True)
    assert files(directory) == {**LEFT_BY_A_RUN, **OF_THE_USER}


def test_results_go_first(directory, monkeypatch):
    """Killed while it clears, a run leaves no directory that looks finished."""
    removed, unlink = [], pathlib.Path.unlink

    def seen(self, *args, **kwargs):
        removed.append(self.name)
        if self.name == "training.csv":
            raise KeyboardInterrupt
        unlink(self, *args, **kwargs)

    monkeypatch.setattr(pathlib.Path, "unlink", seen)
    with pytest.raises(KeyboardInterrupt):
        clear(directory, keep_unfinished=False)
    assert removed.index("results.json") < removed.index("training.csv")
    assert not (directory / "results.json").exists() and (directory / "saved_model").exists()


def test_a_link_is_removed_and_its_target_spared(directory, tmp_path):
    (directory / "figures").rename(tmp_path / "elsewhere")
    (directory / "figures").symlink_to(tmp_path / "elsewhere")
    (directory / "tensorboard" / "events").unlink()
    (directory / "tensorboard").rmdir()
    (directory / "tensorboard").symlink_to(tmp_path / "nowhere")
    clear(directory, keep_unfinished=False)
    assert files(directory) == OF_THE_USER
    assert not (directory / "figures").is_symlink() and not (directory / "tensorboard").is_symlink()
    assert contents(tmp_path / "elsewhere") == {pathlib.Path("training.png"): b"picture"}


def test_a_directory_that_is_empty_or_new_is_left_as_it_is(tmp_path):
    clear(tmp_path, keep_unfinished=False)
    assert not list(tmp_path.iterdir())
