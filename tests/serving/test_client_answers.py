"""Answers that are whole, and that mean what the server says: values, labels, states, pictures; over REST and gRPC."""

import base64
import concurrent.futures
import contextlib
import io
import json

import grpc
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from serving.recorded import METADATA, RECORDED, STATUS, Z, recorded_rest_server, signature, tensor
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfgen import figures
from tfgen.cli import main
from tfgen.errors import InputError, RunError
from tfgen.serving import Client, errors, query

PREDICT = "POST /v1/models/gan:predict"
LATENTS = tensor("DT_FLOAT", -1, 2)


def metadata(outputs, version="2"):
    found = {
        "s": signature({"z": LATENTS}, outputs),
        "generate_png": signature({"seed": tensor("DT_INT64", -1)}, outputs),
    }
    spec = {"name": "gan", "signature_name": "", "version": version}
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": {"signature_def": found}}})


def rest_server(outputs, reply):
    """A server of a model with the signature `s`: latents -> `outputs`. It answers with `reply`."""
    answers = {**RECORDED, "GET /v1/models/gan/metadata": (200, metadata(outputs)), PREDICT: (200, reply)}
    return recorded_rest_server(answers)


FLOATS, DOUBLES = ("DT_FLOAT", -1, 3), ("DT_DOUBLE", -1)
LONGS, INTS, BYTES = ("DT_INT64", -1), ("DT_INT32", -1), ("DT_STRING", -1)
SHAPE, TYPE, FINITE = "has shape", "is not an array", "not finite"
# The tensor of the signature, what comes for two examples, words of the refusal.
WRONG_VALUES = {
    "too few examples": (FLOATS, "[[1.0, 2.0, 3.0]]", SHAPE),
    "too many examples": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]", SHAPE),
    "another width": (FLOATS, "[[1.0, 2.0], [1.0, 2.0]]", r"has shape \(2, 2\) for 2 examples; .* says \(batch, 3\)"),
    "no width": (FLOATS, "[1.0, 2.0]", TYPE),
    "one dimension more": (FLOATS, "[[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]]", TYPE),
    "a transposed array": (FLOATS, "[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]", SHAPE),
    "ragged": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, 2.0]]", TYPE),
    "a row and a number": (FLOATS, "[[1.0, 2.0, 3.0], 1.0]", TYPE),
    "nothing": (FLOATS, "[]", SHAPE),
    "rows of nothing": (FLOATS, "[[], []]", SHAPE),
    "one number": (FLOATS, "1.0", TYPE),
    "null": (FLOATS, "null", TYPE),
    "a null for a row": (FLOATS, "[[1.0, 2.0, 3.0], null]", TYPE),
    "a null for a number": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, null, 3.0]]", TYPE),
    "NaN": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, NaN, 3.0]]", "is not a model server"),
    "Infinity": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, Infinity, 3.0]]", "is not a model server"),
    "-Infinity": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, -Infinity, 3.0]]", "is not a model server"),
    "1e400": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, 1e400, 3.0]]", FINITE),
    "-1e400": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, -1e400, 3.0]]", FINITE),
    "too large for float32": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, 1e39, 3.0]]", FINITE),
    "an integer too large for float32": (FLOATS, f"[[1.0, 2.0, 3.0], [1.0, {10**400}, 3.0]]", TYPE),
    "true": (FLOATS, "[[1.0, 2.0, 3.0], [1.0, true, 3.0]]", TYPE),
    "text of a number": (FLOATS, '[[1.0, 2.0, 3.0], [1.0, "2.0", 3.0]]', TYPE),
    "text": (FLOATS, '"[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]"', TYPE),
    "text for rows": (FLOATS, '["abc", "abc"]', TYPE),
    "objects for rows": (FLOATS, '[{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 3}]', TYPE),
    "1e400 for float64": (DOUBLES, "[1e400, 1.0]", FINITE),
    "an integer too large for float64": (DOUBLES, f"[{10**400}, 1]", TYPE),
    "true for float64": (DOUBLES, "[true, false]", TYPE),
    "1.7 for int64": (LONGS, "[1, 1.7]", TYPE),
    "1.0 for int64": (LONGS, "[1, 1.0]", TYPE),
    "1e3 for int64": (LONGS, "[1, 1e3]", TYPE),
    "2^63": (LONGS, f"[1, {2**63}]", TYPE),
    "-2^63 - 1": (LONGS, f"[1, {-(2**63) - 1}]", TYPE),
    "10^400": (LONGS, f"[1, {10**400}]", TYPE),
    "true for int64": (LONGS, "[1, true]", TYPE),
    "null for int64": (LONGS, "[1, null]", TYPE),
    "text for int64": (LONGS, '[1, "1"]', TYPE),
    "lists for int64": (LONGS, "[[1], [1]]", TYPE),
    "2^31": (INTS, f"[1, {2**31}]", TYPE),
    "-2^31 - 1": (INTS, f"[1, {-(2**31) - 1}]", TYPE),
    "plain text for bytes": (BYTES, '["QUI=", "QUI="]', TYPE),
    "no alphabet of base64": (BYTES, '[{"b64": "QUI="}, {"b64": "Q*I="}]', TYPE),
    "base64 over two lines": (BYTES, r'[{"b64": "QUI="}, {"b64": "QU\nI="}]', TYPE),
    "base64 cut short": (BYTES, '[{"b64": "QUI="}, {"b64": "QUI"}]', TYPE),
    "base64 not in ASCII": (BYTES, '[{"b64": "QUI="}, {"b64": "QU\\u00e9="}]', TYPE),
    "a number for base64": (BYTES, '[{"b64": "QUI="}, {"b64": 7}]', TYPE),
    "null for base64": (BYTES, '[{"b64": "QUI="}, {"b64": null}]', TYPE),
    "another key for base64": (BYTES, '[{"b64": "QUI="}, {"B64": "QUI="}]', TYPE),
    "a key more than base64": (BYTES, '[{"b64": "QUI="}, {"b64": "QUI=", "b32": ""}]', TYPE),
    "null for bytes": (BYTES, '[{"b64": "QUI="}, null]', TYPE),
    "numbers for bytes": (BYTES, "[65, 66]", TYPE),
    "too few bytes": (BYTES, '[{"b64": "QUI="}]', SHAPE),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_an_answer_that_is_not_what_the_signature_says_is_refused(case):
    info, text, words = WRONG_VALUES[case]
    name = "png_bytes" if info is BYTES else "image"
    with rest_server({name: tensor(*info)}, f'{{"outputs": {text}}}') as (address, _):
        with pytest.raises(errors.ServerError, match=words) as caught:
            Client(address).predict("gan", {"z": Z}, "s")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "info, text, expected",
    [
        (FLOATS, "[[0, 1, -2], [0.5, 1e-400, 3.4028235e38]]", np.float32([[0, 1, -2], [0.5, 0, 3.4028235e38]])),
        (DOUBLES, "[1.7976931348623157e308, 1]", np.float64([1.7976931348623157e308, 1])),
        (LONGS, f"[{2**63 - 1}, {-(2**63)}]", np.int64([2**63 - 1, -(2**63)])),
        (INTS, f"[{2**31 - 1}, {-(2**31)}]", np.int32([2**31 - 1, -(2**31)])),
    ],
)
def test_numbers_to_the_edge_of_their_type_are_taken(info, text, expected):
    for reply in (f'{{"outputs": {text}}}', f'{{"outputs": {{"image": {text}}}}}'):
        with rest_server({"image": tensor(*info)}, reply) as (address, _):
            found = Client(address).predict("gan", {"z": Z}, "s")["image"]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "reply, words",
    [
        ('{"outputs": {"image": [[1.0], [2.0]]}}', "answered with image where its signature has image, n"),
        ('{"outputs": {"image": [[1.0], [2.0]], "n": [1, 2], "m": []}}', "answered with image, m, n where"),
        ('{"outputs": {}}', "answered with nothing where"),
        ('{"outputs": [[1.0], [2.0]]}', "is not a model server"),
        ('{"outputs": null}', "is not a model server"),
        ('{"outputs": "image"}', "answered with "),
        ('{"outputs": {"image": [[1.0], [2.0]], "image": [[1.0], [2.0]], "n": [1, 2]}}', "is not a model server"),
        ('{"outputs": {"image": [[1.0], [2.0]], "n": [1, 2]}} {}', "is not a model server"),
        ('{"outputs": {"image": [[1.0], [2.0]], "n": [1, 2]}', "is not a model server"),
        ('{"outputs": {"image": [[1.0], [2.0]], "n": [1]}}', r"'n' .* has shape \(1\) for 2 examples"),
        ('{"error": "a failure with status 200"}', "is not a model server"),
    ],
)
def test_an_answer_with_other_outputs_than_the_signature_s_is_refused(reply, words):
    outputs = {"image": tensor("DT_FLOAT", -1, 1), "n": tensor(*LONGS)}
    with rest_server(outputs, reply) as (address, _):
        with pytest.raises(errors.ServerError, match=words):
            Client(address).predict("gan", {"z": Z}, "s")


