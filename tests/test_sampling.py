"""Images generated from SavedModels: repeatable, of their own height and width, and refused in one line otherwise."""

import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import foreign
import keras
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from helpers import contents

import tfgen
from tfgen import sampling
from tfgen.cli import main
from tfgen.distributions import serving_seed, stateless_normal
from tfgen.errors import InputError
from tfgen.export import export
from tfgen.models.gan import GAN
from tfgen.serving import published


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A SavedModel of a GAN whose images have 16x16 pixels."""
    keras.utils.set_random_seed(0)
    directory = tmp_path_factory.mktemp("small") / "saved_model"
    export(GAN(256, 5, (12,), (12,)).endpoints(), directory, (16, 16))
    return directory


def with_metadata(directory, text):
    """Makes a directory with metadata and no model, or with none if `text` is None. Returns it."""
    (directory / "assets.extra").mkdir(parents=True)
    if text is not None:
        (directory / "assets.extra" / "tfgen.json").write_text(text)
    return directory


def test_the_seeds_of_fewer_images_are_the_first_of_more_and_another_seed_has_others():
    seeds = sampling.image_seeds(1000, 4)
    assert seeds.shape == (1000,) and seeds.dtype == np.int64 and seeds.min() >= 0
    np.testing.assert_array_equal(sampling.image_seeds(7, 4), seeds[:7])
    # 1,000 draws of 2^31 numbers have a pair in common with probability 0.0002.
    assert len(np.unique(seeds)) == 1000
    assert not np.any(sampling.image_seeds(1000, 5) == seeds)


def test_generated_images_are_those_of_their_seeds_and_a_larger_number_begins_with_the_smaller(exported):
    endpoints, directory = exported["gan"]
    images = sampling.generate(directory, 9, seed=4)
    assert images.shape == (9, 784) and images.dtype == np.float32
    seeds = tf.constant(sampling.image_seeds(9, 4))
    np.testing.assert_allclose(images, endpoints["generate"][0](seeds)["image"], atol=1e-6)
    np.testing.assert_allclose(sampling.generate(directory, 4, seed=4), images[:4], atol=1e-6)
    assert np.abs(sampling.generate(directory, 9, seed=5) - images).max() > 1e-3
    assert len(np.unique(images, axis=0)) == 9


def test_images_of_several_chunks_are_those_of_one(exported, monkeypatch):
    images = sampling.generate(exported["vae"][1], 7, seed=1)
    monkeypatch.setattr(sampling, "CHUNK", 3)
    np.testing.assert_allclose(sampling.generate(exported["vae"][1], 7, seed=1), images, atol=1e-6)


@pytest.mark.parametrize(
    "name, offered",
    [
        ("stacked-autoencoder", "decode, encode, reconstruct, reconstruct_png, serving_default"),
        # Generates, but numbers.
        ("gan-1d", "discriminate, generate, generate_from_z, serving_default"),
    ],
)
def test_sampling_a_model_that_does_not_generate_images_names_what_it_offers(exported, name, offered):
    with pytest.raises(InputError, match=f"no signature 'generate' of images, only {offered}; sampling needs"):
        sampling.generate(exported[name][1], 1, 0)


@pytest.mark.parametrize(
    "operation, place",
    [(operation, "signature") for operation in foreign.ACTS if operation != "NoOp"]
    + [
        (operation, place)
        for operation in ("WriteFile", "ReadFile")
        for place in foreign.PLACES
        if place != "signature"
    ],
)
def test_a_foreign_model_is_not_run_if_it_holds_an_operation_that_exports_never_use(operation, place, tmp_path, capsys):
    model = foreign.write(tmp_path / "model", operation, place, tmp_path / "victim")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"{model}' holds the operation .*'{operation}'.* so it is not run") as caught:
        sampling.generate(model, 2, 0)
    assert main(["sample", str(model), "--output", str(tmp_path / "grid.png")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"tfgen: {caught.value}\n"
    assert contents(tmp_path) == before


WATCH_FOR_PICKLES = """
import pickle, sys
import tensorflow
from tfgen import export, sampling
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event == "pickle.find_class" else None)
images = sampling.generate(sys.argv[1], 2, 0)
during = list(seen)
pickle.loads(pickle.dumps(sampling.generate))
print(images.shape, during, seen)
"""


def test_nothing_in_a_foreign_model_is_unpickled(tmp_path):
    model = foreign.write(tmp_path / "model", "NoOp", "nested", tmp_path / "victim")
    for name in ("keras_metadata.pb", "fingerprint.pb", "assets.extra/more"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(pickle.dumps(sampling.generate))
    command = [sys.executable, "-c", WATCH_FOR_PICKLES, str(model)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "(2, 4) [] ['pickle.find_class']\n", ended.stderr


@pytest.mark.parametrize("place", foreign.PLACES)
def test_a_foreign_model_that_only_computes_is_sampled(place, tmp_path):
    images = sampling.generate(foreign.write(tmp_path / "model", "NoOp", place, tmp_path / "victim"), 3, 0)
    assert images.shape == (3, 4) and len(np.unique(images)) == 12


@pytest.mark.parametrize(
    "image, words",
    [
        (lambda z: z / 0.0, "pixels that are not finite or not in .0, 1., from -?(inf|nan) to"),
        (
            lambda z: tf.where(z < 10.0, float("nan"), 0.5),
            "pixels that are not finite or not in .0, 1., from nan to nan",
        ),
        (lambda z: 2.0 + 0.0 * z, "pixels that are not finite or not in .0, 1., from 2.0 to 2.0"),
        (lambda z: -0.5 + 0.0 * z, "pixels that are not finite or not in .0, 1., from -0.5 to -0.5"),
        (lambda z: tf.sigmoid(z[:1]), r"answers 3 seeds with float32 \(1, 4\), not with one row"),
        (lambda z: tf.sigmoid(z)[:, :, None], r"answers 3 seeds with float32 \(3, 4, 1\), not with one row"),
        (lambda z: tf.sigmoid(z)[:, 0], r"answers 3 seeds with float32 \(3,\), not with one row"),
        (lambda z: tf.reduce_max(tf.sigmoid(z)), r"answers 3 seeds with float32 \(\), not with one row"),
        (lambda z: tf.cast(tf.sigmoid(z), tf.float64), r"answers 3 seeds with float64 \(3, 4\), not with one row"),
        (lambda z: tf.cast(tf.sigmoid(z), tf.bfloat16), r"answers 3 seeds with bfloat16 \(3, 4\), not with one row"),
        (lambda z: tf.cast(z > 0, tf.int64), r"answers 3 seeds with int64 \(3, 4\), not with one row"),
        (lambda z: z > 0, r"answers 3 seeds with bool \(3, 4\), not with one row"),
    ],
)
def test_images_that_are_none_are_refused_in_one_line_and_not_drawn(image, words, tmp_path, capsys):
    def generate(seed):
        return {"image": image(tf.map_fn(lambda s: stateless_normal((4,), serving_seed(s)), seed, tf.float32))}

    model = tf.Module()
    signature = tf.function(generate, input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    tf.saved_model.save(model, str(tmp_path / "model"), {"generate": signature})
    with pytest.raises(InputError, match=words):
        sampling.generate(tmp_path / "model", 3, 0)
    assert main(["sample", str(tmp_path / "model"), "--num", "3", "--output", str(tmp_path / "grid.png")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and len(printed.err) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_more_images_than_anyone_looks_at_are_refused_before_tensorflow_is_loaded(small, tmp_path):
    program = (
        "import sys; from tfgen.cli import main; code = main(sys.argv[1:]); print(code, 'tensorflow' in sys.modules)"
    )
    command = ["sample", str(small), "--num", "100000000", "--output", str(tmp_path / "grid.png")]
    ended = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "2 False\n"
    assert ended.stderr == "tfgen: --num must be at least 1 and at most 100,000, got 100000000\n"
    assert not any(tmp_path.iterdir())


def test_a_damaged_saved_model_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(InputError, match=f"{tmp_path}' cannot be read"):
        sampling.generate(tmp_path, 1, 0)


@pytest.mark.parametrize(
    "num, seed, words",
    [
        (0, 0, "--num must be at least 1 and at most 100,000, got 0"),
        (100_001, 0, "--num must be at least 1 and at most 100,000, got 100001"),
        (1, -1, f"--seed must lie between 0 and {2**63 - 1}, got -1"),
        (1, 2**63, f"--seed must lie between 0 and {2**63 - 1}, got {2**63}"),
    ],
)
def test_a_number_out_of_range_is_refused(exported, num, seed, words):
    with pytest.raises(InputError, match=words):
        sampling.generate(exported["gan"][1], num, seed)


def test_the_height_and_width_are_those_of_the_metadata(small, exported, tmp_path):
    assert tuple(sampling.image_shape(small, 256)) == (16, 16)
    assert tuple(sampling.image_shape(exported["gan"][1], 784)) == (28, 28)
    # The published ones have more in their metadata.
    wide = with_metadata(tmp_path / "wide", json.dumps({"recipe": "gan", "image_shape": [14, 56]}))
    assert tuple(sampling.image_shape(wide, 784)) == (14, 56)


@pytest.mark.parametrize("text", [None, "{}", '{"recipe": "gan"}'])
def test_without_a_known_height_and_width_images_are_square(tmp_path, text):
    directory = with_metadata(tmp_path / "model", text)
    for side in (1, 8, 28):
        assert tuple(sampling.image_shape(directory, side**2)) == (side, side)
    with pytest.raises(InputError, match=f"height and width of the images in '{directory}', of 12 pixels, are not"):
        sampling.image_shape(directory, 12)


@pytest.mark.parametrize("text", ["{", "", "[28, 28]", "28", b"\xff\xfe", '{"a": ' + 100_000 * "["], ids=range(6))
def test_damaged_metadata_are_named_with_the_remedy(tmp_path, text):
    directory = with_metadata(tmp_path / "model", "")
    path = directory / "assets.extra" / "tfgen.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"{path} is damaged \(.+\); restore it, or delete {path.parent}$"):
        sampling.image_shape(directory, 784)


@pytest.mark.parametrize("shape", [[28], [28, 28, 1], [16, 16], [], 784, "28x28", [28, "28"], [-28, -28]])
def test_a_height_and_width_that_are_not_the_images_are_refused(tmp_path, shape):
    directory = with_metadata(tmp_path / "model", json.dumps({"image_shape": shape}))
    with pytest.raises(InputError, match=r"height and width of the images in .*, of 784 pixels, are not known"):
        sampling.image_shape(directory, 784)


def pictures(png, height, width):
    """Returns the pictures of 2x2 in a PNG, `(4, height, width)`, each pixel from the corner of its square."""
    drawn = matplotlib.image.imread(png)[..., 0]
    scale = drawn.shape[1] // (2 * width + 1)
    rows, columns = (range(0, drawn.shape[axis], scale * (side + 1)) for axis, side in enumerate((height, width)))
    tiles = [drawn[y : y + height * scale : scale, x : x + width * scale : scale] for y in rows for x in columns]
    return np.stack(tiles)


def test_the_sample_command_draws_images_of_the_model_s_own_height_and_width(small, tmp_path, capsys):
    images = sampling.generate(small, 4, seed=3)
    assert images.shape == (4, 256)
    command = ["sample", str(small), "--num", "4", "--seed", "3", "--output", str(tmp_path / "grid.png")]
    assert main(command) == 0
    assert capsys.readouterr().out == f"4 images of {small}: {tmp_path / 'grid.png'}\n"
    drawn = pictures(tmp_path / "grid.png", 16, 16)
    np.testing.assert_allclose(drawn, images.reshape(4, 16, 16), atol=2 / 255)
    # The same model with images of another shape of as many pixels.
    wide = tmp_path / "wide"
    shutil.copytree(small, wide)
    (wide / "assets.extra" / "tfgen.json").write_text('{"image_shape": [8, 32]}')
    assert main(["sample", str(wide), *command[2:]]) == 0
    np.testing.assert_allclose(pictures(tmp_path / "grid.png", 8, 32), images.reshape(4, 8, 32), atol=2 / 255)


def test_the_sample_command_refuses_images_of_no_known_shape_and_writes_nothing(small, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(small, model)
    (model / "assets.extra" / "tfgen.json").write_text('{"image_shape": [28, 28]}')
    assert main(["sample", str(model), "--num", "1", "--output", str(tmp_path / "grid.png")]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"tfgen: the height and width of the images in {str(model)!r}, of 256 pixels, are not known\n"
    assert printed.out == "" and [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The current directory, empty, and `saved_models` of a checkout that tfgen runs from."""
    here, checkout = tmp_path / "here", tmp_path / "checkout" / "saved_models"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(published, "PLACES", (published.PLACES[0], checkout))
    return here, checkout


