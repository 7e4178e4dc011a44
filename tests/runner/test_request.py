"""What is asked for is checked before anything is trained or written, and compared with what lies in its directory."""

import contextlib
import dataclasses
import json
import os
import re
import zipfile

import numpy as np
import pytest
from helpers import results_of

from tfgen.data import Dataset, Split
from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.runner.request import Request, check, check_images, difference_of_unfinished, difference_to, missing_runs


def dataset(shape=(28, 28), classes=10, name="digits", grey=0):
    """Returns a dataset of a thousand images of one grey a split."""
    split = Split(np.full((1000, shape[0] * shape[1]), grey, np.uint8), np.arange(1000) % classes)
    return Dataset(name, split, split, split, False, shape, classes)


@pytest.fixture
def finished(tmp_path):
    """Function that makes the directory of a finished run, with its model, in smoke on the digits."""

    def make(name, preset="smoke"):
        directory = tmp_path / name
        (directory / "saved_model").mkdir(parents=True)
        (directory / "saved_model" / "saved_model.pb").write_bytes(b"model")
        metrics = {"test_error": {"value": 0.01, "unit": "share", "split": "test", "n": 1}}
        given = {"dataset": "digits", "data_sha256": dataset().sha256, "preset": preset, "metrics": metrics}
        (directory / "results.json").write_text(json.dumps(results_of(name, **given)))
        return directory

    return make


def unfinished(request, data=None):
    """Makes the directory of a run of the request that was killed after its first epoch."""
    (request.directory / "checkpoints").mkdir(parents=True)
    (request.directory / "checkpoints" / "model.keras").write_bytes(b"")
    if data is not None:
        (request.directory / "request.json").write_text(json.dumps({**request.identity(data), "versions": []}))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"recipe": "rbm"}, "unknown recipe 'rbm'; choose from shallow-autoencoder, "),
        ({"preset": "huge"}, "unknown preset 'huge'; choose one of smoke, quick, paper"),
        ({"recipe": "vae-burda"}, "vae-burda has no preset 'quick'; choose one of smoke, paper with --preset"),
        ({"seed": -1}, "--seed must lie between 0 and 2147483647, got -1"),
        ({"seed": 2**31}, "--seed must lie between 0 and 2147483647, got 2147483648"),
        ({"epochs": 0}, "vae: epochs must be a whole number of at least 1, below 2**31, got 0"),
        (
            {"settings": ("batch_size=none",)},
            "vae: batch_size must be a whole number of at least 1, below 2**31, got 'none'",
        ),
        ({"settings": ("width=3",)}, "vae: there is no hyper-parameter 'width'; choose from epochs, "),
        (
            {"epochs": 2, "settings": ("epochs=3",)},
            "--epochs and --set epochs=... both say how many epochs; give one of them",
        ),
        ({"output_dir": ""}, "--output-dir is empty"),
        # What only Python can give.
        ({"recipe": ["vae"]}, "recipe must be a text, got ['vae']"),
        ({"preset": None}, "preset must be a text, got None"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"seed": "1"}, "seed must be a whole number, got '1'"),
        ({"epochs": True}, "epochs must be a whole number or None, got True"),
        ({"epochs": 2.0}, "epochs must be a whole number or None, got 2.0"),
        ({"settings": "epochs=3"}, "settings must be a list of texts, got 'epochs=3'"),
        ({"settings": None}, "settings must be a list of texts, got None"),
        ({"settings": [("epochs", 3)]}, "settings must be a list of texts, got [('epochs', 3)]"),
        ({"deterministic": "no"}, "deterministic must be True or False, got 'no'"),
        ({"output_dir": None}, "output_dir must be a path, got None"),
        ({"resume": 1}, "resume must be True or False, got 1"),
    ],
)
def test_a_request_that_cannot_be_is_refused(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(said)):
        Request(**{"recipe": "vae", **options})


def test_the_largest_and_the_smallest_seed_are_allowed(tmp_path):
    for seed in (0, 2**31 - 1):
        assert Request("vae", seed=seed, output_dir=tmp_path).seed == seed


