"""Whole runs, on the embedded digits: files, numbers, resuming, and what a mistake leaves behind."""

import dataclasses
import importlib.util
import json
import math
import pathlib
import shutil
import subprocess
import sys
import types

import keras
import matplotlib.image
import numpy as np
import pytest
from conftest import Killed
from scipy import linalg, optimize, stats
from scipy.spatial.distance import cdist
from scipy.special import expit, logsumexp, rel_entr
from sklearn.cluster import KMeans
from tfgen.lecture import part_c, part_d

from tfgen import cli, datasets, experiment, export, report
from tfgen.distributions import Draw, stateless_seed
from tfgen.errors import InputError, RunError
from tfgen.models.classifier import convolutional_classifier
from tfgen.recipes import LECTURE, RECIPES

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

FILES = ("results.json", "training.csv", "saved_model/saved_model.pb", "checkpoints/model.keras")


@pytest.fixture(scope="module")
def seen():
    """From each recipe to what `training_batches` and `fit` were called with in its run."""
    return {name: ([], []) for name in RECIPES}


@pytest.fixture(scope="module")
def first_batches():
    """From each recipe to the first batch of each of its trainings that are given validation data."""
    return {name: [] for name in RECIPES}


@pytest.fixture(scope="module")
def runs(digits, seen, first_batches, tmp_path_factory):
    """One smoke run of every recipe: directory and results."""
    directory, results = tmp_path_factory.mktemp("runs"), {}
    original_stream, original_fit = datasets.training_batches, keras.Model.fit
    for name in RECIPES:
        streams, validations = seen[name]

        def stream(images, batch_size, seed, streams=streams, **options):
            streams.append((images, seed, options))
            return original_stream(images, batch_size, seed, **options)

        def fit(self, *args, validations=validations, firsts=first_batches[name], **kwargs):
            # The classifiers of feature-classifier are fitted to labels and judge no validation images.
            if "validation_data" in kwargs:
                held_out = [keras.utils.unpack_x_y_sample_weight(batch)[0] for batch in kwargs["validation_data"]]
                validations.append(np.concatenate(held_out))
                assert not kwargs["validation_data"].options().autotune.enabled
                assert not args[0].options().autotune.enabled
                firsts.append(next(iter(args[0])))
            return original_fit(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets, "training_batches", stream)
            patch.setattr(keras.Model, "fit", fit)
            results[name] = experiment.run(name, digits, "smoke", directory)
    return directory, results


@pytest.fixture(scope="module")
def stored(runs):
    """Function from a recipe and the name of one of its models to the checkpoint."""
    return lambda recipe, name="model": keras.models.load_model(runs[0] / recipe / "checkpoints" / f"{name}.keras")


@pytest.fixture(scope="module")
def judge(stored):
    """The classifier that judges samples, in float32, with the weights of its checkpoint."""
    model = convolutional_classifier()
    model.set_weights(stored("digit-classifier").get_weights())
    return model


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
    assert written["deterministic"] is False


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


def test_the_pca_errors_are_those_of_a_singular_value_decomposition_of_all_training_images(runs, digits):
    train = np.concatenate([digits.train.images, digits.validation.images]) / 255.0
    test = digits.test.images / 255.0 - train.mean(axis=0)
    _, _, components = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    for k in (30, 150):
        residual = test - test @ components[:k].T @ components[:k]
        metric = runs[1]["stacked-autoencoder"]["metrics"][f"pca_squared_error__{k}"]
        # Ours is in float32, and what 150 components leave of these images is small.
        assert metric["value"] == pytest.approx(np.mean(np.sum(residual**2, axis=1)), rel=1e-3)


def test_the_digit_classifier_s_error_is_that_of_its_checkpoint(runs, digits, judge):
    wrong = np.argmax(judge(digits.test.images / np.float32(255)), axis=1) != digits.test.labels
    metric = runs[1]["digit-classifier"]["metrics"]["test_error"]
    assert metric["value"] == pytest.approx(wrong.mean(), abs=1.1 / 297)
    # A classifier that had not learnt would err on nine images in ten.
    assert wrong.mean() < 0.1


