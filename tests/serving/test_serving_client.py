"""The client of the model server: against recorded answers, and against stand-ins for the server.

Both stand-ins check the client only. The one for gRPC answers with an exported model through the official stubs; the
one for REST sends bodies in the forms that the server's documentation gives. `test_serve.py` asks a real server.
"""

import concurrent.futures
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving.recorded import RECORDED, Z, recorded_rest_server
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfgen.cli import main
from tfgen.errors import InputError
from tfgen.export import meta_graph, signatures
from tfgen.sampling import generate
from tfgen.serving import Client, errors, query


class GrpcStandIn(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with SavedModels that TensorFlow has loaded: name -> directory. It checks the client, not the models."""

    def __init__(self, directories):
        self.models = {name: tf.saved_model.load(str(directory)) for name, directory in directories.items()}
        self.graphs = {name: meta_graph(directory) for name, directory in directories.items()}
        self.failure = None

    def _check(self, request, context):
        if self.failure is not None:
            context.abort(*self.failure)
        if request.model_spec.name == "loading" and not isinstance(request, get_model_status_pb2.GetModelStatusRequest):
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(loading)")
        if request.model_spec.name not in (*self.models, "loading"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")

    def GetModelStatus(self, request, context):
        self._check(request, context)
        state = "LOADING" if request.model_spec.name == "loading" else "AVAILABLE"
        status = get_model_status_pb2.ModelVersionStatus(version=1, state=state)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[status])

    def GetModelMetadata(self, request, context):
        self._check(request, context)
        found = get_model_metadata_pb2.SignatureDefMap(signature_def=self.graphs[request.model_spec.name].signature_def)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.metadata["signature_def"].Pack(found)
        return reply

    def Predict(self, request, context):
        self._check(request, context)
        signature = self.models[request.model_spec.name].signatures[request.model_spec.signature_name]
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        reply = predict_pb2.PredictResponse()
        for name, value in signature(**inputs).items():
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return reply


@pytest.fixture(scope="module")
def stand_in(exported):
    """`(address, servicer)` of a gRPC server in this process that answers for a VAE, a GAN and a classifier."""
    servicer = GrpcStandIn({name: exported[name][1] for name in ("vae", "gan", "feature-classifier")})
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(4),
        options=[("grpc.max_receive_message_length", 2**23), ("grpc.max_send_message_length", -1)],
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}", servicer
    server.stop(0).wait()


@pytest.fixture
def rest():
    with recorded_rest_server(RECORDED) as found:
        yield found


def test_status_and_signatures_are_read_from_what_the_server_sends(rest):
    client = Client(rest[0])
    assert client.status("gan") == [
        {"version": 2, "state": "AVAILABLE", "error": ""},
        {"version": 1, "state": "END", "error": "no such file"},
    ]
    image, z = ("float32", (-1, 3)), ("float32", (-1, 2))
    assert client.signatures("gan") == {
        "generate": {"inputs": {"seed": ("int64", (-1,))}, "outputs": {"image": image, "z": z}},
        "decode": {"inputs": {"z": z}, "outputs": {"image": image}},
    }


def test_a_request_is_the_one_that_the_server_s_documentation_describes(rest):
    address, requests = rest
    outputs = Client(address).predict("gan", {"z": Z}, signature="decode")
    assert [request for request, _ in requests] == ["GET /v1/models/gan/metadata", "POST /v1/models/gan:predict"]
    body = json.loads(requests[-1][1])
    assert set(body) == {"signature_name", "inputs"} and body["signature_name"] == "decode"
    # float32 numbers arrive as they are.
    np.testing.assert_array_equal(np.float32(body["inputs"]["z"]), Z)
    # A signature's only output comes without its name.
    assert set(outputs) == {"image"} and outputs["image"].dtype == np.float32
    np.testing.assert_array_equal(outputs["image"], np.float32([[0, 0.5, 1], [1, 0.25, 0.1]]))


def test_several_outputs_come_by_name_and_signatures_are_asked_for_once():
    reply = '{"outputs": {"z": [[1.0, 2.0]], "image": [[0.0, 0.5, 1.0]]}}'
    answers = {**RECORDED, "POST /v1/models/gan:predict": (200, reply)}
    with recorded_rest_server(answers) as (address, requests):
        client = Client(address)
        for _ in range(2):
            outputs = client.predict("gan", {"seed": [2**62]}, signature="generate")
    assert [request for request, _ in requests].count("GET /v1/models/gan/metadata") == 1
    assert json.loads(requests[-1][1])["inputs"] == {"seed": [2**62]}
    np.testing.assert_array_equal(outputs["image"], np.float32([[0, 0.5, 1]]))
    np.testing.assert_array_equal(outputs["z"], np.float32([[1, 2]]))


def test_versions_and_labels_are_parts_of_the_path():
    answers = RECORDED | {
        f"POST /v1/models/gan/{place}:predict": RECORDED["POST /v1/models/gan:predict"]
        for place in ("versions/2", "labels/stable")
    }
    with recorded_rest_server(answers) as (address, requests):
        client = Client(address)
        client.predict("gan", {"z": Z}, "decode", version=2)
        client.predict("gan", {"z": Z}, "decode", label="stable")
    assert [request.split(" ")[1] for request, _ in requests] == [
        "/v1/models/gan/versions/2/metadata",
        "/v1/models/gan/versions/2:predict",
        "/v1/models/gan/labels/stable/metadata",
        "/v1/models/gan/labels/stable:predict",
    ]


BAD_INPUTS = {
    "another signature": ({"z": Z}, "generat", "no signature 'generat', only decode, generate"),
    "another name": ({"noise": Z}, "decode", r"takes a dict of z float32 \(batch, 2\); got noise"),
    "no input": ({}, "decode", "got nothing"),
    "an array": (Z, "decode", "got a ndarray"),
    "one too many": ({"z": Z, "seed": [1]}, "decode", "got z, seed"),
    "another width": ({"z": Z[:, :1]}, "decode", r"has shape \(2, 1\); wanted z float32 \(batch, 2\)"),
    "no batch": ({"z": Z[0]}, "decode", r"has shape \(2\)"),
    "ragged": ({"z": [[1.0, 2.0], [3.0]]}, "decode", "is not an array"),
    "integers": ({"z": np.int32([[1, 2]])}, "decode", "is int32; wanted z float32"),
    "text": ({"z": [["a", "b"]]}, "decode", "wanted z float32"),
    "floats for integers": ({"seed": [1.0]}, "generate", "is float64; wanted seed int64"),
    "NaN": ({"z": [[np.nan, 1.0]]}, "decode", "not finite"),
    "infinite": ({"z": [[np.inf, 1.0]]}, "decode", "not finite"),
    "too large": ({"z": [[1e300, 1.0]]}, "decode", "too large for float32"),
    "a seed too large": ({"seed": np.uint64([2**63])}, "generate", "too large for int64"),
    "empty": ({"z": Z[:0]}, "decode", "is empty; send at least one example"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_told_before_it_is_sent(rest, case):
    inputs, signature, words = BAD_INPUTS[case]
    with pytest.raises(errors.BadInputError, match=words):
        Client(rest[0]).predict("gan", inputs, signature)
    assert [request for request, _ in rest[1]] == ["GET /v1/models/gan/metadata"]


@pytest.mark.parametrize(
    "status, body, kind, words",
    [
        (400, '{"error": "Expected image to have rank 2"}', errors.BadInputError, "Expected image to have rank 2"),
        (
            400,
            '{"error": "Task size 2000 is larger than maximum input batch size 1024"}',
            errors.TooLargeError,
            "larger than maximum input batch size 1024",
        ),
        (
            400,
            '{"error": "Unrecognized servable version label: stable"}',
            errors.ModelNotFoundError,
            "version label: stable",
        ),
        (413, "<html>Request Entity Too Large</html>", errors.TooLargeError, "request of [0-9]+ bytes as too large"),
        (501, '{"error": "dtype"}', errors.BadInputError, "501"),
        (503, '{"error": "The batch scheduling queue is full"}', errors.NotAvailableError, "queue is full"),
        (504, '{"error": "Timed out"}', errors.TimedOutError, "Timed out"),
        (500, '{"error": "Internal"}', errors.ServerError, "Internal"),
        (200, "<html>It works!</html>", errors.ServerError, "is not a model server"),
        (200, '{"predictions": []}', errors.ServerError, "is not a model server"),
        (200, '{"outputs": {"z": [[1.0, 2.0]]}}', errors.ServerError, "answered with z where its signature has image"),
        (200, '{"outputs": [[0.0, 0.5, 1.0]]}', errors.ServerError, "for 2 examples"),
        (
            200,
            '{"outputs": [[0.0, 0.5, 1.0], [0.0]]}',
            errors.ServerError,
            "'image' in the server's answer is not an array",
        ),
    ],
)
def test_each_answer_of_a_failing_server_has_its_exception(status, body, kind, words):
    place = "POST /v1/models/gan:predict"
    with recorded_rest_server({**RECORDED, "GET /v1/models/gan": (status, body), place: (status, body)}) as (
        address,
        _,
    ):
        with pytest.raises(kind, match=words):
            Client(address).predict("gan", {"z": Z}, "decode")


def test_a_missing_model_is_told_from_one_that_is_loading():
    loading = '{"model_version_status": [{"version": "3", "state": "LOADING", "status": {"error_code": "OK"}}]}'
    answers = RECORDED | {
        "GET /v1/models/vae": (200, loading),
        "GET /v1/models/vae/metadata": (404, '{"error": "Servable not found for request: Latest(vae)"}'),
    }
    with recorded_rest_server(answers) as (address, _):
        client = Client(address)
        with pytest.raises(errors.ModelNotFoundError, match="any versions of model gam"):
            client.predict("gam", {"z": Z}, "decode")
        with pytest.raises(errors.ModelNotFoundError, match="any versions of model gam"):
            client.status("gam")
        with pytest.raises(errors.NotAvailableError, match="version 3 is LOADING; try again later"):
            client.predict("vae", {"z": Z}, "decode")


@pytest.mark.parametrize("ending", ["length", "close", "keep", "chunk"])
def test_an_answer_is_read_to_its_end_however_it_ends(ending):
    with recorded_rest_server(RECORDED, ending=ending) as (address, _):
        image = Client(address).predict("gan", {"z": Z}, "decode")["image"]
        np.testing.assert_array_equal(image, np.float32([[0, 0.5, 1], [1, 0.25, 0.1]]))
        with pytest.raises(errors.ModelNotFoundError, match="any versions of model gam"):
            Client(address).status("gam")


@pytest.mark.parametrize("num, kind", [(1, errors.ServerError), (8, errors.TimedOutError)])
def test_an_answer_that_breaks_off_or_drips_past_the_deadline_is_none(num, kind):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(num):
                    connection.sendall(b"{")
                    time.sleep(0.1)
            connection.close()

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(kind, match=r"broke off after 1 bytes|within 0\.35 s"):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.35).status("gan")
        thread.join()


def test_a_user_is_named_to_the_server_and_the_password_in_no_message():
    # "Aladdin" and "open sesame" of RFC 7617.
    header = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    with recorded_rest_server(RECORDED, authorization=header) as (address, _):
        client = Client(address.replace("//", "//Aladdin:open%20sesame@"))
        assert client.status("gan")[0]["state"] == "AVAILABLE"
        with pytest.raises(errors.ModelNotFoundError) as caught:
            client.status("gam")
        assert "sesame" not in str(caught.value) and client.address == address
        for user in ("", "Aladdin@", "Aladdin:closed@"):
            with pytest.raises(InputError, match=r"status 401\); give a user and password: http://USER:PASSWORD@HOST"):
                Client(address.replace("//", f"//{user}")).status("gan")


def test_what_an_available_model_does_not_know_is_told_in_the_server_s_words():
    place = "POST /v1/models/gan:predict"
    with recorded_rest_server({**RECORDED, place: (404, '{"error": "Servable not found"}')}) as (address, _):
        with pytest.raises(errors.ModelNotFoundError, match=r"Servable not found \(HTTP status 404\)"):
            Client(address).predict("gan", {"z": Z}, "decode")


@pytest.mark.parametrize("address, target", [("[::1]:8510", "[::1]:8510"), ("[::1]", "[::1]:8500"), ("h:1", "h:1")])
def test_over_grpc_the_address_reaches_the_channel_with_its_brackets(monkeypatch, address, target):
    targets = []
    channel = grpc.insecure_channel
    monkeypatch.setattr(grpc, "insecure_channel", lambda name, options: targets.append(name) or channel(name, options))
    Client(f"grpc://{address}/")
    assert targets == [target]


def test_a_deadline_holds_for_the_whole_call():
    with recorded_rest_server(RECORDED, delay=5) as (address, _):
        started = time.monotonic()
        with pytest.raises(errors.TimedOutError, match=r"within 0.3 s; try a longer time-out"):
            Client(address, timeout=0.3).status("gan")
        assert time.monotonic() - started < 4


def test_a_server_that_is_not_there_is_told_from_one_that_hangs_up():
    with recorded_rest_server(RECORDED) as (address, _):
        pass
    with pytest.raises(errors.NotRunningError, match=r"no server answers at .*; start one with tfgen serve"):
        Client(address).status("gan")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(errors.NotRunningError, match="is the server running"):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}").status("gan")
        thread.join()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("127.0.0.1:8501",), "must look like http://127.0.0.1:8501"),
        (("ftp://127.0.0.1",), "must look like"),
        (("http://127.0.0.1:port",), "must look like"),
        (("http://127.0.0.1:8501?model=gan",), "must look like"),
        (("grpc://user:secret@127.0.0.1",), r"no user and no path; got '\*\*\*@127.0.0.1'"),
        (("grpc://127.0.0.1:8500/models",), "no user and no path"),
        (("http://127.0.0.1:8501", 0), "more than 0 and at most 1,000,000 seconds, got 0"),
    ],
)
def test_addresses_and_deadlines_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Client(*arguments)


def test_models_versions_and_labels_that_cannot_be_are_refused_and_nothing_is_sent(rest):
    client = Client(rest[0])
    for model, options, words in (
        ("gan/1", {}, "without / and :"),
        ("", {}, "without / and :"),
        ("gan", {"version": -1}, "at least 0"),
        ("gan", {"version": "1"}, "at least 0"),
        ("gan", {"label": "a/b"}, "without / and :"),
        ("gan", {"version": 1, "label": "stable"}, "not both"),
    ):
        with pytest.raises(InputError, match=words):
            client.status(model, **options)
    assert rest[1] == []


def test_rest_needs_neither_tensorflow_nor_grpc(rest):
    program = (
        "import sys; from tfgen.serving import Client\n"
        "import numpy as np\n"
        "print(Client(sys.argv[1]).predict('gan', {'z': np.ones((2, 2))}, 'decode')['image'].tolist())\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'grpc', 'keras', 'tensorflow', 'google'}))"
    )
    process = subprocess.run([sys.executable, "-c", program, rest[0]], capture_output=True, text=True, timeout=60)
    assert process.stderr == ""
    assert process.stdout.splitlines()[-1] == "[]" and process.stdout.startswith("[[0.0, 0.5, 1.0]")


@pytest.mark.parametrize("name", ["vae", "gan", "feature-classifier"])
def test_over_grpc_every_signature_answers_as_keras_does(stand_in, exported, name):
    from tfgen.serving.warmup import example_inputs

    client = Client(stand_in[0])
    assert client.status(name) == [{"version": 1, "state": "AVAILABLE", "error": ""}]
    functions, directory = exported[name]
    offered = signatures(meta_graph(directory))
    assert set(client.signatures(name)) == set(offered) >= set(functions)
    for key, signature in offered.items():
        for batch_size in (1, 5):
            inputs = example_inputs(signature, batch_size)
            outputs = client.predict(name, inputs, key)
            expected = functions[key.removesuffix("_png")][0](*map(tf.constant, inputs.values()))
            if key.endswith("_png"):
                pictures = np.stack([tf.io.decode_png(file)[..., 0] for file in outputs["png_bytes"]])
                images = expected["image" if key == "generate_png" else "reconstruction"]
                assert set(outputs) == {"png_bytes"} and outputs["png_bytes"].shape == (batch_size,)
                np.testing.assert_allclose(pictures.reshape(batch_size, -1), 255 * images, atol=0.51)
                continue
            assert set(outputs) == set(expected)
            for output, value in expected.items():
                assert outputs[output].dtype == value.numpy().dtype
                np.testing.assert_allclose(outputs[output], value, rtol=1e-4, atol=1e-5)


def test_over_grpc_answers_of_more_than_4_mib_arrive(stand_in):
    outputs = Client(stand_in[0]).predict("gan", {"seed": np.arange(2000)}, "generate")
    assert outputs["image"].shape == (2000, 784) and outputs["image"].nbytes > 2**22


def test_over_grpc_16_threads_share_a_client_and_a_seed_gives_one_image(stand_in):
    client = Client(stand_in[0])
    expected = client.predict("vae", {"seed": np.arange(40)}, "generate")
    rng = np.random.default_rng(0)
    batches = [rng.permutation(40)[: rng.integers(1, 17)] for _ in range(64)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda seeds: client.predict("vae", {"seed": seeds}, "generate"), batches))
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer["z"], expected["z"][batch])
        np.testing.assert_allclose(answer["image"], expected["image"][batch], atol=1e-6)


def test_over_grpc_each_failure_has_its_exception(stand_in, monkeypatch):
    address, servicer = stand_in
    client = Client(address)
    seeds = {"seed": np.arange(2)}
    client.predict("gan", seeds, "generate")
    with pytest.raises(errors.ModelNotFoundError, match="any versions of model gam"):
        client.predict("gam", seeds)
    with pytest.raises(errors.NotAvailableError, match="version 1 is LOADING"):
        client.predict("loading", seeds)
    with pytest.raises(errors.BadInputError, match=r"has shape \(2, 1\); wanted seed int64 \(batch\)"):
        client.predict("gan", {"seed": np.ones((2, 1), int)}, "generate")
    with pytest.raises(errors.TooLargeError, match="RESOURCE_EXHAUSTED"):
        client.predict("vae", {"image": np.zeros((3000, 784), np.float32)}, "encode")
    for code, kind in (
        (grpc.StatusCode.INVALID_ARGUMENT, errors.BadInputError),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.BadInputError),
        (grpc.StatusCode.UNAVAILABLE, errors.NotAvailableError),
        (grpc.StatusCode.INTERNAL, errors.ServerError),
    ):
        monkeypatch.setattr(servicer, "failure", (code, "the reason"))
        with pytest.raises(kind, match="the reason") as caught:
            client.predict("gan", seeds, "generate")
        assert type(caught.value) is kind
    with pytest.raises(errors.NotRunningError, match="no server answers"):
        Client("grpc://127.0.0.1:1").status("gan")


def test_over_grpc_a_deadline_holds(stand_in, monkeypatch):
    address, servicer = stand_in
    monkeypatch.setattr(servicer, "_check", lambda request, context: time.sleep(1))
    with pytest.raises(errors.TimedOutError, match=r"within 0.2 s"):
        Client(address, timeout=0.2).status("gan")


def test_the_query_command_shows_what_a_model_offers_and_what_it_computes(rest, tmp_path, capsys):
    assert main(["query", "gan", "--server", rest[0]]) == 0
    printed = capsys.readouterr().out
    assert "gan version 2: AVAILABLE\n" in printed and "gan version 1: END: no such file\n" in printed
    assert "  generate: seed int64 (batch) -> image float32 (batch, 3), z float32 (batch, 2)\n" in printed
    (tmp_path / "z.json").write_text('{"z": [[0.5, 1.5], [2.0, 0.0]]}')
    inputs, outputs = str(tmp_path / "z.json"), str(tmp_path / "outputs.npz")
    command = ["query", "gan", "--server", rest[0], "--signature", "decode", "--input", inputs, "--output", outputs]
    assert main(command) == 0
    assert "image: float32 (2, 3), 0 to 1\n" in capsys.readouterr().out
    with np.load(outputs) as written:
        np.testing.assert_array_equal(written["image"], np.float32([[0, 0.5, 1], [1, 0.25, 0.1]]))
    # The file has the name that was given and printed.
    assert main([*command[:-1], str(tmp_path / "OUT.NPZ")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["OUT.NPZ", "outputs.npz", "z.json"]
    assert (tmp_path / "OUT.NPZ").read_bytes() == (tmp_path / "outputs.npz").read_bytes()


def test_the_query_command_draws_the_images_of_tfgen_sample(stand_in, exported, tmp_path, capsys):
    import matplotlib.image

    png = tmp_path / "grid.png"
    command = ["query", "gan", "--server", stand_in[0], "--signature", "generate", "--num", "4", "--seed", "7"]
    assert main([*command, "--output", str(png)]) == 0
    assert "image: float32 (4, 784)" in capsys.readouterr().out
    drawn = matplotlib.image.imread(png)[..., 0]
    images = generate(exported["gan"][1], 4, 7).reshape(4, 28, 28)
    scale = drawn.shape[1] // (2 * 28 + 1)
    # The first image, one of each square of pixels, in 256 shades.
    np.testing.assert_allclose(drawn[: 28 * scale : scale, : 28 * scale : scale], images[0], atol=2 / 255)
    assert main([*command, "--output", str(tmp_path / "outputs.npz")]) == 0
    with np.load(tmp_path / "outputs.npz") as written:
        np.testing.assert_allclose(written["image"], images.reshape(4, 784), atol=1e-6)


@pytest.mark.parametrize("name", ["image", "reconstruction"])
def test_square_images_of_any_size_are_drawn_and_others_written_to_npz_alone(tmp_path, name):
    import matplotlib.image

    png, npz = tmp_path / "grid.png", tmp_path / "outputs.npz"
    images = np.random.default_rng(0).random((3, 256)).astype(np.float32)
    query.write_output({"z": np.zeros((3, 2)), name: images}, png)
    drawn = matplotlib.image.imread(png)[..., 0]
    scale = drawn.shape[1] // (2 * 16 + 1)
    first = drawn[: 16 * scale : scale, : 16 * scale : scale]
    np.testing.assert_allclose(first, images[0].reshape(16, 16), atol=2 / 255)
    png.unlink()
    for outputs in ({name: images[:, :255]}, {"z": images}, {name: images[:, 0]}):
        words = f"there is no square image among the outputs {next(iter(outputs))}; write them to an .npz file"
        with pytest.raises(InputError, match=words):
            query.write_output(outputs, png)
        assert not png.exists()
        query.write_output(outputs, npz)
        with np.load(npz) as written:
            np.testing.assert_equal(dict(written), outputs)


@pytest.mark.parametrize(
    "options, words, code",
    [
        (["gam"], "any versions of model gam", 2),
        (["gan", "--signature", "generat"], "no signature 'generat', only decode, generate", 2),
        (["gan", "--signature", "decode"], "takes z float32 (batch, 2); give --input FILE", 2),
        (["gan", "--output", "grid.png"], "--output needs --signature", 2),
        (["gan", "--signature", "decode", "--input", "missing.npz"], "existing .npz or .json file", 2),
        (["gan", "--signature", "decode", "--input", "bad.json"], "bad.json cannot be read", 2),
        (["gan", "--signature", "decode", "--input", "z.json", "--num", "3"], "give one or the other", 2),
        (["gan", "--signature", "decode", "--input", "z.json", "--output", "x.gif"], "--output must name", 2),
        (["gan", "--signature", "generate", "--num", "0"], "--num must be at least 1", 2),
        (["gan", "--signature", "generate", "--seed", "-1"], "--seed must lie between", 2),
        (["gan", "--version", "-2"], "at least 0", 2),
        (["gan", "--timeout", "0"], "more than 0 and at most", 2),
        (["gan", "--server", "http://127.0.0.1:1"], "no server answers at http://127.0.0.1:1; start one", 1),
        (["gan", "--server", "localhost:8501"], "must look like", 2),
    ],
)
def test_a_query_that_cannot_be_answered_gets_one_line(rest, tmp_path, monkeypatch, capfd, options, words, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "z.json").write_text('{"z": [[0.5, 1.5]]}')
    assert main(["query", "--server", rest[0], *options]) == code
    printed = capfd.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and printed.err.startswith("tfgen: ")
    assert printed.out == ""


def test_the_example_of_the_document_prints_what_it_shows(stand_in, capsys):
    document = (pathlib.Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    ((code, output),) = re.findall(r"```python\n([^`]*tfgen.serving[^`]*)```\n\n```text\n(.*?)```", document, re.DOTALL)
    assert "http://127.0.0.1:8501" in code
    exec(code.replace("http://127.0.0.1:8501", stand_in[0]), {})
    assert capsys.readouterr().out == output
