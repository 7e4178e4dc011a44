"""Fixtures of several test files: small data, small models, one run of each recipe, a stub recipe."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gc
import inspect
import re

import numpy as np
import pytest
from helpers import SmokeRun, StubModule, finished_run, training_of

# Tracing makes many objects and few cycles: looking for these as often as Python does takes a twelfth of the time.
gc.set_threshold(50_000, 20, 20)

# The recipes whose shared runs XLA compiles where slow tests run too: of one training, of two networks, of several
# trainings that share a compiled model. In .ci/run it compiles all that it compiles for users.
COMPILED = {"vae", "gan", "denoising-autoencoder"}
# The recipes whose shared runs need epochs of 100 updates for what tests ask of them; the others' have 50.
WHOLE_EPOCHS = {"denoising-autoencoder", "semi-supervised-vae"}
# The recipes whose shared runs one process makes, where several run the tests; another one makes the rest.
GANS = {"gan", "gan-variants", "gan-1d", "gan-goodfellow", "digit-classifier", "discriminative-vs-generative"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives each process whole files, and the recipes of a kind to one process, which shares their runs."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrRecipes(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            name = os.path.basename(file).removeprefix("test_").removesuffix(".py").replace("_", "-")
            if "/recipes/" in file:
                return "gans" if {name, *re.split(r"[\[\]]", test)} & GANS else "recipes"
            # The page in a browser shows seven of these recipes, and the two that make the GAN's run: they run twice.
            return "recipes" if name in ("cli", "summary", "page-in-browser") else file

    return ByFileOrRecipes(config, log)


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
    from tfgen import data

    return data.digits()


@pytest.fixture
def stub(monkeypatch):
    """Name of a recipe that trains in a second, which is there for the test alone."""
    from tfgen.recipes import MODULES, RECIPES

    monkeypatch.setitem(MODULES, "stub", StubModule)
    monkeypatch.setitem(RECIPES, "stub", StubModule.RECIPE)
    return "stub"


@pytest.fixture(scope="session")
def shorten(pytestconfig):
    """Function from a `MonkeyPatch` that shortens runs as the shared ones are, with which others are compared.

    XLA takes longer to compile a recipe than their updates take.
    """
    from tfgen.training.run import Run

    of_users, compiled = Run.compile_options, COMPILED if pytestconfig.option.markexpr != "not slow" else ()
    steps = Run.steps_per_epoch

    def compile_options(run, *args, **kwargs):
        options = of_users(run, *args, **kwargs)
        return {**options, "jit_compile": options["jit_compile"] and run.directory.name in compiled}

    def steps_per_epoch(run, batches):
        return steps(run, batches) // (1 if run.directory.name in WHOLE_EPOCHS else 2)

    def patch(monkeypatch):
        monkeypatch.setattr(Run, "compile_options", compile_options)
        monkeypatch.setattr(Run, "steps_per_epoch", steps_per_epoch)

    return patch


@pytest.fixture(scope="session")
def smoke(digits, tmp_path_factory, shorten):
    """Function from a recipe to its `SmokeRun`, preset smoke for two epochs on the digits; run when first asked for."""
    import keras

    from tfgen import figures
    from tfgen.data.batches import Batches
    from tfgen.runner.run import run

    directory, done = tmp_path_factory.mktemp("smoke"), {}

    def smoke_run(name):
        from tfgen.recipes import RECIPES

        if name in done:
            return done[name]
        for needed in RECIPES[name].needs:
            smoke_run(needed)
        batches, validations, first_batches, trainings, drawn = [], [], [], [], {}
        rows, fit, log_begin = Batches.rows, keras.Model.fit, keras.callbacks.CSVLogger.on_train_begin

        def seen_rows(self, first_step, block=None):
            batches.append(self)
            return rows(self, first_step, block)

        def seen_fit(self, *args, **kwargs):
            # The classifiers of feature-classifier are fitted to labels and validate on nothing.
            if "validation_data" in kwargs:
                held_out = [keras.utils.unpack_x_y_sample_weight(batch)[0] for batch in kwargs["validation_data"]]
                validations.append(np.concatenate(held_out))
                assert not kwargs["validation_data"].options().autotune.enabled
                assert not args[0].options().autotune.enabled
                first_step, first_rows = next(iter(args[0]))
                first_batches.append(self.train_function.prepare(first_step, *(row[0] for row in first_rows)))
            return fit(self, *args, **kwargs)

        def seen_begin(self, logs=None):
            log_begin(self, logs)
            if training_of(self) not in trainings:
                trainings.append(training_of(self))

        with pytest.MonkeyPatch.context() as patch:
            shorten(patch)
            patch.setattr(Batches, "rows", seen_rows)
            patch.setattr(keras.Model, "fit", seen_fit)
            patch.setattr(keras.callbacks.CSVLogger, "on_train_begin", seen_begin)
            for figure, function in inspect.getmembers(figures, inspect.isfunction):
                calls = drawn[figure] = []

                def drawing(*args, function=function, calls=calls, **kwargs):
                    calls.append((args, kwargs))
                    return function(*args, **kwargs)

                patch.setattr(figures, figure, drawing)
            options = {"preset": "smoke", "epochs": 2}
            results = run(name, digits, output_dir=directory / "runs", **options)
        done[name] = SmokeRun(
            directory / "runs" / name, options, results, batches, validations, first_batches, trainings, drawn
        )
        return done[name]

    return smoke_run


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """From each kind of model that a recipe exports to its endpoints and a SavedModel of them: small, untrained."""
    import keras

    from tfgen.export import export
    from tfgen.models import autoencoder, classifier, semi_supervised
    from tfgen.models.deep_embedded_clustering import DeepEmbeddedClustering
    from tfgen.models.gan import GAN
    from tfgen.models.goodfellow import GoodfellowGAN
    from tfgen.models.two_layer_vae import TwoLayerVAE
    from tfgen.models.vae import VAE, GaussianVAE, ImportanceWeightedVAE

    keras.utils.set_random_seed(0)
    endpoints = {
        "shallow-autoencoder": autoencoder.ShallowAutoencoder(784, 6).endpoints(),
        "tied-autoencoder": autoencoder.ShallowAutoencoder(784, 6, tied=True).endpoints(),
        "stacked-autoencoder": autoencoder.endpoints(autoencoder.stacked_autoencoder(784, (12, 6, 12))),
        "anomaly-detection": autoencoder.scoring_endpoints(autoencoder.stacked_autoencoder(784, (12, 6, 12))),
        "deep-embedded-clustering": DeepEmbeddedClustering(784, (12, 6), clusters=4, examples=5).endpoints(),
        "feature-classifier": classifier.endpoints(classifier.feature_classifier(784, 10, (12, 6))),
        "digit-classifier": classifier.endpoints(
            classifier.convolutional_classifier((28, 28), 10, (2, 3), 6), ("features", "features", "features")
        ),
        "vae": VAE(784, 3, (12,)).endpoints(),
        "vae-gaussian": GaussianVAE(784, latent_dim=3, hidden_units=(12,)).endpoints(),
        "importance-weighted-vae": ImportanceWeightedVAE(784, latent_dim=3, hidden_units=(12,)).endpoints(),
        "two-layer-vae": TwoLayerVAE(784, 3, (12,), upper_latent_dim=2, upper_hidden_units=(5,)).endpoints(),
        "semi-supervised-vae": semi_supervised.endpoints(
            VAE(784, 3, (12,)), [0, 2], semi_supervised.GaussianSemiSupervisedVAE(2, 10, 3, (5,), (5,))
        ),
        "gan": GAN(784, 5, (12,), (12,)).endpoints(),
        "gan-goodfellow": GoodfellowGAN(784, 5, (12,), (12,), 3).endpoints(),
        "gan-1d": GAN(1, 1, (4,), (4,), noise="gaussian").endpoints("x"),
    }
    directory = tmp_path_factory.mktemp("exported")
    for name, functions in endpoints.items():
        export(functions, directory / name, (28, 28))
    return {name: (functions, directory / name) for name, functions in endpoints.items()}


@pytest.fixture(scope="session")
def published(exported, tmp_path_factory):
    """A directory of published models: two versions of a GAN, one of a VAE and of a classifier."""
    from tfgen.serving import publish

    directory = tmp_path_factory.mktemp("published")
    for number, recipe in enumerate(("gan", "vae", "feature-classifier", "gan")):
        run = finished_run(directory / "runs" / str(number), exported[recipe][1], recipe)
        publish(run, directory / "saved_models")
    return directory / "saved_models"
