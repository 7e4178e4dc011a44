"""Every signature of every model in TensorFlow's C library, loaded as TensorFlow Serving loads it.

Beside the installed TensorFlow's library stands that of TensorFlow 2.20.0, the one that TensorFlow Serving 2.20.0 is
built on; `make test` fetches it, and `TFGEN_SERVING_RUNTIME` may name the directory of its two files.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.export import meta_graph, signatures
from tfgen.serving import config, warmup

ROOT = pathlib.Path(__file__).parent.parent
RUNTIMES = {
    "installed": pathlib.Path(tf.sysconfig.get_lib()),
    "2.20.0": pathlib.Path(os.environ.get("TFGEN_SERVING_RUNTIME", ROOT / ".venv" / "serving-runtime" / "tensorflow")),
}
STORE = ROOT / "saved_models"
STORED = [
    STORE / name / str(version)
    for name, found in (config.models(STORE) if STORE.is_dir() else {}).items()
    for version in found
]


@pytest.fixture(params=RUNTIMES)
def libraries(request):
    directory = RUNTIMES[request.param]
    if not (directory / "libtensorflow_cc.so.2").exists():
        pytest.skip(f"NOT TESTED: TensorFlow {request.param}'s library is not in {directory}; make test fetches it")
    return directory, tf.version.VERSION if request.param == "installed" else request.param


def run(libraries, calls, arrays, directory, threads=1):
    """Runs `c_runtime.py`, whose outputs are in `outputs.npz` in the directory."""
    np.savez(directory / "job.npz", calls=json.dumps(calls), threads=threads, **arrays)
    paths = [libraries[0], directory / "job.npz", directory / "outputs.npz"]
    command = [sys.executable, pathlib.Path(__file__).with_name("c_runtime.py"), *paths]
    process = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    if process.returncode != 0:
        raise RuntimeError(process.stderr)
    assert process.stdout.split() == [libraries[1]]


def in_the_c_library(libraries, calls, directory, threads=1):
    """Returns the outputs of every call `(model, signature, inputs)`, by name, from a process of its own."""
    arrays, wanted = {}, []
    for number, (model, name, inputs) in enumerate(calls):
        signature = signatures(meta_graph(model))[name]
        arrays |= {f"{number}/{key}": np.asarray(value) for key, value in inputs.items()}
        wanted.append(
            {
                "model": str(model),
                "inputs": {signature.inputs[key].name: f"{number}/{key}" for key in inputs},
                "outputs": {f"{number}/{key}": info.name for key, info in signature.outputs.items()},
            }
        )
    run(libraries, wanted, arrays, directory, threads)
    outputs = [{} for _ in calls]
    with np.load(directory / "outputs.npz") as results:
        for key, value in results.items():
            number, name = key.split("/")
            outputs[int(number)][name] = value
    return outputs


def test_every_signature_answers_as_keras_does_at_two_batch_sizes(exported, libraries, tmp_path):
    calls = [
        (directory, name, warmup.example_inputs(signature, batch_size))
        for _, directory in exported.values()
        for name, signature in signatures(meta_graph(directory)).items()
        for batch_size in (1, 7)
    ]
    answers = in_the_c_library(libraries, calls, tmp_path)
    of = {directory: functions for functions, directory in exported.values()}
    assert len({(model, name) for model, name, _ in calls}) == sum(len(functions) for functions in of.values())
    for (model, name, inputs), answer in zip(calls, answers, strict=True):
        expected = of[model][name][0](*map(tf.constant, inputs.values()))
        assert set(answer) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(answer[key], value, rtol=1e-4, atol=1e-5, err_msg=f"{model} {name} {key}")


@pytest.mark.skipif(not STORED, reason=f"NOT TESTED: no published model in {STORE}")
def test_every_published_model_answers_as_tensorflow_does(libraries, tmp_path):
    calls = [
        (directory, name, warmup.example_inputs(signature, batch_size))
        for directory in STORED
        for name, signature in signatures(meta_graph(directory)).items()
        for batch_size in (1, 7)
    ]
    loaded = {directory: tf.saved_model.load(str(directory)).signatures for directory in STORED}
    for (model, name, inputs), answer in zip(calls, in_the_c_library(libraries, calls, tmp_path), strict=True):
        expected = loaded[model][name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert set(answer) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(answer[key], value, rtol=1e-3, atol=1e-4, err_msg=f"{model} {name} {key}")


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_a_seed_gives_its_image_whatever_its_place_the_batch_and_the_thread(exported, libraries, tmp_path, name):
    functions, directory = exported[name]
    rng = np.random.default_rng(0)
    batches = [rng.permutation(40)[: rng.integers(1, 33)] for _ in range(160)]
    calls = [(directory, "generate", {"seed": batch}) for batch in batches]
    answers = in_the_c_library(libraries, calls, tmp_path, threads=16)
    expected = functions["generate"][0](tf.range(40, dtype=tf.int64))
    assert len(np.unique(expected["z"], axis=0)) == 40
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer["z"], expected["z"].numpy()[batch])
        # A product of matrices rounds differently in batches of different sizes.
        np.testing.assert_allclose(answer["image"], expected["image"].numpy()[batch], atol=1e-6)


@pytest.mark.parametrize("tensor", ["nothing:0", "{operation}:99", "nothing"])
def test_a_tensor_that_the_model_lacks_is_named(exported, libraries, tmp_path, tensor):
    _, directory = exported["gan"]
    (seed,) = signatures(meta_graph(directory))["generate"].inputs.values()
    tensor = tensor.format(operation=seed.name.split(":")[0])
    wanted = [{"model": str(directory), "inputs": {seed.name: "seed"}, "outputs": {"image": tensor}}]
    with pytest.raises(RuntimeError, match=f"the model has no tensor '{tensor}'"):
        run(libraries, wanted, {"seed": np.arange(2)}, tmp_path)


def test_a_function_that_must_be_compiled_fails_as_on_the_server(libraries, tmp_path):
    """What validation refuses is refused with reason."""
    archive = keras.export.ExportArchive()
    double = tf.function(lambda z: {"image": 2 * z}, jit_compile=True)
    archive.add_endpoint("serving_default", double, [tf.TensorSpec((None, 2), name="z")])
    archive.write_out(str(tmp_path / "model"), verbose=False)
    with pytest.raises(RuntimeError, match="XLA"):
        call = (tmp_path / "model", "serving_default", {"z": np.ones((1, 2), np.float32)})
        in_the_c_library(libraries, [call], tmp_path)
