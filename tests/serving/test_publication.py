"""Publishing: what is refused, what a version holds, and that no version is ever seen half-written or overwritten."""

import concurrent.futures
import dataclasses
import importlib
import json
import os
import pathlib
import re
import shlex
import stat
import subprocess
import sys
import threading

import foreign
import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from helpers import FREE_TEXTS, MARKUP, contents, decoded, finished_run, rendered
from hypothesis import given, settings
from tensorflow_serving.config import model_server_config_pb2

from tfgen.errors import InputError
from tfgen.export import PICTURES, describe, export, meta_graph, signatures, violations
from tfgen.files import lock_of, locked
from tfgen.recipe import Published
from tfgen.recipes import RECIPES
from tfgen.runner.results import read_results
from tfgen.serving import card, config, publication, publish, warmup

STORE = pathlib.Path(__file__).parents[2] / "saved_models"
# From each kind of model to its signatures: the first is the default. Each is (inputs, outputs).
RECONSTRUCT = ({"image"}, {"reconstruction"})
AUTOENCODER = {
    "reconstruct": RECONSTRUCT,
    "reconstruct_png": ({"image"}, {"png_bytes"}),
    "encode": ({"image"}, {"code"}),
    "decode": ({"code"}, {"image"}),
}
VAE = {
    "reconstruct": RECONSTRUCT,
    "reconstruct_png": ({"image"}, {"png_bytes"}),
    "encode": ({"image"}, {"z_mean", "z_log_var"}),
    "decode": ({"z"}, {"image"}),
    "generate": ({"seed"}, {"image", "z"}),
    "generate_png": ({"seed"}, {"png_bytes"}),
}
GAN = {
    "generate": ({"seed"}, {"image", "z"}),
    "generate_png": ({"seed"}, {"png_bytes"}),
    "generate_from_z": ({"z"}, {"image"}),
    "discriminate": ({"image"}, {"logit", "probability"}),
}
CONTRACT = {
    "shallow-autoencoder": AUTOENCODER,
    "tied-autoencoder": AUTOENCODER,
    "stacked-autoencoder": AUTOENCODER,
    "anomaly-detection": {**AUTOENCODER, "score": ({"image"}, {"squared_error"})},
    "deep-embedded-clustering": {
        "cluster": ({"image"}, {"soft_assignments"}),
        "encode": ({"image"}, {"code"}),
        "reconstruct": RECONSTRUCT,
        "reconstruct_png": ({"image"}, {"png_bytes"}),
    },
    "semi-supervised-vae": {
        "classify": ({"image"}, {"logits", "probabilities", "class_id"}),
        "encode": VAE["encode"],
    },
    "feature-classifier": {
        "classify": ({"image"}, {"logits", "probabilities", "class_id"}),
        "encode": ({"image"}, {"code"}),
    },
    "digit-classifier": {
        "classify": ({"image"}, {"logits", "probabilities", "class_id"}),
        "features": ({"image"}, {"features"}),
    },
    "vae": VAE,
    "vae-gaussian": VAE,
    "importance-weighted-vae": VAE,
    "two-layer-vae": VAE,
    "gan": GAN,
    "gan-goodfellow": GAN,
    "gan-1d": {
        "generate": ({"seed"}, {"x", "z"}),
        "generate_from_z": ({"z"}, {"x"}),
        "discriminate": ({"x"}, {"logit", "probability"}),
    },
}


