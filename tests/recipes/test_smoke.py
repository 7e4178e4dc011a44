"""A run of every recipe: its files, what its metrics say, and that a killed one, resumed, ends the same."""

import gc
import math
import re
import shutil

import keras
import numpy as np
import pytest
from helpers import Killed, last_checkpoints, training_of

from tfgen.export import violations
from tfgen.files import read_log
from tfgen.recipe import LECTURE
from tfgen.recipes import RECIPES
from tfgen.runner.results import read_results
from tfgen.runner.run import run

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

FILES = ("results.json", "training.csv", "saved_model/saved_model.pb", "checkpoints/model.keras")


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_leaves_its_files_and_results(smoke, name):
    directory, results = smoke(name).directory, smoke(name).results
    written = read_results(directory / "results.json")
    assert written == results
    assert (written["recipe"], written["preset"], written["dataset"], written["seed"]) == (name, "smoke", "digits", 0)
    assert written["lecture_items"] == list(RECIPES[name].lecture_items) and set(written["lecture_items"]) <= set(
        LECTURE
    )
    for file in (*FILES, *written["figures"]):
        assert (directory / file).stat().st_size > 0, file
    assert written["config"]["epochs"] == 2
    assert 0 < written["seconds"] < 600
    assert not list(directory.rglob(".*"))
    assert written["deterministic"] is False


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_run_exports_holds_the_operations_of_exports_alone_and_can_be_published(smoke, name):
    assert violations(smoke(name).directory / "saved_model") == []


@pytest.mark.parametrize("name", RECIPES)
def test_every_metric_says_what_it_is_and_is_not_compared_with_mnist_s(smoke, name):
    results = smoke(name).results
    for metric in results["metrics"].values():
        assert math.isfinite(metric["value"])
        assert metric["unit"] and metric["split"] and metric["n"] > 0
        assert "published" not in metric
    assert results["comparable"] is False


@pytest.mark.parametrize("name", RECIPES)
def test_the_headline_metrics_of_a_recipe_are_measured(smoke, name):
    # The smoke presets have fewer numbers of labels, two digits to leave out and ten samples instead of 200.
    left_out = re.compile("[13]000_labels|without_[0235-9]")
    headline = (metric.replace("200_samples", "10_samples") for metric in RECIPES[name].headline)
    wanted = {metric for metric in headline if not left_out.search(metric)}
    assert wanted <= set(smoke(name).results["metrics"])


# Trainings between the first and the last in which a run is killed, too: of those that share a compiled model with one
# before, that begin with another's weights, or that are measured before the next begins.
KILLED_IN = {
    "shallow-autoencoder": ("relu_tied",),
    "stacked-autoencoder": ("layer_1", "layer_2"),
    "denoising-autoencoder": ("gaussian",),
    "clustering-autoencoder": ("10d",),
    "deep-embedded-clustering": ("model", "papers_all_images_autoencoder"),
    "semi-supervised-vae": ("m1_m2_100_labels_0", "m1_m2_100_labels_1", "m2_100_labels_0"),
    "anomaly-detection": ("vae_without_4", "autoencoder_without_1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_killed_in_training_after_training_equals_an_uninterrupted_one_bit_for_bit(
    smoke, name, digits, tmp_path, monkeypatch, shorten
):
    """Killed in its first training, in its last and in some between, at the worst moment of the last epoch.

    That is when the log has the epoch's line and the checkpoint, if there is one, is of the epoch before.
    """
    whole = smoke(name)
    first, between, last = whole.trainings[0], KILLED_IN.get(name, ()), whole.trainings[-1]
    assert KILLED_IN.keys() <= RECIPES.keys() and set(between) <= set(whole.trainings[1:-1])
    kills = [training for training in whole.trainings if training in (first, *between, last)]
    log_epoch = keras.callbacks.CSVLogger.on_epoch_end

    def kill(self, epoch, logs=None):
        log_epoch(self, epoch, logs)
        if kills and training_of(self) == kills[0] and epoch == self.params["epochs"] - 1:
            assert (tmp_path / name / "checkpoints" / f"{kills.pop(0)}.keras").exists() == (epoch > 0)
            raise Killed

    shorten(monkeypatch)
    monkeypatch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", kill)
    for needed in RECIPES[name].needs:
        shutil.copytree(smoke(needed).directory, tmp_path / needed)
    for number in range(len(kills)):
        with pytest.raises(Killed):
            run(name, digits, **whole.options, output_dir=tmp_path, resume=number > 0)
        assert not (tmp_path / name / "results.json").exists()
        gc.collect()
    resumed = run(name, digits, **whole.options, output_dir=tmp_path, resume=True)
    assert resumed["metrics"] == whole.results["metrics"]
    checkpoints = [last_checkpoints(path) for path in (whole.directory, tmp_path / name)]
    assert (
        [path.name for path in checkpoints[0]]
        == [path.name for path in checkpoints[1]]
        == sorted(f"{training}.keras" for training in whole.trainings)
    )
    for paths in zip(*checkpoints, strict=True):
        weights = [keras.models.load_model(path).get_weights() for path in paths]
        for a, b in zip(*weights, strict=True):
            np.testing.assert_array_equal(a, b)
    for path in whole.directory.glob("training*.csv"):
        logs = [read_log(path), read_log(tmp_path / name / path.name)]
        assert logs[1]["epoch"] == list(range(len(logs[0]["epoch"])))
        for column in set(logs[0]) - {"seconds"}:
            assert logs[0][column] == logs[1][column], column
