"""The wheel is whole and runs away from the repository; constraints.txt pins what tfgen needs, for every Python."""

import configparser
import importlib.metadata
import os
import pathlib
import re
import stat
import subprocess
import sys
import zipfile

import pytest
import pythons
from packaging.requirements import Requirement

import tfgen

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
SETUP = configparser.ConfigParser()
SETUP.read(pythons.ROOT / "setup.cfg")
CONSTRAINTS = (pythons.ROOT / "constraints.txt").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory that holds what is in the wheel, and an empty one."""
    directory = tmp_path_factory.mktemp("wheel")
    (directory / "built").mkdir()
    # With the setuptools that is here: building needs no network.
    with zipfile.ZipFile(pythons.build_wheel(directory / "built", "--no-build-isolation")) as wheel:
        wheel.extractall(directory / "site")
    (directory / "empty").mkdir()
    return directory / "site", directory / "empty"


def run_installed(installed, *arguments):
    """Returns the finished process of a Python that finds the wheel's package first, in the empty directory."""
    site, empty = installed
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=300)


def test_the_wheel_holds_the_whole_package_and_nothing_else(installed):
    site, _ = installed
    package = pathlib.Path(tfgen.__file__).parent
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path.relative_to(site / "tfgen") for path in (site / "tfgen").rglob("*") if path.is_file()} == files
    assert pathlib.Path("py.typed") in files
    assert sorted(path.name for path in site.iterdir()) == ["tfgen", f"tfgen-{tfgen.__version__}.dist-info"]


def test_the_wheel_says_what_it_is(installed):
    site, _ = installed
    (distribution,) = importlib.metadata.distributions(path=[str(site)])
    metadata = distribution.metadata
    assert (metadata["Name"], metadata["Version"]) == ("tfgen", tfgen.__version__)
    assert metadata["Requires-Python"] == ">=3.10" and metadata["Author"] == "The tfgen authors"
    listed = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier")))
    assert tuple(listed) == VERSIONS == tuple(python.removeprefix("python") for python in pythons.PYTHONS)
    (command,) = distribution.entry_points
    assert (command.group, command.name, command.value) == ("console_scripts", "tfgen", "tfgen.cli:main")
    assert any(file.name == "LICENSE" for file in distribution.files)


def test_the_installed_package_lists_recipes_and_finds_no_model_away_from_the_repository(installed):
    site, empty = installed
    where = run_installed(installed, "-c", "import tfgen; print(tfgen.__file__)")
    assert where.stdout == f"{site / 'tfgen' / '__init__.py'}\n"
    listed = run_installed(installed, "-m", "tfgen", "list", "gan")
    assert listed.stderr == "" and "none in this installation; see docs/results" in listed.stdout
    sampled = run_installed(installed, "-m", "tfgen", "sample", "gan")
    assert sampled.returncode == 2 and "in saved_models (there: none); tfgen run gan makes" in sampled.stderr
    assert not any(empty.iterdir())


@pytest.mark.slow
def test_the_installed_package_trains_and_samples_away_from_the_repository(installed):
    _, empty = installed
    arguments = ("run", "vae", "--preset", "smoke", "--dataset", "digits")
    ran = run_installed(installed, "-m", "tfgen", *arguments)
    assert ran.returncode == 0, ran.stderr
    assert (empty / "runs" / "vae" / "results.json").is_file()
    sampled = run_installed(installed, "-m", "tfgen", "sample", "runs/vae/saved_model", "--num", "4")
    assert sampled.stdout == "4 images of runs/vae/saved_model: grid.png\n", sampled.stderr
    assert (empty / "grid.png").read_bytes().startswith(b"\x89PNG")


def pins(version):
    """Returns what constraints.txt pins on Linux for a version of Python: name -> version."""
    environment = {"python_full_version": f"{version}.1", "python_version": version, "sys_platform": "linux"}
    found = {}
    for requirement in map(Requirement, CONSTRAINTS.splitlines()):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and requirement.name not in found
            found[requirement.name] = specifier.version
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_constraints_pin_one_allowed_version_of_all_that_is_asked_for_with_every_python(version):
    pinned = pins(version)
    assert len(pinned) > 60
    asked = SETUP["options"]["install_requires"] + SETUP["options.extras_require"]["test"]
    for line in asked.split("\n"):
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            assert requirement.specifier.contains(pinned[re.sub("[-_.]+", "-", requirement.name)]), line


# The wheel in other Pythons: make test-pythons.


def test_a_python_that_is_not_there_or_does_not_start_is_told_and_not_tried(monkeypatch, tmp_path, capsys):
    shim = tmp_path / "python3.98"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tried = []
    monkeypatch.setattr(pythons, "build_wheel", lambda to: to / "tfgen.whl")
    monkeypatch.setattr(pythons, "try_wheel", lambda python, wheel, directory: tried.append(python))
    monkeypatch.setattr(pythons, "PYTHONS", ("python3.97", "python3.98"))
    assert pythons.main() == 1
    assert capsys.readouterr().out == "python3.97: not found, not tried\npython3.98: not found, not tried\n"
    monkeypatch.setattr(pythons, "PYTHONS", ("python3.97", sys.executable))
    assert pythons.main() == 0 and tried == [sys.executable]
    assert capsys.readouterr().out == (
        f"python3.97: not found, not tried\n{sys.executable}: installs, lists, runs and samples\n"
    )


def test_what_fails_in_a_python_is_shown_with_what_it_printed(monkeypatch, capsys):
    def try_wheel(python, wheel, directory):
        pythons.call([python, "-c", "print('wrong'); raise SystemExit(3)"], directory)

    monkeypatch.setattr(pythons, "build_wheel", lambda to: to / "tfgen.whl")
    monkeypatch.setattr(pythons, "try_wheel", try_wheel)
    monkeypatch.setattr(pythons, "PYTHONS", (sys.executable,))
    assert pythons.main() == 1
    printed = capsys.readouterr().out
    assert printed.startswith(f"{sys.executable}: FAILED\n") and printed.endswith("exit code 3\nwrong\n\n")
