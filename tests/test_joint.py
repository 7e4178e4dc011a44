"""Exact tables of discrete samples: the lecture's example, the laws of probability, NumPy's counts."""

import collections
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from tfgen.joint import conditional, joint, marginals

LECTURE_SAMPLE = [(1, 0), (1, 0), (2, 0), (2, 1)]


def random_sample(seed, size=500):
    """Pairs from a random joint distribution over 4 x 3 values, one pair of which has no probability."""
    rng = np.random.default_rng(seed)
    p = rng.random((4, 3))
    p[1, 2] = 0
    return [divmod(int(i), 3) for i in rng.choice(12, size=size, p=p.ravel() / p.sum())]


def test_the_lecture_s_tables_are_exact():
    p_xy = joint(LECTURE_SAMPLE)
    assert p_xy == {(1, 0): Fraction(1, 2), (1, 1): 0, (2, 0): Fraction(1, 4), (2, 1): Fraction(1, 4)}
    assert marginals(p_xy) == ({1: Fraction(1, 2), 2: Fraction(1, 2)}, {0: Fraction(3, 4), 1: Fraction(1, 4)})
    assert conditional(p_xy) == {(1, 0): 1, (1, 1): 0, (2, 0): Fraction(1, 2), (2, 1): Fraction(1, 2)}


def test_thirds_are_thirds():
    """Floats would add up to something near 1."""
    p_xy = joint([("a", "u"), ("b", "u"), ("c", "v")])
    assert set(p_xy.values()) == {0, Fraction(1, 3)} and len(p_xy) == 6
    assert conditional(p_xy)["c", "v"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_tables_of_random_samples_obey_the_laws_of_probability(seed):
    p_xy = joint(random_sample(seed))
    p_x, p_y = marginals(p_xy)
    p_y_given_x = conditional(p_xy)
    assert sum(p_xy.values()) == sum(p_x.values()) == sum(p_y.values()) == 1
    for x in p_x:
        assert sum(p_y_given_x[x, y] for y in p_y) == 1
        for y in p_y:
            assert p_y_given_x[x, y] * p_x[x] == p_xy[x, y]


@pytest.mark.parametrize("seed", range(5))
def test_tables_of_random_samples_are_numpy_s_counts(seed):
    sample = random_sample(seed)
    counts, *_ = np.histogram2d(*np.transpose(sample), bins=[np.arange(5), np.arange(4)])
    p_xy = joint(sample)
    p_x, p_y = marginals(p_xy)
    assert len(p_xy) == 12 and p_xy[1, 2] == 0
    np.testing.assert_allclose([[float(p_xy[x, y]) for y in range(3)] for x in range(4)], counts / 500, rtol=1e-15)
    np.testing.assert_allclose([float(p_x[x]) for x in range(4)], counts.sum(1) / 500, rtol=1e-15)
    np.testing.assert_allclose([float(p_y[y]) for y in range(3)], counts.sum(0) / 500, rtol=1e-15)
    p_y_given_x = [[float(conditional(p_xy)[x, y]) for y in range(3)] for x in range(4)]
    np.testing.assert_allclose(p_y_given_x, counts / counts.sum(1, keepdims=True), rtol=1e-15)


def test_dividing_by_the_other_marginal_would_be_seen():
    """p(x|y), the usual mistake: it differs in the lecture's example and does not add up to 1 over y."""
    p_xy = joint(LECTURE_SAMPLE)
    _, p_y = marginals(p_xy)
    wrong = {(x, y): p / p_y[y] for (x, y), p in p_xy.items()}
    assert wrong != conditional(p_xy)
    assert wrong[1, 0] + wrong[1, 1] == Fraction(2, 3)


def test_order_and_origin_of_the_sample_do_not_matter():
    assert joint(iter(LECTURE_SAMPLE)) == joint(LECTURE_SAMPLE[::-1]) == joint(LECTURE_SAMPLE * 7)
    assert joint([((1, 2), None), (frozenset(), "y")])[frozenset(), None] == 0


def test_an_x_without_probability_has_no_conditional():
    p_xy = {("seen", 0): Fraction(1, 3), ("seen", 1): Fraction(2, 3), ("never", 0): 0, ("never", 1): 0}
    assert conditional(p_xy) == {
        ("seen", 0): Fraction(1, 3),
        ("seen", 1): Fraction(2, 3),
        ("never", 0): None,
        ("never", 1): None,
    }


@pytest.mark.parametrize(
    "sample", [[], (), iter([]), collections.Counter()], ids=["list", "tuple", "iterator", "counter"]
)
def test_an_empty_sample_is_refused(sample):
    with pytest.raises(ValueError, match="`sample` is empty; give at least one pair"):
        joint(sample)


def test_tables_need_neither_tensorflow_nor_numpy():
    program = "import sys, tfgen.joint; print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert process.stdout == "[]\n"
