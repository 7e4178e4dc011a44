"""Runs a Keras model in Python, and exports its SavedModel for other runtimes."""

import time

import numpy as np
import tensorflow as tf

from benchmarks.models import network
from benchmarks.workloads import WORKLOADS
from tfgen.export import export
from tfgen.models import autoencoder
from tfgen.recipe import MNIST_SHAPE


class Inference:
    """The model of a workload with random weights, which are as fast as trained ones.

    Args:
        model: "gan" or "autoencoder".
        directory: where its SavedModel is written.
    """

    def __init__(self, model, directory):
        whole = network(WORKLOADS[model])
        self.network = whole.generator if model == "gan" else whole
        endpoints = whole.endpoints() if model == "gan" else autoencoder.endpoints(whole)
        export(endpoints, directory, MNIST_SHAPE)
        self.compiled = tf.function(lambda x: self.network(x, training=False), reduce_retracing=True)
        self.description = {
            "signatures": _tensor_names(directory),
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        }

    def run(self, batch, calls, how):
        """Returns the seconds of each call on a batch; `how` is "predict", "call" or "function"."""
        x = np.random.default_rng(0).random((batch, self.network.input_shape[-1]), np.float32)
        answer = {
            "predict": lambda: self.network.predict(x, batch_size=batch, verbose=0),
            "call": lambda: self.network(x, training=False).numpy(),
            "function": lambda: self.compiled(tf.constant(x)).numpy(),
        }[how]
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            answer()
            seconds.append(time.perf_counter() - started)
        return seconds


def _tensor_names(directory):
    """Returns a dict from signature to the names of its input tensor and its image tensor."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    with open(f"{directory}/saved_model.pb", "rb") as file:
        saved_model.ParseFromString(file.read())
    names = {}
    for signature, definition in saved_model.meta_graphs[0].signature_def.items():
        (given,) = [info.name for info in definition.inputs.values()] or [None]
        outputs = [definition.outputs[name].name for name in ("image", "reconstruction") if name in definition.outputs]
        if given and outputs:
            names[signature] = (given, outputs[0])
    return names
