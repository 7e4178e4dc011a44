"""SavedModels: what a fresh process without tfgen gets from them, and what an export writes and leaves."""

import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing

import foreign
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import contents, decoded
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfgen.export import OPERATIONS, PICTURES, export, foreign_operations, meta_graph, png_bytes, signatures, violations
from tfgen.models.autoencoder import ShallowAutoencoder
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE, GaussianVAE
from tfgen.recipe import Activation

STORE = pathlib.Path(__file__).parents[1] / "saved_models"
STORED = sorted(path.parent for path in STORE.glob("*/*/saved_model.pb"))
GENERATORS = [model for model in STORED if "generate" in signatures(meta_graph(model))]

SIGNATURES = {
    "stacked-autoencoder": {"serving_default", "reconstruct", "reconstruct_png", "encode", "decode"},
    "tied-autoencoder": {"serving_default", "reconstruct", "reconstruct_png", "encode", "decode"},
    "deep-embedded-clustering": {"serving_default", "cluster", "encode", "reconstruct", "reconstruct_png"},
    "vae": {"serving_default", "reconstruct", "reconstruct_png", "encode", "decode", "generate", "generate_png"},
    "gan": {"serving_default", "generate", "generate_png", "generate_from_z", "discriminate"},
}
IN_A_FRESH_PROCESS = """
import json, sys
import numpy as np
import tensorflow as tf
models = {name: tf.saved_model.load(directory) for name, directory in json.loads(sys.argv[1]).items()}
outputs = {}
with np.load(sys.argv[2]) as inputs:
    for key in inputs.files:
        name, signature, batch, argument = key.split("/")
        for output, value in models[name].signatures[signature](**{argument: tf.constant(inputs[key])}).items():
            outputs[f"{name}/{signature}/{batch}/{output}"] = value.numpy()
np.savez(sys.argv[3], **outputs)
offered = {name: sorted(model.signatures) for name, model in models.items()}
print(json.dumps({"signatures": offered, "tfgen": "tfgen" in sys.modules}))
"""


def test_a_fresh_process_gets_the_same_answers_at_two_batch_sizes(exported, tmp_path):
    rng = np.random.default_rng(0)
    inputs, expected = {}, {}
    for name in SIGNATURES:
        for signature, (function, (spec,)) in exported[name][0].items():
            for batch in (1, 7):
                shape = (batch, *spec.shape[1:])
                whole = spec.dtype == tf.int64
                value = rng.integers(1000, size=shape) if whole else rng.random(shape).astype(np.float32)
                inputs[f"{name}/{signature}/{batch}/{spec.name}"] = value
                for output, answer in function(tf.constant(value)).items():
                    assert len(answer) == batch
                    expected[f"{name}/{signature}/{batch}/{output}"] = answer
    np.savez(tmp_path / "inputs.npz", **inputs)
    directories = json.dumps({name: str(exported[name][1]) for name in SIGNATURES})
    arguments = [directories, str(tmp_path / "inputs.npz"), str(tmp_path / "outputs.npz")]
    outcome = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, *arguments],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(outcome.stdout.splitlines()[-1])
    assert report == {"signatures": {name: sorted(names) for name, names in SIGNATURES.items()}, "tfgen": False}
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert set(outputs.files) == set(expected)
        for key, answer in expected.items():
            np.testing.assert_allclose(outputs[key], answer, atol=1e-5, err_msg=key)


def test_what_exports_compute_with_takes_no_name_of_a_file_and_keeps_nothing():
    """Whatever a SavedModel made of these operations is, it neither reads nor writes a file."""
    definitions = [op_def_registry.get(name) for name in OPERATIONS]
    assert None not in definitions
    assert not {
        each.name for each in definitions for taken in each.input_arg if taken.type == tf.string.as_datatype_enum
    }
    # A variable is read here, and never written; the rest run functions, whose operations are looked at too.
    assert {each.name for each in definitions if each.is_stateful} == {
        "If",
        "ReadVariableOp",
        "StatefulPartitionedCall",
        "VarHandleOp",
        "While",
    }


def test_every_export_holds_the_operations_of_exports_alone(exported):
    for _, directory in exported.values():
        assert foreign_operations(directory) == []
    for directory in STORED:
        assert foreign_operations(directory) == []


@pytest.mark.parametrize("activation", typing.get_args(Activation))
def test_a_model_with_any_activation_of_the_recipes_is_exported(activation, tmp_path):
    """`export` raises an error if a model holds an operation that is not allowed."""
    models = (
        ShallowAutoencoder(784, 6, activation, activation, tied=True),
        VAE(784, 3, (5,), activation),
        GaussianVAE(784, 3, (5,), activation),
        GAN(784, 5, (12,), (12,), activation=activation, output_activation=activation),
    )
    for number, model in enumerate(models):
        export(model.endpoints(), tmp_path / str(number), (28, 28))
        assert foreign_operations(tmp_path / str(number)) == []