@pytest.mark.parametrize("name, dtype", [("text", "DT_STRING"), ("flag", "DT_BOOL"), ("half", "DT_HALF")])
def test_outputs_that_the_client_cannot_read_are_told_before_anything_is_sent(name, dtype):
    with rest_server({name: tensor(dtype, -1)}, "{}") as (address, requests):
        with pytest.raises(
            errors.BadInputError, match=f"'{name}' of signature 's' of gan is .*; this client reads float32"
        ):
            Client(address).predict("gan", {"z": Z}, "s")
    assert [request for request, _ in requests] == ["GET /v1/models/gan/metadata"]


def changed_metadata(**changes):
    found = json.loads(METADATA)
    found["metadata"]["signature_def"]["signature_def"]["decode"] = (
        signature({"z": LATENTS}, {"image": LATENTS}) | changes
    )
    return json.dumps(found)


WRONG_METADATA = {
    "null": "null",
    "nothing": "{}",
    "a list": "[]",
    "signatures that are a list": '{"metadata": {"signature_def": {"signature_def": []}}}',
    "a signature that is null": '{"metadata": {"signature_def": {"signature_def": {"decode": null}}}}',
    "inputs that are a list": changed_metadata(inputs=[]),
    "a tensor that is text": changed_metadata(outputs={"image": "DT_FLOAT"}),
    "a type that is a number": changed_metadata(outputs={"image": {**LATENTS, "dtype": 1}}),
    "no shape": changed_metadata(outputs={"image": {"dtype": "DT_FLOAT"}}),
    "a size that is 1.7": changed_metadata(outputs={"image": tensor("DT_FLOAT", -1, 1.7)}),
    "a size below -1": changed_metadata(outputs={"image": tensor("DT_FLOAT", -2)}),
    "a size that is true": changed_metadata(
        outputs={"image": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": True}]}}}
    ),
    "dimensions that are an object": changed_metadata(
        outputs={"image": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": {}}}}
    ),
    "a name that clears the screen": changed_metadata(outputs={"\x1b[2J": LATENTS}),
    "a name of a megabyte": changed_metadata(inputs={"z" * 2**20: LATENTS}),
}


@pytest.mark.parametrize("case", WRONG_METADATA)
def test_metadata_that_is_none_is_refused(case):
    with recorded_rest_server({"GET /v1/models/gan/metadata": (200, WRONG_METADATA[case])}) as (address, _):
        with pytest.raises(errors.ServerError, match="is not a model server: HTTP status 200") as caught:
            Client(address).signatures("gan")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", [None, 7, ["s"], {}, "s\x1b[2J", "s" * 10**6, "\ud800"])
def test_a_signature_that_is_no_name_is_told_in_one_line(name):
    with rest_server({"image": tensor(*FLOATS)}, "{}") as (address, _):
        with pytest.raises(errors.BadInputError, match=r"gan has no signature .*, only generate_png, s") as caught:
            Client(address).predict("gan", {"z": Z}, name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", [None, 7, b"gan", "", "gan/1", "g\x00n", "g\nn", "\ud800", "g" * 201, "g\x1b[2Jn"])
def test_models_and_labels_that_are_no_names_are_refused(name):
    client = Client("http://127.0.0.1:1")
    with pytest.raises(InputError, match="a model's name must be a string without / and :, got ") as caught:
        client.status(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    if name is not None:
        with pytest.raises(InputError, match="the label must be a string without / and :, got "):
            client.status("gan", label=name)


@pytest.mark.parametrize("version", [True, -1, 1.0, "1", 2**63, 10**5000, [1]], ids=lambda value: f"{type(value)}")
def test_versions_that_are_no_numbers_are_refused(version):
    for address in ("http://127.0.0.1:1", "grpc://127.0.0.1:1"):
        with pytest.raises(InputError, match="the version must be an integer of at least 0, got "):
            Client(address).status("gan", version=version)


# Labels and states.

STATES = {4: "LOADING", 1: "AVAILABLE", 3: "AVAILABLE", 7: "END", 5: "END"}


def status_text(versions):
    fine = {"error_code": "OK", "error_message": ""}
    return json.dumps(
        {"model_version_status": [{"version": str(n), "state": STATES[n], "status": fine} for n in versions]}
    )


@pytest.fixture
def labelled():
    """A server on which `stable` is version 1. Like the real one, it answers with all states if asked for a label's."""
    unrecognized = '{"error": "Unrecognized servable version label: unstable"}'
    answers = {
        "GET /v1/models/gan": (200, status_text(STATES)),
        "GET /v1/models/gan/labels/stable": (200, status_text(STATES)),
        "GET /v1/models/gan/labels/unstable": (200, status_text(STATES)),
        "GET /v1/models/gan/labels/stable/metadata": (200, metadata({"image": tensor(*FLOATS)}, "1")),
        "GET /v1/models/gan/labels/unstable/metadata": (400, unrecognized),
        **{f"GET /v1/models/gan/versions/{n}": (200, status_text([n])) for n in STATES},
    }
    with recorded_rest_server(answers) as found:
        yield found[0]


class Replies(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """The stand-in for gRPC: versions as in STATES, `stable` being 1; what `Predict` answers is set."""

    def __init__(self):
        self.outputs = {}
        self.reply = predict_pb2.PredictResponse()
        self.states = STATES
        self.failure = None

    def GetModelStatus(self, request, context):
        if self.failure is not None:
            context.abort(grpc.StatusCode.INTERNAL, self.failure)
        reply = get_model_status_pb2.GetModelStatusResponse()
        asked = [request.model_spec.version.value] if request.model_spec.HasField("version") else self.states
        for version in asked:
            reply.model_version_status.add(version=version, state=self.states[version])
        return reply

    def GetModelMetadata(self, request, context):
        if request.model_spec.version_label == "unstable":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: unstable")
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.version.value = 1 if request.model_spec.version_label == "stable" else 3
        found = meta_graph_pb2.SignatureDef()
        found.inputs["z"].CopyFrom(tensor_info("DT_FLOAT", -1, 2))
        for name, info in self.outputs.items():
            found.outputs[name].CopyFrom(tensor_info(*info))
        reply.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap(signature_def={"s": found}))
        return reply

    def Predict(self, request, context):
        return self.reply


def tensor_info(dtype, *sizes):
    info = meta_graph_pb2.TensorInfo(name="t:0", dtype=types_pb2.DataType.Value(dtype))
    for size in sizes:
        info.tensor_shape.dim.add(size=size)
    return info


@pytest.fixture
def replies():
    """`(address, servicer)` of a gRPC server."""
    servicer = Replies()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}", servicer
    server.stop(0).wait()


def test_the_status_of_a_label_is_that_of_its_version_alone(labelled, replies):
    for address in (labelled, replies[0]):
        client = Client(address)
        assert client.status("gan", label="stable") == [{"version": 1, "state": "AVAILABLE", "error": ""}]
        assert [status["version"] for status in client.status("gan", version=5)] == [5]
        with pytest.raises(errors.ModelNotFoundError, match="Unrecognized servable version label: unstable"):
            client.status("gan", label="unstable")


def test_the_query_command_heeds_a_label(labelled, capsys):
    assert main(["query", "gan", "--label", "stable", "--server", labelled]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if " version " in line] == ["gan version 1: AVAILABLE"]
    assert main(["query", "gan", "--label", "unstable", "--server", labelled]) == 2
    assert "Unrecognized servable version label: unstable" in capsys.readouterr().err


def test_versions_that_were_removed_come_last(labelled, replies):
    for address in (labelled, replies[0]):
        found = [(status["version"], status["state"]) for status in Client(address).status("gan")]
        assert found == [(4, "LOADING"), (3, "AVAILABLE"), (1, "AVAILABLE"), (7, "END"), (5, "END")]


# gRPC.


def proto(values, **changes):
    found = tf.make_tensor_proto(values)
    for key, value in changes.items():
        setattr(found, key, value)
    return found


def filled(shape, **values):
    found = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, **values)
    for size in shape:
        found.tensor_shape.dim.add(size=size)
    return found


FINE = np.float32([[0, 0.5, 1], [1, 0.25, 0.1]])
WRONG_TENSORS = {
    "too few examples": (FLOATS, proto(FINE[:1]), SHAPE),
    "another width": (FLOATS, proto(FINE[:, :2]), SHAPE),
    "one dimension more": (FLOATS, proto(FINE[..., None]), SHAPE),
    "no dimension": (FLOATS, proto(np.float32(1)), SHAPE),
    "nothing": (FLOATS, tensor_pb2.TensorProto(), TYPE),
    "NaN": (FLOATS, proto(FINE + np.nan), FINITE),
    "infinite": (FLOATS, proto(FINE + np.inf), FINITE),
    "float64 for float32": (FLOATS, proto(FINE.astype(np.float64)), TYPE),
    "bool for float32": (FLOATS, proto(FINE > 0.3), TYPE),
    "float32 for int64": (LONGS, proto(FINE[:, 0]), TYPE),
    "int32 for int64": (LONGS, proto(np.int32([1, 2])), TYPE),
    "bool for int64": (LONGS, proto(np.array([True, False])), TYPE),
    "text for float32": (FLOATS, proto([["a", "b", "c"], ["d", "e", "f"]]), TYPE),
    "one value for all": (FLOATS, filled((2, 3), float_val=[1]), TYPE),
    "a value too few": (FLOATS, filled((2, 3), float_val=[1] * 5), TYPE),
    "a value too many": (FLOATS, filled((2, 3), float_val=[1] * 7), TYPE),
    "a byte too few": (FLOATS, filled((2, 3), tensor_content=FINE.tobytes()[:-1]), TYPE),
    "a terabyte of one value": (FLOATS, filled((2**20, 2**20), float_val=[1]), TYPE),
    "a size below 0": (FLOATS, filled((-2, -3), float_val=[1] * 6), TYPE),
    "a type that there is not": (FLOATS, tensor_pb2.TensorProto(dtype=99), TYPE),
    "numbers for bytes": (BYTES, proto(np.int64([1, 2])), TYPE),
    "too few bytes": (BYTES, proto([b"AB"]), SHAPE),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_over_grpc_an_answer_that_is_not_what_the_signature_says_is_refused(replies, case):
    address, servicer = replies
    info, value, words = WRONG_TENSORS[case]
    name = "png_bytes" if info is BYTES else "image"
    servicer.outputs = {name: info}
    servicer.reply.outputs[name].CopyFrom(value)
    with pytest.raises(errors.ServerError, match=words):
        Client(address).predict("gan", {"z": Z}, "s")


def test_over_grpc_whole_answers_arrive_and_other_outputs_are_refused(replies):
    address, servicer = replies
    files = np.array([b"A\x00B\x00", b""], object)
    servicer.outputs = {"image": FLOATS, "n": LONGS, "png_bytes": BYTES}
    expected = {"image": FINE, "n": np.int64([2**63 - 1, -(2**63)]), "png_bytes": files}
    for name, value in expected.items():
        servicer.reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    client = Client(address)
    found = client.predict("gan", {"z": Z}, "s")
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    servicer.reply.outputs["m"].CopyFrom(proto(FINE))
    with pytest.raises(
        errors.ServerError, match="answered with image, m, n, png_bytes where its signature has image, n"
    ):
        client.predict("gan", {"z": Z}, "s")
    del servicer.reply.outputs["m"], servicer.reply.outputs["n"]
    with pytest.raises(errors.ServerError, match="answered with image, png_bytes where"):
        client.predict("gan", {"z": Z}, "s")


def test_over_grpc_an_answer_is_no_larger_than_allowed(replies):
    address, servicer = replies
    servicer.outputs = {"image": ("DT_FLOAT", -1, 2**17)}
    servicer.reply.outputs["image"].CopyFrom(proto(np.zeros((2, 2**17), np.float32)))
    assert Client(address).predict("gan", {"z": Z}, "s")["image"].nbytes == 2**20
    with pytest.raises(errors.TooLargeError, match="larger than max"):
        Client(address, max_bytes=2**20).predict("gan", {"z": Z}, "s")


def test_over_grpc_an_answer_of_no_model_server_is_refused(replies):
    address, servicer = replies
    servicer.states = {1: 99}
    with pytest.raises(errors.ServerError, match="is not a model server"):
        Client(address).status("gan")
    servicer.outputs = {"\x1b[2J": FLOATS}
    with pytest.raises(errors.ServerError, match="is not a model server") as caught:
        Client(address).signatures("gan")
    assert str(caught.value).isprintable()
    servicer.outputs = {"image": ("DT_INVALID", -1)}
    with pytest.raises(errors.ServerError, match="is not a model server"):
        Client(address).signatures("gan")


def test_over_grpc_what_the_server_says_is_one_line(replies):
    address, servicer = replies
    servicer.failure = "\x1b[2Jfirst\nsecond " + "word " * 1000
    with pytest.raises(errors.ServerError, match=r"\[2Jfirst second word") as caught:
        Client(address).status("gan")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


# Pictures.


def png(levels, mode="L"):
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(levels)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


LEVELS = np.random.default_rng(0).integers(0, 256, (4, 5, 7))
FILES = [png(levels) for levels in LEVELS]


def encoded(files):
    return json.dumps({"outputs": [{"b64": base64.b64encode(file).decode()} for file in files]})


def test_png_files_arrive_as_bytes():
    with rest_server({"png_bytes": tensor(*BYTES)}, encoded([*FILES, b"", b"\0"])) as (address, requests):
        found = Client(address).predict("gan", {"seed": np.arange(6)}, "generate_png")
    assert set(found) == {"png_bytes"} and found["png_bytes"].dtype == object
    assert found["png_bytes"].tolist() == [*FILES, b"", b"\0"]
    assert json.loads(requests[-1][1])["inputs"] == {"seed": list(range(6))}


def test_the_query_command_tiles_png_files_and_keeps_them_in_npz_without_objects(tmp_path, capsys):
    picture, arrays = tmp_path / "grid.png", tmp_path / "files.npz"
    with rest_server({"png_bytes": tensor(*BYTES)}, encoded(FILES)) as (address, _):
        command = ["query", "gan", "--server", address, "--signature", "generate_png", "--num", "4", "--output"]
        assert main([*command, str(picture)]) == 0
        least, most = min(map(len, FILES)), max(map(len, FILES))
        assert capsys.readouterr().out == f"png_bytes: bytes (4,), {least} to {most} bytes each\n{picture}\n"
        assert main([*command, str(arrays)]) == 0
    expected = figures.tiled_png(LEVELS / 255, columns=2)
    drawn, tiled = (matplotlib.image.imread(io.BytesIO(file)) for file in (picture.read_bytes(), expected))
    np.testing.assert_array_equal(drawn, tiled)
    with np.load(arrays, allow_pickle=False) as written:
        assert written["png_bytes"].dtype.kind == "S" and written["png_bytes"].tolist() == FILES


def damaged(file, at, byte=0):
    return file[:at] + bytes([byte]) + file[at + 1 :]


def header(width, height):
    return FILES[0][:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + FILES[0][24:]


UNDRAWABLE = {
    "no file": ([b""] * 4, RunError, "no PNG file"),
    "a GIF": ([b"GIF89a" + bytes(40)] * 4, RunError, "no PNG file"),
    "one that is none": ([*FILES[:3], b"PNG"], RunError, "no PNG file"),
    "the head alone": ([file[:24] for file in FILES], RunError, "no PNG file"),
    "cut short": ([file[:-20] for file in FILES], RunError, "cannot be drawn"),
    "damaged pixels": ([damaged(file, 50, 255) for file in FILES], RunError, "cannot be drawn"),
    "another size in its head": ([header(7, 4)] * 4, RunError, "cannot be drawn"),
    "no pixels": ([header(0, 0)] * 4, RunError, "cannot be drawn"),
    "colours": ([png(levels, "RGB") for levels in LEVELS], RunError, "its mode is RGB"),
    "several sizes": ([*FILES[:3], png(LEVELS[3].T)], InputError, "only pictures of one size"),
    "too wide": ([png(np.zeros((1, 4097)))] * 4, InputError, "4,096 x 4,096 pixels"),
    "too high": ([png(np.zeros((4097, 1)))] * 4, InputError, "4,096 x 4,096 pixels"),
    "a bomb": ([header(2**31 - 1, 2**31 - 1)] * 4, InputError, "4,096 x 4,096 pixels"),
    "too many pixels together": ([header(4000, 4000)] * 4, InputError, "4,096 x 4,096 pixels in all"),
}


@pytest.mark.parametrize("case", UNDRAWABLE)
def test_png_files_that_cannot_be_drawn_are_refused_and_nothing_is_written(tmp_path, case):
    files, kind, words = UNDRAWABLE[case]
    outputs = {"png_bytes": np.array([*files, None], object)[:-1]}
    with pytest.raises(kind, match=words):
        query.write_output(outputs, tmp_path / "grid.png")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=300, deadline=None)
@given(st.integers(8, len(FILES[0]) - 1), st.integers(0, 255), st.integers(0, 40))
def test_any_damage_to_a_png_file_is_told(tmp_path_factory, at, byte, cut):
    file = damaged(FILES[0], at, byte)[: len(FILES[0]) - cut]
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    with contextlib.suppress(InputError, RunError):
        query.write_output({"png_bytes": np.array([file, None], object)[:-1]}, path)


def test_bytes_that_an_npz_file_would_not_keep_are_refused(tmp_path):
    outputs = {"raw_bytes": np.array([b"A\0", b"B"], object)}
    with pytest.raises(InputError, match="'raw_bytes' holds bytes that end in zeros"):
        query.write_output(outputs, tmp_path / "out.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args", "a/b"])
def test_an_output_may_have_any_name_in_an_npz_file(tmp_path, name):
    query.write_output({name: FINE, "z": Z}, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as written:
        np.testing.assert_equal(dict(written), {name: FINE, "z": Z})


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "9" * 5000, '{"z": [[NaN, 1.0]]}', f'{{"z": [[{10**400}, 1.0]]}}', "[]", '{"z": {}}', "null"],
)
def test_a_file_of_odd_inputs_is_told_in_one_line(tmp_path, capfd, text):
    (tmp_path / "in.json").write_text(text)
    with rest_server({"image": tensor(*FLOATS)}, "{}") as (address, _):
        command = ["query", "gan", "--server", address, "--signature", "s", "--input", str(tmp_path / "in.json")]
        assert main(command) == 2
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err.startswith("tfgen: ") and printed.err.count("\n") == 1


# Any JSON.

NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**31, 2**63, 10**400, 1e39, 1e308]))
VALUES = st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=5))
JSON = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)
KEYS = st.sampled_from(["image", "n", "png_bytes", "outputs", "error", "b64"])
NEAR = st.one_of(
    JSON,
    st.builds(lambda files: [{"b64": file} for file in files], st.lists(st.one_of(st.just("QUI="), JSON), max_size=3)),
    st.lists(st.lists(st.one_of(NUMBERS, VALUES), min_size=3, max_size=3), min_size=2, max_size=2),
    st.lists(st.one_of(NUMBERS, VALUES), min_size=2, max_size=2),
)
ANSWERS = st.one_of(
    JSON,
    st.fixed_dictionaries({"outputs": st.dictionaries(KEYS, NEAR)}),
    st.fixed_dictionaries(
        {"outputs": st.fixed_dictionaries({"image": NEAR, "n": NEAR, "png_bytes": NEAR})},
    ),
)
TYPED = {"image": ("float32", (2, 3)), "n": ("int64", (2,)), "png_bytes": (object, (2,))}
WHOLE = {"image": [[0, 0.5, 1]] * 2, "n": [1, 2], "png_bytes": [{"b64": "QUI="}] * 2}


