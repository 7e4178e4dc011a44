"""A lecture on autoencoders, VAEs and GANs, reproduced with Keras and TensorFlow.

The public names below are loaded when first used, so that importing the package costs nothing.
"""

import importlib.util
import os
import sys

# Before Keras is imported, which takes its backend from here or from a keras.json.
os.environ["KERAS_BACKEND"] = "tensorflow"
if "keras" in sys.modules and sys.modules["keras"].config.backend() != "tensorflow":
    raise ImportError(
        "tfgen needs Keras's TensorFlow backend, and Keras was imported before it with "
        f"{sys.modules['keras'].config.backend()!r}; import tfgen first"
    )

__version__ = "0.1.0"

_PUBLIC = {
    "GAN": "tfgen.models.gan",
    "ShallowAutoencoder": "tfgen.models.autoencoder",
    "VAE": "tfgen.models.vae",
    "generate": "tfgen.sampling",
    "run": "tfgen.runner.run",
    "stacked_autoencoder": "tfgen.models.autoencoder",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    # `import tfgen` is enough to write tfgen.losses.squared_error.
    if name.isidentifier() and importlib.util.find_spec(f"tfgen.{name}") is not None:
        return importlib.import_module(f"tfgen.{name}")
    raise AttributeError(f"module 'tfgen' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