def best_sigma(samples, images):
    """Returns the member of the paper's grid with the largest mean log density, by SciPy, of images under samples."""
    sigmas = np.logspace(-1, 0, 10)
    distances = cdist(images, samples, "sqeuclidean")
    values = [logsumexp(-0.5 * distances / s**2, axis=1).mean() - 784 * np.log(s) for s in sigmas]
    return sigmas[np.argmax(values)]


def frechet(a, b):
    """Returns the Frechet distance by the eigenvalues of the product of the covariances."""
    root = np.sum(np.sqrt(np.maximum(linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real, 0)))
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * root


def share_in_balls(a, b):
    """Returns the share of a within the distance of some member of b to its third nearest other member."""
    radii = np.sort(cdist(b, b), axis=1)[:, 3]
    return np.mean(np.any(cdist(a, b) <= radii * (1 + 1e-6), axis=1))


@pytest.mark.parametrize("suffix", ["", "__averaged_weights"])
@pytest.mark.parametrize("name", ["gan", "gan-goodfellow"])
def test_the_measures_of_samples_are_those_of_the_checkpoint(name, suffix, runs, digits, stored, judge):
    metrics = {
        key.removesuffix(suffix): metric["value"]
        for key, metric in runs[1][name]["metrics"].items()
        if key.endswith(suffix)
    }
    trained = stored(name)
    if suffix:
        trained.generator_optimizer.finalize_variable_values(trained.generator.trainable_variables)
    model = type(trained).from_config({**trained.get_config(), "dtype": "float32"})
    model.set_weights(trained.get_weights())
    z = model.sample_noise((1000, 100), stateless_seed(0, Draw.SAMPLE, 1))
    samples = model.generator(z).numpy()
    probabilities = keras.ops.softmax(judge(samples)).numpy().astype(np.float64)
    shares = np.bincount(np.argmax(probabilities, axis=1), minlength=10) / 1000
    assert metrics["rarest_class_share"] == pytest.approx(shares.min(), abs=2e-3)
    marginal = probabilities.mean(axis=0)
    divergence = np.sum(rel_entr(probabilities, marginal), axis=1).mean()
    assert metrics["classifier_score"] == pytest.approx(np.exp(divergence), rel=1e-3)

    # Parzen: SciPy's mixture of normals at the sigma that the unit names, for a few of the test images' mean.
    test = digits.test.images / 255.0
    parzen = runs[1][name]["metrics"][f"parzen_log_likelihood{suffix}"]
    sigma = parzen["sigma"]
    assert sigma == best_sigma(samples, digits.validation.images / 255.0)
    distances = np.stack([np.sum((samples.astype(np.float64) - x) ** 2, axis=1) for x in test])
    log_p = logsumexp(-0.5 * distances / sigma**2, axis=1) - np.log(1000) - 392 * np.log(2 * np.pi * sigma**2)
    assert metrics["parzen_log_likelihood"] == pytest.approx(log_p.mean(), abs=0.5)
    assert parzen["standard_error"] == pytest.approx(log_p.std() / np.sqrt(297), rel=0.02)

    features = judge.get_layer("features")
    a, b = (features(x.astype(np.float32)).numpy().astype(np.float64) for x in (samples[:297], test))
    assert metrics["frechet_distance"] == pytest.approx(frechet(a, b), rel=0.02)
    assert metrics["sample_precision"] == pytest.approx(share_in_balls(a, b), abs=0.02)
    assert metrics["sample_recall"] == pytest.approx(share_in_balls(b, a), abs=0.02)


