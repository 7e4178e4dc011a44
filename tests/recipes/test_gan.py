"""The lecture's GAN and the 2014 paper's: what they make with last and averaged weights, and every measure of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import linalg
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, rel_entr
from sklearn.cluster import KMeans

from tfgen.distributions import Draw, stateless_seed
from tfgen.models.classifier import convolutional_classifier
from tfgen.recipes import RECIPES
from tfgen.training.gan import strip_epochs

NAMES = ("gan", "gan-goodfellow")


@pytest.fixture(scope="module")
def classifier(smoke):
    """The classifier that judges samples, in float32, with the weights of its checkpoint."""
    model = convolutional_classifier((28, 28), 10, (32, 64), 128)
    path = smoke("digit-classifier").directory / "checkpoints" / "model.keras"
    model.set_weights(keras.models.load_model(path).get_weights())
    return model


@pytest.fixture(scope="module")
def checkpoint(smoke):
    """Function from a recipe to its GAN in float32, and its generator's averaged weights if these are asked for."""

    def load(name, averaged):
        trained = keras.models.load_model(smoke(name).directory / "checkpoints" / "model.keras")
        if averaged:
            trained.generator_optimizer.finalize_variable_values(trained.generator.trainable_variables)
        model = type(trained).from_config({**trained.get_config(), "dtype": "float32"})
        model.set_weights(trained.get_weights())
        return model

    return load


def best_sigma(squared_distances):
    """Returns the member of the paper's grid with the largest mean log density of points, by distances to samples."""
    sigmas = np.logspace(-1, 0, 10)
    values = [logsumexp(-0.5 * squared_distances / s**2, axis=1).mean() - 784 * np.log(s) for s in sigmas]
    return sigmas[np.argmax(values)]


def log_densities(squared_distances, sigma):
    """Returns log p(x) of each point under the mixture of normals on 1,000 samples."""
    mixture = logsumexp(-0.5 * squared_distances / sigma**2, axis=1) - np.log(1000)
    return mixture - 392 * np.log(2 * np.pi * sigma**2)


def frechet(a, b):
    """Returns the Frechet distance by the eigenvalues of the product of the covariances."""
    root = np.sum(np.sqrt(np.maximum(linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real, 0)))
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * root


def share_in_balls(a, b):
    """Returns the share of a within the distance of some member of b to its third nearest other member."""
    radii = np.sort(cdist(b, b), axis=1)[:, 3]
    return np.mean(np.any(cdist(a, b) <= radii * (1 + 1e-6), axis=1))


def features_of(classifier, images):
    return classifier.get_layer("features")(images.astype(np.float32)).numpy().astype(np.float64)


@pytest.mark.parametrize("suffix", ["", "__averaged_weights"])
@pytest.mark.parametrize("name", NAMES)
def test_the_measures_of_samples_are_those_of_the_checkpoint(name, suffix, smoke, digits, checkpoint, classifier):
    recorded = smoke(name).results["metrics"]
    metrics = {key.removesuffix(suffix): metric["value"] for key, metric in recorded.items() if key.endswith(suffix)}
    model = checkpoint(name, averaged=bool(suffix))
    samples = model.generator(model.sample_noise((1000, 100), stateless_seed(0, Draw.SAMPLE, 1))).numpy()
    probabilities = keras.ops.softmax(classifier(samples)).numpy().astype(np.float64)
    shares = np.bincount(np.argmax(probabilities, axis=1), minlength=10) / 1000
    assert metrics["rarest_class_share"] == pytest.approx(shares.min(), abs=2e-3)
    divergence = np.sum(rel_entr(probabilities, probabilities.mean(axis=0)), axis=1).mean()
    assert metrics["classifier_score"] == pytest.approx(np.exp(divergence), rel=1e-3)

    # Parzen: SciPy's mixture of normals at the sigma that the validation images choose.
    test, validation = digits.test.images / 255.0, digits.validation.images / 255.0
    parzen = recorded[f"parzen_log_likelihood{suffix}"]
    assert parzen["sigma"] == best_sigma(cdist(validation, samples, "sqeuclidean"))
    log_p = log_densities(cdist(test, samples, "sqeuclidean"), parzen["sigma"])
    assert metrics["parzen_log_likelihood"] == pytest.approx(log_p.mean(), abs=0.5)
    assert parzen["standard_error"] == pytest.approx(log_p.std() / np.sqrt(297), rel=0.02)

    a, b = (features_of(classifier, x) for x in (samples[:297], test))
    assert metrics["frechet_distance"] == pytest.approx(frechet(a, b), rel=0.02)
    assert metrics["sample_precision"] == pytest.approx(share_in_balls(a, b), abs=0.02)
    assert metrics["sample_recall"] == pytest.approx(share_in_balls(b, a), abs=0.02)


