"""The four variants of the lecture's GAN: each measured on its own samples, and from its own checkpoint."""

import inspect
import types

import keras
import numpy as np
import pytest
from scipy.special import expit

from tfgen import figures
from tfgen.distributions import Draw, stateless_seed
from tfgen.models import gan as gan_models
from tfgen.models.classifier import convolutional_classifier
from tfgen.recipes import MODULES, RECIPES
from tfgen.training import gan, generator_gradients, samples

NAME = "gan-variants"
VARIANTS = {
    "uniform_non_saturating": ("uniform", "non-saturating"),
    "gaussian_non_saturating": ("gaussian", "non-saturating"),
    "uniform_minimax": ("uniform", "minimax"),
    "gaussian_minimax": ("gaussian", "minimax"),
}


def test_each_variant_is_measured_on_its_own_samples_and_verdicts(monkeypatch, digits):
    """No training: samples whose first pixel says which digit they are, in shares about the threshold of 1 %."""
    config = RECIPES[NAME].presets["smoke"].replace(num_samples=1000)
    assert config.covered_share == 0.01
    # From a variant to how many samples each digit has; with 10 of 1,000 it counts as covered, with 9 it does not.
    counts = {
        ("uniform", "non-saturating"): [100] * 10,
        ("gaussian", "non-saturating"): [901, 11, 11, 11, 11, 11, 11, 11, 11, 11],
        ("uniform", "minimax"): [10, 9, 9, 9, 9, 9, 9, 9, 9, 918],
        ("gaussian", "minimax"): [0, 0, 0, 0, 0, 300, 12, 10, 9, 669],
    }
    verdicts = {
        variant: {"real_probability": 0.9 - i / 10, "fake_probability": 0.1 + i / 100}
        for i, variant in enumerate(counts)
    }

    class GANStub:
        def __init__(self, input_dim, noise_dim, generator_units, discriminator_units, noise, loss, *rest, **options):
            self.variant = noise, loss
            self.generator = types.SimpleNamespace(predict_on_batch=self.generate)

        def compile(self, *optimizers, **options):
            pass

        def sample_noise(self, shape, seed):
            return np.zeros(shape)

        def generate(self, z, **options):
            images = np.zeros((1000, 784))
            images[:, 0] = np.repeat(np.arange(10), counts[self.variant])
            return images

        def evaluate(self, x, **options):
            return verdicts[self.variant]

        def endpoints(self):
            return self.variant

    classifier = types.SimpleNamespace(probabilities=lambda images: np.eye(10)[images[:, 0].astype(int)])
    norms = {"minimax": [1.0], "non-saturating": [2.0], "fake_probability": np.array([0.5])}
    monkeypatch.setattr(gan_models, "GAN", GANStub)
    monkeypatch.setattr(gan, "adam_optimizers", lambda *args: ())
    monkeypatch.setattr(samples, "ReferenceClassifier", lambda directory: classifier)
    monkeypatch.setattr(generator_gradients, "gradient_norms", lambda *args: dict(norms))
    for figure, _ in inspect.getmembers(figures, inspect.isfunction):
        monkeypatch.setattr(figures, figure, lambda *args, **kwargs: None)
    found, exported, trained, seeded = {}, [], {}, []

    def fit(model, batches, validation, name):
        assert seeded[-1] == name
        trained[model.variant] = name
        return {key: [0.5] for key in ("fake_probability", "val_real_probability", "val_fake_probability")}

    MODULES[NAME].experiment(
        types.SimpleNamespace(
            config=config,
            data=digits,
            seed=0,
            directory_of=lambda name: name,
            set_random_seed=seeded.append,
            compile_options=lambda batches: {},
            fit=fit,
            metric=lambda name, value, *rest: found.update({name: value}),
            figure=lambda name, figure: None,
            export=exported.append,
        )
    )
    names = {variant: name for name, variant in VARIANTS.items()}
    rarest, covered = (100, 11, 9, 0), (10, 10, 2, 4)
    for variant, least, count in zip(counts, rarest, covered, strict=True):
        suffix = names[variant]
        assert found[f"rarest_class_share__{suffix}"] == pytest.approx(least / 1000)
        assert found[f"digits_covered__{suffix}"] == count
        for name, value in verdicts[variant].items():
            assert found[f"{name}__{suffix}"] == value
    # Every one has initial weights of its own, and the first is exported.
    assert trained == {**names, ("uniform", "non-saturating"): "model"}
    assert exported == [("uniform", "non-saturating")]
    assert found["generator_gradient_norm__minimax"] == 1 and found["generator_gradient_norm__non_saturating"] == 2


def test_every_gan_variant_has_its_noise_and_loss_and_the_numbers_of_its_own_checkpoint(smoke, digits):
    """D(x), D(G(z)) and the digits covered, recomputed from each checkpoint and the classifier's."""
    run, config = smoke(NAME), RECIPES[NAME].presets["smoke"]
    metrics = {name: metric["value"] for name, metric in run.results["metrics"].items()}
    classifier = convolutional_classifier((28, 28), 10, (32, 64), 128)
    path = smoke("digit-classifier").directory / "checkpoints" / "model.keras"
    classifier.set_weights(keras.models.load_model(path).get_weights())
    test = (digits.test.images / 255.0).astype(np.float32)
    for i, (suffix, (noise, loss)) in enumerate(VARIANTS.items()):
        path = run.directory / "checkpoints" / f"{suffix if i else 'model'}.keras"
        model = keras.models.load_model(path)
        assert (model.noise, model.generator_loss) == (noise, loss)
        z = model.sample_noise((config.num_samples, config.noise_dim), stateless_seed(0, Draw.SAMPLE, 1)).numpy()
        # Uniform on [-1, 1) or standard normal: the largest of 100,000 draws tells.
        assert (0.999 < np.abs(z).max() <= 1) if noise == "uniform" else np.abs(z).max() > 3
        images = model.generator(z)
        shares = np.bincount(np.argmax(classifier(images), axis=1), minlength=10) / config.num_samples

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