@pytest.mark.parametrize("name", ["gan", "gan-goodfellow"])
def test_the_baselines_beside_samples_are_those_of_images_and_of_centres(name, runs, digits, judge):
    metrics = runs[1][name]["metrics"]
    train, validation, test = (split.images / 255.0 for split in (digits.train, digits.validation, digits.test))
    centres = KMeans(1000, init="random", n_init=1, max_iter=5, random_state=0).fit(np.float32(train)).cluster_centers_
    for key, points in (("train_images", train[:1000]), ("kmeans_centres", centres)):
        metric = metrics[f"parzen_log_likelihood__{key}"]
        sigma = best_sigma(points, validation)
        log_p = logsumexp(-0.5 * cdist(test, points, "sqeuclidean") / sigma**2, axis=1) - np.log(1000)
        assert metric["sigma"] == sigma
        expected = log_p.mean() - 392 * np.log(2 * np.pi * sigma**2)
        assert metric["value"] == pytest.approx(expected, abs=0.5)
        # Wrong: the test images as the model of themselves, each of which has a centre at no distance.
        assert metric["value"] < -np.log(1000) - 392 * np.log(2 * np.pi * sigma**2) - 1

    features = judge.get_layer("features")
    a, b = (features(x[:250].astype(np.float32)).numpy().astype(np.float64) for x in (validation, test))
    assert len(digits.validation) == metrics["frechet_distance__validation_images"]["n"] == 250
    assert metrics["frechet_distance__validation_images"]["value"] == pytest.approx(frechet(a, b), rel=0.02)
    assert 0 < frechet(a, b) < 0.2 * metrics["frechet_distance"]["value"]


@pytest.mark.parametrize("name", ["vae-burda", "iwae-burda"])
def test_the_nll_lies_below_the_bound_of_the_checkpoint_and_is_near_that_of_other_draws(name, runs, digits, stored):
    """50 importance samples of other draws, weighed in float64 with SciPy's densities."""
    metrics, model = runs[1][name]["metrics"], stored(name)
    x = datasets.fixed_binarization(digits.test.images).numpy()
    mean, log_var = (value.numpy().astype(np.float64) for value in model.encoder(x))
    rng, log_weights = np.random.default_rng(1), []
    for _ in range(50):
        z = rng.normal(mean, np.exp(log_var / 2))
        logits = model.decoder(z.astype(np.float32)).numpy().astype(np.float64)
        log_p = np.sum(x * logits - np.logaddexp(0, logits), axis=1) + stats.norm.logpdf(z).sum(1)
        log_weights.append(log_p - stats.norm.logpdf(z, mean, np.exp(log_var / 2)).sum(1))
    nll = np.mean(np.log(50) - logsumexp(log_weights, axis=0))
    assert metrics["test_nll"]["value"] == pytest.approx(nll, abs=1.0)
    bound = metrics["test_negative_elbo" if name == "vae-burda" else "test_negative_bound"]["value"]
    assert metrics["test_nll"]["value"] < bound - 1
    assert metrics["active_latent_units"]["value"] == np.sum(mean.var(axis=0) > 0.01)


