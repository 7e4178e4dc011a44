"""The model server's gRPC interface. It needs the extra `serving`, and loads TensorFlow."""

import math

import numpy as np

from tfgen.errors import InputError
from tfgen.serving.errors import (
    BadInputError,
    ModelNotFoundError,
    NotAvailableError,
    NotRunningError,
    ServerError,
    TimedOutError,
    TooLargeError,
    check_names,
    error_from_message,
    remedy,
    shown,
)

try:
    import grpc
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError as error:
    raise InputError(
        "gRPC needs the package tensorflow-serving-api; install tfgen with its extra: pip install 'tfgen[serving]', "
        "or name an http:// address"
    ) from error

# Where a tensor keeps its values that are not in `tensor_content`.
FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int64": "int64_val",
    "string": "string_val",
}
FAILURES = {
    grpc.StatusCode.NOT_FOUND: ModelNotFoundError,
    grpc.StatusCode.INVALID_ARGUMENT: BadInputError,
    grpc.StatusCode.FAILED_PRECONDITION: BadInputError,
    grpc.StatusCode.UNIMPLEMENTED: BadInputError,
    grpc.StatusCode.UNAVAILABLE: NotAvailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOutError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLargeError,
}


class GrpcApi:
    """Requests to one server, over one channel that threads may share."""

    def __init__(self, address, timeout, max_bytes):
        self.address = address
        self.timeout = timeout
        host = f"[{address.host}]" if ":" in address.host else address.host
        # gRPC's own limit is 4 MiB a message; it takes no number above 2 GiB.
        limits = {"receive": min(max_bytes, 2**31 - 1), "send": -1}
        options = [(f"grpc.max_{what}_message_length", limit) for what, limit in limits.items()]
        self.channel = grpc.insecure_channel(f"{host}:{address.port or 8500}", options=options)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def status(self, model, version):
        request = _with_model(get_model_status_pb2.GetModelStatusRequest(), model, version)
        return self._call(self.models.GetModelStatus, request, _versions)

    def version(self, model, label):
        """Returns the version that a label stands for."""
        return self._metadata(model, None, label, _version)

    def signatures(self, model, version, label):
        return self._metadata(model, version, label, _signatures)

    def _metadata(self, model, version, label, read):
        request = _with_model(get_model_metadata_pb2.GetModelMetadataRequest(), model, version, label)
        request.metadata_field.append("signature_def")
        return self._call(self.predictions.GetModelMetadata, request, read)

    def predict(self, model, version, label, signature, inputs, outputs):
        def read(reply):
            check_names(reply.outputs, outputs)
            return {name: _array(name, reply.outputs[name], dtype) for name, (dtype, _) in outputs.items()}

        request = _with_model(predict_pb2.PredictRequest(), model, version, label)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        request.output_filter.extend(outputs)
        return self._call(self.predictions.Predict, request, read)

    def _call(self, method, request, read):
        """Returns what `read` makes of the server's reply; raises the exception that its status code stands for."""
        try:
            return read(method(request, timeout=self.timeout))
        except (DecodeError, TypeError, ValueError) as error:
            raise ServerError(f"the server at {self.address} is not a model server: {shown(str(error), 80)}") from error
        except grpc.RpcError as error:
            code, message = error.code(), shown(error.details() or "")
            if code == grpc.StatusCode.UNAVAILABLE and "connect" in message.lower():
                failure = NotRunningError(f"no server answers at {self.address}; start one with tfgen serve")
            elif code == grpc.StatusCode.DEADLINE_EXCEEDED:
                failure = TimedOutError(
                    f"no answer from {self.address} within {self.timeout:g} s; try a longer time-out"
                )
            else:
                kind = error_from_message(message) or FAILURES.get(code, ServerError)
                failure = kind(f"{self.address} refused the request: {message} (gRPC status {code.name}){remedy(kind)}")
            raise failure from error


def _with_model(request, model, version=None, label=None):
    """Sets the model and its version or label in a request; returns the request."""
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


# The functions below raise `TypeError` or `ValueError` for what is not as it must be.


def _versions(reply):
    states = get_model_status_pb2.ModelVersionStatus.State
    return [
        {"version": found.version, "state": states.Name(found.state), "error": shown(found.status.error_message)}
        for found in reply.model_version_status
    ]


def _version(reply):
    if not reply.model_spec.HasField("version"):
        raise ValueError("it does not tell the version")
    return reply.model_spec.version.value


def _signatures(reply):
    signatures = get_model_metadata_pb2.SignatureDefMap()
    if not reply.metadata["signature_def"].Unpack(signatures):
        raise ValueError("it sends no signatures")
    return {
        _name(name): {
            role: {_name(key): _dtype_and_shape(info) for key, info in tensors.items()}
            for role, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        for name, signature in signatures.signature_def.items()
        if not name.startswith("__")
    }


def _dtype_and_shape(info):
    return tf.dtypes.as_dtype(info.dtype).name, _shape(info.tensor_shape)


def _shape(shape):
    return tuple(dim.size for dim in shape.dim)


def _name(value):
    if not value.isprintable() or len(value) > 200:
        raise ValueError("a name is not printable, or too long")
    return value


def _array(name, tensor, dtype):
    """Returns a tensor's values as an array; raises `ServerError` if they are of another type or not as many."""
    shape, count = _shape(tensor.tensor_shape), len(getattr(tensor, FIELDS[dtype]))
    if dtype != "string" and tensor.tensor_content:
        count = len(tensor.tensor_content) / np.dtype(dtype).itemsize
    if (
        tensor.dtype != tf.dtypes.as_dtype(dtype).as_datatype_enum
        or min(shape, default=0) < 0
        or count != math.prod(shape)
    ):
        # TensorFlow would repeat the last value, up to any size.
        raise ServerError(f"{name!r} in the server's answer is not an array of {dtype} values")
    return tf.make_ndarray(tensor)
