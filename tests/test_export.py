"""SavedModels: what a fresh process without tfgen gets from them, and what an export writes and leaves."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import contents

from tfgen.export import export
from tfgen.models.gan import GAN

SIGNATURES = {
    "stacked-autoencoder": {"serving_default", "reconstruct", "encode", "decode"},
    "tied-autoencoder": {"serving_default", "reconstruct", "encode", "decode"},
    "vae": {"serving_default", "reconstruct", "encode", "decode", "generate"},
    "gan": {"serving_default", "generate", "generate_from_z", "discriminate"},
}
IN_A_FRESH_PROCESS = """
import json, sys
import numpy as np
import tensorflow as tf
models = {name: tf.saved_model.load(directory) for name, directory in json.loads(sys.argv[1]).items()}
outputs = {}
with np.load(sys.argv[2]) as inputs:
    for key in inputs.files:
        name, signature, batch, argument = key.split("/")
        for output, value in models[name].signatures[signature](**{argument: tf.constant(inputs[key])}).items():
            outputs[f"{name}/{signature}/{batch}/{output}"] = value.numpy()
np.savez(sys.argv[3], **outputs)
offered = {name: sorted(model.signatures) for name, model in models.items()}
print(json.dumps({"signatures": offered, "tfgen": "tfgen" in sys.modules}))
"""


def test_a_fresh_process_gets_the_same_answers_at_two_batch_sizes(exported, tmp_path):
    rng = np.random.default_rng(0)
    inputs, expected = {}, {}
    for name in SIGNATURES:
        for signature, (function, (spec,)) in exported[name][0].items():
            for batch in (1, 7):
                shape = (batch, *spec.shape[1:])
                whole = spec.dtype == tf.int64
                value = rng.integers(1000, size=shape) if whole else rng.random(shape).astype(np.float32)
                inputs[f"{name}/{signature}/{batch}/{spec.name}"] = value
                for output, answer in function(tf.constant(value)).items():
                    assert len(answer) == batch
                    expected[f"{name}/{signature}/{batch}/{output}"] = answer
    np.savez(tmp_path / "inputs.npz", **inputs)
    directories = json.dumps({name: str(exported[name][1]) for name in SIGNATURES})
    arguments = [directories, str(tmp_path / "inputs.npz"), str(tmp_path / "outputs.npz")]
    outcome = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, *arguments],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(outcome.stdout.splitlines()[-1])
    assert report == {"signatures": {name: sorted(names) for name, names in SIGNATURES.items()}, "tfgen": False}
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert set(outputs.files) == set(expected)
        for key, answer in expected.items():
            np.testing.assert_allclose(outputs[key], answer, atol=1e-5, err_msg=key)


def test_exporting_again_replaces_the_model_and_leaves_nothing_behind(tmp_path):
    for seed, image_shape in enumerate(((28, 28), (14, 56))):
        keras.utils.set_random_seed(seed)
        model = GAN(784, 5, (12,), (12,))
        export(model.endpoints(), tmp_path / "saved_model", image_shape)
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    seeds = tf.constant([3], tf.int64)
    served = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["generate"](seed=seeds)["image"]
    np.testing.assert_allclose(served, model.endpoints()["generate"][0](seeds)["image"], atol=1e-6)
    metadata = json.loads((tmp_path / "saved_model" / "assets.extra" / "tfgen.json").read_text())
    assert metadata == {"image_shape": [14, 56]}


def test_a_failing_export_leaves_the_earlier_model_untouched(tmp_path):
    model = GAN(784, 5, (12,), (12,))
    export(model.endpoints(), tmp_path / "saved_model", (28, 28))
    before = contents(tmp_path)

    def broken(z):
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        export({"serving_default": (broken, [tf.TensorSpec((None, 5), name="z")])}, tmp_path / "saved_model", (16, 16))
    assert contents(tmp_path) == before