def test_a_recipe_that_is_needed_runs_first_and_is_not_repeated(digits, tmp_path, capsys):
    wanted = dataclasses.replace(RECIPES["shallow-autoencoder"], needs=("vae",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "shallow-autoencoder", wanted)
        experiment.run("shallow-autoencoder", digits, "smoke", tmp_path)
        assert "shallow-autoencoder needs vae: running it first" in capsys.readouterr().out
        written = (tmp_path / "vae" / "results.json").stat().st_mtime_ns
        experiment.run("shallow-autoencoder", digits, "smoke", tmp_path)
    assert "needs" not in capsys.readouterr().out
    assert (tmp_path / "vae" / "results.json").stat().st_mtime_ns == written


def test_every_gan_variant_has_its_noise_and_loss_and_the_numbers_of_its_own_checkpoint(runs, digits, stored, judge):
    """D(x), D(G(z)) and the digits covered, recomputed from each checkpoint and the classifier's."""
    config = RECIPES["gan-variants"].presets["smoke"]
    metrics = {name: metric["value"] for name, metric in runs[1]["gan-variants"]["metrics"].items()}
    test = (digits.test.images / 255.0).astype(np.float32)
    variants = {
        "uniform_non_saturating": ("uniform", "non-saturating"),
        "gaussian_non_saturating": ("gaussian", "non-saturating"),
        "uniform_minimax": ("uniform", "minimax"),
        "gaussian_minimax": ("gaussian", "minimax"),
    }
    for i, (suffix, (noise, loss)) in enumerate(variants.items()):
        model = stored("gan-variants", suffix if i else "model")
        assert (model.noise, model.generator_loss) == (noise, loss)
        z = model.sample_noise((config.num_samples, config.noise_dim), stateless_seed(0, Draw.SAMPLE, 1)).numpy()
        # Uniform on [-1, 1) or standard normal: the largest of 100,000 draws tells.
        assert (0.999 < np.abs(z).max() <= 1) if noise == "uniform" else np.abs(z).max() > 3
        images = model.generator(z)
        shares = np.bincount(np.argmax(judge(images), axis=1), minlength=10) / config.num_samples

        real, fake = (expit(model.discriminator(x).numpy().astype(np.float64)) for x in (test, images))
        assert metrics[f"real_probability__{suffix}"] == pytest.approx(real.mean(), abs=1e-4)
        # On other noise, one draw for each test image: five standard errors of the two means' difference.
        error = 5 * fake.std() * np.sqrt(1 / len(test) + 1 / len(fake))
        assert metrics[f"fake_probability__{suffix}"] == pytest.approx(fake.mean(), abs=error)
        assert abs(real.mean() - fake.mean()) > error  # wrong: D(x)

        # An image on the border between two digits may fall on either side.
        assert metrics[f"rarest_class_share__{suffix}"] == pytest.approx(shares.min(), abs=1.5e-3)
        least, most = (np.sum(shares >= config.covered_share + slack) for slack in (9e-4, -9e-4))
        assert least <= metrics[f"digits_covered__{suffix}"] <= most


def test_the_game_on_the_line_is_played_with_draws_of_the_data_and_measured_at_its_last_stage(
    runs, seen, first_batches
):
    """Data N(1, 1/2^2), by their moments; the metrics by hand from the histogram and D that the last stage left."""
    config = RECIPES["gan-1d"].presets["smoke"]
    assert (config.data_mean, config.data_std) == (1, 0.5)
    (validation,), (batch,) = seen["gan-1d"][1], first_batches["gan-1d"]
    assert len(batch) == config.batch_size * config.discriminator_steps
    for x in (validation, np.asarray(batch)):
        x = x.astype(np.float64)
        assert x.mean() == pytest.approx(1, abs=5 * 0.5 / np.sqrt(x.size))
        assert x.std() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2 * x.size))

    with np.load(runs[0] / "gan-1d" / "checkpoints" / "stages" / f"{config.epochs:06d}.npz") as snapshot:
        q, d = snapshot["p_g"], snapshot["discriminator"]
    edges = np.linspace(1 - 0.5 * config.half_width, 1 + 0.5 * config.half_width, config.bins + 1)
    p = np.diff(stats.norm.cdf(edges, 1, 0.5))
    m = (p + q) / 2
    measured = {
        "value": np.sum(p * np.log(d)) + np.sum(q * np.log1p(-d)),
        "jensen_shannon_divergence": (np.sum(rel_entr(p, m)) + np.sum(rel_entr(q, m))) / 2,
        "discriminator_error": np.sum(m * np.abs(d - p / (p + q))),
    }
    for name, expected in measured.items():
        # The tails beyond the histogram, 6e-7 of the data, are counted to its outermost bins.
        assert runs[1]["gan-1d"]["metrics"][name]["value"] == pytest.approx(expected, abs=1e-4), name
    # Wrong: the two distributions mistaken for each other.
    assert abs(np.sum(q * np.log(d)) + np.sum(p * np.log1p(-d)) - measured["value"]) > 0.1