def saver_s_function(graph, caller):
    """Returns the function that a node of a graph's saver calls."""
    (name,) = [node.attr["f"].func.name for node in graph.graph_def.node if node.name == caller.split(":")[0]]
    return next(each for each in graph.graph_def.library.function if each.signature.name == name)


def _write_in_the_graph(graph):
    graph.graph_def.node.add(name="act", op="WriteFile", input=["saver_filename", "saver_filename"])


def _write_when_initialised(graph):
    _write_in_the_graph(graph)
    graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "act"


def _write_when_restored(graph):
    function = saver_s_function(graph, graph.saver_def.restore_op_name)
    function.node_def.add(name="act", op="WriteFile", input=["file_prefix", "file_prefix"])


def _save_when_restored(graph):
    graph.saver_def.restore_op_name = graph.saver_def.save_tensor_name.split(":")[0]


def _save_when_initialised(graph):
    graph.collection_def["saved_model_main_op"].node_list.value[:] = [graph.saver_def.save_tensor_name]


def _save_when_asked(graph):
    graph.signature_def["generate"].outputs["image"].name = graph.saver_def.save_tensor_name


def _save_before_it_restores(graph):
    saver = graph.saver_def
    (node,) = [node for node in graph.graph_def.node if node.name == saver.restore_op_name]
    node.input.append(f"^{saver.save_tensor_name.split(':')[0]}")


def _save_in_another_function(graph):
    function = saver_s_function(graph, graph.saver_def.save_tensor_name)
    other = next(each for each in graph.graph_def.library.function if "generate" in each.signature.name)
    other.node_def.add(name="act", op="PartitionedCall").attr["f"].func.name = function.signature.name


def _save_for_another_function(graph):
    saver_s_function(graph, graph.saver_def.save_tensor_name).attr["api_implements"].s = b"generate"


def _save_to_a_name_of_its_own(graph):
    graph.graph_def.node.add(name="name", op="Const")
    (node,) = [node for node in graph.graph_def.node if node.name == graph.saver_def.save_tensor_name.split(":")[0]]
    node.input[0] = "name"


def _restore_a_file_of_its_own(graph):
    function = saver_s_function(graph, graph.saver_def.restore_op_name)
    (node,) = [node for node in function.node_def if node.op == "RestoreV2"]
    node.input[0] = node.input[1]


def _save_for_a_sparse_output(graph):
    """An output may name its tensors otherwise than by `name`."""
    output = graph.signature_def["generate"].outputs["image"]
    output.coo_sparse.values_tensor_name = graph.saver_def.save_tensor_name


def _save_to_what_a_caller_names(graph):
    graph.signature_def["generate"].inputs["file"].name = graph.saver_def.filename_tensor_name


def _save_without_objects(graph):
    """TensorFlow loads it as a model of its version 1, and runs what the saver names."""
    graph.ClearField("object_graph_def")


