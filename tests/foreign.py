"""SavedModels that others might hand over: generators that do something to a file as well, at some place in them."""

import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfgen.distributions import serving_seed, stateless_normal

SEED = tf.TensorSpec((None,), tf.int64, name="seed")
Z = tf.TensorSpec((None, 4), tf.float32, name="z")


def _write(path):
    tf.io.write_file(path, "written")
    return 0.0


def _read(path):
    return tf.cast(tf.strings.length(tf.io.read_file(path)), tf.float32)


def _match(path):
    return tf.cast(tf.size(tf.io.matching_files(path)), tf.float32)


def _python(path):
    return tf.py_function(lambda: pathlib.Path(path).touch() or 0.0, [], tf.float32)


def _numpy(path):
    return tf.numpy_function(lambda: pathlib.Path(path).touch(), [], tf.float32, stateful=False)


def _save(path):
    tf.raw_ops.SaveV2(prefix=path, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.zeros(2)])
    return 0.0


def _restore(path):
    (found,) = tf.raw_ops.RestoreV2(prefix=path, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])
    return tf.reduce_sum(found)


def _merge(path):
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[path], destination_prefix=path, delete_old_dirs=True)
    return 0.0


def _nothing(path):
    return 0.0


# From an operation to a function of a path that runs it, and returns a number.
ACTS = {
    "NoOp": _nothing,
    "WriteFile": _write,
    "ReadFile": _read,
    "MatchingFiles": _match,
    "EagerPyFunc": _python,
    "PyFuncStateless": _numpy,
    "SaveV2": _save,
    "RestoreV2": _restore,
    "MergeV2Checkpoints": _merge,
}


def _acting_nowhere(act, path):
    return lambda z: z


def _acting_in_the_signature(act, path):
    return lambda z: z + act(path)


def _acting_in_a_nested_function(act, path):
    inner = tf.function(lambda z: z + act(path))
    outer = tf.function(lambda z: inner(z))
    return lambda z: outer(z)


def _acting_in_a_loop(act, path):
    return lambda z: tf.map_fn(lambda row: row + act(path), z)


def _acting_in_a_branch(act, path):
    return lambda z: tf.cond(tf.shape(z)[0] > 1000, lambda: z + act(path), lambda: z)


PLACES = {
    "signature": _acting_in_the_signature,
    "nested": _acting_in_a_nested_function,
    "loop": _acting_in_a_loop,
    "branch": _acting_in_a_branch,
    "initialiser": _acting_nowhere,
}


class _Initialised(tf.saved_model.experimental.TrackableResource):
    """Acts when it is loaded."""

    def __init__(self, act, path):
        super().__init__()
        self.act, self.path = act, path

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="resource")

    def _initialize(self):
        self.act(self.path)


def write(directory, operation, place, path):
    """Writes a generator of images of 4 pixels that acts on the file `path`; returns the directory.

    Args:
        directory: of the SavedModel.
        operation: one of `ACTS`.
        place: one of `PLACES`.
        path: of the file.
    """
    act, path = ACTS[operation], str(path)
    model = tf.Module()
    model.scale = tf.Variable(1.0)
    body = PLACES[place](act, path)
    if place == "initialiser":
        model.resource = _Initialised(act, path)

    def from_z(z):
        return tf.sigmoid(model.scale * tf.reshape(body(z), (-1, 4)))

    def from_seed(seed):
        z = tf.map_fn(lambda s: stateless_normal((4,), serving_seed(s)), seed, fn_output_signature=tf.float32)
        return {"image": from_z(z), "z": z}

    generate = tf.function(from_seed, input_signature=[SEED])
    decode = tf.function(lambda z: {"image": from_z(z)}, input_signature=[Z])
    tf.saved_model.save(model, str(directory), {"serving_default": generate, "generate": generate, "decode": decode})
    return directory


def changed(directory, change):
    """Changes the first graph of a SavedModel by a function of it; returns the directory."""
    path = pathlib.Path(directory) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())
    return directory
