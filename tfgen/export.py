"""Exports a model's endpoints as a SavedModel, checks that TensorFlow Serving can serve it, and describes it."""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
import shutil
import uuid
from typing import Any

import keras
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tfgen.errors import InputError
from tfgen.files import write_atomically
from tfgen.models.networks import Endpoints

# Metadata of tfgen beside TensorFlow's own.
METADATA = "assets.extra/tfgen.json"

# Every tensor that a signature may take or return: name -> `(lowest value, highest value, meaning)`; None is no limit.
TENSORS = {
    "image": (0.0, 1.0, "pixels, row by row"),
    "reconstruction": (0.0, 1.0, "pixels, row by row"),
    "code": (None, None, "code of an autoencoder"),
    "features": (None, None, "last hidden layer of a classifier"),
    "z": (None, None, "latents of a VAE, standard normal under the prior, or noise of a GAN"),
    "z_mean": (None, None, "mean of q(z|x)"),
    "z_log_var": (None, None, "log-variance of q(z|x)"),
    "seed": (None, None, "one seed an example: the same seed gives the same example"),
    "x": (None, None, "a number on the line"),
    "logit": (None, None, "log-odds of being real"),
    "probability": (0.0, 1.0, "probability of being real"),
    "logits": (None, None, "unnormalised log-probabilities of the classes"),
    "probabilities": (0.0, 1.0, "probabilities of the classes"),
    "soft_assignments": (0.0, 1.0, "degrees to which the image belongs to the clusters, which sum to 1"),
    "class_id": (0, None, "the most probable class"),
    "squared_error": (0.0, None, "summed over pixels"),
    "png_bytes": (None, None, "the image as a PNG file in shades of grey"),
}
# The signatures that have another one beside them whose output is PNG files, and their output that these show.
PICTURES = {"generate": "image", "reconstruct": "reconstruction"}
# Names that Keras and TensorFlow give to unnamed tensors.
DEFAULT_NAME = re.compile(r"(keras_tensor|args|output|inputs)(_\d+)?")
# The operations that exports compute with, whichever activation a recipe is given, and a few like them. A SavedModel is
# a program, so one with any other operation is neither published nor run. None of these reads or writes a file, keeps
# state, calls Python or draws random numbers other than from a seed, and nothing that does may be added.
OPERATIONS = frozenset(
    """
    Abs AddV2 ArgMax AvgPool BatchMatMulV2 BiasAdd BitwiseOr Cast ConcatV2 Const Conv2D Conv2DBackpropInput Elu
    EncodePng Equal Erf Erfc Exp ExpandDims Fill FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN If
    LeakyRelu LeftShift Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Minimum
    Mul Neg NoOp NotEqual Pack Pad PartitionedCall Placeholder Pow Prod Range ReadVariableOp RealDiv Relu Relu6 Reshape
    ResizeNearestNeighbor Round Rsqrt Select SelectV2 Selu Shape Sigmoid Softmax Softplus Split Sqrt Square Squeeze
    StatefulPartitionedCall StatelessIf StatelessRandomNormalV2 StatelessRandomUniformFullIntV2 StatelessRandomUniformV2
    StatelessWhile StridedSlice Sub Sum Tanh TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem
    TensorListStack Tile Transpose Unpack VarHandleOp While ZerosLike
    """.split()
)
# What TensorFlow adds to every SavedModel to write and to read its variables: only the two functions of its saver may
# have these operations.
SAVING = OPERATIONS | {
    "DisableCopyOnRead",
    "MergeV2Checkpoints",
    "SaveV2",
    "ShardedFilename",
    "StaticRegexFullMatch",
    "StringJoin",
}
RESTORING = OPERATIONS | {"AssignVariableOp", "RestoreV2"}


