"""SavedModels: what a fresh process without tfgen and Keras gets from them."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.errors import InputError
from tfgen.export import export, generate
from tfgen.models import autoencoder
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE

IN_A_FRESH_PROCESS = """
import json, sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
with np.load(sys.argv[2]) as inputs:
    for key in inputs.files:
        name, batch, argument = key.split("/")
        for output, value in model.signatures[name](**{argument: tf.constant(inputs[key])}).items():
            np.save(f"{sys.argv[3]}/{name}-{batch}-{output}.npy", value.numpy())
print(json.dumps({"signatures": sorted(model.signatures), "tfgen": "tfgen" in sys.modules}))
"""


def in_a_fresh_process(saved_model, inputs, directory):
    """Returns what a new interpreter computes: the report it prints and a dict from (signature, batch, output)."""
    np.savez(directory / "inputs.npz", **inputs)
    outcome = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, str(saved_model), str(directory / "inputs.npz"), str(directory)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = {tuple(path.stem.split("-")): np.load(path) for path in directory.glob("*.npy")}
    return json.loads(outcome.stdout.splitlines()[-1]), outputs


@pytest.mark.parametrize(
    "make, signatures",
    [
        (lambda: autoencoder.stacked_autoencoder((12, 6, 12)), "serving_default reconstruct encode decode"),
        (lambda: autoencoder.ShallowAutoencoder(6, tied=True), "serving_default reconstruct encode decode"),
        (lambda: VAE(3, (12,)), "serving_default reconstruct encode decode generate"),
        (lambda: GAN(5, (12,), (12,)), "serving_default generate generate_from_z discriminate"),
    ],
    ids=["autoencoder", "tied-autoencoder", "vae", "gan"],
)
def test_a_fresh_process_gets_the_same_answers_at_two_batch_sizes(make, signatures, tmp_path):
    keras.utils.set_random_seed(0)
    model = make()
    endpoints = model.endpoints() if hasattr(model, "endpoints") else autoencoder.endpoints(model)
    export(endpoints, tmp_path / "saved_model")
    rng = np.random.default_rng(0)
    inputs = {}
    for signature, (_, (spec,)) in endpoints.items():
        for batch in (1, 7):
            shape = (batch, *spec.shape[1:])
            integers = spec.dtype == tf.int64
            inputs[f"{signature}/{batch}/{spec.name}"] = (
                rng.integers(1000, size=shape) if integers else rng.random(shape).astype(np.float32)
            )
    report, outputs = in_a_fresh_process(tmp_path / "saved_model", inputs, tmp_path)
    assert set(report["signatures"]) == set(signatures.split())
    assert report["tfgen"] is False
    seen = 0
    for key, value in inputs.items():
        signature, batch, _ = key.split("/")
        for output, expected in endpoints[signature][0](tf.constant(value)).items():
            np.testing.assert_allclose(outputs[signature, batch, output], expected, atol=1e-5)
            assert len(expected) == len(value)
            seen += 1
    assert seen == len(outputs)


def test_exporting_again_replaces_the_model_and_leaves_nothing_behind(tmp_path):
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        model = GAN(5, (12,), (12,))
        export(model.endpoints(), tmp_path / "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    seeds = tf.constant([3], tf.int64)
    served = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["generate"](seed=seeds)["image"]
    np.testing.assert_allclose(served, model.endpoints()["generate"][0](seeds)["image"], atol=1e-6)


def test_a_failing_export_leaves_the_earlier_model_untouched(tmp_path):
    model = GAN(5, (12,), (12,))
    export(model.endpoints(), tmp_path / "saved_model")
    before = (tmp_path / "saved_model" / "saved_model.pb").read_bytes()

    def broken(z):
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        export({"serving_default": (broken, [tf.TensorSpec((None, 5), name="z")])}, tmp_path / "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert (tmp_path / "saved_model" / "saved_model.pb").read_bytes() == before


def test_generated_images_are_repeatable_and_a_larger_number_begins_with_the_smaller(tmp_path):
    model = GAN(5, (12,), (12,))
    export(model.endpoints(), tmp_path)
    images = generate(tmp_path, 9, seed=4)
    assert images.shape == (9, 784)
    np.testing.assert_allclose(generate(tmp_path, 4, seed=4), images[:4], atol=1e-6)
    assert np.abs(generate(tmp_path, 9, seed=5) - images).max() > 1e-3
    assert len(np.unique(images, axis=0)) == 9


def test_sampling_a_model_that_does_not_generate_names_what_it_offers(tmp_path):
    network = autoencoder.stacked_autoencoder((12, 6, 12))
    export(autoencoder.endpoints(network), tmp_path)
    with pytest.raises(InputError, match="no signature 'generate' of images, only decode, encode, reconstruct"):
        generate(tmp_path, 1, 0)


def test_a_damaged_saved_model_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(InputError, match="cannot be read"):
        generate(tmp_path, 1, 0)
