"""Noise with its moments, batches of (noisy, clean) pairs, and the run that trains a network on each noise."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import Killed
from scipy import stats
from tfgen.lecture import part_a

from tfgen import corruption, datasets, experiment, figures
from tfgen.distributions import Draw, stateless_seed
from tfgen.evaluation.codes import code_shift
from tfgen.recipes import RECIPES

# Keras's CSVLogger leaves its file open where training ends by an exception.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

SEED = stateless_seed(3, Draw.CORRUPTION)
COPIES = 4000
SHADES = np.linspace(0.1, 1, 50, dtype=np.float32)


def noisy(noise, level, seed=SEED):
    return noise(tf.tile(SHADES[None], (COPIES, 1)), level, seed=seed).numpy()


def has_moments(x, mean, variance):
    """Whether each pixel's mean and variance over the copies lie within five standard errors of what they should be."""
    deviation = (x - mean) ** 2
    near_mean = np.abs(x.mean(axis=0) - mean) <= 5 * np.sqrt(variance / COPIES) + 1e-6
    near_variance = np.abs(deviation.mean(axis=0) - variance) <= 5 * deviation.std(axis=0) / np.sqrt(COPIES) + 1e-6
    return bool(np.all(near_mean & near_variance))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_masking_has_the_mean_and_variance_of_a_bernoulli_factor(rate):
    x = noisy(corruption.masking_noise, rate)
    assert has_moments(x, (1 - rate) * SHADES, rate * (1 - rate) * SHADES**2)
    kept = noisy(corruption.masking_noise, 1 - rate)  # the rate mistaken for the share that is kept
    assert not has_moments(kept, (1 - rate) * SHADES, rate * (1 - rate) * SHADES**2)
    rescaled = x / (1 - rate)  # what dropout does
    assert not has_moments(rescaled, (1 - rate) * SHADES, rate * (1 - rate) * SHADES**2)


def test_masking_leaves_the_other_pixels_as_they_are_and_masks_each_by_itself():
    x = noisy(corruption.masking_noise, 0.4)
    masked = x == 0
    np.testing.assert_array_equal(x, np.where(masked, 0, SHADES))
    # The number masked among 50 independent pixels is binomial: variance 50 * 0.4 * 0.6 = 12.
    counts = masked.sum(axis=1)
    assert counts.mean() == pytest.approx(20, abs=5 * np.sqrt(12 / COPIES))
    assert counts.var() == pytest.approx(12, rel=5 * np.sqrt(2 / COPIES))


def test_gaussian_noise_has_its_mean_and_variance_and_is_not_clipped():
    x = noisy(corruption.gaussian_noise, 0.3)
    assert has_moments(x, SHADES, 0.09)
    assert x.min() < 0 and x.max() > 1
    assert stats.kstest(((x - SHADES) / 0.3).ravel(), "norm").pvalue > 0.001
    assert not has_moments(np.clip(x, 0, 1), SHADES, 0.09)
    assert not has_moments(noisy(corruption.gaussian_noise, 0.09), SHADES, 0.09)  # the variance as standard deviation


def test_without_noise_images_stay_and_with_all_masked_they_are_black():
    expected = np.tile(SHADES, (COPIES, 1))
    np.testing.assert_array_equal(noisy(corruption.masking_noise, 0.0), expected)
    np.testing.assert_array_equal(noisy(corruption.gaussian_noise, 0.0), expected)
    np.testing.assert_array_equal(noisy(corruption.masking_noise, 1.0), 0)