def test_a_file_in_the_place_of_the_run_s_directory_is_named(tmp_path):
    (tmp_path / "vae").write_text("mine")
    with pytest.raises(InputError, match=f"--output-dir: '{tmp_path / 'vae'}' cannot be made"):
        Request("vae", output_dir=tmp_path)


def test_the_configuration_is_the_preset_s_with_the_changes(tmp_path):
    plain = Request("vae", "quick", output_dir=tmp_path)
    assert plain.config() == RECIPES["vae"].presets["quick"]
    changed = Request("vae", "smoke", epochs=7, settings=("batch_size=64", "hidden_units=8,4"), output_dir=tmp_path)
    wanted = dataclasses.replace(RECIPES["vae"].presets["smoke"], epochs=7, batch_size=64, hidden_units=(8, 4))
    assert changed.config() == wanted
    assert not list(tmp_path.iterdir())


def test_epochs_and_settings_that_go_together_only_are_taken_together(tmp_path):
    """The preset's one epoch is too short for two stages, and two are enough."""
    stages = ((1, 0.5, 2e-3), (5, 0.5, 2e-3))
    options = {"recipe": "iwae-burda", "preset": "smoke", "settings": (f"stages={stages}",), "output_dir": tmp_path}
    with pytest.raises(InputError, match="iwae-burda: 1 epochs leave none for one of 2 stages; raise --epochs"):
        Request(**options)
    config = Request(**options, epochs=2).config()
    assert (config.epochs, config.stages) == (2, stages)


def test_an_unfinished_run_is_neither_discarded_nor_taken_for_a_finished_one(tmp_path):
    unfinished(Request("vae", output_dir=tmp_path))
    with pytest.raises(InputError, match=f"{tmp_path / 'vae'} holds an unfinished run; add --resume .*or delete it"):
        Request("vae", output_dir=tmp_path)
    assert Request("vae", output_dir=tmp_path, resume=True).directory == tmp_path / "vae"
    # A finished run has checkpoints too.
    (tmp_path / "vae" / "results.json").write_text("{}")
    assert Request("vae", output_dir=tmp_path).directory == tmp_path / "vae"


def test_the_identity_of_a_request_is_what_json_gives_back(tmp_path):
    request = Request("vae", "smoke", seed=3, settings=("hidden_units=8,4",), deterministic=True, output_dir=tmp_path)
    contents = request.identity(dataset())
    assert json.loads(json.dumps(contents)) == contents
    assert contents == {
        "recipe": "vae",
        "dataset": "digits",
        "data_sha256": dataset().sha256,
        "preset": "smoke",
        "seed": 3,
        "deterministic": True,
        **dataclasses.asdict(RECIPES["vae"].presets["smoke"]),
        "hidden_units": [8, 4],
    }


def test_the_request_for_a_needed_run_is_that_of_its_preset_with_seed_0(tmp_path):
    request = Request("gan", "smoke", seed=5, epochs=3, settings=("num_samples=10",), output_dir=tmp_path)
    needed = request.for_needed("digit-classifier")
    assert needed == Request("digit-classifier", "smoke", seed=0, output_dir=tmp_path, resume=True)
    assert needed.config() == RECIPES["digit-classifier"].presets["smoke"]


def test_requests_are_compared_in_every_field(tmp_path):
    options = {"recipe": "vae", "preset": "smoke", "epochs": 1, "output_dir": tmp_path, "resume": True}
    options["settings"] = ("hidden_units=500",)
    first = Request(**options)
    assert difference_to(first, dataset()) == "no request.json"
    unfinished(first, dataset())
    assert difference_to(first, dataset()) == ""
    for other, data, said in (
        ({"preset": "quick"}, dataset(), "preset 'smoke', not 'quick'"),
        ({"seed": 1}, dataset(), "seed 0, not 1"),
        ({"deterministic": True}, dataset(), "deterministic False, not True"),
        ({"settings": ("hidden_units=8,4",)}, dataset(), "hidden_units [500], not [8, 4]"),
        ({}, dataset(name="mnist"), "dataset 'digits', not 'mnist'"),
        ({}, dataset(grey=1), f"data_sha256 {dataset().sha256[:12]}..., not {dataset(grey=1).sha256[:12]}..."),
        ({"seed": 1, "epochs": 2}, dataset(), "seed 0, not 1; epochs 1, not 2"),
    ):
        request = Request(**{**options, **other})
        assert difference_to(request, data) == said
        with pytest.raises(InputError, match=re.escape(f"holds an unfinished run with {said}: give the same options")):
            check(request, data)
    check(first, dataset())