def tree(directory):
    """Returns the contents of every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", CONTRACT)
def test_every_model_exports_the_signatures_of_the_contract(exported, name):
    _, directory = exported[name]
    described = describe(directory)
    found = {key: (set(value["inputs"]), set(value["outputs"])) for key, value in described.items()}
    (default, expected), *_ = CONTRACT[name].items()
    assert found == {**CONTRACT[name], "serving_default": expected}
    assert described["serving_default"] == described[default]
    for signature in described.values():
        for tensor in [*signature["inputs"].items(), *signature["outputs"].items()]:
            name, value = tensor
            dtypes = {"seed": "int64", "class_id": "int64", "png_bytes": "string"}
            assert value["dtype"] == dtypes.get(name, "float32")
            assert value["shape"][0] is None and None not in value["shape"][1:]
            assert value["shape"][1:] == [784] or name not in ("image", "reconstruction")


def test_the_models_of_the_recipes_have_been_exported(exported):
    assert set(CONTRACT) == set(exported)


Z = tf.TensorSpec((None, 2), name="z")
COUNTER = tf.Variable(0.0, trainable=False)
KERAS_NOISE = keras.random.SeedGenerator(0)


def _counting(z):
    COUNTER.assign_add(1.0)
    return {"image": z}


def _calling_python(z):
    return {"image": tf.ensure_shape(tf.py_function(lambda value: value, [z], tf.float32), (None, 2))}


def _drawing_in_a_loop(z):
    return {"image": tf.map_fn(lambda row: row + tf.random.normal((2,)), z)}


@pytest.mark.parametrize(
    "function, spec, words",
    [
        (_counting, Z, "holds the operation 'AssignAddVariableOp'"),
        (lambda z: {"image": z + keras.random.normal((2,), seed=KERAS_NOISE)}, Z, "the operation 'AssignVariableOp'"),
        (lambda z: {"image": z + tf.random.normal((2,))}, Z, "operation 'RandomStandardNormal'"),
        (_drawing_in_a_loop, Z, "holds the operation 'RandomStandardNormal'"),
        (_calling_python, Z, "holds the operation 'EagerPyFunc'"),
        (tf.function(lambda z: {"image": 2 * z}, jit_compile=True), Z, "XLA"),
        (lambda z: {"image": tf.cast(z, tf.float16)}, Z, "is DT_HALF"),
        (lambda z: {"image": tf.cast(z, tf.bfloat16)}, Z, "is DT_BFLOAT16"),
        (
            lambda z: {"image": tf.reduce_mean(z, axis=0, keepdims=True)},
            Z,
            "'image' of 'serving_default' has no leading",
        ),
        (lambda z: {"image": tf.reduce_mean(z)}, Z, "'image' of 'serving_default' has no leading"),
        (lambda z: {"image": tf.zeros((1, 2)) + z}, tf.TensorSpec((3, 2), name="z"), "'z' of 'serving_default' has no"),
        (lambda z: {"image": z}, tf.TensorSpec((None, None), name="z"), "an unknown dimension besides the batch"),
        (lambda z: z, Z, "'output_0' of 'serving_default' has no name of its own"),
        (lambda z: {"keras_tensor_7": z}, Z, "'keras_tensor_7' of 'serving_default' has no name of its own"),
        (lambda z: {"image": tf.as_string(z)}, Z, "'image' of 'serving_default' is DT_STRING"),
        (lambda z: {"png_bytes": z}, Z, "'png_bytes' of 'serving_default' is DT_FLOAT"),
        (lambda z: {"picture": z}, Z, "'picture' of 'serving_default' has no entry"),
    ],
    ids=lambda value: value.replace(" ", "-")[:40] if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_server_could_not_serve_is_not_exported(function, spec, words, tmp_path):
    endpoints = {"serving_default": (function, [spec]), "decode": (function, [spec])}
    with pytest.raises(ValueError, match=re.escape(words)):
        export(endpoints, tmp_path / "saved_model", (1, 2))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "endpoints, words",
    [
        ({"serving_default": (lambda z: {"image": z}, [Z])}, "equals none of the named"),
        (
            {"serving_default": (lambda z: {"image": z}, [Z]), "decode": (lambda z: {"z": z}, [Z])},
            "'serving_default' is missing, or equals none of the named",
        ),
        (
            dict.fromkeys(
                ("serving_default", "generate"),
                (lambda seed: {"x": tf.cast(seed, tf.float32)}, [tf.TensorSpec((None,), tf.int64, name="seed")]),
            ),
            "none takes 'z'",
        ),
    ],
)
def test_a_set_of_signatures_that_breaks_the_contract_is_not_exported(endpoints, words, tmp_path):
    with pytest.raises(ValueError, match=re.escape(words)):
        export(endpoints, tmp_path / "saved_model", (1, 2))
    assert not any(tmp_path.iterdir())


def test_a_model_of_another_tag_is_refused_and_every_reason_is_listed(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "none"))
    assert violations(tmp_path / "none") == [
        "there is no signature",
        "'serving_default' is missing, or equals none of the named signatures",
    ]
    content = (tmp_path / "none" / "saved_model.pb").read_bytes()
    assert content.count(b"serve") == 1
    (tmp_path / "none" / "saved_model.pb").write_bytes(content.replace(b"serve", b"train"))
    assert violations(tmp_path / "none") == ["no graph is tagged 'serve'"]
    function = lambda z: {"picture": tf.cast(z, tf.float16) + tf.random.normal((2,), dtype=tf.float16)}  # noqa: E731
    with pytest.raises(ValueError) as caught:
        export({"serving_default": (function, [Z])}, tmp_path / "saved_model", (1, 2))
    for word in ("'serving_default' is missing", "no entry", "DT_HALF", "RandomStandardNormal"):
        assert word in str(caught.value)


def test_a_version_is_the_run_s_model_with_its_description_and_warm_up(exported, tmp_path):
    run = finished_run(tmp_path / "runs" / "gan", exported["gan"][1])
    version = publish(run, tmp_path / "saved_models")
    assert version == tmp_path / "saved_models" / "gan" / "1"
    files, exported_files = tree(version), tree(run / "saved_model")
    assert json.loads(exported_files.pop("assets.extra/tfgen.json")) == {"image_shape": [28, 28]}
    for name, content in exported_files.items():
        assert files.pop(name) == content
    assert json.loads(files.pop("assets.extra/results.json")) == json.loads((run / "results.json").read_text())
    description = json.loads(files.pop("assets.extra/tfgen.json"))
    told = {"recipe": "gan", "dataset": "mnist", "comparable": True, "preset": "quick", "seed": 3}
    assert {key: description[key] for key in told} == told
    assert description["image_shape"] == [28, 28]
    assert description["metrics"]["some_metric"]["value"] == 0.25
    assert description["environment"]["tensorflow"] == "2.21.0"
    image = description["signatures"]["generate"]["outputs"]["image"]
    assert (image["dtype"], image["shape"], image["minimum"], image["maximum"]) == ("float32", [None, 784], 0, 1)
    assert list(files) == ["assets.extra/tf_serving_warmup_requests"]
    # Of what publishing needs, the locks alone stay.
    hidden = tree(tmp_path / "saved_models").items()
    assert {name: content for name, content in hidden if "/." in f"/{name}"} == {".lock": b"", "gan/.lock": b""}


def test_publishing_again_adds_a_version_and_leaves_the_first_one_untouched(exported, tmp_path):
    run = finished_run(tmp_path / "runs" / "gan", exported["gan"][1])
    first = publish(run, tmp_path / "models")
    before = tree(first)
    results = json.loads((run / "results.json").read_text())
    results["metrics"]["some_metric"]["value"] = 0.125
    (run / "results.json").write_text(json.dumps(results))
    (tmp_path / "models" / "gan" / "7").mkdir()
    (tmp_path / "models" / "gan" / "7" / "saved_model.pb").write_bytes(b"another's")
    (tmp_path / "models" / "gan" / "notes9").mkdir()
    assert publish(run, tmp_path / "models").name == "8"
    assert tree(first) == before
    assert (tmp_path / "models" / "gan" / "7" / "saved_model.pb").read_bytes() == b"another's"
    text = (tmp_path / "models" / "gan" / "README.md").read_text()
    assert "Version 8" in text and "| 0.125 |" in text
    assert json.loads((tmp_path / "models" / "gan" / "results.json").read_text()) == results


def test_the_height_and_width_of_images_stay_in_the_metadata_and_the_card_says_them(exported, tmp_path):
    run = finished_run(tmp_path / "run", exported["gan"][1])
    metadata = run / "saved_model" / "assets.extra" / "tfgen.json"
    metadata.write_text('{"image_shape": [16, 49]}')
    wide = json.loads((publish(run, tmp_path / "models") / "assets.extra" / "tfgen.json").read_text())
    assert wide["image_shape"] == [16, 49]
    assert "images of 16x49 pixels" in (tmp_path / "models" / "gan" / "README.md").read_text()
    # A run of a version that did not export them.
    metadata.unlink()
    old = json.loads((publish(run, tmp_path / "models") / "assets.extra" / "tfgen.json").read_text())
    assert old == {key: value for key, value in wide.items() if key != "image_shape"}
    assert "images of 28x28 pixels" in (tmp_path / "models" / "gan" / "README.md").read_text()


def test_metadata_of_an_export_neither_speak_for_the_run_nor_are_published_if_they_are_damaged(exported, tmp_path):
    run = finished_run(tmp_path / "run", exported["gan"][1])
    metadata = run / "saved_model" / "assets.extra" / "tfgen.json"
    metadata.write_text('{"title": "Another", "preset": "paper", "signatures": {}, "image_shape": [28, 28]}')
    told = json.loads((publish(run, tmp_path / "models") / "assets.extra" / "tfgen.json").read_text())
    assert (told["title"], told["preset"], told["image_shape"]) == (RECIPES["gan"].title, "quick", [28, 28])
    assert "generate" in told["signatures"]
    for text, said in (('{"image_shape": [28, "<b>"]}', "image_shape must be"), ("[1]", "no object"), ("{", "damaged")):
        metadata.write_text(text)
        with pytest.raises(InputError, match=f"^{metadata}.*{said}"):
            publish(run, tmp_path / "others")
        assert not list((tmp_path / "others" / "gan").iterdir())


def card_of(published, **changed):
    """Returns the card of the published GAN as it would be had its run had other results."""
    assets = published / "gan" / "1" / "assets.extra"
    description, results = (json.loads((assets / name).read_text()) for name in ("tfgen.json", "results.json"))
    told = {key: value for key, value in changed.items() if key in description}
    return card.model_card(description | told, results | changed, 1)


def test_the_card_tells_command_metrics_signatures_and_limits(published, monkeypatch):
    paper = {"some_metric": Published(0.5, "Someone 1999")}
    monkeypatch.setitem(RECIPES, "gan", dataclasses.replace(RECIPES["gan"], published=paper))
    config = {"epochs": 2, "precision": "other"}
    text = card_of(published, dataset="digits", comparable=False, config=config, deterministic=True)
    options = "--preset quick --dataset digits --seed 3 --epochs 2 --set precision=other --deterministic"
    assert f"```console\n$ tfgen run gan {options}\n```" in text
    assert "| `some_metric` | share | test, 10,000 | not comparable | 0.25 |" in text
    assert "`seed` int64 (batch): " in text and "`image` float32 (batch, 784) in [0, 1]: pixels" in text
    assert "not comparable to published ones" in text
    assert "It has seen digits alone, centred images of 28x28 pixels" in text
    text = card_of(published)
    assert "| `some_metric` | share | test, 10,000 | 0.5 (Someone 1999) | 0.25 |" in text
    assert "not comparable" not in text and "averaged" not in text


def test_the_card_says_that_the_averaged_weights_are_the_exported_ones(published):
    metric = {"value": 0.25, "unit": "share", "split": "test", "n": 10_000}
    text = card_of(published, metrics={"some_metric": metric, "some_metric__averaged_weights": metric})
    assert "The model is that of `__averaged_weights`" in text


@settings(max_examples=30, deadline=None)
@given(text=FREE_TEXTS)
def test_no_text_of_a_results_file_becomes_markup_in_a_card(published, text):
    def shown(text):
        metric = {
            "value": 0.25,
            "unit": text,
            "split": text,
            "n": 10_000,
            "classifier": text,
            "classifier_test_error": 0.01,
        }
        return rendered(card_of(published, title=text, dataset=text, metrics={"some_metric": metric}))

    tags, texts = shown(text)
    plain_tags, plain_texts = shown("plain")
    assert tags == plain_tags
    # In the command it may stand in the shell's quotes.
    for found, plain in zip(texts, plain_texts, strict=True):
        assert found == (plain.replace("plain", shlex.quote(text) if plain.startswith("$ ") else text))


def test_no_text_of_a_model_s_description_becomes_markup_in_its_card(published):
    assets = published / "gan" / "1" / "assets.extra"
    signatures = json.loads((assets / "tfgen.json").read_text())["signatures"]

    def shown(text):
        signatures["generate"]["outputs"]["z"]["meaning"] = text
        return rendered(card_of(published, signatures=signatures))

    plain_tags, plain_texts = shown("plain")
    for text in MARKUP:
        assert shown(text) == (plain_tags, [told.replace("plain", text) for told in plain_texts])


# From a place in a model's description to values that it must not have.
WRONG_DESCRIPTIONS = {
    "title": [None, 1, "", "two\nlines", "\x1b[31mred", "see http://a"],
    "signatures": [None, [], {"<b>": {}}, {"generate": 1}, "\u202e"],
    "signatures.generate": [{}, {"inputs": {}}],
    "signatures.generate.inputs": [None, {"a b": {}}, {"seed": []}],
    "signatures.generate.inputs.seed": [{}],
    "signatures.generate.inputs.seed.dtype": [None, 1, "float32 | float64", "<b>"],
    "signatures.generate.inputs.seed.shape": [None, 3, ["<b>"], [-1], [True]],
    "signatures.generate.inputs.seed.minimum": ["0", True, 1e151],
    "signatures.generate.inputs.seed.maximum": ["0", [], -(10**400)],
    "signatures.generate.inputs.seed.meaning": [None, 1, "a\nb"],
    "image_shape": [28, [28], [28, "<b>"], [28, 0], [28.0, 28.0], None],
}


def with_value(contents, place, value):
    """Returns a dict with another value at a place such as "signatures.generate"."""
    first, _, rest = place.partition(".")
    return {**contents, first: with_value(contents[first], rest, value) if rest else value}


@pytest.mark.parametrize("place", WRONG_DESCRIPTIONS)
def test_a_description_with_a_value_that_may_not_be_is_refused_in_one_line(published, tmp_path, place):
    description = json.loads((published / "gan" / "1" / "assets.extra" / "tfgen.json").read_text())
    path = tmp_path / "tfgen.json"
    path.write_text(json.dumps(description))
    assert card.read_description(path) == description
    for value in WRONG_DESCRIPTIONS[place]:
        path.write_text(json.dumps(with_value(description, place, value)))
        with pytest.raises(InputError) as refused:
            card.read_description(path)
        message = str(refused.value)
        assert message.startswith(str(path)) and message.isprintable() and len(message) < 500
        assert place in message or "cannot be printed" in message


@pytest.mark.parametrize("model", sorted(path.parent for path in STORE.glob("*/results.json")), ids=lambda m: m.name)
def test_each_published_card_is_what_its_version_says(model):
    version = config.versions(model)[-1]
    assets = model / str(version) / "assets.extra"
    description, results = card.read_description(assets / "tfgen.json"), read_results(assets / "results.json")
    assert (model / "README.md").read_text() == card.model_card(description, results, version)
    assert json.loads((model / "results.json").read_text()) == results


def test_a_highest_version_that_was_copied_in_by_hand_leaves_no_card_and_is_named(exported, tmp_path, monkeypatch):
    run, model = finished_run(tmp_path / "run", exported["gan"][1]), tmp_path / "models" / "gan"
    rename = publication._rename_to_next

    def then_another_copies(temporary, model):
        version = rename(temporary, model)
        (model / "7").mkdir()
        return version

    monkeypatch.setattr(publication, "_rename_to_next", then_another_copies)
    with pytest.raises(
        InputError, match=r"^the version is published.*gan/7/assets.extra/tfgen.json is missing"
    ) as caught:
        publish(run, tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert (model / "1" / "assets.extra" / "tfgen.json").is_file()
    assert not (model / "README.md").exists()
    assert "gan" in (tmp_path / "models" / "models.config").read_text()


def test_warm_up_records_are_two_batches_a_signature_that_the_model_answers(published):
    for name, versions in config.models(published).items():
        directory = published / name / str(versions[0])
        requests = warmup.read(directory)
        sizes = {}
        for request in requests:
            assert request.model_spec.name == name
            (value,) = request.inputs.values()
            sizes.setdefault(request.model_spec.signature_name, []).append(value.tensor_shape.dim[0].size)
        assert sizes == {key: [1, 32] for key in signatures(meta_graph(directory))}
        assert warmup.replay(directory) == len(requests) == 2 * len(sizes) <= 1000


@pytest.mark.parametrize(
    "function, words",
    [
        (lambda z: {"image": z / 0.0}, "'image' of 'decode' is not finite"),
        (lambda z: {"image": 2.0 + tf.sigmoid(z)}, "outside 0.0 to 1.0"),
        (lambda z: {"image": tf.sigmoid(z[:1])}, "has 1 rows for 32 examples"),
    ],
)
def test_a_model_whose_answers_are_wrong_is_not_published(function, words, tmp_path):
    export(dict.fromkeys(("serving_default", "decode"), (function, [Z])), tmp_path / "saved_model", (1, 2))
    run = finished_run(tmp_path / "run", tmp_path / "saved_model")
    with pytest.raises(InputError, match=words):
        publish(run, tmp_path / "models")
    assert not list((tmp_path / "models" / "gan").iterdir())


def test_an_export_that_cannot_be_served_is_not_published(tmp_path):
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", lambda z: {"image": tf.random.normal((2,)) + z}, [Z])
    archive.write_out(str(tmp_path / "saved_model"), verbose=False)
    run = finished_run(tmp_path / "run", tmp_path / "saved_model")
    with pytest.raises(InputError, match=r"'serving_default' is missing.*'RandomStandardNormal'.*Run gan anew"):
        publish(run, tmp_path / "models")
    assert not list((tmp_path / "models" / "gan").iterdir())


@pytest.mark.parametrize(
    "operation, place",
    [
        ("WriteFile", "signature"),
        ("WriteFile", "initialiser"),
        ("ReadFile", "nested"),
        ("MatchingFiles", "loop"),
        ("EagerPyFunc", "initialiser"),
        ("SaveV2", "branch"),
        ("RestoreV2", "signature"),
    ],
)
def test_a_run_s_model_that_holds_an_operation_that_exports_never_use_is_neither_run_nor_published(
    operation, place, tmp_path
):
    model = foreign.write(tmp_path / "model", operation, place, tmp_path / "victim")
    run = finished_run(tmp_path / "run", model)
    with pytest.raises(InputError, match=f"cannot be served: .*operation '{operation}', which tfgen's exports never"):
        publish(run, tmp_path / "models")
    assert not list((tmp_path / "models" / "gan").iterdir())
    assert not list(tmp_path.glob("victim*"))


def test_a_run_that_is_being_written_is_not_published(exported, tmp_path):
    run = finished_run(tmp_path / "run", exported["gan"][1])
    with (
        locked(lock_of(run)),
        pytest.raises(InputError, match=f"a run is writing to {run}; wait until it has finished"),
    ):
        publish(run, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_run_is_not_written_while_it_is_published(exported, tmp_path, monkeypatch):
    run = finished_run(tmp_path / "run", exported["gan"][1])

    def trying_to_write(*args):
        with locked(lock_of(run), wait=False):
            pytest.fail("a run could start")

    monkeypatch.setattr(publication, "_add_assets", trying_to_write)
    with pytest.raises(BlockingIOError, match="is locked by another process"):
        publish(run, tmp_path / "models")
    with locked(lock_of(run), wait=False):
        assert not list((tmp_path / "models" / "gan").iterdir())


def test_publishers_at_once_all_succeed(exported, tmp_path, monkeypatch):
    run, to = finished_run(tmp_path / "run", exported["gan"][1]), tmp_path / "models"
    rename, barrier, threads = publication._rename_to_next, threading.Barrier(3), set()

    def all_at_once(*args):
        threads.add(threading.get_ident())
        barrier.wait(timeout=120)
        return rename(*args)

    monkeypatch.setattr(publication, "_rename_to_next", all_at_once)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        versions = list(pool.map(lambda _: publish(run, to), range(3)))
    assert len(threads) == 3
    assert {version.name for version in versions} == {"1", "2", "3"} and config.models(to) == {"gan": [1, 2, 3]}
    assert tree(versions[0]) == tree(versions[1]) == tree(versions[2])
    assert "Version 3;" in (to / "gan" / "README.md").read_text()


def test_lock_files_are_no_models_and_no_versions(published):
    assert (published / ".lock").is_file() and (published / "gan" / ".lock").is_file()
    assert config.versions(published / "gan") == [1, 2]
    assert config.models(published) == {"feature-classifier": [1], "gan": [1, 2], "vae": [1]}
    assert "lock" not in (published / "models.config").read_text()


@pytest.fixture
def umask():
    """Function that sets the umask for the test."""
    before = os.umask(0o022)
    try:
        yield os.umask
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077], ids=oct)
def test_the_umask_gives_one_mode_to_all_that_is_published(exported, tmp_path, umask, mask):
    run = finished_run(tmp_path / "run", exported["gan-1d"][1], "gan-1d")
    for path in run.rglob("*"):
        path.chmod(0o711 if path.is_dir() else 0o600 if "variables" in str(path) else 0o666)
    umask(mask)
    publish(run, tmp_path / "models")
    published = [tmp_path / "models", *(tmp_path / "models").rglob("*")]
    modes = {(path.is_dir(), oct(stat.S_IMODE(path.stat().st_mode))) for path in published}
    assert modes == {(True, oct(0o777 & ~mask)), (False, oct(0o666 & ~mask))}


@pytest.mark.parametrize(
    "to, recipe",
    [
        ("run/saved_model", "gan"),
        ("run/saved_model/variables/deeper/still", "gan"),
        ("run", "gan"),
        ("run/new", "gan"),
        ("run/figures/../saved_model/new", "gan"),
        ("link/new", "gan"),
        ("elsewhere/../link", "gan"),
        ("linked/new", "gan"),
        (".", "gan"),
        ("store", "vae"),
    ],
)
def test_a_run_is_never_published_into_itself(exported, tmp_path, monkeypatch, to, recipe):
    """Through `..`, links and the model's own name as well: its SavedModel would be copied into itself for ever."""
    (tmp_path / "elsewhere").mkdir()
    finished_run(tmp_path / "elsewhere" / "gan", exported[recipe][1], recipe)
    if to == ".":  # The model's directory is the run's.
        (tmp_path / "gan").symlink_to("elsewhere/gan")
        to = "elsewhere"
    (tmp_path / "run").symlink_to("elsewhere/gan")
    (tmp_path / "link").symlink_to("run/saved_model")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere" / "gan")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "vae").symlink_to("../run/saved_model")
    before = contents(tmp_path)
    # Let what copies without end end here.
    monkeypatch.setattr(publication.shutil, "copyfile", lambda *args, **kwargs: pytest.fail("a file is copied"))
    with pytest.raises(InputError, match=r"^--to: .* lies in the run .*; name a directory outside it$"):
        publish(tmp_path / "run", tmp_path / to)
    assert contents(tmp_path) == before


