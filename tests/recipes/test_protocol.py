"""What all recipes keep to: training images train, validation images validate, the seed of the run decides the rest."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen.recipes import RECIPES

BINARY = ("vae", "vae-2d", "vae-burda", "iwae-burda", "vae-burda-2l", "iwae-burda-2l", "vae-static", "iwae-static")


# gan-1d draws its own data; others train on parts of the images, on all of them, or on latents: see their own tests.
OF_THEIR_OWN = ("gan-1d", "feature-classifier", "semi-supervised-vae", "anomaly-detection", "deep-embedded-clustering")


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in OF_THEIR_OWN])
def test_models_are_trained_on_training_images_binarised_or_not_and_judged_on_validation(name, smoke, digits):
    run = smoke(name)
    assert run.batches and run.validations
    streamed, validations = run.batches, run.validations
    scaled = digits.validation.images / np.float32(255)
    if name == "stacked-autoencoder":
        # The layers of the second network by themselves are given pixels, already scaled, and codes of the same images.
        pixels, codes = (batches for batches in streamed if batches.images.dtype == np.float32)
        np.testing.assert_allclose(pixels.images, digits.train.images / np.float32(255), atol=1e-6)
        assert codes.images.shape == (len(digits.train), 300)
        streamed = [batches for batches in streamed if batches.images.dtype != np.float32]
        (of_codes,) = (images for images in validations if images.shape != scaled.shape)
        assert of_codes.shape == (len(digits.validation), 300)
        validations = [images for images in validations if images is not of_codes]
    for batches in streamed:
        assert batches.images is digits.train.images
        assert batches.binarized == (name in BINARY)
    for images in validations:
        assert images.shape == scaled.shape
        if name == "denoising-autoencoder":
            # Noise leaves bright pixels brighter than dark ones.
            assert images[scaled > 0.9].mean() > images[scaled < 0.1].mean() + 0.3
        elif name in BINARY:
            assert set(np.unique(images)) == {0, 1} and abs(images.mean() - scaled.mean()) < 0.01
        else:
            np.testing.assert_allclose(images, scaled, atol=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_no_metric_is_of_training_images(name, smoke, digits):
    """Each is of test images, of what was generated or held out and compared with these, or a fact of the model."""
    for key, metric in smoke(name).results["metrics"].items():
        if name == "deep-embedded-clustering" and key.endswith("_all_images"):
            # The papers' protocol, beside one that keeps the test images apart.
            assert (metric["split"], metric["n"]) == ("all", 1797)
            continue
        assert metric["split"].split(",")[0] in ("test", "generated", "validation", "model"), metric
        if metric["split"] == "test":
            assert metric["n"] <= len(digits.test)


@pytest.mark.parametrize("name", RECIPES)
def test_the_seed_of_the_run_decides_order_noise_and_first_weights(name, untrained):
    fitted = {seed: untrained(name, first_only=True, seed=seed).fitted[0] for seed in (0, 7)}
    for seed, one in fitted.items():
        assert one.batches.seed == seed
        # Models that draw noise.
        assert getattr(one.model, "seed", seed) == seed
    first = [next(iter(one.batches.stream())) for one in fitted.values()]
    assert any(np.any(a != b) for a, b in zip(*map(tf.nest.flatten, first), strict=True))
    kernels = [[weight for weight in one.initial if weight.ndim >= 2] for one in fitted.values()]
    assert kernels[0] and all(np.any(a != b) for a, b in zip(*kernels, strict=True))
