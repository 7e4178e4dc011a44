"""Images of another size and number of classes: what takes them, and that the other recipes refuse them at once."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from tfgen import figures
from tfgen.data import Dataset, Split
from tfgen.data.batches import fixed_binarization, scale
from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.runner.run import run
from tfgen.sampling import generate, image_shape
from tfgen.training.run import Run

# They have a dataset of their own.
OWN = {"vae-static", "iwae-static"}
ANY_IMAGES = {
    "shallow-autoencoder",
    "stacked-autoencoder",
    "clustering-autoencoder",
    "anomaly-detection",
    "vae",
    "vae-2d",
    "digit-classifier",
    "gan",
}


@pytest.fixture(scope="module")
def bars():
    """800 noisy images of 16x16 pixels with a white bar in one of four places, the class."""
    rng = np.random.default_rng(0)
    prototypes = np.zeros((4, 16, 16))
    prototypes[0, 3:6] = prototypes[1, 10:13] = prototypes[2, :, 3:6] = prototypes[3, :, 10:13] = 220

    def split(n):
        labels = rng.integers(4, size=n)
        noise = rng.uniform(0, 35, (n, 16, 16))
        return Split(np.uint8(prototypes[labels] + noise).reshape(n, 256), labels)

    return Dataset("bars", split(600), split(100), split(100), comparable=False, image_shape=(16, 16), classes=4)


@pytest.fixture
def trained(bars, tmp_path, monkeypatch):
    """Function from a recipe and its settings to metrics, units and the SavedModel's signatures, which it checks.

    Without XLA, whose compiling would take most of the time.
    """
    options = Run.compile_options
    monkeypatch.setattr(
        Run, "compile_options", lambda *args, **kwargs: {**options(*args, **kwargs), "jit_compile": False}
    )

    def train(name, *settings, data=bars, shape=(16, 16)):
        data = dataclasses.replace(data, image_shape=shape)
        results = run(name, data, preset="smoke", settings=settings, output_dir=tmp_path)
        assert all((tmp_path / name / figure).stat().st_size > 0 for figure in results["figures"])
        saved_model = tmp_path / name / "saved_model"
        assert json.loads((saved_model / "assets.extra" / "tfgen.json").read_text())["image_shape"] == list(shape)
        signatures = tf.saved_model.load(str(saved_model)).signatures
        tensors = [
            tensor
            for signature in signatures.values()
            for tensor in (
                *signature.structured_input_signature[1].items(),
                *signature.structured_outputs.items(),
            )
        ]
        images = [spec.shape.as_list() for name, spec in tensors if name in ("image", "reconstruction")]
        assert images and all(shape == [None, 256] for shape in images)
        metrics = {key: metric["value"] for key, metric in results["metrics"].items()}
        units = {key: metric["unit"] for key, metric in results["metrics"].items()}
        return metrics, units, signatures

    train.directory = tmp_path
    return train


def outputs(signature, images):
    return {name: value.numpy().astype(np.float64) for name, value in signature(image=tf.constant(images)).items()}


@pytest.mark.parametrize(
    "name, metric, settings",
    [
        (
            "shallow-autoencoder",
            "test_squared_error__relu_untied",
            ("code_dim=8", "activations=relu", "learning_rates=3e-3"),
        ),
        ("clustering-autoencoder", "test_squared_error__2d", ("hidden_units=32", "code_dims=2")),
        pytest.param(
            "stacked-autoencoder",
            "test_squared_error",
            ("hidden_units=32,8,32", "pca_components=8,300"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_autoencoders_learn_them(name, metric, settings, trained, bars):
    metrics, units, signatures = trained(name, *settings)
    x = scale(bars.test.images).numpy()
    reconstruction = outputs(signatures["reconstruct"], x)["reconstruction"]
    assert metrics[metric] == pytest.approx(np.mean(np.sum((x - reconstruction) ** 2, axis=1)), rel=1e-4)
    assert units[metric] == "squared error per image, sum over 256 pixels"
    # Less than what the mean image leaves: something of where the bar is has been learned.
    assert metrics[metric] < 0.8 * np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1))
    # There are not as many components as 300.
    assert {key for key in metrics if key.startswith("pca")} <= {"pca_squared_error__8"}


def test_a_digit_that_they_lack_is_not_left_out_and_not_pictured(trained, bars, capsys):
    settings = "hidden_units=32,4,32", "vae_hidden_units=32", "left_out=1,4", "pictured=4"
    metrics, _, signatures = trained("anomaly-detection", *settings)
    assert "bars has 4 classes: [1] are left out, 1 is drawn" in capsys.readouterr().out
    squared_error = outputs(signatures["score"], scale(bars.test.images))["squared_error"]
    anomalous = bars.test.labels == 1
    area = np.mean(squared_error[anomalous][:, None] > squared_error[~anomalous])
    assert metrics["test_auc__squared_error_without_1"] == pytest.approx(area, abs=1e-3)
    assert area > 0.9
    assert {key.rpartition("_")[2] for key in metrics} == {"1", "mean", "least"}


@pytest.mark.slow
def test_pixels_of_pictures_that_are_no_squares_stay_in_their_rows(trained, bars):
    """The same 256 pixels seen as eight rows of 32."""
    drawn = []

    def rows_of_images(rows, title):
        drawn.append(rows)
        return Figure()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "rows_of_images", rows_of_images)
        settings = "code_dim=8", "activations=relu", "learning_rates=3e-3"
        _, _, signatures = trained("shallow-autoencoder", *settings, shape=(8, 32))
    x = scale(bars.test.images[:10]).numpy()
    np.testing.assert_array_equal(drawn[0]["test image"], x.reshape(10, 8, 32))
    reconstruction = outputs(signatures["reconstruct"], x)["reconstruction"]
    np.testing.assert_allclose(drawn[0]["relu, untied"], reconstruction.reshape(10, 8, 32), atol=1e-5)


@pytest.mark.parametrize("name", ["vae", pytest.param("vae-2d", marks=pytest.mark.slow)])
def test_vaes_learn_and_generate_them(name, trained, bars, tmp_path):
    metrics, _, signatures = trained(name, "hidden_units=32", "latent_dim=2")
    posterior = outputs(signatures["encode"], fixed_binarization(bars.test.images))
    mean, log_var = posterior["z_mean"], posterior["z_log_var"]
    kl = np.mean(np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1)) / 2
    assert metrics["test_kl_divergence"] == pytest.approx(kl, rel=1e-4) and kl > 1
    # Coin tosses for all the pixels would cost 256 log 2 nats.
    assert metrics["test_negative_elbo"] < 256 * np.log(2)
    images = generate(tmp_path / name / "saved_model", 3, 0)
    assert images.shape == (3, 256) and image_shape(tmp_path / name / "saved_model", 256) == (16, 16)


@pytest.mark.slow
def test_a_gan_is_measured_by_a_classifier_of_them(trained, bars, tmp_path):
    metrics, _, signatures = trained("digit-classifier", "filters=4,4", "units=16")
    predicted = np.argmax(outputs(signatures["classify"], scale(bars.test.images))["probabilities"], axis=1)
    assert metrics["test_error"] == np.mean(predicted != bars.test.labels) < 0.1
    # A picture of the mistakes, where there are any.
    assert (tmp_path / "digit-classifier" / "figures" / "mistakes.png").exists() == (metrics["test_error"] > 0)

    metrics, units, _ = trained("gan", "generator_units=16", "discriminator_units=16", "num_samples=200")
    assert (units["classifier_score"], units["rarest_class_share"]) == ("1 to 4", "share of samples, 0.25 being even")
    assert 1 <= metrics["classifier_score"] <= 4 and 0 <= metrics["rarest_class_share"] <= 0.25
    assert generate(tmp_path / "gan" / "saved_model", 3, 0).shape == (3, 256)


# Without labels.


@pytest.fixture(scope="module")
def unlabelled(bars):
    """The same images, without labels."""
    splits = {name: Split(getattr(bars, name).images, None) for name in ("train", "validation", "test")}
    return dataclasses.replace(bars, name="own.npz", classes=None, **splits)


def test_a_gan_trains_on_images_without_labels_and_leaves_out_what_needs_a_judge(trained, unlabelled, tmp_path, capsys):
    settings = "generator_units=16", "discriminator_units=16", "num_samples=200"
    metrics, _, signatures = trained("gan", *settings, data=unlabelled)
    parzen = {"", "__averaged_weights", "__train_images", "__kmeans_centres"}
    assert set(metrics) == {f"parzen_log_likelihood{suffix}" for suffix in parzen}
    assert "own.npz has no labels: what a classifier of them would judge is left out\n" in capsys.readouterr().out
    assert not (tmp_path / "digit-classifier").exists()
    figures = {path.name for path in (tmp_path / "gan" / "figures").iterdir()}
    assert "samples.png" in figures and "class_shares.png" not in figures
    assert "generate" in signatures


def test_codes_of_images_without_labels_are_drawn_in_one_colour_and_not_judged(trained, unlabelled, monkeypatch):
    drawn = []
    scatter = figures.scatter
    monkeypatch.setattr(
        figures, "scatter", lambda panels, labels, *title: drawn.append(labels) or scatter(panels, labels, *title)
    )
    metrics, _, _ = trained("clustering-autoencoder", "hidden_units=32", "code_dims=2", data=unlabelled)
    assert set(metrics) == {"test_squared_error__2d"} and drawn == [None]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vae", ("hidden_units=32", "latent_dim=2")),
        pytest.param("vae-2d", ("hidden_units=32",), marks=pytest.mark.slow),
        pytest.param("shallow-autoencoder", ("code_dim=8",), marks=pytest.mark.slow),
        pytest.param("stacked-autoencoder", ("hidden_units=32,8,32",), marks=pytest.mark.slow),
    ],
)
def test_labels_decide_nothing_where_none_are_used(name, settings, trained, bars, unlabelled):
    metrics, _, _ = trained(name, *settings, data=unlabelled)
    shutil.rmtree(trained.directory / name)
    assert metrics == trained(name, *settings)[0]


def test_recipes_that_need_labels_say_so_before_anything_is_written(unlabelled, tmp_path):
    needing = {name for name, recipe in RECIPES.items() if recipe.needs_labels}
    assert needing == RECIPES.keys() - ANY_IMAGES - OWN | {"anomaly-detection", "digit-classifier"}
    for name in needing:
        with pytest.raises(InputError) as refused:
            run(name, unlabelled, preset="smoke", output_dir=tmp_path)
        message = str(refused.value)
        assert message.startswith(f"{name} needs labels, and own.npz has none; recipes that need none: ")
        assert set(message.rpartition(": ")[2].split(", ")) == RECIPES.keys() - needing - OWN
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", ["image_shape", "classes"])
def test_every_other_recipe_refuses_them_in_one_line_before_anything_is_written(other, bars, digits, tmp_path):
    assert {name for name, recipe in RECIPES.items() if recipe.any_images} == ANY_IMAGES | OWN
    data = bars if other == "image_shape" else dataclasses.replace(digits, name="bars", classes=11)
    (height, width), classes = data.image_shape, data.classes
    for name in RECIPES.keys() - ANY_IMAGES - OWN:
        with pytest.raises(InputError) as refused:
            run(name, data, preset="smoke", output_dir=tmp_path)
        message = str(refused.value)
        assert message.startswith(
            f"{name} takes images of 28x28 in 10 classes only, and bars has {height}x{width} in {classes}; "
        )
        assert "\n" not in message
        assert set(message.rpartition(": ")[2].split(", ")) == ANY_IMAGES
    assert not list(tmp_path.iterdir())