def test_a_run_is_published_beside_itself(exported, tmp_path):
    """In directories whose names begin like the run's, or that it lies in."""
    run = finished_run(tmp_path / "runs" / "one", exported["gan-1d"][1], "gan-1d")
    for to in (tmp_path / "runs" / "one-models", run / ".." / "models"):
        assert (publish(run, to) / "saved_model.pb").is_file()


def test_no_run_is_taken_for_a_model(exported, tmp_path):
    """`--to runs` would put the versions of gan, its card and results into the run gan."""
    other = finished_run(tmp_path / "runs" / "gan.1", exported["gan"][1])
    run = finished_run(tmp_path / "runs" / "gan", exported["gan"][1])
    (run / "request.json").write_text("{}")
    before = contents(run)
    with pytest.raises(InputError, match=r"runs/gan is the directory of a run, not of a model's versions"):
        publish(other, tmp_path / "runs")
    assert contents(run) == before


BEYOND = ("9223372036854775808", "99999999999999999999", "1" * 200)
# Names that the server reads as integers, and tfgen does not write.
ODD = ("007", "+7", "-7", " 7", "7 ", "00", "-0", "+9223372036854775807")


def test_versions_are_directories_named_by_integers_of_64_bits(tmp_path):
    for name in (*BEYOND, *ODD, "0", "1", "12", "9223372036854775807", "٣", "²", "1_0", "1e3", "0x1", "1.0", ".1"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    (tmp_path / "8").symlink_to("1")
    (tmp_path / "9").symlink_to("nowhere")
    (tmp_path / "10").symlink_to("10")
    assert config.versions(tmp_path) == [0, 1, 12, 2**63 - 1]
    # What the server would load all the same.
    assert config.strays(tmp_path) == sorted([*ODD, "10", "7", "8", "9"])


def test_what_cannot_be_read_is_no_version_and_no_model(tmp_path, monkeypatch):
    for name in ("gan/1", "gan/2", "vae/1"):
        (tmp_path / name).mkdir(parents=True)
    access = os.access
    hidden = {str(tmp_path / "gan" / "2"), str(tmp_path / "vae")}  # Root can read directories of any mode.
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in hidden and access(path, mode))
    assert config.models(tmp_path) == {"gan": [1]} and config.strays(tmp_path / "gan") == ["2"]