@pytest.mark.parametrize(
    "change, operation",
    [
        (_save_for_a_sparse_output, "SaveV2"),
        (_save_to_what_a_caller_names, "SaveV2"),
        (_save_without_objects, "SaveV2"),
        (_write_in_the_graph, "WriteFile"),
        (_write_when_initialised, "WriteFile"),
        (_write_when_restored, "WriteFile"),
        (_save_when_restored, "SaveV2"),
        (_save_when_initialised, "SaveV2"),
        (_save_when_asked, "SaveV2"),
        (_save_before_it_restores, "SaveV2"),
        (_save_in_another_function, "SaveV2"),
        (_save_for_another_function, "SaveV2"),
        (_save_to_a_name_of_its_own, "SaveV2"),
        (_restore_a_file_of_its_own, "RestoreV2"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_files_are_left_to_the_saver_which_runs_at_no_other_time(exported, tmp_path, change, operation):
    shutil.copytree(exported["gan"][1], tmp_path / "model")
    assert violations(foreign.changed(tmp_path / "model", lambda graph: None)) == []
    foreign.changed(tmp_path / "model", change)
    assert operation in foreign_operations(tmp_path / "model")
    assert any(
        f"the operation '{operation}', which tfgen's exports never" in why for why in violations(tmp_path / "model")
    )


def test_every_graph_of_a_saved_model_is_looked_at(exported, tmp_path):
    shutil.copytree(exported["gan"][1], tmp_path / "model")
    path = tmp_path / "model" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    model.meta_graphs.add().meta_info_def.tags.append("train")
    _write_in_the_graph(model.meta_graphs[1])
    path.write_bytes(model.SerializeToString())
    # Of two graphs neither is of the form of an export: its saver has no more rights than the rest.
    assert {"WriteFile", "SaveV2", "RestoreV2"} <= set(foreign_operations(tmp_path / "model"))


@pytest.mark.parametrize("name", ["stacked-autoencoder", "vae", "vae-gaussian", "gan", "gan-goodfellow"])
def test_a_signature_for_the_web_returns_each_image_as_a_png_file(exported, name):
    _, directory = exported[name]
    served = tf.saved_model.load(str(directory)).signatures
    rng = np.random.default_rng(0)
    pairs = {"generate": ("seed", np.arange(9)), "reconstruct": ("image", rng.random((9, 784)).astype(np.float32))}
    drawn = [pair for pair in pairs if pair in served]
    assert {each for each in served if each.endswith("_png")} == {f"{pair}_png" for pair in drawn}
    for pair in drawn:
        given, values = pairs[pair]
        for batch in (9, 1, 0):
            inputs = {given: tf.constant(values[:batch])}
            images = served[pair](**inputs)[PICTURES[pair]].numpy()
            (files,) = served[f"{pair}_png"](**inputs).values()
            assert files.dtype == tf.string and files.shape == (batch,)
            if batch:
                assert Image.open(io.BytesIO(files.numpy()[0])).size == (28, 28)
                # To the nearest of 256 levels; that half-way between two may round either way in another batch.
                np.testing.assert_allclose(decoded(files.numpy()), images, atol=0.5 / 255 + 2e-6)
        assert images.shape[1:] == (784,)


@pytest.mark.parametrize("model", GENERATORS, ids=lambda path: path.parent.name)
def test_one_seed_gives_the_same_z_bit_for_bit_and_its_image_to_2e_6_in_a_batch_of_any_size(model):
    served = tf.saved_model.load(str(model)).signatures
    seeds = np.arange(300)
    whole = served["generate"](seed=tf.constant(seeds))
    for batch in (1, 2, 7, 64, 257):
        part = served["generate"](seed=tf.constant(seeds[:batch]))
        np.testing.assert_array_equal(part["z"], whole["z"][:batch])
        (image,) = set(part) - {"z"}
        np.testing.assert_allclose(part[image], whole[image][:batch], atol=2e-6)


def test_the_pixels_of_a_png_file_are_rounded_to_the_nearest_level_and_its_rows_are_the_images(tmp_path):
    values = np.array([[0.0, 1.0, 0.5 / 255, 0.51 / 255, 1.49 / 255, 254.51 / 255], [-0.1, 1.1, 0.2, 0.4, 0.6, 0.8]])
    files = png_bytes(tf.constant(values, tf.float32), (2, 3)).numpy()
    levels = [np.asarray(Image.open(io.BytesIO(file))).tolist() for file in files]
    assert levels == [[[0, 255, 0], [1, 1, 255]], [[0, 255, 51], [102, 153, 204]]]


def test_images_of_another_shape_than_is_said_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match=r"`image_shape` must be that of 'image', \(None, 784\); got \(28, 27\)"):
        export(GAN(784, 5, (12,), (12,)).endpoints(), tmp_path / "saved_model", (28, 27))
    assert not any(tmp_path.iterdir())


def test_exporting_again_replaces_the_model_and_leaves_nothing_behind(tmp_path):
    for seed, image_shape in enumerate(((28, 28), (14, 56))):
        keras.utils.set_random_seed(seed)
        model = GAN(784, 5, (12,), (12,))
        export(model.endpoints(), tmp_path / "saved_model", image_shape)
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    seeds = tf.constant([3], tf.int64)
    served = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["generate"](seed=seeds)["image"]
    np.testing.assert_allclose(served, model.endpoints()["generate"][0](seeds)["image"], atol=1e-6)
    metadata = json.loads((tmp_path / "saved_model" / "assets.extra" / "tfgen.json").read_text())
    assert metadata == {"image_shape": [14, 56]}


def test_a_failing_export_leaves_the_earlier_model_untouched(tmp_path):
    model = GAN(784, 5, (12,), (12,))
    export(model.endpoints(), tmp_path / "saved_model", (28, 28))
    before = contents(tmp_path)

    def broken(z):
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        export({"serving_default": (broken, [tf.TensorSpec((None, 5), name="z")])}, tmp_path / "saved_model", (16, 16))
    assert contents(tmp_path) == before
