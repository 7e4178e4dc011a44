"""Training by replicas: the same gradients, losses and weights whatever their number, and mistakes that must show."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfgen.training.replicas import share

KINDS = ("autoencoder", "vae", "iwae", "dreg", "gan", "goodfellow")
SCRIPT = pathlib.Path(__file__).parent.parent / "replicated.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Function from a number of replicas, steps, floats and kinds to what `replicated.py` found, by kind."""
    directory, done = tmp_path_factory.mktemp("replicas"), {}

    def run(number, steps, floats, *kinds):
        key = (number, steps, floats, *kinds)
        if key not in done:
            file = directory / f"{len(done)}.npz"
            command = [sys.executable, SCRIPT, file, *map(str, key)]
            process = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert process.returncode == 0, process.stderr[-3000:]
            with np.load(file) as arrays:
                names = [name.split("/") for name in arrays]
                done[key] = {kind: {n: arrays[f"{k}/{n}"] for k, n in names if k == kind} for kind in kinds}
        return done[key]

    return run


def difference(a, b):
    """Returns the largest difference between two dicts of arrays, relative to the largest number of each array."""
    assert a.keys() == b.keys()
    return max(np.abs(a[name] - b[name]).max() / max(np.abs(b[name]).max(), 1e-3) for name in b)


# The tests below have one replica and two, in float32.
def test_gradients_do_not_depend_on_the_number_of_replicas(found):
    # Ten rows, of each minibatch of a GAN too: four replicas take two or three.
    alone, together = found(0, 1, "float64", *KINDS), found(4, 1, "float64", *KINDS)
    for kind in KINDS:
        assert difference(together[kind], alone[kind]) < 1e-10, kind


def test_mistakes_of_replicas_show_in_the_gradients(found):
    wrong = {
        "autoencoder:means of unequal replicas",
        "vae:means of unequal replicas",
        "vae:the same noise everywhere",
        "vae:sums of means",
        "dreg:the same noise everywhere",
        "gan:the same rows everywhere",
        "goodfellow:the same noise everywhere",
    }
    alone = found(0, 1, "float64", *KINDS)
    for name, arrays in found(4, 1, "float64", *sorted(wrong)).items():
        kind, _, _ = name.partition(":")
        assert difference(arrays, alone[kind]) > 1e-3, name


@pytest.mark.slow
def test_one_replica_gives_the_bits_of_no_strategy(found):
    alone, one = found(0, 100, "float32", *KINDS), found(1, 100, "float32", *KINDS)
    for kind in KINDS:
        for name, array in alone[kind].items():
            if name.isdigit():  # A weight; logs are added up in another order.
                np.testing.assert_array_equal(one[kind][name], array)
        assert difference(one[kind], alone[kind]) < 1e-3, kind


@pytest.mark.slow
def test_a_hundred_steps_of_two_replicas_give_the_same_losses(found):
    alone = found(0, 100, "float32", *KINDS)
    for name, arrays in found(2, 100, "float32", *KINDS, "vae:the same noise everywhere").items():
        kind, _, wrong = name.partition(":")
        if wrong:
            assert difference(arrays, alone[kind]) > 1e-2
        else:
            assert difference(arrays, alone[kind]) < 1e-3, kind


@pytest.mark.parametrize("rows", [4, 5, 10, 101])
def test_shares_are_all_rows_in_their_order_as_even_as_can_be(rows):
    shares = [share(rows, number, 4) for number in range(4)]
    assert [row for first, count in shares for row in range(first, first + count)] == list(range(rows))
    counts = [count for _, count in shares]
    assert min(counts) >= 1 and max(counts) - min(counts) <= 1