@pytest.mark.parametrize("kept_in", ["request", "checkpoint"])
@pytest.mark.parametrize(
    "settings, gone, old, said",
    [
        ((), "activation", {}, ""),
        (("activation=relu",), "activation", {}, "activation 'tanh', not 'relu'"),
        ((), "activation", {"old": 1}, "old 1, not None"),
        ((), "epochs", {}, "epochs None, not 1"),
    ],
)
def test_a_field_that_has_come_since_had_its_default(settings, gone, old, said, kept_in, tmp_path):
    """A run of before goes on where that is what is asked for; a field without a default, or one less, is another."""
    request = Request("vae", "smoke", settings=settings, output_dir=tmp_path, resume=True)
    contents = {key: value for key, value in request.identity(dataset()).items() if key != gone} | old
    unfinished(request)
    if kept_in == "request":
        (request.directory / "request.json").write_text(json.dumps(contents))
        assert difference_to(request, dataset()) == said
    else:
        with zipfile.ZipFile(request.directory / "checkpoints" / "model.keras", "w") as archive:
            archive.writestr("tfgen.json", json.dumps({"identity": contents, "log": ""}))
        assert difference_of_unfinished(request, dataset()) == said
    refused = pytest.raises(InputError, match=re.escape(f"holds an unfinished run with {said}:"))
    with refused if said else contextlib.nullcontext():
        check(request, dataset())


def test_a_request_of_another_version_is_the_same_request(tmp_path):
    """The run goes on, and says so (test_run.py)."""
    request = Request("vae", "smoke", output_dir=tmp_path, resume=True)
    unfinished(request, dataset())
    path = request.directory / "request.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"versions": [{"tfgen": "0.0.1"}]}))
    assert difference_to(request, dataset()) == ""
    check(request, dataset())


def test_checkpoints_tell_whose_run_it_is_where_the_request_is_gone(tmp_path):
    request = Request("vae", "smoke", seed=1, output_dir=tmp_path, resume=True)
    unfinished(request)
    with zipfile.ZipFile(request.directory / "checkpoints" / "model.keras", "w") as archive:
        identity = {**request.identity(dataset()), "training": "model"}
        archive.writestr("tfgen.json", json.dumps({"identity": identity, "log": ""}))
    check(request, dataset())
    for changed, data, said in (
        ({"seed": 2}, dataset(), "seed 1, not 2"),
        ({"epochs": 9}, dataset(), "epochs 1, not 9"),
        ({}, dataset(grey=1), "data_sha256 "),
    ):
        with pytest.raises(InputError, match=f"vae holds an unfinished run with {said}"):
            check(dataclasses.replace(request, **changed), data)
    # One that cannot be read says nothing.
    (request.directory / "checkpoints" / "another.keras").write_bytes(b"")
    with pytest.raises(InputError, match="seed 1, not 2"):
        check(dataclasses.replace(request, seed=2), dataset())


def test_only_recipes_of_any_images_take_other_than_mnist_s():
    for name, recipe in RECIPES.items():
        check_images(name, dataset())
        for data in (dataset((8, 12)), dataset(classes=26)):
            if recipe.any_images:
                check_images(name, data)
                continue
            with pytest.raises(InputError) as refused:
                check_images(name, data)
            message, shape = str(refused.value), "{}x{}".format(*data.image_shape)
            assert message.startswith(f"{name} takes images of 28x28 in 10 classes only, and digits has {shape}")
            allowed = message.rpartition(": ")[2].split(", ")
            # Those with a dataset of their own are no remedy.
            takes = [key for key, other in RECIPES.items() if other.any_images and other.dataset is None]
            assert allowed == takes and name not in allowed
    assert 0 < sum(recipe.any_images for recipe in RECIPES.values()) < len(RECIPES)


