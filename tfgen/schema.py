"""What the values of a JSON file must be: a rule for each key, a test and the words for it. Imports no TensorFlow."""

import dataclasses
import re
import reprlib
import typing

from tfgen.errors import InputError


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
        allows: function from a value to whether it may be.
        words: what may be, as a message says it.
        needed: whether the key must be there.
    """

    allows: typing.Callable
    words: str
    needed: bool = True

    def optional(self):
        """Returns the same rule for a key that may be missing."""
        return dataclasses.replace(self, needed=False)


def check(path, contents, rules, within=""):
    """Checks a dict that was read from a file. Keys without a rule may hold anything, so they are not to be shown.

    Args:
        path: of the file, a `pathlib.Path`.
        contents: the dict.
        rules: dict from key to `Rule`.
        within: of a dict in another one, what comes before its keys, such as "environment.".

    Raises:
        InputError: for a key that is missing, or a value that its rule does not allow.
    """
    for key, rule in rules.items():
        if key not in contents:
            if rule.needed:
                raise InputError(f"{path} lacks {within + key!r}; restore it, or delete {path.parent}")
        elif not rule.allows(contents[key]):
            came = reprlib.repr(contents[key])[:100]  # On one line, with escapes shown.
            raise InputError(
                f"{path}: {within}{key} must be {rule.words}, got {came}; restore it, or delete {path.parent}"
            )


def number(least, most):
    """Returns the rule of a number from `least` to `most`: neither a bool nor NaN is one."""
    words = f"a number from {least:g} to {most:g}"
    return Rule(lambda value: type(value) in (int, float) and least <= value <= most, words)


def count(least, most):
    """Returns the rule of a whole number from `least` to `most`."""
    return Rule(lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}")


def list_of(pattern, words):
    """Returns the rule of a list of texts, each of which matches a pattern."""
    return Rule(lambda value: type(value) is list and all(_matches(pattern, item) for item in value), words)


def names_of(allows, words):
    """Returns the rule of a dict from lower-case names to values that `allows` takes."""
    return Rule(
        lambda value: (
            type(value) is dict and all(_matches("[a-z][a-z0-9_]*", key) and allows(value[key]) for key in value)
        ),
        words,
    )


def or_null(rule):
    """Returns a rule that allows null as well."""
    return dataclasses.replace(
        rule, allows=lambda value: value is None or rule.allows(value), words=f"{rule.words}, or null"
    )


def matching(pattern, words):
    """Returns the rule of a text that matches a pattern."""
    return Rule(lambda value: _matches(pattern, value), words)


def _matches(pattern, value):
    return type(value) is str and len(value) <= 200 and re.fullmatch(pattern, value, re.ASCII) is not None


def _is_text(value):
    return type(value) is str and value.isprintable() and 0 < len(value.strip()) == len(value) <= 200


FLAG = Rule(lambda value: type(value) is bool, "true or false")
OBJECT = Rule(lambda value: type(value) is dict, "an object")
# As large as a float may be so that its square still is one.
NUMBER = number(-1e150, 1e150)
# Sites make links of addresses, even of those that are escaped.
TEXT = Rule(
    lambda value: _is_text(value) and not re.search(r"@|://|www\.", value),
    "one line of 1 to 200 printable characters without an address ('@', '://', 'www.')",
)