def export(endpoints: Endpoints, directory: str | os.PathLike[str], image_shape: tuple[int, int]) -> None:
    """Writes a SavedModel with the given endpoints as signatures. Loading it needs TensorFlow alone.

    The model is written to a temporary directory, checked and renamed, so `directory` is never incomplete. An existing
    one is replaced. Beside `generate` and `reconstruct`, where these return images, it gets the signatures
    `generate_png` and `reconstruct_png`, which return each image as a PNG file.

    Args:
        endpoints: dict from a signature's name to `(function, list of named TensorSpecs)`. Each function takes inputs
            of these names and returns a dict of tensors.
        directory: directory of the SavedModel.
        image_shape: `(height, width)` of the images, kept in the metadata since signatures take and return rows of
            pixels.

    Raises:
        ValueError: if images have another number of pixels than `image_shape`, or TensorFlow Serving cannot serve the
            model; the message lists every reason.
    """
    archive = keras.export.ExportArchive()
    for name, (function, input_specs) in endpoints.items():
        traced = archive.add_endpoint(name, function, input_signature=input_specs)
        if name in PICTURES:
            outputs = traced.get_concrete_function().structured_outputs
            if isinstance(outputs, dict) and PICTURES[name] in outputs:
                drawing = _drawing(traced, PICTURES[name], outputs, image_shape)
                archive.add_endpoint(f"{name}_png", drawing, input_signature=input_specs)
    directory = pathlib.Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    try:
        archive.write_out(str(temporary), verbose=False)
        reasons = violations(temporary)
        if reasons:
            raise ValueError(f"these endpoints cannot be served: {'; '.join(reasons)}")
        write_atomically(temporary / METADATA, json.dumps({"image_shape": list(image_shape)}).encode())
        if directory.exists():
            shutil.rmtree(directory)
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _drawing(function, output, outputs, image_shape):
    """Returns a function from the same inputs to PNG files of the images that `function` returns as `output`."""
    if outputs[output].shape[1:] != (math.prod(image_shape),):
        raise ValueError(f"`image_shape` must be that of {output!r}, {outputs[output].shape}; got {image_shape}.")

    def draw(*inputs):
        return {"png_bytes": png_bytes(function(*inputs)[output], image_shape)}

    return draw


def png_bytes(images: tf.Tensor, image_shape: tuple[int, int]) -> tf.Tensor:
    """Returns PNG files `(batch,)` of images `(batch, pixels)`: a pixel of 0 is black, of 1 white, 8 bits each."""
    levels = tf.cast(tf.round(255.0 * tf.clip_by_value(images, 0.0, 1.0)), tf.uint8)
    return tf.io.encode_png(tf.reshape(levels, (-1, *image_shape, 1)))


def signatures(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, meta_graph_pb2.SignatureDef]:
    """Returns a SavedModel's signatures by name, without TensorFlow's own `__saved_model_init_op`."""
    return {name: signature for name, signature in meta_graph.signature_def.items() if not name.startswith("__")}


def meta_graph(directory: str | os.PathLike[str]) -> meta_graph_pb2.MetaGraphDef | None:
    """Returns the graph that TensorFlow Serving loads from a SavedModel: the one tagged `serve`, or None."""
    tagged = [graph for graph in _saved_model(directory).meta_graphs if set(graph.meta_info_def.tags) == {"serve"}]
    return tagged[0] if tagged else None


def _saved_model(directory):
    """Returns a SavedModel as it is written; nothing of it is run. Raises `InputError` if it cannot be read."""
    try:
        return saved_model_pb2.SavedModel.FromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"the SavedModel in {str(directory)!r} cannot be read: {error}") from error


def foreign_operations(directory: str | os.PathLike[str]) -> list[str]:
    """Returns the operations of a SavedModel that tfgen's exports never use, by name, sorted.

    The model is read, not loaded: loading would restore its variables and run its initialisers. All its graphs are
    searched, and all functions in them, whatever calls them.
    """
    found = set()
    graphs = _saved_model(directory).meta_graphs
    for graph in graphs:
        found |= {node.op for node in graph.graph_def.node} - OPERATIONS
        # Of any other model TensorFlow runs the saver's own node.
        as_exported = len(graphs) == 1 and graph.HasField("object_graph_def")
        allowed = _saver_functions(graph) if as_exported else {}
        for function in graph.graph_def.library.function:
            found |= {node.op for node in function.node_def} - allowed.get(function.signature.name, OPERATIONS)
    return sorted(found)


