"""Publishes models for TensorFlow Serving, starts its server and queries it. Public names are imported on first use."""

import importlib

_PUBLIC = {
    "Client": "tfgen.serving.client",
    "publish": "tfgen.serving.publication",
    "serve": "tfgen.serving.server",
}
__all__ = list(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'tfgen.serving' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