def with_models(directory, *names):
    for name in names:
        (directory / name).mkdir(parents=True)
        (directory / name / "saved_model.pb").write_bytes(b"")


def test_a_name_means_the_newest_version_published_here_then_in_the_checkout(places):
    here, checkout = places
    with_models(checkout, "gan/1", "gan/2", "vae/7")
    assert published.find("gan") == checkout / "gan" / "2"
    with_models(here / "saved_models", "gan/9", "gan/10", "gan/.tmp-11")
    # What has no model in it yet, and what the server would not take for a version, are passed over.
    (here / "saved_models" / "gan" / "12").mkdir()
    with_models(here / "saved_models" / "gan", "+13")
    assert str(published.find("gan")) == "saved_models/gan/10"
    assert published.find("vae") == checkout / "vae" / "7"


def test_a_directory_with_a_model_wins_over_the_name_and_one_of_versions_means_the_newest(places):
    here, checkout = places
    with_models(checkout, "gan/2")
    (here / "gan").mkdir()
    assert published.find("gan") == checkout / "gan" / "2"
    with_models(here, "gan/1")
    assert str(published.find("gan")) == "gan/1" == str(published.find("gan/1"))
    with_models(here, "vae", "runs/vae-2d/saved_model")
    assert str(published.find("vae")) == "vae"
    assert str(published.find("runs/vae-2d")) == "runs/vae-2d/saved_model"
    for path in (checkout / "gan", checkout / "gan" / "2"):
        assert published.find(str(path)) == checkout / "gan" / "2"