def test_check_refuses_images_that_the_recipe_does_not_take(tmp_path):
    (name, *_) = [name for name, recipe in RECIPES.items() if not recipe.any_images]
    with pytest.raises(InputError, match="takes images of 28x28"):
        check(Request(name, "smoke", output_dir=tmp_path), dataset((8, 8)))


def test_needed_runs_are_missing_unless_finished_on_the_same_data_and_preset(tmp_path, finished):
    request = Request("gan", "smoke", output_dir=tmp_path)
    assert missing_runs(request, dataset()) == ["digit-classifier"]
    directory = finished("digit-classifier")
    assert missing_runs(request, dataset()) == []
    assert missing_runs(request, dataset(name="mnist")) == ["digit-classifier"]
    assert missing_runs(request, dataset(grey=1)) == ["digit-classifier"]
    assert missing_runs(dataclasses.replace(request, preset="quick"), dataset()) == ["digit-classifier"]
    assert missing_runs(Request("vae", output_dir=tmp_path), dataset()) == []
    os.remove(directory / "saved_model" / "saved_model.pb")
    with pytest.raises(InputError, match=f"gan needs the model of {directory}, which is gone; delete .* to train it"):
        missing_runs(request, dataset())
    (directory / "results.json").write_text("{")
    with pytest.raises(InputError, match=r"results\.json is damaged"):
        missing_runs(request, dataset())


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"dataset": None}, "dataset must be one line"),
        ({"metrics": {}}, "gan needs test_error of .*results.json: it has none; delete .* to train it anew"),
        ({"metrics": {"test_error": {"value": None, "unit": "share", "split": "test", "n": 1}}}, "needs test_error"),
        ({"metrics": {"test_error": {"value": "0.01", "unit": "share", "split": "test", "n": 1}}}, "value must be"),
    ],
)
def test_results_of_a_needed_run_that_cannot_be_used_are_told_in_one_line(tmp_path, finished, changed, said):
    path = finished("digit-classifier") / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(InputError, match=said):
        missing_runs(Request("gan", "smoke", output_dir=tmp_path), dataset())


def test_what_stands_in_the_way_of_a_needed_run_is_found_before_anything_is_trained(tmp_path):
    needed = Request("digit-classifier", "smoke", seed=4, output_dir=tmp_path)
    unfinished(needed, dataset())
    with pytest.raises(InputError, match="digit-classifier holds an unfinished run with seed 4, not 0"):
        check(Request("gan", "smoke", output_dir=tmp_path), dataset())


def test_a_needed_run_that_does_not_take_the_images_is_told_with_the_remedy(tmp_path):
    images = dataset(shape=(20, 20), name="mine/")
    few = images.train.at(np.arange(100))
    request = Request("gan", "smoke", settings=("batch_size=32",), output_dir=tmp_path)
    with pytest.raises(InputError) as caught:
        check(request, dataclasses.replace(images, train=few))
    message = str(caught.value)
    assert message.startswith("gan needs a run of digit-classifier, ") and "name digit-classifier before gan" in message
    assert "batch_size must be at most 100, the number of training images of mine/; got 128" in message
    # As the message says.
    check(request, dataclasses.replace(images, train=few), run_before=["digit-classifier"])


def test_a_gan_of_images_without_labels_needs_no_images_for_its_judge(tmp_path):
    images = dataset(shape=(20, 20))
    one = {name: Split(images.test.images[:1], None) for name in ("validation", "test")}
    unlabelled = dataclasses.replace(images, train=Split(images.train.images, None), classes=None, **one)
    request = Request("gan", "smoke", output_dir=tmp_path)
    check(request, unlabelled)
    labelled = dataclasses.replace(images, test=images.test.at(np.arange(3)))
    with pytest.raises(InputError, match="3 test images; precision and recall of samples needs at least 4"):
        check(request, labelled)
