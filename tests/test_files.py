"""Files appear whole or not at all, locks hold between processes, and damage is named with its remedy."""

import os
import pathlib
import select
import subprocess
import sys

import pytest

from tfgen import files
from tfgen.errors import InputError

# A process that says when it has the lock, and holds it until its input ends.
HOLDER = """
import sys
from tfgen import files
with files.locked(sys.argv[1], shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(path, kind):
    command = [sys.executable, "-c", HOLDER, str(path), kind]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def refused(path, shared):
    """Returns whether the lock is refused here."""
    try:
        with files.locked(path, shared=shared, wait=False):
            return False
    except BlockingIOError as error:
        assert f"{path} is locked by another process" in str(error)
        return True


@pytest.mark.parametrize("kind, shared_refused", [("exclusive", True), ("shared", False)])
def test_a_lock_keeps_other_processes_out_and_ends_with_a_killed_one(tmp_path, kind, shared_refused):
    path = tmp_path / "new" / ".lock"
    with start_holder(path, kind) as holder:
        assert holder.stdout.readline() == "held\n"
        assert refused(path, shared=False)
        assert refused(path, shared=True) is shared_refused
        holder.kill()
        holder.wait(timeout=60)
    assert not refused(path, shared=False)
    assert path.read_bytes() == b""


def test_a_lock_waits_for_its_holder(tmp_path):
    path = tmp_path / ".lock"
    with files.locked(path):
        waiting = start_holder(path, "exclusive")
        assert not select.select([waiting.stdout], [], [], 0.5)[0]
    with waiting:
        assert waiting.stdout.readline() == "held\n"
        waiting.stdin.close()
        assert waiting.wait(timeout=60) == 0


def test_an_error_within_a_lock_frees_it(tmp_path):
    with pytest.raises(ZeroDivisionError), files.locked(tmp_path / ".lock"):
        raise ZeroDivisionError
    assert not refused(tmp_path / ".lock", shared=False)


def test_the_lock_of_a_directory_is_a_hidden_file_beside_it(tmp_path):
    assert files.lock_of(tmp_path / "runs" / "vae") == tmp_path / "runs" / ".vae.lock"
    assert files.lock_of(f"{tmp_path}/runs/vae/") == tmp_path / "runs" / ".vae.lock"


def test_a_file_is_written_with_the_directories_above_it(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    files.write_atomically(path, b"first")
    files.write_atomically(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_until_a_file_is_whole_the_earlier_one_stands(tmp_path, monkeypatch):
    path, replace, seen = tmp_path / "file", os.replace, []

    def looking(temporary, target):
        seen.append((path.read_bytes(), pathlib.Path(temporary).read_bytes(), os.path.dirname(temporary)))
        replace(temporary, target)

    path.write_bytes(b"earlier")
    monkeypatch.setattr(os, "replace", looking)
    files.write_atomically(path, b"later")
    # In the same directory: a rename within a file system alone is atomic.
    assert seen == [(b"earlier", b"later", str(tmp_path))]
    assert path.read_bytes() == b"later"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch, failing):
    def fail(*args):
        raise OSError("no space left on device")

    (tmp_path / "file").write_bytes(b"earlier")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="no space"):
        files.write_atomically(tmp_path / "file", b"later")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"earlier")]


def test_what_cannot_be_a_directory_is_named_with_its_option(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--to is empty; name a directory"):
        files.check_writable("", "--to")
    for path in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(InputError, match=f"--to: '{path}' cannot be made: {tmp_path / 'file'} is a file"):
            files.check_writable(path, "--to")
    assert not (tmp_path / "new").exists()
    files.check_writable(tmp_path / "new" / "runs", "--to")
    assert not (tmp_path / "new").exists()
    # Root may write everywhere, so the answer of the system is made up.
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK | os.X_OK))
    with pytest.raises(InputError, match=f"--to: '{tmp_path / 'new'}' cannot be written to: see {tmp_path}; name"):
        files.check_writable(tmp_path / "new", "--to")


# From what a file holds to what is said of it.
DAMAGED = {
    b'{"recipe": "va': "Unterminated string",
    b"": "Expecting value",
    b"\xff\xfe": "codec",
    b'\xef\xbb\xbf{"a": 1}': "BOM",
    b'{"a": 1} {"b": 2}': "Extra data",
    b'[{"a": 1}]': r"no object: \[{'a': 1}\]",
    b"null": "no object: None",
    b'{"a": {"b": NaN}}': "NaN is no finite number",
    b'{"a": -Infinity}': "-Infinity is no finite number",
    b'{"a": 1e400}': "1e400 is no finite number",
    b'{"a": ' + 5000 * b"9" + b"}": "5000 digits",
    b'{"a": 1, "b": {"c": 1, "c": 2}}': "the key 'c' comes twice",
    b'{"a": "two\\nlines"}': r"the text 'two\\nlines' cannot be printed",
    b'{"\\u001b[31mred": 1}': r"the text '\\x1b\[31mred' cannot be printed",
    b'{"a": ["\\u202e"]}': "cannot be printed",
    b'{"a": "\\ud800"}': r"the text '\\ud800' cannot be printed",
    b'{"a": ' + 20 * b"[" + 20 * b"]" + b"}": "more than 20 levels",
    b'{"a": ' + 100_000 * b"[": "recursion|Expecting value",
    b'{"a": "' + 5_000_000 * b"x" + b'"}': "more than 4 MiB",
}


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: content[:25].decode(errors="replace"))
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    said = rf"results.json is damaged \(.*({DAMAGED[content]}).*\); restore it, or delete {tmp_path}$"
    with pytest.raises(InputError, match=said) as refused:
        files.read_json(path)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 400


def test_what_is_no_file_is_not_read_as_json(tmp_path):
    (tmp_path / "results.json").mkdir()
    os.mkfifo(tmp_path / "request.json")
    for name in ("results.json", "request.json"):
        with pytest.raises(InputError, match=f"{name} is no file; move it away, or delete {tmp_path}$"):
            files.read_json(tmp_path / name)


def test_a_whole_file_is_read_and_a_missing_one_is_not_called_damaged(tmp_path):
    (tmp_path / "results.json").write_text('{"recipe": "vae", "metrics": [1.5, null]}')
    assert files.read_json(tmp_path / "results.json") == {"recipe": "vae", "metrics": [1.5, None]}
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "missing.json")