def test_models_are_what_the_recipes_say(stored):
    for name in ("vae", "vae-2d", "vae-gaussian"):
        config, model = RECIPES[name].presets["smoke"], stored(name)
        assert (model.latent_dim, model.activation) == (config.latent_dim, config.activation)
        assert tuple(model.hidden_units) == config.hidden_units
        assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)  # the cosine's end
        assert _first_rate(model.optimizer) == config.learning_rate
    assert stored("vae-gaussian").min_variance == RECIPES["vae-gaussian"].presets["smoke"].min_variance
    config, model = RECIPES["gan"].presets["smoke"], stored("gan")
    for field in ("noise", "noise_dim", "generator_loss", "discriminator_steps"):
        assert getattr(model, field) == getattr(config, field)
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        rates = config.generator_learning_rate, config.discriminator_learning_rate, float(optimizer.learning_rate)
        assert rates == pytest.approx((1e-3,) * 3)
    widths = [layer.units for layer in stored("stacked-autoencoder").get_layer("encoder").layers[1:]]
    assert widths == [300, 150]


def test_the_published_experiments_models_are_what_the_recipes_say(stored):
    config, model = RECIPES["digit-classifier"].presets["smoke"], stored("digit-classifier")
    layers = model.get_layer("features").layers
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    assert tuple(layer.filters for layer in convolutions) == config.filters == (32, 64)
    assert layers[-1].units == config.units == 128
    assert {layer.compute_dtype for layer in (*convolutions, layers[-1])} == {_computed(config)}
    assert _first_rate(model.optimizer) == config.learning_rate == 2e-3

    config, model = RECIPES["autoencoder-30d"].presets["smoke"], stored("autoencoder-30d")
    dense = [layer for half in ("encoder", "decoder") for layer in model.get_layer(half).layers[1:]]
    assert [layer.units for layer in dense] == [*config.hidden_units, 784]
    assert config.hidden_units == (1000, 500, 250, 30, 250, 500, 1000)
    hidden, code = config.activation, config.code_activation
    activations = [keras.activations.serialize(layer.activation) for layer in dense]
    assert activations == [hidden, hidden, hidden, code, hidden, hidden, hidden, "sigmoid"]
    assert {layer.compute_dtype for layer in dense} == {_computed(config)}
    assert _first_rate(model.optimizer) == config.learning_rate

    for name, k in (("vae-burda", 1), ("iwae-burda", 5)):
        config, model = RECIPES[name].presets["smoke"], stored(name)
        assert (model.latent_dim, tuple(model.hidden_units), model.activation) == (50, (200, 200), "tanh")
        assert k == config.stages[-1][0] == getattr(model, "num_samples", 1)
        assert _first_rate(model.optimizer) == config.stages[-1][2]
        assert model.optimizer.epsilon == config.epsilon == 5e-6

    config, model = RECIPES["gan-goodfellow"].presets["smoke"], stored("gan-goodfellow")
    fields = ("noise", "noise_dim", "pieces", "input_keep", "hidden_keep", "generator_range", "discriminator_range")
    for field in fields:
        assert getattr(model, field) == getattr(config, field), field
    assert tuple(model.generator_units) == config.generator_units == (1200, 1200)
    assert tuple(model.discriminator_units) == config.discriminator_units == (240, 240)
    assert {layer.compute_dtype for layer in model.generator.layers[1:]} == {_computed(config)}
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert _first_rate(optimizer) == config.learning_rate == 0.1
        assert (optimizer.momentum, optimizer.final_momentum) == (config.momentum, config.final_momentum) == (0.5, 0.7)


def _computed(config):
    """Returns the dtype of the products that a configuration's training is to use."""
    return config.precision.removeprefix("mixed_")


def _first_rate(optimizer):
    return optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]


# gan-1d draws its own data, and two recipes train on parts of the images, which their own tests hold.
@pytest.mark.parametrize("name", sorted({*RECIPES} - {"gan-1d", "feature-classifier", "anomaly-detection"}))
def test_models_are_trained_on_training_images_binarised_or_not_and_judged_on_validation(name, runs, seen, digits):
    streams, validations = seen[name]
    assert streams and validations
    binary = name in ("vae", "vae-2d", "vae-burda", "iwae-burda")
    for images, seed, options in streams:
        assert images is digits.train.images
        assert (seed, options.get("binarized", False)) == (0, binary)
    scaled = digits.validation.images / np.float32(255)
    if name == "stacked-autoencoder":
        # The second layer alone sees codes: those of the same images, which tests/test_pretraining.py holds.
        (codes,) = (images for images in validations if images.shape != scaled.shape)
        validations = [images for images in validations if images is not codes]
    for images in validations:
        assert images.shape == scaled.shape
        if name == "denoising-autoencoder":
            # Noise leaves bright pixels brighter than dark ones.
            assert images[scaled > 0.9].mean() > images[scaled < 0.1].mean() + 0.3
        elif binary:
            assert set(np.unique(images)) == {0, 1} and abs(images.mean() - scaled.mean()) < 0.01
        else:
            np.testing.assert_allclose(images, scaled, atol=1e-6)


