"""The table of what is missing of many runs."""

import json
import os
import re
import time

import pytest
from helpers import results_of

from tfgen.cli import main
from tfgen.recipes import RECIPES
from tfgen.report import missing


@pytest.fixture
def runs(tmp_path):
    """The finished runs of the GAN with seed 0 in preset quick and of the VAE in smoke, and an unfinished GAN."""
    for name, preset in (("gan", "quick"), ("vae", "smoke")):
        directory = tmp_path / "seed-0" / name
        directory.mkdir(parents=True)
        (directory / "results.json").write_text(json.dumps(results_of(name, preset=preset)))
    unfinished = tmp_path / "seed-2" / "gan" / "checkpoints" / "model.keras"
    unfinished.parent.mkdir(parents=True)
    unfinished.touch()
    hours_ago = time.time() - 7200
    os.utime(unfinished, (hours_ago, hours_ago))
    return tmp_path


def test_the_states_are_those_of_the_directories(runs):
    found = missing.states(runs, ["gan", "vae", "vae-2d"], [0, 2], "quick")
    assert found == [
        ("gan", "done", "120 min ago"),
        ("vae", "of preset smoke", "missing"),
        ("vae-2d", "missing", "missing"),
    ]


def test_the_table_tells_of_every_recipe_what_is_missing(runs, capsys):
    assert main(["table", str(runs), "--missing", "0,2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if " | " in line]
    assert [cell.strip() for cell in rows[0]] == ["recipe", "seed 0", "seed 2"]
    names = [row[0].strip() for row in rows[1:]]
    assert names == [name for name in RECIPES if name in names] and {"gan", "vae"} <= set(names)
    done, all_of_them, are_missing = map(int, re.findall(r"\d+", lines[-1]))
    assert (done, all_of_them, are_missing) == (1, 2 * len(names), 2 * len(names) - 3)


@pytest.mark.parametrize("options", [["--preset", "slow"], ["--write", "README.md"], []])
def test_what_cannot_be_asked_of_the_table_is_refused(runs, capsys, options):
    directories = [str(runs)] if options else [str(runs), "other"]
    assert main(["table", *directories, "--missing", "0", *options]) == 2
    assert capsys.readouterr().err.startswith("tfgen: --missing takes one directory, and as --preset one of smoke")
