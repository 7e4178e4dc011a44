"""Joint, marginal and conditional probabilities of a discrete sample, as exact fractions (lecture C1, C4).

A generative model learns p(x, y), from which p(y|x) = p(x, y) / p(x) follows. A discriminative one learns p(y|x) alone,
from which p(x, y) does not: it lacks p(x).
"""

from __future__ import annotations

import collections
import fractions
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

X = TypeVar("X", bound=Hashable)
Y = TypeVar("Y", bound=Hashable)
Probability = TypeVar("Probability", float, fractions.Fraction)


def joint(sample: Iterable[tuple[X, Y]]) -> dict[tuple[X, Y], fractions.Fraction]:
    """Returns p(x, y), the share of each pair among the observations.

    The table is whole: it has every x of the sample with every y of the sample, at probability 0 where the two were
    never seen together.

    Args:
        sample: iterable of pairs `(x, y)` of hashable values.

    Returns:
        dict from `(x, y)` to `Fraction`, adding up to 1; x and y in the order in which they first occur.

    Raises:
        ValueError: if the sample is empty, since no share is defined then.

    Source: lecture C4.
    """
    counts = collections.Counter((x, y) for x, y in sample)
    if not counts:
        raise ValueError("`sample` is empty; give at least one pair (x, y).")
    xs, ys = (dict.fromkeys(values) for values in zip(*counts, strict=True))
    return {(x, y): fractions.Fraction(counts[x, y], counts.total()) for x in xs for y in ys}


def marginals(p_xy: Mapping[tuple[X, Y], Probability]) -> tuple[dict[X, Probability], dict[Y, Probability]]:
    """Returns p(x) = sum_y p(x, y) and p(y) = sum_x p(x, y).

    Args:
        p_xy: dict from `(x, y)` to probability, such as `joint` returns.

    Returns:
        `(p_x, p_y)`: dicts from value to probability.
    """
    p_x: dict[X, Probability] = {}
    p_y: dict[Y, Probability] = {}
    for (x, y), p in p_xy.items():
        p_x[x] = p_x.get(x, 0) + p
        p_y[y] = p_y.get(y, 0) + p
    return p_x, p_y


def conditional(p_xy: Mapping[tuple[X, Y], Probability]) -> dict[tuple[X, Y], Probability | None]:
    """Returns p(y|x) = p(x, y) / p(x).

    Args:
        p_xy: dict from `(x, y)` to probability, such as `joint` returns.

    Returns:
        dict from `(x, y)` to p(y|x): the key is that of the joint. It is None where p(x) = 0, since nothing was
        observed there that could be conditioned on; `joint` never makes such an x, a table written by hand may.

    Source: lecture C1.
    """
    p_x, _ = marginals(p_xy)
    return {(x, y): p / p_x[x] if p_x[x] else None for (x, y), p in p_xy.items()}