def answering(monkeypatch, reply, status=200):
    """Lets each request that is no question for signatures be answered with a JSON value."""
    from tfgen.serving.rest_api import RestApi

    outputs = {"image": tensor(*FLOATS), "n": tensor(*LONGS), "png_bytes": tensor(*BYTES)}
    fine = metadata(outputs).encode()
    text = json.dumps(reply).encode()
    monkeypatch.setattr(
        RestApi,
        "_answer",
        lambda self, method, *_: (200, fine) if method == "GET" and status else (status or 200, text),
    )


@settings(max_examples=600, deadline=None)
@given(ANSWERS, st.sampled_from([200, 200, 200, 400, 404, 413, 500]))
@example({"outputs": WHOLE}, 200)
def test_any_json_gives_checked_arrays_or_an_exception_of_the_package(reply, status):
    with pytest.MonkeyPatch.context() as monkeypatch:
        answering(monkeypatch, reply, status)
        try:
            found = Client().predict("gan", {"z": Z}, "s")
        except (InputError, RunError) as error:
            assert reply != {"outputs": WHOLE} or status != 200
            assert type(error).__module__ in ("tfgen.errors", "tfgen.serving.errors") and str(error).isprintable()
            return
    assert status == 200 and {name: (value.dtype, value.shape) for name, value in found.items()} == TYPED
    assert np.all(np.isfinite(found["image"])) and all(type(item) is bytes for item in found["png_bytes"])