@pytest.mark.parametrize("noise", [corruption.masking_noise, corruption.gaussian_noise])
def test_noise_is_a_function_of_the_seed_inside_a_graph_too(noise):
    once = noisy(noise, 0.5)
    np.testing.assert_array_equal(
        once, tf.function(lambda: noise(tf.tile(SHADES[None], (COPIES, 1)), 0.5, seed=SEED))()
    )
    other = noisy(noise, 0.5, stateless_seed(3, Draw.CORRUPTION, 1))
    # Independent: the noise of one seed does not tell that of the next.
    correlation = np.corrcoef((once / SHADES).ravel(), (other / SHADES).ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(once.size)


# Batches.


def stream(seed=0, first_step=0, n=64, batch_size=16):
    images = np.random.default_rng(0).integers(1, 256, (n, 784), np.uint8)
    run = types.SimpleNamespace(
        data=types.SimpleNamespace(train=types.SimpleNamespace(images=images)),
        config=types.SimpleNamespace(batch_size=batch_size),
        seed=seed,
    )
    corrupt = part_a.functools.partial(corruption.masking_noise, rate=0.5)
    return images, part_a.corrupted_batches(run, corrupt, first_step)


def take(batches, n):
    pairs = list(batches.take(n).as_numpy_iterator())
    return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])


def test_the_target_of_a_batch_is_the_clean_image_of_its_input():
    images, batches = stream()
    x, y = take(batches, 9)
    clean = datasets.training_batches(images, 16, 0).take(9).as_numpy_iterator()
    np.testing.assert_array_equal(y, np.stack(list(clean)))
    np.testing.assert_array_equal(x, np.where(x == 0, 0, y))
    assert np.mean(x == 0) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(x.size))


def test_every_epoch_masks_other_pixels_of_an_image():
    x, y = (part.reshape(2, 64, 784) for part in take(stream()[1], 8))
    epochs = [masked[np.lexsort(clean.T)] == 0 for masked, clean in zip(x, y, strict=True)]
    # Each image's two masks agree on a half of the pixels, as independent ones do.
    assert np.mean(epochs[0] == epochs[1]) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(64 * 784))


@pytest.mark.parametrize("first_step", [1, 4, 7])
def test_a_stream_that_goes_on_gives_what_the_uninterrupted_one_would(first_step):
    whole, rest = take(stream()[1], 12), take(stream(first_step=first_step)[1], 12 - first_step)
    for a, b in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(a[first_step:], b)
    other = take(stream(seed=1)[1], 12)
    assert not np.array_equal(whole[0], other[0])


# The code.


def test_code_shift_is_that_of_known_codes():
    codes = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])  # squared distances of 2 from the mean (1, 1)
    assert code_shift(codes, codes) == 0
    moved = codes + np.array([1.0, 0])
    assert code_shift(codes, moved) == code_shift(10 * codes, 10 * moved) == pytest.approx(1 / 2)
    # Codes of other images in place of these: noise that leaves nothing.
    rng = np.random.default_rng(0)
    assert code_shift(*rng.standard_normal((2, 5000, 3))) == pytest.approx(2, rel=0.05)


# The run.


@pytest.fixture(scope="module")
def drawn():
    """The rows of images that the run of `run` drew, one list of arrays for each figure."""
    return []


@pytest.fixture(scope="module")
def run(drawn, tmp_path_factory):
    directory, original = tmp_path_factory.mktemp("runs"), figures.rows_of_images

    def rows_of_images(rows, title):
        drawn.append([np.asarray(images) for images in rows.values()])
        return original(rows, title)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "rows_of_images", rows_of_images)
        return directory, experiment.run("denoising-autoencoder", datasets.digits(), "smoke", directory, epochs=4)


def test_pictures_show_test_images_noisy_ones_and_what_the_plain_and_the_denoising_network_make_of_these(run, drawn):
    checkpoints = run[0] / "denoising-autoencoder" / "checkpoints"
    plain = keras.models.load_model(checkpoints / "clean.keras")
    clean = datasets.digits().test.images[:12] / 255.0
    for (images, noisy, by_plain, denoised), file in zip(drawn, ("model", "gaussian"), strict=True):
        np.testing.assert_allclose(images, clean, atol=1e-6)
        np.testing.assert_allclose(by_plain, plain.predict(noisy, verbose=0), atol=1e-5)
        network = keras.models.load_model(checkpoints / f"{file}.keras")
        np.testing.assert_allclose(denoised, network.predict(noisy, verbose=0), atol=1e-5)
        assert not np.allclose(denoised, by_plain, atol=0.01)
    masked, gaussian = drawn[0][1], drawn[1][1]
    # Noise of its kind in the pixels that are not black: some of them masked, all of them moved.
    shown = clean > 0
    assert 0.4 < np.mean(masked[shown] == 0) < 0.6
    np.testing.assert_allclose(masked[masked != 0], clean[masked != 0], atol=1e-6)
    assert np.all(gaussian != clean)


