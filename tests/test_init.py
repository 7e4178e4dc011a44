"""Importing the package costs nothing, and is enough for Keras to work on TensorFlow."""

import json
import os
import subprocess
import sys

import pytest

import tfgen

# Stands for Keras, imported before tfgen with the backend that is named.
FAKE_KERAS = """
import sys, types
keras = sys.modules["keras"] = types.ModuleType("keras")
keras.config = types.SimpleNamespace(backend=lambda: sys.argv[1])
import tfgen
print(tfgen.__version__, "tensorflow" in sys.modules)
"""


def python(program, *argv, **environment):
    command = [sys.executable, "-c", program, *argv]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


def test_keras_works_on_tensorflow_whatever_the_environment_says_and_is_loaded_when_needed(tmp_path):
    """Another backend in the environment, and another in Keras's own file."""
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    program = (
        "import sys, tfgen\n"
        "print(*sorted({'keras', 'numpy', 'tensorflow'} & set(sys.modules)))\n"
        "model = tfgen.stacked_autoencoder(6, (4, 2, 4))\n"
        "import keras, tensorflow as tf\n"
        "print(keras.config.backend(), isinstance(model(tf.zeros((3, 6))), tf.Tensor))\n"
        "print(*sorted({'jax', 'torch'} & set(sys.modules)))"
    )
    process = python(program, KERAS_BACKEND="jax", KERAS_HOME=str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert process.stdout == "\ntensorflow True\n\n"


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_on_another_backend_is_one_clear_error(backend):
    process = python(FAKE_KERAS, backend)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.splitlines()[-1] == (
        "ImportError: tfgen needs Keras's TensorFlow backend, and Keras was imported before it with "
        f"'{backend}'; import tfgen first"
    )


def test_keras_on_tensorflow_may_be_imported_before():
    process = python(FAKE_KERAS, "tensorflow")
    assert (process.stdout, process.stderr) == (f"{tfgen.__version__} False\n", "")


def test_public_names_are_there_and_others_are_not():
    assert dir(tfgen) == sorted(tfgen.__all__)
    for name in tfgen.__all__:
        assert getattr(tfgen, name) is not None
    # `import tfgen` is enough to write tfgen.losses.squared_error.
    assert tfgen.losses.squared_error.__module__ == "tfgen.losses"
    with pytest.raises(AttributeError, match="module 'tfgen' has no attribute 'experiment'"):
        tfgen.experiment  # noqa: B018


@pytest.mark.parametrize("name", ["a.b", "losses.b", "runner.run", "", ".", "losses.", "a b", "\0"])
def test_a_name_that_is_no_identifier_is_no_attribute(name):
    assert not hasattr(tfgen, name)
    assert getattr(tfgen, name, None) is None