def test_models_of_equal_shape_in_a_run_begin_with_weights_of_their_own(digits, tmp_path, monkeypatch):
    built = {}

    def first_epoch(self, *args, **kwargs):
        built[len(built)] = [np.copy(weight) for weight in self.get_weights()]
        raise Killed

    monkeypatch.setattr(keras.Model, "fit", first_epoch)
    run = experiment.Run(
        tmp_path, RECIPES["vae"], RECIPES["vae"].presets["smoke"], digits, {"seed": 0, "deterministic": False}, False
    )

    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile("sgd")
        return model

    for name in (None, "second", None):
        with pytest.raises(Killed):
            run.fit(build, lambda first_step: None, 100, (np.zeros((1, 4)),), name=name)
    assert np.any(built[0][0] != built[1][0])
    np.testing.assert_array_equal(built[0][0], built[2][0])


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


def test_the_clusters_of_pixels_are_those_of_k_means_judged_by_their_table(runs, digits):
    clusters = KMeans(10, n_init=10, random_state=0).fit_predict(digits.test.images / np.float32(255))
    joint = np.zeros((10, 10))
    np.add.at(joint, (digits.test.labels, clusters), 1 / 297)
    labels, sizes = joint.sum(axis=1), joint.sum(axis=0)
    information = np.sum(rel_entr(joint, np.outer(labels, sizes)))
    metrics = runs[1]["clustering-autoencoder"]["metrics"]
    nmi = 2 * information / (stats.entropy(labels) + stats.entropy(sizes))
    # Rounding may move an image or two from one cluster to another.
    assert metrics["nmi__pixels"]["value"] == pytest.approx(nmi, abs=0.01)
    accuracy = joint[optimize.linear_sum_assignment(-joint)].sum()
    assert metrics["kmeans_accuracy__pixels"]["value"] == pytest.approx(accuracy, abs=2.5 / 297)


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
    with pytest.raises(InputError, match=r"holds an unfinished run with seed 0, not 1: give the same options"):
        experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=3, seed=1, resume=True)

    resumed = experiment.run(name, digits, "smoke", tmp_path / "parts", epochs=3, resume=True)
    assert resumed["metrics"] == whole["metrics"]
    networks = [
        keras.models.load_model(tmp_path / part / name / "checkpoints/model.keras") for part in ("whole", "parts")
    ]
    for a, b in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(a, b)
    logs = [experiment._read_log(tmp_path / part / name / "training.csv") for part in ("whole", "parts")]
    assert logs[1]["epoch"] == list(range(len(logs[0]["epoch"])))
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


def contents(directory):
    return {path.relative_to(directory): path.is_file() and path.read_bytes() for path in directory.rglob("*")}