def _saver_functions(graph):
    """Returns the functions of a graph's saver, which alone handle files: name -> the operations that it may have.

    A function is the saver's if the one node that calls it is the one that the saver names, its first input is a file
    name from outside, and no node, signature or initialiser needs that node. A function that could be run at any other
    time is left out, so that what it does to files is not allowed.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    used = {_node(source) for node in graph.graph_def.node for source in node.input}
    infos = [
        info
        for signature in graph.signature_def.values()
        for info in (*signature.inputs.values(), *signature.outputs.values())
    ]
    if any(info.WhichOneof("encoding") not in ("name", None) for info in infos):
        return {}
    given = {_node(info.name) for info in infos}
    used |= given
    used |= {_node(name) for collection in graph.collection_def.values() for name in collection.node_list.value}
    content, saver, found = graph.SerializeToString(), graph.saver_def, {}
    for tensor, allowed in ((saver.save_tensor_name, SAVING), (saver.restore_op_name, RESTORING)):
        caller = nodes.get(_node(tensor))
        if caller is None or caller.name in used or not caller.input or "f" not in caller.attr:
            continue
        function, file = functions.get(caller.attr["f"].func.name), nodes.get(_node(caller.input[0]))
        named = _node(saver.filename_tensor_name)
        if function is None or file is None or file.op != "Placeholder" or file.name != named or file.name in given:
            continue
        name = function.signature.name
        # It is named where it is defined and where it is called, and no attribute lets it stand for another function.
        known = {"_construction_context", "_input_shapes"}
        called_once = content.count(name.encode()) == 2 and set(function.attr) <= known
        read = {source for node in function.node_def if node.op == "RestoreV2" for source in node.input[:1]}
        if called_once and read <= {argument.name for argument in function.signature.input_arg[:1]}:
            found[name] = allowed
    return found


def _node(tensor):
    """Returns the name of the node that a tensor, or a dependency, is of."""
    return tensor.lstrip("^").split(":")[0]


def violations(directory: str | os.PathLike[str]) -> list[str]:
    """Returns the reasons why TensorFlow Serving cannot serve a SavedModel, or not reproducibly: a list of phrases.

    The list is empty if all tensors of the signatures have known names and a batch dimension, all operations are among
    `OPERATIONS`, so that none keeps state or calls Python, and nothing needs XLA, which the server switches off.
    """
    graph = meta_graph(directory)
    if graph is None:
        return ["no graph is tagged 'serve'"]
    served = signatures(graph)
    reasons = [] if served else ["there is no signature"]
    default = _tensors(served["serving_default"]) if "serving_default" in served else None
    if default not in [_tensors(signature) for name, signature in served.items() if name != "serving_default"]:
        reasons.append("'serving_default' is missing, or equals none of the named signatures")
    takes = {name for signature in served.values() for name in signature.inputs}
    if "seed" in takes and "z" not in takes:
        reasons.append("a signature takes 'seed' and none takes 'z'")
    for name, signature in sorted(served.items()):
        if signature.method_name != "tensorflow/serving/predict":
            reasons.append(f"{name!r} is not a Predict signature but {signature.method_name!r}")
        if not signature.inputs or not signature.outputs:
            reasons.append(f"{name!r} has no input or no output")
        for tensor, info in [*signature.inputs.items(), *signature.outputs.items()]:
            reasons += [f"{tensor!r} of {name!r} {reason}" for reason in _tensor_violations(tensor, info)]
    reasons += [
        f"it holds the operation {name!r}, which tfgen's exports never use (tfgen.export.OPERATIONS)"
        for name in foreign_operations(directory)
    ]
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(node for function in functions for node in function.node_def)]
    if any("_XlaMustCompile" in part.attr and part.attr["_XlaMustCompile"].b for part in (*functions, *nodes)):
        reasons.append("a function must be compiled by XLA (jit_compile=True), which the server switches off")
    return reasons


def describe(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns a SavedModel's inputs and outputs by signature, for JSON. None is the batch, or no limit of a range."""
    return {
        name: {
            role: {
                key: {
                    "dtype": tf.dtypes.as_dtype(info.dtype).name,
                    "shape": [None if dim.size == -1 else dim.size for dim in info.tensor_shape.dim],
                    **dict(zip(("minimum", "maximum", "meaning"), TENSORS[key], strict=True)),
                }
                for key, info in sorted(tensors.items())
            }
            for role, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        for name, signature in sorted(signatures(meta_graph(directory)).items())
    }


def _tensors(signature):
    return [
        {name: (info.dtype, str(info.tensor_shape)) for name, info in tensors.items()}
        for tensors in (signature.inputs, signature.outputs)
    ]


def _tensor_violations(name, info):
    if DEFAULT_NAME.fullmatch(name):
        yield "has no name of its own; name its TensorSpec, or return a dict"
    elif name not in TENSORS:
        yield "has no entry in tfgen.export.TENSORS; add its range and meaning there"
    # In REST names that end in `_bytes` are those of bytes, which travel as base64.
    allowed = (types_pb2.DT_STRING,) if name.endswith("_bytes") else (types_pb2.DT_FLOAT, types_pb2.DT_INT64)
    if info.dtype not in allowed:
        yield (
            f"is {types_pb2.DataType.Name(info.dtype)}; use float32 or int64, which REST and gRPC both serve, and "
            "string only where the name ends in '_bytes'"
        )
    if info.WhichOneof("encoding") != "name":
        yield "is no dense tensor"
    shape = info.tensor_shape
    if shape.unknown_rank or not shape.dim or shape.dim[0].size != -1:
        yield "has no leading dimension of unknown size, the batch"
    elif any(dim.size == -1 for dim in shape.dim[1:]):
        yield "has an unknown dimension besides the batch"
