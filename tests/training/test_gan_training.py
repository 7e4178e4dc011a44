"""What the recipes of GANs share: the epochs of strip and film, their files, and the last and the averaged weights."""

import gc
import io
import itertools

import keras
import numpy as np
import pytest
from helpers import Killed
from PIL import Image

from tfgen import figures
from tfgen.data.batches import Batches, scale
from tfgen.models.gan import GAN
from tfgen.recipes import RECIPES
from tfgen.training.gan import Snapshots, film_epochs, last_and_averaged, sample_snapshots, strip_epochs
from tfgen.training.run import Run


@pytest.mark.parametrize("epochs", [1, 2, 7, 150, 2000])
def test_the_film_has_the_strip_s_epochs_and_enough_between(epochs):
    film = film_epochs(epochs)
    assert film == sorted(set(film)) and film[-1] == epochs
    assert set(strip_epochs(epochs)) <= set(film)
    assert len(film) >= min(epochs, 25)
    # No leap is longer than to half as many epochs again, but for the first few whole numbers.
    assert all(b <= max(1.5 * a, a + 1) for a, b in itertools.pairwise(film))


def test_the_strip_shows_one_two_and_five_of_each_power_of_ten_and_the_last_epoch():
    assert strip_epochs(4) == [1, 2, 4]
    assert strip_epochs(200) == [1, 2, 5, 10, 20, 50, 100, 200]
    assert strip_epochs(1001) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1001]


def test_only_the_run_s_own_epochs_are_taken_and_read(tmp_path):
    taken = iter(range(10))
    first = Snapshots(tmp_path, [1, 2, 4], lambda: {"images": np.full(4, next(taken)), "other": np.arange(2)})
    for epoch in range(5):
        first.on_epoch_end(epoch)
    assert next(taken) == 3  # nothing is computed for the epochs between
    # A run of other epochs in the same directory reads its own alone.
    found = Snapshots(tmp_path, [1, 4], None).read()
    assert {epoch: arrays["images"].tolist() for epoch, arrays in found.items()} == {1: [0] * 4, 4: [2] * 4}
    assert found[4]["other"].tolist() == [0, 1]
    with pytest.raises(FileNotFoundError):
        Snapshots(tmp_path, [1, 3], None).read()


class KilledInTheSecondEpoch(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise Killed


def trained(digits, directory, callbacks=()):
    """Returns the film's pictures, by epoch, of a tiny GAN that is trained for two epochs, or goes on to that."""
    config = RECIPES["gan"].presets["smoke"].replace(epochs=2, noise_dim=3)
    run = Run(RECIPES["gan"], config, digits, directory, "smoke", deterministic=True)
    run.set_random_seed()
    model = GAN(digits.pixels, config.noise_dim, (4,), (4,))
    batches = Batches(digits.train.images, config.batch_size, run.seed)
    model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2), **run.compile_options(batches))
    film = sample_snapshots(run, model, film_epochs(config.epochs))
    run.fit(model, batches, scale(digits.validation.images).numpy(), callbacks=[film, *callbacks])
    return {epoch: digits.pictures(arrays["images"]) for epoch, arrays in film.read().items()}


# Keras's CSVLogger leaves its file open where training ends by an exception.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_and_resumed_run_ends_with_the_same_film(digits, tmp_path, capsys):
    whole = trained(digits, tmp_path / "whole")
    with pytest.raises(Killed):
        trained(digits, tmp_path / "parts", [KilledInTheSecondEpoch()])
    gc.collect()
    # The second epoch has left its picture, and no checkpoint.
    assert len(list((tmp_path / "parts" / "checkpoints" / "samples").iterdir())) == 2
    capsys.readouterr()
    resumed = trained(digits, tmp_path / "parts")
    assert "resuming after epoch 1 of 2" in capsys.readouterr().out
    assert list(whole) == list(resumed) == [1, 2]
    assert np.abs(whole[2] - whole[1]).max() > 0.01
    films = [figures.gif(figures.frames_through_training(stages)) for stages in (whole, resumed)]
    strips = [figures.png(figures.through_training(stages, "")) for stages in (whole, resumed)]
    assert films[0] == films[1] and strips[0] == strips[1]
    with Image.open(io.BytesIO(films[0])) as film:
        assert film.n_frames == 2


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_averaged_generator_has_the_moving_average_of_the_last_one_s_weights(images, dtype):
    """Recomputed after each of three steps; the discriminators are the same, and both GANs compute in float32."""

    def network(dtype):
        return GAN(784, 3, (4,), (4,), dtype=dtype)

    keras.utils.set_random_seed(0)
    model = network(dtype)
    model.compile(keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.75), keras.optimizers.Adam(0.1))
    average = None
    for _ in range(3):
        model.train_on_batch(images)
        weights = model.generator.get_weights()
        average = [0.75 * a + 0.25 * w for a, w in zip(average or weights, weights, strict=True)]
    discriminator = model.discriminator.get_weights()
    last, averaged = last_and_averaged(network, model)
    for gan, expected in ((last, weights), (averaged, average)):
        assert gan.dtype_policy.name == "float32"
        for a, b in zip(gan.discriminator.get_weights(), discriminator, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(gan.generator.get_weights(), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert max(np.abs(a - w).max() for a, w in zip(average, weights, strict=True)) > 1e-2
