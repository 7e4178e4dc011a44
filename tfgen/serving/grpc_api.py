"""The model server's gRPC interface. It needs the extra `serving`, and loads TensorFlow."""

from tfgen.errors import InputError
from tfgen.serving.errors import (
    BadInputError,
    ModelNotFoundError,
    NotAvailableError,
    NotRunningError,
    ServerError,
    TimedOutError,
    TooLargeError,
    error_from_message,
    remedy,
)

try:
    import grpc
    import tensorflow as tf
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

# gRPC's own limit is 4 MiB a message.
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
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

    def __init__(self, parts, address, timeout):
        self.address = address
        self.timeout = timeout
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.channel = grpc.insecure_channel(f"{host}:{parts.port or 8500}", options=OPTIONS)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def status(self, model, version, label):
        request = _with_model(get_model_status_pb2.GetModelStatusRequest(), model, version, label)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            {"version": found.version, "state": states.Name(found.state), "error": found.status.error_message}
            for found in self._call(self.models.GetModelStatus, request).model_version_status
        ]

    def signatures(self, model, version, label):
        request = _with_model(get_model_metadata_pb2.GetModelMetadataRequest(), model, version, label)
        request.metadata_field.append("signature_def")
        reply = self._call(self.predictions.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(signatures)
        return {
            name: {
                role: {key: _dtype_and_shape(info) for key, info in tensors.items()}
                for role, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
            }
            for name, signature in signatures.signature_def.items()
            if not name.startswith("__")
        }

    def predict(self, model, version, label, signature, inputs, outputs):
        request = _with_model(predict_pb2.PredictRequest(), model, version, label)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        request.output_filter.extend(outputs)
        reply = self._call(self.predictions.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in reply.outputs.items()}

    def _call(self, method, request):
        """Returns the server's reply; raises the exception that its status code stands for."""
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            code, message = error.code(), " ".join(error.details().split())
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


def _with_model(request, model, version, label):
    """Sets the model and its version or label in a request; returns the request."""
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def _dtype_and_shape(info):
    return tf.dtypes.as_dtype(info.dtype).name, tuple(dim.size for dim in info.tensor_shape.dim)
