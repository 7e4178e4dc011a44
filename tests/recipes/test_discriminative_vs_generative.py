"""Discriminative and generative models: errors recomputed, boundaries, tables, the samples of other runs."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from helpers import finished_run

from tfgen.data.batches import scale
from tfgen.errors import RunError
from tfgen.models import classical
from tfgen.recipes import RECIPES
from tfgen.recipes import discriminative_vs_generative as recipe
from tfgen.runner.run import run as run_recipe
from tfgen.sampling import generate

NAME = "discriminative-vs-generative"


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


@pytest.fixture
def drawing():
    """Stands for a run: keeps what it is to draw."""
    drawing = types.SimpleNamespace(seed=0, figures={})
    drawing.figure = drawing.figures.__setitem__
    return drawing


def test_the_autoencoder_sees_all_training_images_and_no_label(run, digits):
    (batches,), (validation,), ((x, target),) = run.batches, run.validations, run.first_batches
    assert batches.images is digits.train.images and batches.labels is None and not batches.binarized
    np.testing.assert_array_equal(x, target)
    np.testing.assert_array_equal(validation, scale(digits.validation.images))


def test_the_autoencoder_s_error_is_that_of_the_saved_model(run, digits):
    test = digits.test.images / 255.0
    model = tf.saved_model.load(str(run.directory / "saved_model"))
    output = model.signatures["reconstruct"](image=tf.constant(test, tf.float32))["reconstruction"].numpy()
    expected = np.mean(np.sum((test - output.astype(np.float64)) ** 2, axis=1))
    assert run.results["metrics"]["test_squared_error"]["value"] == pytest.approx(expected, rel=1e-5)


def test_classifiers_errors_on_pixels_and_on_the_saved_encoder_s_code(run, digits):
    """Nearest neighbours by brute force, Gaussian naive Bayes by its formula, both recomputed in float64."""
    metrics = run.results["metrics"]
    model = tf.saved_model.load(str(run.directory / "saved_model"))
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
    pixel_names = {f"test_error__{name}" for name in recipe.MODELS}
    assert errors == pixel_names | {f"{name}_code" for name in pixel_names - {"test_error__markov_chain"}}
    # Chance is 0.9; the weakest of them, the tree, errs on a quarter.
    assert all(0 < metrics[name]["value"] < 0.4 for name in errors)


def test_the_picture_of_errors_compares_the_best_models_of_both_kinds_beyond_the_noise(run):
    errors = {name: metric["value"] for name, metric in run.results["metrics"].items()}
    discriminative = min(errors[f"test_error__{name}"] for name in ("knn", "decision_tree", "maximum_entropy", "svm"))
    generative = min(errors[f"test_error__{name}"] for name in ("naive_bayes", "gaussian_mixture", "markov_chain"))
    noise = np.sqrt((discriminative * (1 - discriminative) + generative * (1 - generative)) / 297)
    ((_, title, _), _) = run.figures["grouped_bars"][0]
    points = 100 * (generative - discriminative)
    expected = (
        f"The best generative model errs {abs(points):.1f} points {'more' if points > 0 else 'less'} than the best"
    )
    neutral = "Four discriminative and three generative models\n"
    assert title.startswith(expected if abs(points) > 200 * noise else neutral)


def test_samples_of_the_classifiers_stand_in_the_picture_with_pixels_of_their_kind(run):
    """Ten each, on their page in the order of the classes; those of naive Bayes and the chain are black and white."""
    ((rows, _), _) = run.figures["rows_of_images"][0]
    samples = {name: np.asarray(rows[label]) for name, label in recipe.MODELS.items() if label in rows}
    assert list(samples) == ["naive_bayes", "gaussian_mixture", "markov_chain"]
    for name, images in samples.items():
        assert images.shape == (10, 28, 28)
        values = set(np.unique(images))
        assert values == {0, 1} if name != "gaussian_mixture" else 0 <= min(values) < max(values) <= 1 < len(values)


def test_samples_of_the_vae_and_the_gan_stand_beside_those_of_the_classifiers(exported, digits, tmp_path, capsys):
    for name in ("vae", "gan"):
        config = json.loads(json.dumps(dataclasses.asdict(RECIPES[name].presets["smoke"])))
        config.pop("activation", None)  # As in results from before the VAE had this field.
        kind = {"dataset": "digits", "preset": "smoke", "config": config}
        finished_run(tmp_path / "runs" / name, exported[name][1], name, **kind)
        finished_run(tmp_path / "longer" / name, exported[name][1], name, **{**kind, "config": config | {"epochs": 2}})

    def samples(directory="runs", dataset="digits", preset="smoke"):
        run = types.SimpleNamespace(
            directory=tmp_path / directory / NAME, data=dataclasses.replace(digits, name=dataset), preset=preset, seed=0
        )
        return recipe._samples_of_other_runs(run)

    found = samples()
    assert list(found) == ["vae", "gan"] and capsys.readouterr().out == ""
    for name, images in found.items():
        np.testing.assert_array_equal(images, generate(tmp_path / "runs" / name / "saved_model", 10, 0))
    # None of another dataset, preset or configuration.
    assert samples("none") == samples(dataset="mnist") == samples(preset="quick") == samples("longer") == {}
    assert "goes without vae: no finished smoke run of it beside this one" in capsys.readouterr().out


def test_the_generative_boundary_runs_where_the_fitted_normals_cross(drawing):
    recipe._draw_boundaries(drawing)
    boundary = drawing.figures["decision_boundaries"].axes[1].collections[-1].get_paths()[0].vertices
    points, classes = classical.two_gaussians(150, np.random.default_rng([0, 2]))

    def log_density(x, of_class):
        mean, covariance = of_class.mean(axis=0), np.cov(of_class.T, bias=True)
        mahalanobis = np.einsum("ni,ij,nj->n", x - mean, np.linalg.inv(covariance), x - mean)
        return -0.5 * (mahalanobis + np.log(np.linalg.det(covariance)))

    difference = log_density(boundary, points[classes == 1]) - log_density(boundary, points[classes == 0])
    # Drawn through 200 x 200 points: right to a fraction of a grid step.
    assert len(boundary) > 50 and np.abs(difference).max() < 0.15
    # The two boundaries on the left are other curves.
    for line in drawing.figures["decision_boundaries"].axes[0].collections[2:]:
        x = line.get_paths()[0].vertices
        other = log_density(x, points[classes == 1]) - log_density(x, points[classes == 0])
        assert np.abs(other).max() > 1


def test_the_worked_example_is_drawn_exactly(drawing):
    recipe._draw_worked_example(drawing)
    left, right = (axes.tables[0] for axes in drawing.figures["worked_example"].axes)
    shown = [[[table[x, y].get_text().get_text() for y in (0, 1)] for x in (1, 2)] for table in (left, right)]
    assert shown == [[["1/2", "0"], ["1/4", "1/4"]], [["1", "0"], ["1/2", "1/2"]]]


def test_mixtures_that_cannot_be_fitted_are_told_with_the_settings_to_change(digits, tmp_path):
    """Some 25 images make a Gaussian in 50 dimensions: without a floor its covariance is singular."""
    settings = ("mixture_floor=0", "hidden_units=50", "batch_size=32")
    with pytest.raises(RunError, match=r"on pixels: set a larger mixture_floor, now 0, or fewer .*components, now 4$"):
        run_recipe(NAME, digits, preset="smoke", settings=settings, output_dir=tmp_path)