def test_running_again_repeats_the_run_and_spares_the_user_s_files(digits, tmp_path):
    first = experiment.run("vae", digits, "smoke", tmp_path)
    (tmp_path / "vae" / "notes.txt").write_text("mine")
    (tmp_path / "vae" / "figures" / "stale.png").write_text("of an earlier version")
    # As left by a run that was killed while it wrote.
    (tmp_path / "vae" / "checkpoints" / ".model.keras").write_text("half")
    (tmp_path / "vae" / ".saved_model.0123").mkdir()
    again = experiment.run("vae", digits, "smoke", tmp_path)
    assert again["metrics"] == first["metrics"]
    assert (tmp_path / "vae" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "vae" / "figures" / "stale.png").exists()
    assert not list((tmp_path / "vae").rglob(".*"))


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "other, said", [({"seed": 3}, "seed 0, not 3"), ({"epochs": 2}, "epochs 1, not 2"), ({}, "no request.json")]
)
def test_results_of_another_request_are_moved_aside_and_never_discarded(
    other, said, resume, runs, digits, tmp_path, capsys
):
    shutil.copytree(runs[0] / "vae", tmp_path / "vae")
    (tmp_path / "vae.1").mkdir()
    if not other:
        (tmp_path / "vae" / "request.json").unlink()
    before = contents(tmp_path / "vae")
    results = experiment.run("vae", digits, "smoke", tmp_path, resume=resume, **other)
    assert contents(tmp_path / "vae.2") == before and not list((tmp_path / "vae.1").iterdir())
    assert f"held a finished run with {said}: moved to {tmp_path / 'vae.2'}" in capsys.readouterr().out
    assert json.loads((tmp_path / "vae" / "results.json").read_text()) == results
    assert results["seed"] == other.get("seed", 0) and results["config"]["epochs"] == other.get("epochs", 1)


def test_two_runs_do_not_share_a_directory(digits, tmp_path):
    (tmp_path / "vae").mkdir()
    with experiment._locked(tmp_path / "vae"):
        with pytest.raises(InputError, match=r"another run is writing to .*vae; wait for it"):
            experiment.run("vae", digits, "smoke", tmp_path)
        assert not list((tmp_path / "vae").iterdir())
    experiment.run("vae", digits, "smoke", tmp_path)


@pytest.mark.parametrize(
    "file, content, said",
    [
        ("checkpoints/model.keras", b"PK", "model.keras .* cannot be read .*delete .*vae to start over"),
        ("training.csv", None, "training.csv cannot be read .*delete .*vae to start over"),
        ("request.json", b"{", "request.json is damaged .*delete .*vae"),
    ],
)
def test_damaged_files_of_an_unfinished_run_are_named_with_the_remedy(file, content, said, runs, digits, tmp_path):
    shutil.copytree(runs[0] / "vae", tmp_path / "vae")
    (tmp_path / "vae" / "results.json").unlink()
    if content is None:
        (tmp_path / "vae" / file).unlink()
    else:
        (tmp_path / "vae" / file).write_bytes(content)
    with pytest.raises(InputError, match=said):
        experiment.run("vae", digits, "smoke", tmp_path, resume=True)


def test_a_damaged_result_is_named_with_the_remedy(runs, tmp_path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "results.json").write_text('{"recipe": "va')
    with pytest.raises(InputError, match=r"results.json is damaged .*delete .*vae"):
        report.write_report(tmp_path)


