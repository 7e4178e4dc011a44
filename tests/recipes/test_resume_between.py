"""Runs of several trainings that are killed between the first and the last: resumed, they end the same."""

import shutil

import keras
import numpy as np
import pytest
from helpers import last_checkpoints

from tfgen.runner.run import run
from tfgen.training.run import Run


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, training",
    [
        ("shallow-autoencoder", "relu_tied"),
        ("stacked-autoencoder", "layer_1"),
        ("stacked-autoencoder", "layer_2"),
        ("denoising-autoencoder", "gaussian"),
        ("clustering-autoencoder", "10d"),
        ("deep-embedded-clustering", "model"),
        ("deep-embedded-clustering", "papers_all_images_autoencoder"),
        ("semi-supervised-vae", "m1_m2_100_labels_0"),
        ("semi-supervised-vae", "m1_m2_100_labels_1"),
        ("semi-supervised-vae", "m2_100_labels_0"),
        ("anomaly-detection", "vae_without_4"),
        ("anomaly-detection", "autoencoder_without_1"),
    ],
)
def test_a_run_killed_in_a_training_between_equals_an_uninterrupted_one_bit_for_bit(
    smoke, name, training, digits, tmp_path, monkeypatch, shared_compile_options
):
    """Trainings before it are done, and where it shares a compiled model with them, that begins in its middle."""
    monkeypatch.setattr(Run, "compile_options", shared_compile_options)
    whole = smoke(name)
    trainings = list(whole.killed)
    assert training in trainings[1:-1]
    shutil.copytree(whole.killed[training], tmp_path / name)
    resumed = run(name, digits, **whole.options, output_dir=tmp_path, resume=True)
    assert resumed["metrics"] == whole.results["metrics"]
    checkpoints = [last_checkpoints(path) for path in (whole.directory, tmp_path / name)]
    assert (
        [path.name for path in checkpoints[0]]
        == [path.name for path in checkpoints[1]]
        == sorted(f"{training}.keras" for training in trainings)
    )
    for paths in zip(*checkpoints, strict=True):
        for a, b in zip(*(keras.models.load_model(path).get_weights() for path in paths), strict=True):
            np.testing.assert_array_equal(a, b)
