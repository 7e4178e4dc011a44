"""Whole runs, on the embedded digits: files, numbers, resuming, and what a mistake leaves behind."""

import dataclasses
import json
import math
import types

import keras
import numpy as np
import pytest

from tfgen import cli, datasets, experiment, export, report
from tfgen.errors import InputError, RunError
from tfgen.lecture import part_c, part_d
from tfgen.recipes import LECTURE, RECIPES

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

FILES = ("results.json", "training.csv", "saved_model/saved_model.pb", "checkpoints/model.keras")


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    """One smoke run of every recipe: directory and results."""
    directory = tmp_path_factory.mktemp("runs")
    return directory, {name: experiment.run(name, digits, "smoke", directory) for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_leaves_its_files_and_results(runs, name):
    directory, results = runs
    written = json.loads((directory / name / "results.json").read_text())
    assert written == results[name]
    assert (written["recipe"], written["preset"], written["dataset"], written["seed"]) == (name, "smoke", "digits", 0)
    assert set(written["lecture_items"]) <= set(LECTURE)
    for file in (*FILES, *written["figures"]):
        assert (directory / name / file).stat().st_size > 0, file
    assert written["config"]["epochs"] == RECIPES[name].presets["smoke"].epochs
    assert 0 < written["seconds"] < 600
    assert not list((directory / name).rglob(".*"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_metric_says_what_it_is_and_is_not_compared_with_mnist_s(runs, name):
    for metric in runs[1][name]["metrics"].values():
        assert math.isfinite(metric["value"])
        assert metric["unit"] and metric["split"] and metric["n"] > 0
        assert "published" not in metric
    assert runs[1][name]["comparable"] is False


def test_the_autoencoder_s_error_is_that_of_its_saved_reconstructions(runs, digits):
    """Recomputed in float64 from the exported model."""
    import tensorflow as tf

    directory, results = runs
    model = tf.saved_model.load(str(directory / "stacked-autoencoder" / "saved_model"))
    test = digits.test.images / 255.0
    output = model.signatures["reconstruct"](image=tf.constant(test, tf.float32))["reconstruction"].numpy()
    expected = np.mean(np.sum((test - output.astype(np.float64)) ** 2, axis=1))
    metric = results["stacked-autoencoder"]["metrics"]["test_squared_error"]
    assert metric["value"] == pytest.approx(expected, rel=1e-5)
    assert (metric["split"], metric["n"]) == ("test", 297)


@pytest.mark.parametrize(
    "name, file",
    [("relu_untied", "model"), *((name, name) for name in ("relu_tied", "sigmoid_untied", "sigmoid_tied"))],
)
def test_each_shallow_autoencoder_s_numbers_are_those_of_its_checkpoint(runs, digits, name, file):
    """The error recomputed in float64 from the weights alone, by the lecture's formula."""
    directory, results = runs
    path = directory / "shallow-autoencoder" / "checkpoints" / f"{file}.keras"
    weights = {weight.name: np.asarray(weight, np.float64) for weight in keras.models.load_model(path).weights}
    assert ("decoder_kernel" in weights) is ("untied" in name)
    x = digits.test.images / 255.0
    h = x @ weights["kernel"] + weights["bias"]
    h = np.maximum(h, 0) if "relu" in name else 1 / (1 + np.exp(-h))
    decoder_kernel = weights.get("decoder_kernel", weights["kernel"].T)
    reconstruction = 1 / (1 + np.exp(-(h @ decoder_kernel + weights["decoder_bias"])))
    metrics = results["shallow-autoencoder"]["metrics"]
    expected = np.mean(np.sum((x - reconstruction) ** 2, axis=1))
    assert metrics[f"test_squared_error__{name}"]["value"] == pytest.approx(expected, rel=1e-4)
    assert metrics[f"parameters__{name}"]["value"] == sum(weight.size for weight in weights.values())


def test_the_clustering_codes_are_those_of_the_saved_encoder(runs, digits):
    """1-NN recomputed by brute force in float64 from the exported model: the two-dimensional one."""
    import tensorflow as tf

    directory, results = runs
    encode = tf.saved_model.load(str(directory / "clustering-autoencoder" / "saved_model")).signatures["encode"]
    train, test = (
        encode(image=datasets.scale(split.images))["code"].numpy().astype(np.float64)
        for split in (digits.train, digits.test)
    )
    assert test.shape == (297, 2)
    nearest = np.argmin(np.sum((test[:, None] - train) ** 2, axis=2), axis=1)
    error = np.mean(digits.train.labels[nearest] != digits.test.labels)
    metrics = results["clustering-autoencoder"]["metrics"]
    # Codes that tie in float32 may choose another neighbour: one image in 297 at most.
    assert metrics["knn1_error__2d"]["value"] == pytest.approx(error, abs=1.5 / 297)
    assert {name.split("__")[1] for name in metrics} == {"2d", "10d", "32d", "pca2", "pixels"}


@pytest.mark.parametrize("name, code_dim", [("model", 2), ("10d", 10), ("32d", 32)])
def test_no_layer_of_a_wider_network_is_narrower_than_its_code(runs, name, code_dim):
    network = keras.models.load_model(runs[0] / "clustering-autoencoder" / "checkpoints" / f"{name}.keras")
    encoder = [layer.units for layer in network.get_layer("encoder").layers if isinstance(layer, keras.layers.Dense)]
    decoder = [layer.units for layer in network.get_layer("decoder").layers if isinstance(layer, keras.layers.Dense)]
    assert encoder == {2: [128, 64, 10, 2], 10: [128, 64, 10], 32: [128, 64, 32]}[code_dim]
    assert decoder == [*encoder[-2::-1], 784]


def test_the_vae_s_terms_add_up_and_the_kl_divergence_is_that_of_its_encoder(runs, digits):
    import tensorflow as tf

    directory, results = runs
    metrics = {name: metric["value"] for name, metric in results["vae"]["metrics"].items()}
    assert metrics["test_negative_elbo"] == pytest.approx(
        metrics["test_reconstruction_loss"] + metrics["test_kl_divergence"], rel=1e-5
    )
    model = tf.saved_model.load(str(directory / "vae" / "saved_model"))
    posterior = model.signatures["encode"](image=datasets.fixed_binarization(digits.test.images))
    mean, log_var = (posterior[name].numpy().astype(np.float64) for name in ("z_mean", "z_log_var"))
    expected = 0.5 * np.mean(np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1))
    assert metrics["test_kl_divergence"] == pytest.approx(expected, rel=1e-4)


def test_classifiers_errors_on_pixels_and_on_the_saved_encoder_s_code(runs, digits):
    """Nearest neighbours by brute force, Gaussian naive Bayes by its formula, both recomputed in float64."""
    import tensorflow as tf

    directory, results = runs
    metrics = results["discriminative-vs-generative"]["metrics"]
    model = tf.saved_model.load(str(directory / "discriminative-vs-generative" / "saved_model"))
    labels = digits.train.labels[:1000]
    pixels = [split.images / 255.0 for split in (digits.train, digits.test)]
    code = [model.signatures["encode"](image=tf.constant(x, tf.float32))["code"].numpy() for x in pixels]
    for suffix, (train, test) in {"": pixels, "_code": code}.items():
        train, test = train[:1000].astype(np.float64), test.astype(np.float64)
        distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
        votes = np.eye(10)[labels[np.argsort(distances, axis=1)[:, :3]]].sum(axis=1)
        wrong = np.argmax(votes, axis=1) != digits.test.labels
        metric = metrics[f"test_error__knn{suffix}"]
        # A distance that rounds to another neighbour may cost an image.
        assert metric["value"] == pytest.approx(wrong.mean(), abs=1.1 / 297)
        assert (metric["split"], metric["n"]) == ("test", 297) and "1,000 training images" in metric["unit"]

    scores = []
    for x in (train[labels == y] for y in range(10)):
        log_density = -0.5 * np.sum(np.log(x.var(axis=0)) + (test - x.mean(axis=0)) ** 2 / x.var(axis=0), axis=1)
        scores.append(np.log(len(x) / 1000) + log_density)
    wrong = np.argmax(scores, axis=0) != digits.test.labels
    assert metrics["test_error__naive_bayes_code"]["value"] == pytest.approx(wrong.mean(), abs=1.1 / 297)

    errors = {name for name in metrics if name.startswith("test_error__")}
    pixel_names = {f"test_error__{name}" for name in part_c.MODELS}
    assert errors == pixel_names | {f"{name}_code" for name in pixel_names - {"test_error__markov_chain"}}
    # Chance is 0.9; the weakest of them, the tree, errs on a quarter.
    assert all(0 < metrics[name]["value"] < 0.4 for name in errors)


def test_samples_of_the_vae_and_the_gan_stand_beside_those_of_the_classifiers(runs, digits, tmp_path):
    directory, _ = runs

    def samples(directory, dataset="digits", preset="smoke"):
        run = types.SimpleNamespace(
            directory=directory / "discriminative-vs-generative",
            data=dataclasses.replace(digits, name=dataset),
            request={"preset": preset},
            seed=0,
        )
        return part_c._samples_of_other_runs(run)

    found = samples(directory)
    assert list(found) == ["vae", "gan"]
    for name, images in found.items():
        np.testing.assert_array_equal(images, export.generate(directory / name / "saved_model", 10, 0))
    assert samples(tmp_path) == samples(directory, dataset="mnist") == samples(directory, preset="quick") == {}


def test_published_values_stand_beside_ours_on_mnist_only(digits):
    for comparable in (True, False):
        data = dataclasses.replace(digits, comparable=comparable)
        run = experiment.Run(None, RECIPES["stacked-autoencoder"], None, data, {"seed": 0, "deterministic": 0}, False)
        run.metric("pca_squared_error__30", 13.9, "unit", "test", 1)
        run.metric("test_squared_error", math.nan, "unit", "test", 1)
        assert run.metrics["pca_squared_error__30"].get("published") == (13.87 if comparable else None)
        assert run.metrics["test_squared_error"]["value"] is None


class Killed(BaseException):
    """Stands for a kill: no handler of the package may catch it."""


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(name, digits, tmp_path, monkeypatch):
    whole = experiment.run(name, digits, "smoke", tmp_path / "whole", epochs=3)

    original = keras.callbacks.CSVLogger.on_epoch_end

    def killed_in_the_second_epoch(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            raise Killed

    with monkeypatch.context() as patch:
        # After the log's line and before the checkpoint: the worst moment.
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed_in_the_second_epoch)
        with pytest.raises(Killed):
            experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=3)
    assert not (tmp_path / "parts" / name / "results.json").exists()
    with pytest.raises(InputError, match="unfinished run; add --resume"):
        experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=3)
    with pytest.raises(InputError, match=r"started with another seed \(seed 0\)"):
        experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=3, seed=1, resume=True)

    resumed = experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=3, resume=True)
    assert resumed["metrics"] == whole["metrics"]
    networks = [
        keras.models.load_model(tmp_path / part / name / "checkpoints/model.keras") for part in ("whole", "parts")
    ]
    for a, b in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(a, b)
    logs = [experiment._read_log(tmp_path / part / name / "training.csv") for part in ("whole", "parts")]
    assert logs[1]["epoch"] == [0, 1, 2]
    for column in set(logs[0]) - {"seconds"}:
        assert logs[0][column] == logs[1][column], column


