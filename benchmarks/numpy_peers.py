"""The matrix products of a forward pass, and evaluations as their definitions say, in NumPy alone."""

import time

import numpy as np


class MatrixProducts:
    """The matrix products of a network's forward pass; see `keras_inference.Inference`.

    Args:
        layers: `(inputs, outputs, activation)` of each.
    """

    def __init__(self, layers):
        rng = np.random.default_rng(0)
        self.kernels = [rng.random((rows, columns), np.float32) for rows, columns, _ in layers]
        self.description = {"threads": 0}

    def run(self, batch, calls):
        """Returns the seconds of each pass over a batch."""
        rng = np.random.default_rng(0)
        inputs = [rng.random((batch, len(kernel)), np.float32) for kernel in self.kernels]
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            for x, kernel in zip(inputs, self.kernels, strict=True):
                x @ kernel
            seconds.append(time.perf_counter() - started)
        return seconds


def parzen_log_density(samples, images, sigma):
    """Returns log p(x), `(n,)`, as `evaluation.parzen.parzen_log_density` for one sigma, one image at a time."""
    values = []
    for x in images:
        exponents = -np.sum(np.square(x - samples), axis=1) / (2 * sigma**2)
        values.append(_log_mean_exp(exponents) - 0.5 * samples.shape[1] * np.log(2 * np.pi * sigma**2))
    return np.array(values)


def importance_sampled_nll(weights, images, num_samples, rng):
    """Returns the `nll` of `evaluation.importance.importance_sample` for the recipe's VAE, one image at a time.

    Args:
        weights: dict from "encoder", "z_mean", "z_log_var" and "decoder" to the `(kernel, bias)` of each layer. The
            layers of the encoder and the decoder are tanh, but the decoder's last is linear.
        images: `(n, 784)` of 0 and 1.
        num_samples: importance samples per image.
        rng: `numpy.random.Generator`.
    """
    values = []
    for x in images:
        hidden = x
        for kernel, bias in weights["encoder"]:
            hidden = np.tanh(hidden @ kernel + bias)
        (mean_kernel, mean_bias), (var_kernel, var_bias) = weights["z_mean"][0], weights["z_log_var"][0]
        z_mean, z_log_var = hidden @ mean_kernel + mean_bias, hidden @ var_kernel + var_bias
        epsilon = rng.standard_normal((num_samples, len(z_mean)), np.float32)
        z = z_mean + np.exp(0.5 * z_log_var) * epsilon
        *inner, (kernel, bias) = weights["decoder"]
        hidden = z
        for inner_kernel, inner_bias in inner:
            hidden = np.tanh(hidden @ inner_kernel + inner_bias)
        logits = hidden @ kernel + bias
        log_p_x = np.sum(x * logits - np.logaddexp(0, logits), axis=1)
        log_prior_ratio = 0.5 * np.sum(z_log_var + np.square(epsilon) - np.square(z), axis=1)
        values.append(-_log_mean_exp(log_p_x + log_prior_ratio))
    return np.array(values)


def _log_mean_exp(values):
    largest = np.max(values)
    return largest + np.log(np.mean(np.exp(values - largest)))
