"""Rules of JSON: what each allows at its edges; a refusal is one line with the place, the value and the remedy."""

import math
import pathlib

import pytest

from tfgen import schema
from tfgen.errors import InputError

PATH = pathlib.Path("runs", "vae", "results.json")
# From a rule to values that it allows, and to others.
EDGES = {
    "number": (schema.number(0, 1), [0, 1, 0.5, 1e-300], [-1e-9, 1.001, True, math.nan, math.inf, 10**400, "1", None]),
    "count": (schema.count(1, 9), [1, 9], [0, 10, 1.0, True, "1", None]),
    "flag": (schema.FLAG, [True, False], [0, 1, "true", None]),
    "object": (schema.OBJECT, [{}, {"a": 1}], [[], "{}", None]),
    "text": (schema.TEXT, ["a", "x" * 200, "<b>|`", "naïve 中"], ["", " ", " a", "a ", "x" * 201, "a\nb", "\x1b[m", 1]),
    "no address": (schema.TEXT, ["www", "1:2", "a//b"], ["a@b", "ftp://b", "see www.b"]),
    "matching": (schema.matching("[a-z]+", ""), ["a"], ["", "a1", "a\n", "é", 1, "a" * 201]),
    "list": (schema.list_of("[a-z]+", ""), [[], ["a", "b"]], ["a", ["a", "1"], [None], {"a": 1}]),
    "names": (schema.names_of(schema.FLAG.allows, ""), [{}, {"a_1": True}], [[], {"A": True}, {"a": 1}, {"": True}]),
    "or null": (schema.or_null(schema.FLAG), [None, True], [0, "null"]),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_rule_allows_what_it_says_and_nothing_else(name):
    rule, allowed, refused = EDGES[name]
    assert [value for value in allowed if not rule.allows(value)] == []
    assert [value for value in refused if rule.allows(value)] == []


def test_a_value_that_its_rule_does_not_allow_is_refused_in_one_line():
    rules = {"seed": schema.count(0, 9), "note": schema.TEXT.optional()}
    schema.check(PATH, {"seed": 3}, rules)
    schema.check(PATH, {"seed": 3, "note": "a", "another": object}, rules)
    for contents, said in (
        ({}, f"{PATH} lacks 'run.seed'; restore it, or delete {PATH.parent}"),
        (
            {"seed": -1},
            f"{PATH}: run.seed must be a whole number from 0 to 9, got -1; restore it, or delete {PATH.parent}",
        ),
    ):
        with pytest.raises(InputError) as refused:
            schema.check(PATH, contents, rules, "run.")
        assert str(refused.value) == said
    for value in ("a\nb" * 1000, "\x1b[2J" * 9, [[["\n"] * 9] * 9] * 9, {f"\n{i}": "\r" * 99 for i in range(99)}):
        with pytest.raises(InputError) as refused:
            schema.check(PATH, {"seed": 0, "note": value}, rules)
        message = str(refused.value)
        assert message.startswith(f"{PATH}: note must be one line of 1 to 200 printable characters without an address")
        assert message.isprintable() and len(message) < 300
