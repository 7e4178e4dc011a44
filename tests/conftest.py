"""What several test files share: TensorFlow's start-up noise kept down, small data, small models."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import json

import numpy as np
import pytest


class Killed(BaseException):
    """Stands for a kill: no handler of the package may catch it."""


@pytest.fixture
def images():
    """256 made-up binary images of 784 pixels: noisy copies of ten prototypes, so that there is something to learn."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((10, 784)) < 0.3
    flips = rng.random((256, 784)) < 0.02
    return (prototypes[rng.integers(10, size=256)] ^ flips).astype(np.float32)


@pytest.fixture(scope="session")
def digits():
    """The embedded set, loaded once; no test changes it."""
    from tfgen import datasets

    return datasets.digits()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """From each kind of model that a recipe exports to its endpoints and a SavedModel of them: small, untrained."""
    import keras

    from tfgen.export import export
    from tfgen.lecture import part_a_uses
    from tfgen.models import autoencoder, classifier
    from tfgen.models.gan import GAN
    from tfgen.models.goodfellow import GoodfellowGAN
    from tfgen.models.vae import VAE, GaussianVAE, ImportanceWeightedVAE

    keras.utils.set_random_seed(0)
    endpoints = {
        "shallow-autoencoder": autoencoder.ShallowAutoencoder(6).endpoints(),
        "tied-autoencoder": autoencoder.ShallowAutoencoder(6, tied=True).endpoints(),
        "stacked-autoencoder": autoencoder.endpoints(autoencoder.stacked_autoencoder((12, 6, 12))),
        "anomaly-detection": part_a_uses.scoring_endpoints(autoencoder.stacked_autoencoder((12, 6, 12))),
        "feature-classifier": classifier.endpoints(classifier.feature_classifier((12, 6))),
        "digit-classifier": classifier.endpoints(
            classifier.convolutional_classifier((2, 3), 6), ("features", "features", "features")
        ),
        "vae": VAE(3, (12,)).endpoints(),
        "vae-gaussian": GaussianVAE(latent_dim=3, hidden_units=(12,)).endpoints(),
        "importance-weighted-vae": ImportanceWeightedVAE(latent_dim=3, hidden_units=(12,)).endpoints(),
        "gan": GAN(5, (12,), (12,)).endpoints(),
        "gan-goodfellow": GoodfellowGAN(5, (12,), (12,), 3).endpoints(),
        "gan-1d": GAN(1, (4,), (4,), input_dim=1, noise="gaussian").endpoints("x"),
    }
    directory = tmp_path_factory.mktemp("exported")
    for name, functions in endpoints.items():
        export(functions, directory / name)
    return {name: (functions, directory / name) for name, functions in endpoints.items()}


def finished_run(directory, saved_model, recipe="gan", **changed):
    """Makes the directory of a finished run of a recipe, with a copy of a SavedModel. Returns it."""
    import shutil

    from tfgen import recipes

    directory.mkdir(parents=True)
    shutil.copytree(saved_model, directory / "saved_model")
    metric = {"value": 0.25, "unit": "share", "split": "test", "n": 10_000, "published": 0.5, "source": "Someone 1999"}
    results = {
        "recipe": recipe,
        "lecture_items": list(recipes.RECIPES[recipe].lecture_items),
        "dataset": "mnist",
        "comparable": True,
        "preset": "quick",
        "seed": 3,
        "deterministic": False,
        "metrics": {"some_metric": metric, "another": {"value": 1.5, "unit": "nats", "split": "generated", "n": 7}},
        "figures": [],
        "saved_model": "saved_model",
        "seconds": 61.5,
        "environment": {"tfgen": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1", "cpus": 2},
        "config": {"epochs": recipes.RECIPES[recipe].presets["quick"].epochs},
        **changed,
    }
    (directory / "results.json").write_text(json.dumps(results))
    return directory


@pytest.fixture(scope="session")
def published(exported, tmp_path_factory):
    """A directory of published models: two versions of a GAN, one of a VAE and of a classifier."""
    from tfgen.serving import publish

    directory = tmp_path_factory.mktemp("published")
    for number, recipe in enumerate(("gan", "vae", "feature-classifier", "gan")):
        run = finished_run(directory / "runs" / str(number), exported[recipe][1], recipe)
        publish(run, directory / "saved_models")
    return directory / "saved_models"