STATUSES = st.fixed_dictionaries(
    {
        "model_version_status": st.lists(
            st.fixed_dictionaries(
                {
                    "version": st.one_of(st.just("1"), JSON),
                    "state": st.one_of(st.just("END"), st.just("AVAILABLE"), JSON),
                    "status": st.one_of(st.fixed_dictionaries({"error_code": JSON, "error_message": JSON}), JSON),
                }
            ),
            max_size=3,
        )
    }
)
SHAPES = st.fixed_dictionaries({"dtype": st.one_of(st.just("DT_FLOAT"), JSON), "tensor_shape": JSON})
TENSORS = st.dictionaries(st.text(max_size=3), st.one_of(st.just(LATENTS), SHAPES, JSON), max_size=2)
METADATAS = st.fixed_dictionaries(
    {
        "model_spec": st.one_of(st.fixed_dictionaries({"version": st.one_of(st.just("1"), JSON)}), JSON),
        "metadata": st.fixed_dictionaries(
            {
                "signature_def": st.fixed_dictionaries(
                    {
                        "signature_def": st.dictionaries(
                            st.text(max_size=3),
                            st.one_of(st.fixed_dictionaries({"inputs": TENSORS, "outputs": TENSORS}), JSON),
                            max_size=2,
                        )
                    }
                )
            }
        ),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(JSON, STATUSES, METADATAS))
@example(json.loads(STATUS))
@example(json.loads(METADATA))
def test_any_json_gives_states_and_signatures_or_an_exception_of_the_package(reply):
    with pytest.MonkeyPatch.context() as monkeypatch:
        answering(monkeypatch, reply, status=None)
        for ask in (Client().status, Client().signatures, lambda model: Client().status(model, label="stable")):
            try:
                found = ask("gan")
            except (InputError, RunError) as error:
                assert type(error).__module__ in ("tfgen.errors", "tfgen.serving.errors") and str(error).isprintable()
                continue
            for item in found if isinstance(found, list) else ():
                assert set(item) == {"version", "state", "error"} and type(item["version"]) is int
                assert item["error"].isprintable() and 0 <= item["version"] < 10**19
            for signature_ in found.values() if isinstance(found, dict) else ():
                for tensors in signature_.values():
                    assert all(
                        name.isprintable() and min(shape, default=0) >= -1 for name, (_, shape) in tensors.items()
                    )
