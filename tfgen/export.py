"""Exports a model's endpoints as a SavedModel, checks that TensorFlow Serving can serve it, and describes it."""

import json
import pathlib
import re
import shutil
import uuid

import keras
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfgen.files import write_atomically

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
    "class_id": (0, None, "the most probable class"),
    "squared_error": (0.0, None, "summed over pixels"),
}
# Names that Keras and TensorFlow give to unnamed tensors.
DEFAULT_NAME = re.compile(r"(keras_tensor|args|output|inputs)(_\d+)?")
# Operations that TensorFlow counts as stateful although they change nothing: reading a variable, calling a function.
READING_OPERATIONS = {
    "VarHandleOp",
    "ReadVariableOp",
    "StatefulPartitionedCall",
    "PartitionedCall",
    "While",
    "If",
    "Case",
}


def export(endpoints, directory, image_shape):
    """Writes a SavedModel with the given endpoints as signatures. Loading it needs TensorFlow alone.

    The model is written to a temporary directory, checked and renamed, so `directory` is never incomplete. An existing
    one is replaced.

    Args:
        endpoints: dict from a signature's name to `(function, list of named TensorSpecs)`. Each function takes inputs
            of these names and returns a dict of tensors.
        directory: directory of the SavedModel.
        image_shape: `(height, width)` of the images, kept in the metadata since signatures take and return rows of
            pixels.

    Raises:
        ValueError: if TensorFlow Serving cannot serve the model; the message lists every reason.
    """
    archive = keras.export.ExportArchive()
    for name, (function, input_specs) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=input_specs)
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


def signatures(meta_graph):
    """Returns a SavedModel's signatures by name, without TensorFlow's own `__saved_model_init_op`."""
    return {name: signature for name, signature in meta_graph.signature_def.items() if not name.startswith("__")}


def meta_graph(directory):
    """Returns the graph that TensorFlow Serving loads from a SavedModel: the one tagged `serve`, or None."""
    saved_model = saved_model_pb2.SavedModel.FromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    tagged = [graph for graph in saved_model.meta_graphs if set(graph.meta_info_def.tags) == {"serve"}]
    return tagged[0] if tagged else None


def violations(directory):
    """Returns the reasons why TensorFlow Serving cannot serve a SavedModel, or not reproducibly: a list of phrases.

    The list is empty if all tensors of the signatures have known names and a batch dimension, and no operation keeps
    state, calls Python or needs XLA, which the server switches off.
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
        reasons += [f"{name!r} {reason}" for reason in sorted(set(_graph_violations(graph, signature)))]
    return reasons


def describe(directory):
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
    if info.dtype not in (types_pb2.DT_FLOAT, types_pb2.DT_INT64):
        yield f"is {types_pb2.DataType.Name(info.dtype)}; use float32 or int64, which REST and gRPC both serve"
    shape = info.tensor_shape
    if shape.unknown_rank or not shape.dim or shape.dim[0].size != -1:
        yield "has no leading dimension of unknown size, the batch"
    elif any(dim.size == -1 for dim in shape.dim[1:]):
        yield "has an unknown dimension besides the batch"


def _graph_violations(graph, signature):
    """Yields what is wrong with the operations that a signature runs, in itself and in functions that it calls."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    pending = [("node", info.name.split(":")[0]) for info in signature.outputs.values()]
    seen = set()
    while pending:
        kind, name = pending.pop()
        if (kind, name) in seen:
            continue
        seen.add((kind, name))
        if kind == "node":
            body, attributes = [nodes[name]], nodes[name].attr
            pending += [("node", source.lstrip("^").split(":")[0]) for source in nodes[name].input]
        else:  # All nodes of its body, since the names of their inputs hold only within it.
            body, attributes = functions[name].node_def, functions[name].attr
        if "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b:
            yield "must be compiled by XLA (jit_compile=True), which the server switches off"
        for node in body:
            # Not the graph's list of operations, which omits those in loops.
            definition = op_def_registry.get(node.op)
            if definition is None:
                yield f"runs {node.op}, which TensorFlow {tf.__version__} does not know"
            elif definition.is_stateful and node.op not in READING_OPERATIONS:
                yield f"runs {node.op}, which keeps or changes state; draw with tf.random.stateless_*"
            for value in node.attr.values():
                called = (value.func, *value.list.func)
                pending += [("function", function.name) for function in called if function.name in functions]
