"""The GAN on the line: draws of the data, stages in equal ratios, and its metrics by hand from what it left."""

import keras
import numpy as np
import pytest
from scipy import stats
from scipy.special import rel_entr

from tfgen.errors import InputError
from tfgen.models.gan import GAN
from tfgen.recipes import RECIPES

NAME = "gan-1d"


@pytest.mark.parametrize("epochs, expected", [(1, [1]), (3, [1, 2, 3]), (64, [1, 4, 16, 64])])
def test_stages_are_in_equal_ratios(epochs, expected, untrained):
    (fitted,) = untrained(NAME, first_only=True, epochs=epochs).fitted
    (snapshots,) = fitted.callbacks
    assert snapshots.epochs == expected


def test_a_linear_output_is_kept_by_saving_and_not_bounded(tmp_path):
    keras.utils.set_random_seed(0)
    model = GAN(1, 1, (8,), (8,), output_activation="linear")
    z = np.linspace(-50, 50, 9, dtype=np.float32)[:, None]
    generated = model.generator(z).numpy()
    assert generated.min() < 0 or generated.max() > 1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.generator(z), generated)
    bounded = GAN(1, 1, (8,), (8,)).generator(z).numpy()
    assert 0 <= bounded.min() and bounded.max() <= 1


def test_noise_of_several_dimensions_cannot_be_drawn_and_is_refused():
    with pytest.raises(InputError, match=r"noise_dim must be 1 here, for the picture of z and .*; got 2"):
        RECIPES[NAME].presets["smoke"].replace(noise_dim=2)


def test_the_game_on_the_line_is_played_with_draws_of_the_data_and_measured_at_its_last_stage(smoke):
    """Data N(1, 1/2^2), by their moments; the metrics by hand from the histogram and D that the last stage left."""
    run, config = smoke(NAME), RECIPES[NAME].presets["smoke"]
    assert (config.data_mean, config.data_std) == (1, 0.5)
    (validation,), (batch,) = run.validations, run.first_batches
    assert len(batch) == config.batch_size * config.discriminator_steps
    for x in (validation, np.asarray(batch)):
        x = x.astype(np.float64)
        assert x.mean() == pytest.approx(1, abs=5 * 0.5 / np.sqrt(x.size))
        assert x.std() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2 * x.size))
    # None of the images; a float32 may be drawn twice, a whole batch not.
    assert not run.batches and np.isin(np.asarray(batch), validation).mean() < 0.01

    stages = run.directory / "checkpoints" / "stages"
    assert [path.name for path in sorted(stages.iterdir())] == ["000001.npz", "000002.npz"]
    with np.load(stages / "000002.npz") as snapshot:
        q, d = snapshot["p_g"], snapshot["discriminator"]
    edges = np.linspace(1 - 0.5 * config.half_width, 1 + 0.5 * config.half_width, config.bins + 1)
    p = np.diff(stats.norm.cdf(edges, 1, 0.5))
    m = (p + q) / 2
    measured = {
        "value": np.sum(p * np.log(d)) + np.sum(q * np.log1p(-d)),
        "jensen_shannon_divergence": (np.sum(rel_entr(p, m)) + np.sum(rel_entr(q, m))) / 2,
        "discriminator_error": np.sum(m * np.abs(d - p / (p + q))),
    }
    for name, expected in measured.items():
        # The tails beyond the histogram, 6e-7 of the data, are counted to its outermost bins.
        assert run.results["metrics"][name]["value"] == pytest.approx(expected, abs=1e-4), name
    with np.load(stages / "000001.npz") as snapshot:
        m, first = (p + snapshot["p_g"]) / 2, snapshot["p_g"]
    before, after = (np.sum(rel_entr(p, m)) + np.sum(rel_entr(first, m))) / 2, measured["jensen_shannon_divergence"]
    (*_, title), _ = run.figures["adversarial_stages"][0]
    assert abs(before - after) > 0.01
    moves = "falls" if after < before else "rises"
    assert title.startswith(f"The Jensen-Shannon divergence {moves} from {before:.3f} to {after:.3f}\n")
    # Wrong: the two distributions mistaken for each other.
    assert abs(np.sum(q * np.log(d)) + np.sum(p * np.log1p(-d)) - measured["value"]) > 0.1


def test_the_last_stage_is_that_of_the_checkpoint(smoke):
    """Its discriminator exactly; its histogram by the moments of other draws of the generator."""
    run, config = smoke(NAME), RECIPES[NAME].presets["smoke"]
    model = keras.models.load_model(run.directory / "checkpoints" / "model.keras")
    edges = np.linspace(1 - 0.5 * config.half_width, 1 + 0.5 * config.half_width, config.bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    with np.load(run.directory / "checkpoints" / "stages" / "000002.npz") as snapshot:
        logits = model.discriminator(np.float32(centres[:, None])).numpy()[:, 0].astype(np.float64)
        np.testing.assert_allclose(snapshot["discriminator"], 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)
        z = np.random.default_rng(0).standard_normal((100_000, 1)).astype(np.float32)
        x = np.clip(model.generator(z).numpy(), edges[0], edges[-1])
        assert np.sum(snapshot["p_g"] * centres) == pytest.approx(x.mean(), abs=0.01)
        assert np.sum(snapshot["p_g"] * centres**2) == pytest.approx(np.mean(x**2), abs=0.03)
