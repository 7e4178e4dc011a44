"""Warm-up records: requests that the server runs when it loads a model, so that the first user need not wait.

The server does not load a model if a record fails, so all records are run before a model is published.
"""

import pathlib

import numpy as np
import tensorflow as tf

from tfgen.errors import InputError
from tfgen.export import TENSORS, meta_graph, signatures
from tfgen.serving.query import PNG

try:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
except ImportError as error:
    raise InputError(
        "warm-up records need the package tensorflow-serving-api; install tfgen with its extra: "
        "pip install 'tfgen[serving]'"
    ) from error

BATCH_SIZES = (1, 32)
FILE = "assets.extra/tf_serving_warmup_requests"


def example_inputs(signature, batch_size):
    """Returns example inputs of a signature: pixels uniform in [0, 1], other floats normal, seeds from 0 on."""
    rng = np.random.default_rng(0)
    inputs = {}
    for name, info in signature.inputs.items():
        shape = (batch_size, *(dim.size for dim in info.tensor_shape.dim[1:]))
        if tf.dtypes.as_dtype(info.dtype).is_integer:
            inputs[name] = np.arange(batch_size)
        else:
            lowest = TENSORS[name][0]
            inputs[name] = (rng.normal(size=shape) if lowest is None else rng.random(shape)).astype(np.float32)
    return inputs


def write(directory, name):
    """Writes warm-up records of the SavedModel in `directory`, served as `name`: each signature at two batch sizes."""
    path = pathlib.Path(directory) / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature_name, signature in sorted(signatures(meta_graph(directory)).items()):
            for batch_size in BATCH_SIZES:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = signature_name
                for key, value in example_inputs(signature, batch_size).items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())


def read(directory):
    """Returns a SavedModel's warm-up records, as `PredictRequest`s."""
    records = tf.data.TFRecordDataset(str(pathlib.Path(directory) / FILE)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]


def replay(directory):
    """Runs a SavedModel's warm-up records.

    Returns:
        Number of records.

    Raises:
        InputError: if an output's batch size differs from the input's, or values are not finite or out of range.
    """
    model = tf.saved_model.load(str(directory))
    requests = read(directory)
    for request in requests:
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        batch_size = len(next(iter(inputs.values())))
        for key, value in model.signatures[name](**inputs).items():
            value, (lowest, highest, _) = value.numpy(), TENSORS[key]
            if len(value) != batch_size:
                raise InputError(f"{key!r} of {name!r} has {len(value)} rows for {batch_size} examples")
            if value.dtype == object:
                if not all(png.startswith(PNG) for png in value):
                    raise InputError(f"{key!r} of {name!r} is no PNG file; train the model anew")
                continue
            if not np.all(np.isfinite(value)):
                raise InputError(f"{key!r} of {name!r} is not finite; train the model anew")
            if (lowest is not None and value.min() < lowest) or (highest is not None and value.max() > highest):
                raise InputError(
                    f"{key!r} of {name!r} runs from {value.min()} to {value.max()}, outside {lowest} to {highest}"
                )
    return len(requests)
