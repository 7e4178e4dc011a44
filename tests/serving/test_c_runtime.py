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
from helpers import decoded

from tfgen.export import PICTURES, meta_graph, signatures
from tfgen.serving import config, warmup

ROOT = pathlib.Path(__file__).parents[2]
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


def in_a_process(libraries, *arguments):
    """Returns the lines that a process of its own prints after the library's version."""
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # `benchmarks` is not installed.
        capture_output=True,
        text=True,
        timeout=300,
    )
    if process.returncode != 0:
        raise RuntimeError(process.stderr)
    version, *lines = process.stdout.splitlines()
    assert version == libraries[1]
    return lines


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
    np.savez(directory / "job.npz", calls=json.dumps(wanted), threads=threads, **arrays)
    paths = libraries[0], directory / "job.npz", directory / "outputs.npz"
    assert in_a_process(libraries, pathlib.Path(__file__).with_name("c_runtime.py"), *paths) == []
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
    # What gan-1d generates are numbers.
    pictures = sum(name in functions for functions in of.values() for name in PICTURES) - 1
    asked = {(model, name) for model, name, _ in calls}
    assert len(asked) == sum(len(functions) for functions in of.values()) + pictures
    for (model, name, inputs), answer in zip(calls, answers, strict=True):
        named = name.removesuffix("_png")
        expected = of[model][named][0](*map(tf.constant, inputs.values()))
        if named != name:
            np.testing.assert_allclose(decoded(answer["png_bytes"]), expected[PICTURES[named]], atol=0.501 / 255)
            continue
        assert set(answer) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(answer[key], value, rtol=1e-4, atol=1e-5, err_msg=f"{model} {name} {key}")


@pytest.fixture(scope="module")
def published_answers():
    """`(SavedModel, signature, inputs, outputs)` of every published version, as TensorFlow's Python package has it."""
    answers = []
    for directory in STORED:
        loaded = tf.saved_model.load(str(directory)).signatures
        for name, signature in signatures(meta_graph(directory)).items():
            for batch_size in (1, 7):
                inputs = warmup.example_inputs(signature, batch_size)
                outputs = loaded[name](**{key: tf.constant(value) for key, value in inputs.items()})
                answers.append((directory, name, inputs, outputs))
    return answers


@pytest.mark.skipif(not STORED, reason=f"NOT TESTED: no published model in {STORE}")
def test_every_published_model_answers_as_tensorflow_does(libraries, published_answers, tmp_path):
    answers = in_the_c_library(libraries, [call for *call, _ in published_answers], tmp_path)
    for (model, name, _, expected), answer in zip(published_answers, answers, strict=True):
        assert set(answer) == set(expected)
        if name.endswith("_png"):
            found, wanted = (decoded(np.asarray(outputs["png_bytes"])) for outputs in (answer, expected))
            np.testing.assert_allclose(found, wanted, atol=1.001 / 255, err_msg=f"{model} {name}")
            continue
        for key, value in expected.items():
            np.testing.assert_allclose(answer[key], value, rtol=1e-3, atol=1e-4, err_msg=f"{model} {name} {key}")


def test_a_seed_gives_its_z_bit_for_bit_and_its_image_to_2e_6_in_any_place_batch_and_thread(
    exported, libraries, tmp_path
):
    rng = np.random.default_rng(0)
    names = ("vae", "gan") * 160
    batches = [rng.permutation(40)[: rng.integers(1, 33)] for _ in names]
    calls = [(exported[name][1], "generate", {"seed": batch}) for name, batch in zip(names, batches, strict=True)]
    answers = in_the_c_library(libraries, calls, tmp_path, threads=16)
    seeds = tf.range(40, dtype=tf.int64)
    expected = {name: exported[name][0]["generate"][0](seeds) for name in set(names)}
    assert all(len(np.unique(outputs["z"], axis=0)) == 40 for outputs in expected.values())
    for name, batch, answer in zip(names, batches, answers, strict=True):
        np.testing.assert_array_equal(answer["z"], expected[name]["z"].numpy()[batch])
        # A product of matrices rounds differently in batches of different sizes.
        np.testing.assert_allclose(answer["image"], expected[name]["image"].numpy()[batch], atol=2e-6)


ASK_FOR_TENSORS = """
import sys
from benchmarks.c_library import Model, load_library
library = load_library(sys.argv[1])
print(library.TF_Version().decode())
model = Model(library, sys.argv[2])
for tensor in sys.argv[3:]:
    try:
        model.function([], [tensor])
        print("found")
    except RuntimeError as error:
        print(error)
"""


def test_a_tensor_that_the_model_lacks_is_named(exported, libraries):
    _, directory = exported["gan"]
    (seed,) = signatures(meta_graph(directory))["generate"].inputs.values()
    missing = ["nothing:0", f"{seed.name.split(':')[0]}:99", "nothing"]
    lines = in_a_process(libraries, "-c", ASK_FOR_TENSORS, libraries[0], directory, seed.name, *missing)
    told = [f"TensorFlow's C library: the model has no tensor {tensor!r}" for tensor in missing]
    assert lines == ["found", *told]


def test_a_function_that_must_be_compiled_fails_as_on_the_server(libraries, tmp_path):
    """What validation refuses is refused with reason."""
    archive = keras.export.ExportArchive()
    double = tf.function(lambda z: {"image": 2 * z}, jit_compile=True)
    archive.add_endpoint("serving_default", double, [tf.TensorSpec((None, 2), name="z")])
    archive.write_out(str(tmp_path / "model"), verbose=False)
    with pytest.raises(RuntimeError, match="XLA"):
        call = (tmp_path / "model", "serving_default", {"z": np.ones((1, 2), np.float32)})
        in_the_c_library(libraries, [call], tmp_path)
