"""docs/references.md: every work that docstrings and documents name by authors and year."""

import pathlib
import re

import tfgen

ROOT = pathlib.Path(tfgen.__file__).parents[1]
NAMED = r"((?:van der )?[A-Z][A-Za-z]+(?: (?:et\s+al\.|&\s+[A-Z][a-z]+))?) ((?:19|20)\d\d)\b"
LINES = re.findall(r"^\| (.+?) \| (.+) \|$", (ROOT / "docs" / "references.md").read_text(), re.MULTILINE)[2:]


def named_works():
    texts = [
        *(ROOT / "tfgen").rglob("*.py"),
        *(ROOT / "tfgen").rglob("*.js"),
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("*.md"),
    ]
    found = set()
    for path in texts:
        if path.name != "references.md":
            found |= {" ".join(" ".join(work).split()) for work in re.findall(NAMED, path.read_text())}
    return {work for work in found if not work.startswith("The ")}


def test_every_work_that_is_named_is_listed_and_the_other_way_round():
    listed = [name for name, _ in LINES]
    of_a_year = {name for name in listed if re.fullmatch(NAMED, name)}
    assert of_a_year == named_works() and len(of_a_year) > 20
    assert set(listed) - of_a_year == {"DEC-keras", "pythae", "Tonnaer"}


def test_the_list_is_in_order_and_has_each_work_once():
    keys = [name.removeprefix("van der ").lower() for name, _ in LINES]
    assert keys == sorted(set(keys))
