"""The plan of several GPUs: its operations are those counted elsewhere, its terms those of a ring."""

import pytest

from benchmarks.scaling import operations, parameters, planned_seconds

GPU = {"rate": 1e12, "overhead": 1e-3, "bandwidth": 1e10, "latency": 1e-5}


def test_operations_are_those_of_the_matrix_products():
    """0.27 GFLOP for the lecture's GAN, as docs/speed.md has it of the products that are timed there."""
    assert parameters(128) == (100 * 128 + 128 + 128 * 784 + 784, 784 * 128 + 128 + 128 + 1)
    assert operations(128, 128) == pytest.approx(0.27e9, rel=0.01)
    assert operations(128, 256) == 2 * operations(128, 128)


def test_one_gpu_sends_nothing_and_many_send_at_most_twice_the_gradients():
    assert planned_seconds(128, 128, 1, **GPU) == operations(128, 128) / 1e12 + 1e-3
    # Of 64 the products take a 64th, and 63 / 32 of the gradients go through each link, in 126 hops for each network.
    expected = operations(128, 128) / 64e12 + 1e-3 + 4 * sum(parameters(128)) * 63 / 32 / 1e10 + 2 * 126 * 1e-5
    assert planned_seconds(128, 128, 64, **GPU) == pytest.approx(expected)
    # Wrong: hops that cost nothing.
    assert planned_seconds(128, 128, 64, **GPU | {"latency": 0}) != pytest.approx(expected)
