"""Denoising: networks that remove the noise they were trained on, errors and pictures recomputed from what is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import figures
from tfgen.data.batches import scale
from tfgen.distributions import Draw, stateless_seed, threefry_normal, threefry_uniform
from tfgen.recipes import RECIPES

NAME = "denoising-autoencoder"
CONFIG = RECIPES[NAME].presets["smoke"]


@pytest.fixture(scope="module")
def run(smoke):
    return smoke(NAME)


@pytest.fixture(scope="module")
def networks(run):
    """From the noise that a network was trained on to its checkpoint."""
    files = {"masking": "model", "gaussian": "gaussian", "clean": "clean"}
    return {kind: keras.models.load_model(run.directory / f"checkpoints/{file}.keras") for kind, file in files.items()}


def test_networks_are_trained_on_their_noise_anew_and_validated_on_noise_drawn_once(run, digits):
    scaled = scale(digits.validation.images).numpy()
    seed = stateless_seed(0, Draw.FIXED_CORRUPTION, 1)
    kept = threefry_uniform(scaled.shape, seed).numpy() >= CONFIG.masking_rate
    noise = CONFIG.gaussian_standard_deviation * threefry_normal(scaled.shape, seed).numpy()
    for images, expected in zip(run.validations, (kept * scaled, scaled + noise, scaled), strict=True):
        np.testing.assert_allclose(images, expected, atol=1e-6)
    assert all(batches.images is digits.train.images and not batches.binarized for batches in run.batches)
    masked, gaussian, plain = ([np.asarray(part) for part in batch] for batch in run.first_batches)
    for _, clean in (masked, gaussian, plain):
        assert {image.tobytes() for image in clean} <= {image.tobytes() for image in scale(digits.train.images).numpy()}
    x, clean = masked
    np.testing.assert_array_equal(x, np.where(x == 0, 0, clean))
    shown = clean > 0
    assert np.mean(x[shown] == 0) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(shown.sum()))
    x, clean = gaussian
    assert np.std(x - clean) == pytest.approx(0.3, rel=5 / np.sqrt(2 * x.size))
    np.testing.assert_array_equal(*plain)


def test_pictures_show_test_images_noisy_ones_and_what_the_plain_and_the_denoising_network_make_of_these(
    run, digits, networks
):
    clean = scale(digits.test.images[:10]).numpy()
    drawn = [
        [np.reshape(images, (10, 784)) for images in rows.values()] for (rows, _), _ in run.figures["rows_of_images"]
    ]
    for (images, noisy, by_plain, denoised), kind in zip(drawn, ("masking", "gaussian"), strict=True):
        np.testing.assert_allclose(images, clean, atol=1e-6)
        np.testing.assert_allclose(by_plain, networks["clean"](noisy), atol=1e-5)
        np.testing.assert_allclose(denoised, networks[kind](noisy), atol=1e-5)
        assert not np.allclose(denoised, by_plain, atol=0.01)
    for ((_, title), _), kind in zip(run.figures["rows_of_images"], ("masking", "gaussian"), strict=True):
        plain, denoising = (
            run.results["metrics"][f"test_squared_error__{name}_on_{kind}"]["value"] for name in ("clean", kind)
        )
        assert title.endswith(f"squared error per image: {plain:.1f} plain, {denoising:.1f} denoising")
    masked, gaussian = drawn[0][1], drawn[1][1]
    # Noise of its kind in the pixels that are not black: some of them masked, all of them moved.
    shown = clean > 0
    assert 0.4 < np.mean(masked[shown] == 0) < 0.6
    np.testing.assert_allclose(masked[masked != 0], clean[masked != 0], atol=1e-6)
    assert np.all(gaussian != clean)


def test_errors_are_those_of_the_saved_networks(run, digits, networks):
    """Recomputed in float64 from the weights alone, on noise drawn here as the run says: the same for every run."""
    x = scale(digits.test.images).numpy()
    seed = stateless_seed(0, Draw.FIXED_CORRUPTION)
    kept = threefry_uniform(x.shape, seed).numpy() >= CONFIG.masking_rate
    noise = threefry_normal(x.shape, seed).numpy()
    inputs = {"clean": x, "masking": kept * x, "gaussian": x + CONFIG.gaussian_standard_deviation * noise}
    metrics = {name: metric["value"] for name, metric in run.results["metrics"].items()}
    for kind in ("masking", "gaussian"):
        assert metrics[f"input_squared_error__{kind}"] == pytest.approx(np.mean(np.sum((inputs[kind] - x) ** 2, 1)))
    for network, model in networks.items():
        w = [np.asarray(weight, np.float64) for weight in model.get_weights()]
        codes = {}
        for kind, images in inputs.items():
            codes[kind] = np.maximum(images @ w[0] + w[1], 0) @ w[2] + w[3]
            reconstruction = 1 / (1 + np.exp(-(np.maximum(codes[kind] @ w[4] + w[5], 0) @ w[6] + w[7])))
            expected = np.mean(np.sum((x - reconstruction) ** 2, axis=1))
            assert metrics[f"test_squared_error__{network}_on_{kind}"] == pytest.approx(expected, rel=1e-4)
        for kind in ("masking", "gaussian"):
            shift = np.sum((codes[kind] - codes["clean"]) ** 2) / np.sum((codes["clean"] - codes["clean"].mean(0)) ** 2)
            assert metrics[f"code_shift__{network}_on_{kind}"] == pytest.approx(shift, rel=1e-4)


def test_each_network_is_the_best_of_the_three_on_the_noise_it_was_trained_on(run):
    metrics = run.results["metrics"]
    for kind in ("masking", "gaussian"):
        errors = {name: metrics[f"test_squared_error__{name}_on_{kind}"]["value"] for name in ("masking", "gaussian")}
        assert min(errors, key=errors.get) == kind
        assert errors[kind] < metrics[f"test_squared_error__clean_on_{kind}"]["value"]
        assert errors[kind] < metrics[f"input_squared_error__{kind}"]["value"]


def test_the_exported_network_is_the_one_trained_on_masking_noise(run, digits, networks):
    x = scale(digits.test.images)
    signature = tf.saved_model.load(str(run.directory / "saved_model")).signatures["reconstruct"]
    exported = signature(image=x)["reconstruction"].numpy()
    np.testing.assert_allclose(exported, networks["masking"](x), atol=1e-5)
    assert not np.allclose(exported, networks["gaussian"](x), atol=0.01)


def test_curves_can_be_logarithmic():
    for log, expected in ((False, "linear"), (True, "log")):
        figure = figures.curves({"a": [3.0, 2.0]}, [("A", "nats", ["a"])], log=log)
        assert figure.axes[0].get_yscale() == expected