def test_errors_are_those_of_the_saved_networks(run):
    """Recomputed in float64 from the weights alone, on noise drawn here as the run says: the same for every run."""
    directory, results = run
    directory = directory / "denoising-autoencoder"
    config = RECIPES["denoising-autoencoder"].presets["smoke"]
    x = (datasets.digits().test.images / 255.0).astype(np.float32)
    seed = stateless_seed(0, Draw.FIXED_CORRUPTION)
    kept = tf.random.stateless_uniform(x.shape, seed, alg="philox").numpy() >= config.masking_rate
    noise = tf.random.stateless_normal(x.shape, seed, alg="philox").numpy()
    inputs = {"clean": x, "masking": kept * x, "gaussian": x + config.gaussian_standard_deviation * noise}
    metrics = {name: metric["value"] for name, metric in results["metrics"].items()}
    for kind in ("masking", "gaussian"):
        assert metrics[f"input_squared_error__{kind}"] == pytest.approx(np.mean(np.sum((inputs[kind] - x) ** 2, 1)))
    for network, file in {"masking": "model", "gaussian": "gaussian", "clean": "clean"}.items():
        model = keras.models.load_model(directory / "checkpoints" / f"{file}.keras")
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
    metrics = run[1]["metrics"]
    for kind in ("masking", "gaussian"):
        errors = {name: metrics[f"test_squared_error__{name}_on_{kind}"]["value"] for name in ("masking", "gaussian")}
        assert min(errors, key=errors.get) == kind
        assert errors[kind] < metrics[f"test_squared_error__clean_on_{kind}"]["value"]
        assert errors[kind] < metrics[f"input_squared_error__{kind}"]["value"]


def test_the_exported_network_is_the_one_trained_on_masking_noise(run):
    directory = run[0] / "denoising-autoencoder"
    x = datasets.scale(datasets.digits().test.images)
    signature = tf.saved_model.load(str(directory / "saved_model")).signatures["reconstruct"]
    exported = signature(image=x)["reconstruction"].numpy()
    networks = {
        file: keras.models.load_model(directory / "checkpoints" / f"{file}.keras").predict(x, verbose=0)
        for file in ("model", "gaussian", "clean")
    }
    np.testing.assert_allclose(exported, networks["model"], atol=1e-5)
    assert not np.allclose(exported, networks["gaussian"], atol=0.01)


def test_a_run_killed_in_its_second_network_equals_an_uninterrupted_one_bit_for_bit(run, tmp_path, monkeypatch):
    whole, results = run
    digits, original = datasets.digits(), keras.callbacks.CSVLogger.on_epoch_end

    def killed(self, epoch, logs=None):
        original(self, epoch, logs)
        if "training_gaussian.csv" in str(self.filename) and epoch == 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", killed)
        with pytest.raises(Killed):
            experiment.run("denoising-autoencoder", digits, "smoke", tmp_path, epochs=4)
    resumed = experiment.run("denoising-autoencoder", digits, "smoke", tmp_path, epochs=4, resume=True)
    assert resumed["metrics"] == results["metrics"]
    checkpoints = [
        sorted((directory / "denoising-autoencoder/checkpoints").glob("*.keras")) for directory in (whole, tmp_path)
    ]
    assert [path.name for path in checkpoints[0]] == ["clean.keras", "gaussian.keras", "model.keras"]
    for a, b in zip(*checkpoints, strict=True):
        for one, other in zip(*(keras.models.load_model(path).get_weights() for path in (a, b)), strict=True):
            np.testing.assert_array_equal(one, other)


# Figures.


def test_curves_can_be_logarithmic():
    for log, scale in ((False, "linear"), (True, "log")):
        figure = figures.curves({"a": [3.0, 2.0]}, [("A", "nats", ["a"])], log=log)
        assert figure.axes[0].get_yscale() == scale
