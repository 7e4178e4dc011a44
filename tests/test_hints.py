"""What is public has type hints, whose names mean what they say, and the stubs name what the packages load lazily."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import typing

import keras
import numpy as np
import pytest
import sklearn.base
from numpy.typing import ArrayLike

import tfgen
from tfgen import evaluation, models, serving

MODULES = [
    *(f"tfgen.{name}" for name in ("data", "distributions", "export", "joint", "losses", "sampling", "serving.client")),
    *(
        f"{room.__name__}.{module.name}"
        for room in (evaluation, models)
        for module in pkgutil.iter_modules(room.__path__)
    ),
]
# What modules import for type checkers alone.
FOR_CHECKERS = {"np": np, "ArrayLike": ArrayLike}


def public_functions(module):
    """Yields each public function and each method that a public class of a module defines itself, with its name."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for key, method in vars(value).items():
                function = getattr(method, "fget", None) or getattr(method, "func", None) or method
                # Dataclasses make the dunder methods that have no file of their own.
                written = inspect.isfunction(function) and function.__code__.co_filename == module.__file__
                if written and (not key.startswith("_") or key == "__init__"):
                    yield f"{name}.{key}", function


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_type_hints_that_can_be_looked_up(module):
    module = importlib.import_module(module)
    functions = dict(public_functions(module))
    assert functions
    for name, function in functions.items():
        hints = typing.get_type_hints(function, localns=FOR_CHECKERS)
        arguments = [argument for argument in inspect.signature(function).parameters if argument != "self"]
        assert {*arguments, "return"} == set(hints), f"{module.__name__}.{name}"


def test_the_check_sees_functions_methods_and_properties():
    assert {"GAN.__init__", "GAN.train_step", "GAN.metrics"} <= dict(public_functions(models.gan)).keys()
    assert {"Dataset.pixels", "Dataset.sha256", "load"} <= dict(public_functions(tfgen.data)).keys()


def test_hints_say_what_is_returned():
    assert typing.get_type_hints(tfgen.stacked_autoencoder)["return"] is keras.Model
    assert typing.get_type_hints(tfgen.data.load)["return"] is tfgen.data.Dataset
    assert typing.get_type_hints(tfgen.run)["data"] is tfgen.data.Dataset
    classifiers = typing.get_type_hints(models.classical.scikit_learn_classifiers)["return"]
    assert typing.get_args(classifiers) == (str, sklearn.base.ClassifierMixin)


@pytest.mark.parametrize("package", [tfgen, serving], ids=lambda package: package.__name__)
def test_a_stub_names_what_its_package_loads_lazily(package):
    tree = ast.parse(pathlib.Path(package.__file__).with_suffix(".pyi").read_text())
    imported = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name  # What a stub re-exports.
                imported[alias.name] = node.module
    modules = {name for name, module in imported.items() if module == "tfgen"}
    assert {name: module for name, module in imported.items() if name not in modules} == package._PUBLIC
    for name in modules:
        assert inspect.ismodule(getattr(tfgen, name))
