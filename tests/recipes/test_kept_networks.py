"""The networks that a run keeps for the page are those of its SavedModel."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen.report.networks import forward, read
from tfgen.training.run import REPORT_IMAGES


@pytest.fixture(
    params=[
        "stacked-autoencoder",
        "denoising-autoencoder",
        "clustering-autoencoder",
        "anomaly-detection",
        "feature-classifier",
        "vae",
        "vae-2d",
        "gan",
    ]
)
def run(request, smoke):
    return smoke(request.param)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_run_keeps_networks_that_compute_what_its_saved_model_does(run, digits):
    kept, name = read(run.directory / "networks.npz"), run.directory.name
    np.testing.assert_array_equal(kept.arrays["images"], digits.test.images[:REPORT_IMAGES])
    np.testing.assert_array_equal(kept.arrays["labels"], digits.test.labels)
    signatures = tf.saved_model.load(str(run.directory / "saved_model")).signatures
    x = kept.arrays["images"][:20] / np.float32(255)
    networks = kept.networks

    def served(signature, output, **inputs):
        return signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})[output].numpy()

    if name == "feature-classifier":
        logits = forward(networks["logits"], x)
        expected = np.exp(logits) / np.sum(np.exp(logits), axis=1, keepdims=True)
        np.testing.assert_allclose(expected, served("classify", "probabilities", image=x), atol=1e-5)
    elif name in ("vae", "vae-2d"):
        z = forward(networks["z_mean"], x)
        np.testing.assert_allclose(z, served("encode", "z_mean", image=x), rtol=1e-4, atol=1e-5)
        z_log_var = served("encode", "z_log_var", image=x)
        np.testing.assert_allclose(forward(networks["z_log_var"], x), z_log_var, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(sigmoid(forward(networks["decoder"], z)), served("decode", "image", z=z), atol=1e-5)
    elif name == "gan":
        # The served discriminator has the last epoch's weights, the served generator averaged ones.
        d = sigmoid(forward(networks["discriminator/2"], x))
        np.testing.assert_allclose(d, served("discriminate", "probability", image=x), atol=1e-5)
        assert {*networks} == {f"{network}/{epoch}" for network in ("generator", "discriminator") for epoch in (1, 2)}
        first, last = (forward(networks[f"generator/{epoch}"], np.ones((1, 100), np.float32)) for epoch in (1, 2))
        assert first.shape == (1, 784) and not np.allclose(first, last, atol=1e-3)
    else:
        code = forward(networks["encoder"], x)
        np.testing.assert_allclose(code, served("encode", "code", image=x), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(forward(networks["decoder"], code), served("decode", "image", code=code), atol=1e-5)
    if name in ("clustering-autoencoder", "vae-2d"):
        assert kept.arrays["codes"].shape == (len(digits.test), 2)
    if name == "clustering-autoencoder":
        np.testing.assert_allclose(kept.arrays["codes"][:20], code, rtol=1e-4, atol=1e-5)
    if name == "stacked-autoencoder":
        error = forward(networks["pca_decoder"], forward(networks["pca_encoder"], digits.test.images / np.float32(255)))
        error = np.mean(np.sum((digits.test.images / np.float32(255) - error) ** 2, axis=1))
        assert error == pytest.approx(run.results["metrics"]["pca_squared_error__150"]["value"], rel=1e-4)
    if name == "anomaly-detection":
        assert kept.arrays["left_out"].tolist() == [4]