@pytest.mark.parametrize("name", ["clustering-autoencoder", "shallow-autoencoder"])
def test_a_run_killed_in_its_second_model_equals_an_uninterrupted_one_bit_for_bit(name, digits, tmp_path, monkeypatch):
    whole = experiment.run(name, digits, "smoke", tmp_path / "whole", epochs=2)
    original, epochs_done = keras.callbacks.CSVLogger.on_epoch_end, []

    def killed_in_the_fourth_epoch_of_all(self, epoch, logs=None):
        original(self, epoch, logs)
        epochs_done.append(epoch)
        if epochs_done == [0, 1, 0, 1]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed_in_the_fourth_epoch_of_all)
        with pytest.raises(Killed):
            experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=2)
    resumed = experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=2, resume=True)
    assert resumed["metrics"] == whole["metrics"]
    checkpoints = [sorted((tmp_path / part / name / "checkpoints").glob("*.keras")) for part in ("whole", "parts")]
    assert len(checkpoints[0]) >= 3
    for a, b in zip(*checkpoints, strict=True):
        assert a.name == b.name
        for one, other in zip(*(keras.models.load_model(path).get_weights() for path in (a, b)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_resuming_a_finished_run_keeps_it(digits, tmp_path, capsys):
    first = experiment.run("vae", digits, "smoke", tmp_path)
    written = (tmp_path / "vae" / "results.json").stat().st_mtime_ns
    assert experiment.run("vae", digits, "smoke", tmp_path, resume=True) == first
    assert (tmp_path / "vae" / "results.json").stat().st_mtime_ns == written
    assert "already finished" in capsys.readouterr().out


def test_running_again_replaces_the_run_and_spares_the_user_s_files(digits, tmp_path):
    experiment.run("vae", digits, "smoke", tmp_path)
    (tmp_path / "vae" / "notes.txt").write_text("mine")
    again = experiment.run("vae", digits, "smoke", tmp_path, seed=3)
    assert json.loads((tmp_path / "vae" / "results.json").read_text())["seed"] == again["seed"] == 3
    assert (tmp_path / "vae" / "notes.txt").read_text() == "mine"


def test_seeds_decide_a_run(runs, digits, tmp_path):
    same = experiment.run("stacked-autoencoder", digits, "smoke", tmp_path / "same")
    other = experiment.run("stacked-autoencoder", digits, "smoke", tmp_path / "other", seed=1)
    assert same["metrics"] == runs[1]["stacked-autoencoder"]["metrics"]
    assert same["metrics"]["test_squared_error"] != other["metrics"]["test_squared_error"]


def test_a_diverging_training_ends_in_one_clear_error(digits, tmp_path, monkeypatch):
    recipe = RECIPES["vae"]
    wild = dataclasses.replace(recipe.presets["smoke"], learning_rate=1e6)
    monkeypatch.setitem(RECIPES, "vae", dataclasses.replace(recipe, presets={"smoke": wild}))
    with pytest.raises(RunError, match="diverged in epoch 1"):
        experiment.run("vae", digits, "smoke", tmp_path)
    assert not (tmp_path / "vae" / "results.json").exists()


@pytest.mark.parametrize("epochs, expected", [(1, [1]), (4, [1, 2, 4]), (100, [1, 2, 5, 10, 20, 50, 100])])
def test_snapshots_are_taken_at_growing_distances_and_at_the_end(epochs, expected):
    assert part_d.snapshot_epochs(epochs) == expected


def test_the_table_and_the_report_show_every_metric(runs):
    directory, results = runs
    table = report.table(results.values())
    written = report.write_report(directory).read_text()
    for name, result in results.items():
        for metric in result["metrics"]:
            assert any(name in line and metric in line and "not comparable" in line for line in table.splitlines())
            assert f"| {metric} |" in written
        for figure in result["figures"]:
            assert f"({name}/{figure})" in written


def test_the_table_prints_published_beside_ours():
    metric = {"value": 13.866, "unit": "u", "split": "test", "n": 10_000, "published": 13.87, "source": "s"}
    result = {"recipe": "r", "lecture_items": ["A5"], "comparable": True, "metrics": {"m": metric, "k": {**metric}}}
    del result["metrics"]["k"]["published"]
    assert [row[3:5] for row in report.rows([result])] == [("13.87", "13.87"), ("not reported", "13.87")]


@pytest.mark.parametrize(
    "value, printed", [(None, "not finite"), (0.04619, "0.04619"), (99.078, "99.08"), (101200.0, "101,200")]
)
def test_the_table_prints_counts_whole_and_measurements_rounded(value, printed):
    metric = {"value": value, "unit": "u", "split": "test", "n": 1}
    result = {"recipe": "r", "lecture_items": ["A3"], "comparable": True, "metrics": {"m": metric}}
    assert [row[4] for row in report.rows([result])] == [printed]


def test_an_interrupted_command_keeps_its_checkpoint_and_prints_the_line_to_resume(tmp_path, monkeypatch, capsys):
    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    arguments = [
        "run",
        "vae",
        "--preset",
        "smoke",
        "--epochs",
        "3",
        "--dataset",
        "digits",
        "--output-dir",
        str(tmp_path),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", interrupt)
        assert cli.main(arguments) == 130
    assert (
        f"run vae --preset smoke --epochs 3 --dataset digits --output-dir {tmp_path} --resume"
        in capsys.readouterr().err
    )
    assert (tmp_path / "vae" / "checkpoints" / "model.keras").exists()