def test_links_and_files_among_the_models_are_no_models(tmp_path):
    (tmp_path / "models" / "gan" / "1").mkdir(parents=True)
    (tmp_path / "models" / "7").touch()
    for name, target in (("linked", "gan"), ("lost", "nowhere"), ("round", "round")):
        (tmp_path / "models" / name).symlink_to(target)
    assert config.models(tmp_path / "models") == {"gan": [1]}


@pytest.mark.parametrize(
    "present, following",
    [
        ((), 1),
        (BEYOND, 1),
        (("2", *BEYOND), 3),
        (("-7",), 1),
        # No version that the server reads gets a second directory of the same number.
        (("2", "007"), 8),
        (("2", "+9"), 10),
        (("2", "6"), 7),
        (("9223372036854775806",), 2**63 - 1),
    ],
)
def test_the_next_version_is_one_more_than_the_highest_that_the_server_reads(tmp_path, present, following):
    for name in present:
        (tmp_path / name).touch() if name == "6" else (tmp_path / name).mkdir()
    (tmp_path / ".tmp-1").mkdir()
    assert publication._rename_to_next(tmp_path / ".tmp-1", tmp_path).name == str(following)


def test_a_directory_beyond_64_bits_is_never_answered_with_a_larger_version(exported, tmp_path):
    run, model = finished_run(tmp_path / "run", exported["gan-1d"][1], "gan-1d"), tmp_path / "models" / "gan-1d"
    (model / BEYOND[1]).mkdir(parents=True)
    assert publish(run, tmp_path / "models") == model / "1"
    assert "Version 1;" in (model / "README.md").read_text()


