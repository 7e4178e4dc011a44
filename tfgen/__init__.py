"""A lecture on autoencoders, VAEs and GANs, reproduced with Keras and TensorFlow.

The public names below are loaded when first used, so that importing the package costs nothing.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "GAN": "tfgen.models.gan",
    "ShallowAutoencoder": "tfgen.models.autoencoder",
    "VAE": "tfgen.models.vae",
    "generate": "tfgen.export",
    "run": "tfgen.experiment",
    "stacked_autoencoder": "tfgen.models.autoencoder",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tfgen' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return sorted(__all__)