@pytest.mark.parametrize("model", ["gam", "", "..", ".hidden", "gan/3", "saved_models", "runs/gan/saved_model"])
def test_what_is_no_model_is_told_with_the_names_that_there_are_and_where_to_get_one(places, model, capsys):
    here, checkout = places
    (here / "saved_models" / "empty").mkdir(parents=True)
    with_models(checkout, "gan/2", "vae/7", ".hidden/1")
    assert main(["sample", model]) == 2
    assert capsys.readouterr().err == (
        f"tfgen: there is no model {model!r}: no directory with saved_model.pb, or with versions that have it, and no "
        f"published model of that name in saved_models or {checkout} (there: gan, vae); tfgen run gan makes "
        "runs/gan/saved_model, and a checkout of tfgen has models in saved_models\n"
    )
    assert contents(here).keys() == {pathlib.Path("saved_models"), pathlib.Path("saved_models/empty")}


def test_without_any_published_model_the_run_of_that_name_is_the_remedy(places):
    with pytest.raises(InputError, match=r"in saved_models \(there: none\); tfgen run vae makes runs/vae/saved_model"):
        published.find("vae")


def test_the_sample_command_draws_a_published_model_by_its_name(places, small, capsys):
    _, checkout = places
    shutil.copytree(small, checkout / "gan" / "3")
    assert main(["sample", "gan", "--num", "4", "--seed", "3"]) == 0
    assert capsys.readouterr().out == f"4 images of {checkout / 'gan' / '3'}: grid.png\n"
    images = sampling.generate(small, 4, seed=3).reshape(4, 16, 16)
    np.testing.assert_allclose(pictures("grid.png", 16, 16), images, atol=2 / 255)


def test_the_place_beside_here_is_that_of_the_package():
    assert published.PLACES[1] == pathlib.Path(tfgen.__file__).parents[1] / "saved_models"