def test_a_directory_of_checkpoints_that_is_a_link_is_replaced_and_its_target_spared(digits, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    experiment.run("vae", digits, "smoke", tmp_path)
    assert contents(tmp_path / "elsewhere") == {pathlib.Path("file"): b"mine"}


def test_tensorboard_is_asked_for_before_anything_is_removed(runs, digits, monkeypatch):
    directory, _ = runs
    before = contents(directory / "vae")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tfgen\[tensorboard\]'"):
        experiment.run("vae", digits, "smoke", directory, tensorboard=True)
    assert contents(directory / "vae") == before


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
    metric = {"value": 13.866, "unit": "u", "split": "test", "n": 10_000}
    judged = {**metric, "classifier": "hash", "classifier_test_error": 0.0052}
    result = {
        "recipe": "autoencoder-30d",
        "lecture_items": ["A5"],
        "comparable": True,
        "metrics": {"pca_squared_error__30": metric, "k": judged},
    }
    assert [row[3:] for row in report.rows([result])] == [
        ("13.87", "13.87", "u; test, n = 10,000"),
        ("not reported", "13.87", "u, classifier of test error 0.0052; test, n = 10,000"),
    ]
    source = "13.87 (Hinton & Salakhutdinov 2006, figure 2B)"
    assert [row[3] for row in report.metric_rows(result)] == [source, "not reported"]
    assert [row[3] for row in report.rows([{**result, "comparable": False}])] == ["not comparable"] * 2


@pytest.mark.parametrize(
    "value, printed", [(None, "not finite"), (0.04619, "0.04619"), (99.078, "99.08"), (101200.0, "101,200")]
)
def test_the_table_prints_counts_whole_and_measurements_rounded(value, printed):
    metric = {"value": value, "unit": "u", "split": "test", "n": 1}
    result = {"recipe": "vae", "lecture_items": ["A3"], "comparable": True, "metrics": {"m": metric}}
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


@pytest.mark.parametrize("images, calls", [(50_000, 10), (1_250, 10), (14_208, 3), (13_300, 1)])
def test_an_epoch_takes_ten_calls_at_most_and_no_step_of_the_next(images, calls, digits):
    """390, 100, 111 and 103 steps; 111 is 3 times 37, and 103 is a prime."""
    data = dataclasses.replace(digits, train=datasets.Split(np.zeros((images, 1), np.uint8), np.zeros(images)))
    run = experiment.Run(None, RECIPES["vae"], None, data, {"seed": 0, "deterministic": False}, False)
    options = run.compile_options(128)
    assert options["jit_compile"] is True
    assert options["steps_per_execution"] * calls == run.steps_per_epoch(128)


def test_a_deterministic_run_says_so_and_goes_without_xla(tmp_path):
    """In a process of its own: TensorFlow offers no way back."""
    program = (
        "from tfgen import cli, experiment\n"
        "options = experiment.Run.compile_options\n"
        "experiment.Run.compile_options = lambda *args: print('options', options(*args)) or options(*args)\n"
        "code = cli.main(['run', 'vae', '--preset', 'smoke', '--dataset', 'digits', '--deterministic'])\n"
        "from tensorflow.python.framework import config\n"
        "print('outcome', code, config.is_op_determinism_enabled())"
    )
    command = [sys.executable, "-c", program]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True)
    assert "options {'jit_compile': False," in process.stdout and "'jit_compile': True" not in process.stdout
    assert process.stdout.splitlines()[-1] == "outcome 0 True"
    assert json.loads((tmp_path / "runs" / "vae" / "results.json").read_text())["deterministic"] is True


def test_the_commands_of_a_first_hour(tmp_path, capsys, monkeypatch):
    """Train, read the table, sample: what the options say is what happens."""
    monkeypatch.chdir(tmp_path)
    for seed in ("3", "4"):
        arguments = ["run", "vae", "--preset", "smoke", "--dataset", "digits", "--seed", seed]
        assert cli.main([*arguments, "--output-dir", f"runs{seed}"]) == 0
        printed = capsys.readouterr().out
        results = json.loads((tmp_path / f"runs{seed}" / "vae" / "results.json").read_text())
        assert (results["seed"], results["deterministic"]) == (int(seed), False)
        for metric, entry in results["metrics"].items():
            shown = f"{entry['value']:.4g}" if entry["value"] < 100 else f"{entry['value']:.2f}"
            assert any(metric in line and shown in line for line in printed.splitlines())
        assert "1 recipe, " in printed and f"runs{seed}/report.md" in printed and "no result is comparable" in printed
    values = [json.loads((tmp_path / f"runs{seed}/vae/results.json").read_text())["metrics"] for seed in (3, 4)]
    assert values[0] != values[1]

    pictures = []
    for seed in ("0", "0", "1"):
        assert cli.main(["sample", "runs3/vae/saved_model", "--num", "5", "--seed", seed, "--output", "five.png"]) == 0
        assert capsys.readouterr().out == "5 images: five.png\n"
        pictures.append(matplotlib.image.imread("five.png"))
    # Three columns and two rows of 28 pixels and a line between, each pixel 11 wide; the sixth place stays white.
    assert pictures[0].shape == (57 * 11, 86 * 11, 4)
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert np.any(pictures[0] != pictures[2])
    assert np.all(pictures[0][29 * 11 :, 58 * 11 :, :3] == 1) and np.any(pictures[0][29 * 11 :, : 57 * 11, :3] < 0.9)
