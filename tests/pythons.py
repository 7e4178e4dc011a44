"""Tries the wheel in a fresh environment of each Python that tfgen is for and that is found on PATH.

    python tests/pythons.py

It builds the wheel, and for each of Python 3.10 to 3.13 installs it with `constraints.txt` and, in an empty directory,
lists the recipes, runs the GAN in preset smoke on the digits and samples it. It prints a line for each Python: that it
works, that it was not found, or what failed. It ends with 1 if one failed or none was found.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
PYTHONS = ("python3.10", "python3.11", "python3.12", "python3.13")
COMMANDS = (
    "list",
    "run gan --preset smoke --dataset digits",
    "sample runs/gan/saved_model --num 16",
)


def build_wheel(to, *options):
    """Returns the path of tfgen's wheel, built in `to` from copies, so that the checkout stays as it is.

    Args:
        to: an empty directory.
        *options: further options of `pip wheel`.
    """
    source = to / "source"
    shutil.copytree(ROOT / "tfgen", source / "tfgen", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    call([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *options, "--wheel-dir", to, source], to)
    (wheel,) = to.glob("tfgen-*.whl")
    return wheel


def call(command, directory):
    """Runs a command; raises `RuntimeError` with the end of what it printed if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ended = subprocess.run(command, cwd=directory, env=environment, **output)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {ended.returncode}\n{ended.stdout[-2000:]}")


def runs(python):
    """Returns whether a Python is there and starts: a name on PATH may stand for a version that is not installed."""
    try:
        return subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def try_wheel(python, wheel, directory):
    """Installs the wheel in a fresh environment of a Python and uses it there; raises `RuntimeError` if that fails."""
    call([python, "-m", "venv", directory / "venv"], directory)
    pip = [directory / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    call([*pip, "--upgrade", "pip"], directory)
    call([*pip, "--constraint", ROOT / "constraints.txt", wheel], directory)
    for command in COMMANDS:
        call([directory / "venv" / "bin" / "tfgen", *command.split()], directory)


def main():
    found = [python for python in PYTHONS if runs(python)]
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build_wheel(pathlib.Path(temporary))
        for python in PYTHONS:
            if python not in found:
                print(f"{python}: not found, not tried", flush=True)
                continue
            with tempfile.TemporaryDirectory() as directory:
                try:
                    try_wheel(python, wheel, pathlib.Path(directory))
                    print(f"{python}: installs, lists, runs and samples", flush=True)
                except RuntimeError as error:
                    failed = True
                    print(f"{python}: FAILED\n{error}", flush=True)
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