@pytest.fixture(scope="module")
def points(digits):
    """From the name of a baseline to its points and the squared distances of validation and test images to them."""
    train, validation, test = (split.images / 255.0 for split in (digits.train, digits.validation, digits.test))
    start = np.random.default_rng(0).choice(len(train), 1000, replace=False)
    centres = KMeans(1000, init=np.float32(train[start]), n_init=1, max_iter=2).fit(np.float32(train)).cluster_centers_
    sets = {"train_images": train[:1000], "kmeans_centres": centres}
    return {key: [cdist(images, x, "sqeuclidean") for images in (validation, test)] for key, x in sets.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_baselines_beside_samples_are_those_of_images_and_of_centres(name, smoke, digits, classifier, points):
    metrics = smoke(name).results["metrics"]
    for key, (of_validation, of_test) in points.items():
        metric = metrics[f"parzen_log_likelihood__{key}"]
        sigma = best_sigma(of_validation)
        assert metric["sigma"] == sigma
        assert metric["value"] == pytest.approx(log_densities(of_test, sigma).mean(), abs=0.5)
        # Wrong: the test images as the model of themselves, each of which has a centre at no distance.
        assert metric["value"] < -np.log(1000) - 392 * np.log(2 * np.pi * sigma**2) - 1

    a, b = (features_of(classifier, split.images[:250] / 255) for split in (digits.validation, digits.test))
    # The distance of the samples has as many on either side.
    assert len(digits.validation) == metrics["frechet_distance__validation_images"]["n"] == 250
    assert {metric["n"] for key, metric in metrics.items() if key.startswith("frechet_distance")} == {250}
    assert metrics["frechet_distance__validation_images"]["value"] == pytest.approx(frechet(a, b), rel=0.02)
    assert 0 < frechet(a, b) < 0.2 * metrics["frechet_distance"]["value"]


@pytest.mark.parametrize("name", NAMES)
def test_averaged_weights_are_exported_and_drawn_beside_the_last(name, smoke, digits, checkpoint):
    run, last, averaged = smoke(name), checkpoint(name, averaged=False), checkpoint(name, averaged=True)
    z = last.sample_noise((1000, 100), stateless_seed(0, Draw.SAMPLE, 1))
    of_last, of_averages = last.generator(z).numpy(), averaged.generator(z).numpy()
    assert np.abs(of_averages - of_last).max() > 5e-4
    signatures = tf.saved_model.load(str(run.directory / "saved_model")).signatures
    np.testing.assert_allclose(signatures["generate_from_z"](z=z)["image"], of_averages, atol=1e-5)
    x = digits.test.images[:9] / np.float32(255)
    np.testing.assert_allclose(
        signatures["discriminate"](image=tf.constant(x))["logit"], last.discriminator(x), rtol=1e-4, atol=1e-5
    )
    drawn = [arguments[0] for arguments, _ in run.figures["image_grid"]]
    for pictures, expected in zip(drawn, (of_averages, of_last), strict=True):
        np.testing.assert_allclose(pictures, expected[:100].reshape(-1, 28, 28), atol=1e-5)


def test_the_moving_average_is_that_of_the_configuration(smoke, untrained):
    for name in NAMES:
        model = keras.models.load_model(smoke(name).directory / "checkpoints" / "model.keras")
        assert model.generator_optimizer.use_ema and not model.discriminator_optimizer.use_ema
        assert model.generator_optimizer.ema_momentum == RECIPES[name].presets["smoke"].ema_momentum
        run = untrained(name, num_samples=50, precision="float32", generator_units=(8,), discriminator_units=(4,))
        assert set(run.samples) == {"", "__averaged_weights"}
        # The average is another 1/8192 away from the last weights in every one of them.
        (fitted,) = run.fitted
        generate, _ = run.exported["generate_from_z"]
        generator = fitted.model.generator
        z = fitted.model.sample_noise((50, 100), stateless_seed(0, Draw.SAMPLE, 1))
        for suffix, number in (("", 1), ("__averaged_weights", 2)):
            moved = [weight + np.float32(number / 8192) for weight in fitted.initial[: len(generator.weights)]]
            generator.set_weights(moved)
            np.testing.assert_allclose(run.samples[suffix], generator(z), rtol=1e-5)
        np.testing.assert_allclose(generate(z)["image"], run.samples["__averaged_weights"], rtol=1e-5)
        assert np.abs(run.samples[""] - run.samples["__averaged_weights"]).max() > 1e-4


def test_the_lecture_s_gan_is_what_the_recipe_says(smoke):
    config = RECIPES["gan"].presets["smoke"]
    model = keras.models.load_model(smoke("gan").directory / "checkpoints" / "model.keras")
    for field in ("noise", "noise_dim", "generator_loss", "discriminator_steps"):
        assert getattr(model, field) == getattr(config, field)
    for field in ("generator_units", "discriminator_units"):
        assert tuple(getattr(model, field)) == getattr(config, field) == (128,)
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        rates = config.generator_learning_rate, config.discriminator_learning_rate, float(optimizer.learning_rate)
        assert rates == pytest.approx((1e-3,) * 3)


def test_the_penalty_and_the_moments_are_those_of_the_configuration(untrained):
    (fitted,) = untrained("gan", first_only=True, gradient_penalty=2.0, beta_1=0.25, beta_2=0.75).fitted
    assert fitted.model.gradient_penalty == 2.0
    assert fitted.model.generator_optimizer.beta_1 == fitted.model.discriminator_optimizer.beta_1 == 0.25
    assert fitted.model.generator_optimizer.beta_2 == fitted.model.discriminator_optimizer.beta_2 == 0.75
    (fitted,) = untrained("gan", first_only=True).fitted
    assert fitted.model.gradient_penalty == 0.0
    assert fitted.model.generator_optimizer.beta_1 == fitted.model.discriminator_optimizer.beta_1 == 0.9
    assert fitted.model.generator_optimizer.beta_2 == fitted.model.discriminator_optimizer.beta_2 == 0.999


def test_rates_fall_to_0_where_that_is_asked_for_whatever_the_discriminator_s_steps(untrained):
    """The discriminator takes three steps for each of the generator, and ends at the same time."""
    run = untrained(
        "gan",
        first_only=True,
        epochs=5,
        learning_rate_decay=True,
        discriminator_steps=3,
        generator_learning_rate=2e-3,
        discriminator_learning_rate=1e-3,
    )
    (fitted,) = run.fitted
    assert fitted.batches.batch_size == 3 * run.config.batch_size
    steps = 5 * run.steps_per_epoch(fitted.batches)
    model = fitted.model
    for optimizer, rate, total in (
        (model.generator_optimizer, 2e-3, steps),
        (model.discriminator_optimizer, 1e-3, 3 * steps),
    ):
        for iteration, expected in ((0, rate), (total // 2, rate / 2), (total, 0)):
            optimizer.iterations.assign(iteration)
            assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("epochs, expected", [(1, [1]), (4, [1, 2, 4]), (100, [1, 2, 5, 10, 20, 50, 100])])
def test_snapshots_are_taken_at_growing_distances_and_at_the_end(epochs, expected):
    assert strip_epochs(epochs) == expected


def test_strip_and_film_show_what_the_weights_of_their_epochs_make_of_the_same_noise(smoke, checkpoint):
    run, model = smoke("gan"), checkpoint("gan", averaged=False)
    z = model.sample_noise((24, 100), stateless_seed(0, Draw.SAMPLE))
    for figure in ("through_training", "frames_through_training"):
        (pictures, *_), _ = run.figures[figure][0]
        assert list(pictures) == [1, 2]
        np.testing.assert_allclose(pictures[2], model.generator(z).numpy().reshape(-1, 28, 28), atol=1e-5)
        assert np.abs(pictures[2] - pictures[1]).max() > 0.1
