"""The workloads of the benchmark: models by their sizes, for every framework to build. Imports no framework."""

import dataclasses
import itertools
import math

import numpy as np

from tfgen.recipe import MNIST_SHAPE
from tfgen.recipes import RECIPES

PIXELS = math.prod(MNIST_SHAPE)


@dataclasses.dataclass(frozen=True)
class Workload:
    """A model and its training: a recipe with the sizes of networks, batch and training set.

    Attributes:
        recipe: key of `RECIPES`.
        config: the recipe's `Config`.
        num_images: size of the training set.
    """

    recipe: str
    config: object
    num_images: int = 50_000

    @property
    def model(self):
        """Returns "gan", "vae" or "autoencoder"."""
        return {"stacked-autoencoder": "autoencoder"}.get(self.recipe, self.recipe)

    @property
    def networks(self):
        """Returns a dict from a network's name to its layers, each `(inputs, outputs, activation)`."""
        config = self.config
        if self.model == "gan":
            return {
                "generator": _layers((config.noise_dim, *config.generator_units, PIXELS), "relu", "sigmoid"),
                "discriminator": _layers((PIXELS, *config.discriminator_units, 1), "relu", "linear"),
            }
        if self.model == "vae":
            hidden = config.hidden_units
            return {
                "encoder": _layers((PIXELS, *hidden), config.activation, config.activation),
                "z_mean": _layers((hidden[-1], config.latent_dim), None, "linear"),
                "z_log_var": _layers((hidden[-1], config.latent_dim), None, "linear"),
                "decoder": _layers((config.latent_dim, *hidden[::-1], PIXELS), config.activation, "linear"),
            }
        middle = len(config.hidden_units) // 2
        return {
            "encoder": _layers((PIXELS, *config.hidden_units[: middle + 1]), config.activation, config.code_activation),
            "decoder": _layers((*config.hidden_units[middle:], PIXELS), config.activation, "sigmoid"),
        }

    @property
    def noise(self):
        """Returns `(kind, dimension)` of an update's noise, "uniform" on [-1, 1) or standard "normal"; or None."""
        return {
            "gan": lambda: ("uniform", self.config.noise_dim),
            "vae": lambda: ("normal", self.config.latent_dim),
            "autoencoder": lambda: None,
        }[self.model]()

    def matrix_products(self):
        """Returns the matrix products of a training step as `(kind, m, k, n)`: an `(m, k)` by a `(k, n)` matrix.

        "forward" is x W, "weights" the gradient x^T dy, "inputs" the gradient dy W^T. Gradients that the algorithm does
        not need are left out: with respect to data, and to the weights of a network that is not updated.
        """
        networks, batch = self.networks, self.config.batch_size
        if self.model == "gan":
            generator, discriminator = networks["generator"], networks["discriminator"]
            return [
                *_forward(generator, batch),
                *_forward(discriminator, 2 * batch),  # Real and generated images.
                *_backward(discriminator, 2 * batch),
                *_forward(generator, batch),
                *_forward(discriminator, batch),
                *_backward(discriminator, batch, weights=False, inputs=True),
                *_backward(generator, batch),
            ]
        products = []
        for name, layers in networks.items():
            products += [*_forward(layers, batch), *_backward(layers, batch, inputs=name != "encoder")]
        return products

    def flops(self):
        """Returns the floating-point operations of a step's matrix products, 2 m k n for each."""
        return sum(2 * math.prod(sizes) for _, *sizes in self.matrix_products())


def _layers(widths, activation, output):
    pairs = list(itertools.pairwise(widths))
    return [(*pair, activation) for pair in pairs[:-1]] + [(*pairs[-1], output)]


def _forward(layers, batch):
    return [("forward", batch, inputs, outputs) for inputs, outputs, _ in layers]


def _backward(layers, batch, weights=True, inputs=False):
    """Yields the products of the backward pass; with `inputs`, also the gradient for the network's input."""
    for number, (rows, columns, _) in reversed(list(enumerate(layers))):
        if weights:
            yield "weights", rows, batch, columns
        if number or inputs:
            yield "inputs", batch, columns, rows


_GAN = RECIPES["gan"].presets["quick"]  # As in most programs, both learning rates are constant.
_VAE = RECIPES["vae"].presets["quick"]
_AUTOENCODER = RECIPES["stacked-autoencoder"].presets["quick"]
WORKLOADS = {
    "gan": Workload("gan", _GAN),
    "vae": Workload("vae", _VAE),
    "autoencoder": Workload("stacked-autoencoder", _AUTOENCODER),
    "gan-1200": Workload("gan", _GAN.replace(generator_units=(1200,), discriminator_units=(1200,)), num_images=12_800),
    "autoencoder-1200": Workload(
        "stacked-autoencoder", _AUTOENCODER.replace(hidden_units=(1200, 1200, 1200)), num_images=12_800
    ),
}


def sized(name, batch_size=None, units=None, num_images=None):
    """Returns a workload with another batch size, width of a GAN's hidden layers, or number of images."""
    workload = WORKLOADS[name]
    config = workload.config
    if batch_size is not None:
        config = config.replace(batch_size=batch_size)
    if units is not None:
        config = config.replace(generator_units=(units,), discriminator_units=(units,))
    return dataclasses.replace(workload, config=config, num_images=num_images or workload.num_images)


def load_images(path, workload):
    """Returns the first images of a file, `(workload.num_images, 784)` uint8, repeated if it has fewer."""
    return np.resize(np.load(path), (workload.num_images, PIXELS))