def test_after_the_highest_version_nothing_is_published(exported, tmp_path):
    run, model = finished_run(tmp_path / "run", exported["gan"][1]), tmp_path / "models" / "gan"
    (model / "9223372036854775807").mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"gan has the highest version .*, 9223372036854775807; move it away"
    ) as caught:
        publish(run, tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert [path.name for path in model.iterdir()] == ["9223372036854775807"]


@pytest.mark.parametrize("target", ["nowhere", "gan", "../other"])
def test_a_model_that_is_a_link_gets_one_line(exported, tmp_path, target):
    run = finished_run(tmp_path / "run", exported["gan"][1])
    for name in ("models", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "gan").symlink_to(target)
    with pytest.raises(InputError, match=r"models/gan must be a directory that can be read, and no symbolic link"):
        publish(run, tmp_path / "models")


def test_what_lies_among_the_versions_by_accident_is_not_served(exported, tmp_path):
    """The server would load `03` and the file 5, and not start if it could not: it is given the versions alone."""
    run = finished_run(tmp_path / "run", exported["gan-1d"][1], "gan-1d")
    (tmp_path / "models" / "gan-1d" / "03").mkdir(parents=True)
    (tmp_path / "models" / "gan-1d" / "5").touch()
    (tmp_path / "models" / "vae" / "1").mkdir(parents=True)
    assert publish(run, tmp_path / "models").name == "6"
    text = (tmp_path / "models" / "models.config").read_text()
    gan, vae = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert list(gan.model_version_policy.specific.versions) == [6]
    assert vae.model_version_policy.HasField("all")


# Forks a publisher for each request: killed at one of its calls to the file system, or several at once.
PUBLISHERS = """
import json, os, signal, sys, uuid
import tensorflow
from tfgen.serving import publication, warmup
run, to, fraction, at_once = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])

def fork(kill_at, counted=None):
    child = os.fork()
    if child:
        return child
    events = 0
    def hook(event, arguments):
        nonlocal events
        if event in ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.listdir", "os.scandir"):
            events += 1
            if events == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    publication.publish(run, to)
    if counted is not None:
        os.write(counted, str(events).encode())
    os._exit(0)

def wait(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

reader, writer = os.pipe()
codes = [*wait([fork(None)]), *wait([fork(None, writer)])]
total = int(os.read(reader, 100))
killed = [wait([fork(max(1, int(total * part)))])[0] for part in fraction]
together = wait([fork(None) for _ in range(at_once)])
print(json.dumps({"alone": codes, "killed": killed, "together": together, "total": total}))
"""


@pytest.mark.slow
def test_killed_publishers_leave_no_part_of_a_version_and_those_at_once_all_succeed(exported, tmp_path):
    run, to = finished_run(tmp_path / "run", exported["gan"][1]), tmp_path / "models"
    fractions = [0.02, *np.linspace(0.1, 0.9, 9), 0.95, 0.99]
    process = subprocess.run(
        [sys.executable, "-c", PUBLISHERS, str(run), str(to), json.dumps(fractions), "3"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    codes = json.loads(process.stdout.splitlines()[-1])
    assert codes["alone"] == [0, 0] and codes["together"] == [0, 0, 0]
    assert codes["killed"] == [-9] * len(fractions)
    complete = tree(to / "gan" / "1")
    versions = config.versions(to / "gan")
    # Some were killed before their version was there, some after.
    assert 2 + 3 < len(versions) < 2 + 3 + len(fractions) and versions == list(range(1, len(versions) + 1))
    assert any(path.name.startswith(".tmp-") for path in (to / "gan").iterdir())
    for version in versions:
        files = tree(to / "gan" / str(version))
        assert set(files) == set(complete)
        assert all(files[name] == complete[name] for name in files)
    text = (to / "gan" / "README.md").read_text()
    assert f"Version {versions[-1]};" in text
    assert config.models(to) == {"gan": versions}


def test_the_configuration_files_are_what_the_server_s_own_definitions_take(published, tmp_path):
    text = (published / "models.config").read_text()
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert [(model.name, model.base_path) for model in parsed] == [
        (name, f"/models/{name}") for name in ("feature-classifier", "gan", "vae")
    ]
    assert {model.model_platform for model in parsed} == {"tensorflow"}
    assert all(model.model_version_policy.HasField("all") for model in parsed)
    awkward = 'a "name" \\ with spaces'
    for name in ("gan", awkward):
        (tmp_path / name / "1").mkdir(parents=True)
    text = config.models_config(tmp_path, f"/some/{awkward}", {"gan": {"stable": 1, "canary": 2}})
    other, gan = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert dict(gan.version_labels) == {"stable": 1, "canary": 2}
    assert (other.name, other.base_path) == (awkward, f"/some/{awkward}/{awkward}")
    # The last allowed batch size must be the largest batch, or the server does not start.
    sizes = [int(size) for size in re.findall(r"allowed_batch_sizes: (\d+)", config.batching_config(2))]
    assert sizes == sorted(sizes) and re.search(rf"max_batch_size {{ value: {sizes[-1]} }}", config.batching_config(2))


def test_saved_model_cli_shows_and_runs_every_signature(exported, tmp_path, capsys):
    from absl import flags
    from tensorflow.python.tools import saved_model_cli

    commands, expected = [], {}
    for model in ("vae", "gan", "feature-classifier"):
        functions, directory = exported[model]
        commands.append(["show", "--dir", str(directory), "--all"])
        for name, signature in signatures(meta_graph(directory)).items():
            ((key, value),) = warmup.example_inputs(signature, 2).items()
            place = tmp_path / f"{model}-{name}"
            np.save(f"{place}.npy", value)
            where = ["--dir", str(directory), "--tag_set", "serve", "--signature_def", name]
            commands.append(["run", *where, "--inputs", f"{key}={place}.npy", "--outdir", str(place), "--overwrite"])
            outputs = functions[name.removesuffix("_png")][0](tf.constant(value))
            if name.endswith("_png"):
                outputs = {"png_bytes": outputs[PICTURES[name.removesuffix("_png")]]}
            for output, array in outputs.items():
                expected[f"{place}/{output}.npy"] = array
    for arguments in commands:
        flags.FLAGS.unparse_flags()
        flags.FLAGS(["saved_model_cli", *arguments], known_only=True)
        saved_model_cli.create_parser().parse_args(arguments).func()
    printed = capsys.readouterr().out
    for name in ("generate_from_z", "discriminate", "classify", "reconstruct"):
        assert f"signature_def['{name}']:" in printed
    assert set(map(str, tmp_path.glob("*/*.npy"))) == set(expected)
    for path, array in expected.items():
        if path.endswith("png_bytes.npy"):
            files = np.load(path, allow_pickle=True)
            np.testing.assert_allclose(decoded(files), array, atol=0.501 / 255, err_msg=path)
        else:
            np.testing.assert_allclose(np.load(path), array, rtol=1e-4, atol=1e-5, err_msg=path)


def test_no_path_of_a_machine_is_published(published):
    here = str(pathlib.Path.cwd())
    for name, content in tree(published).items():
        assert here.encode() not in content, name


def test_what_cannot_be_published_is_told_before_anything_is_written(exported, tmp_path):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    without = finished_run(tmp_path / "without", exported["gan"][1])
    (without / "saved_model" / "saved_model.pb").unlink()
    other = finished_run(tmp_path / "other", exported["gan"][1])
    (other / "results.json").write_text((other / "results.json").read_text().replace('"gan"', '"rbm"'))
    old = finished_run(tmp_path / "old", exported["gan"][1])
    (old / "results.json").write_text((old / "results.json").read_text().replace('"config"', '"hyper"'))
    file = tmp_path / "file"
    file.write_text("")
    good = finished_run(tmp_path / "good", exported["gan"][1])
    for run, to, words in (
        (tmp_path / "missing", "models", "there is no run in"),
        (file, "models", "there is no run in"),
        (unfinished, "models", "no results.json; finish it"),
        (without, "models", "no saved_model/saved_model.pb; run gan anew"),
        (other, "models", "of 'rbm' in preset 'quick', which this version does not have"),
        (old, "models", "lacks 'config'"),
        (good, "file", "--to: '.*file' cannot be made: .*file is a file; name another"),
    ):
        with pytest.raises(InputError, match=words):
            publication.check_publish(run, tmp_path / to)
        with pytest.raises(InputError, match=words):
            publish(run, tmp_path / to)
    with pytest.raises(InputError, match="--to is empty"):
        publication.check_publish(good, "")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["warmup", "grpc_api"])
def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    monkeypatch.delitem(sys.modules, f"tfgen.serving.{name}", raising=False)
    with pytest.raises(InputError, match=r"pip install 'tfgen\[serving\]'"):
        importlib.import_module(f"tfgen.serving.{name}")
