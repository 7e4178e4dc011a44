"""The convolutional classifier: its parameters, and a convolution by hand."""

import numpy as np

from tfgen.models.classifier import convolutional_classifier


def test_the_network_has_its_parameters_and_computes_a_convolution_by_hand():
    model = convolutional_classifier((28, 28), 10, (32, 64), 128)
    convolutions = 9 * 32 + 32 + 9 * 32 * 64 + 64
    assert model.count_params() == convolutions + 7 * 7 * 64 * 128 + 128 + 128 * 10 + 10
    small = convolutional_classifier((4, 4), 10, (1,), 3)
    rng = np.random.default_rng(0)
    small.set_weights([rng.normal(size=weight.shape) for weight in small.weights])
    kernel, bias, dense, dense_bias, head, head_bias = (weight.astype(np.float64) for weight in small.get_weights())
    x = rng.random((4, 4)).astype(np.float32)
    padded = np.pad(x, 1)
    convolved = np.array(
        [[np.sum(padded[i : i + 3, j : j + 3] * kernel[:, :, 0, 0]) for j in range(4)] for i in range(4)]
    )
    pooled = np.maximum(convolved + bias, 0).reshape(2, 2, 2, 2).max(axis=(1, 3))
    expected = np.maximum(pooled.ravel() @ dense + dense_bias, 0) @ head + head_bias
    np.testing.assert_allclose(small(x.reshape(1, 16))[0].numpy(), expected, rtol=1e-4, atol=1e-5)
