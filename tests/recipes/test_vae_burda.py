"""The networks of Burda et al.: their stages, what they see, and their likelihood recomputed with SciPy's densities."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import logsumexp

from tfgen.data.batches import fixed_binarization
from tfgen.errors import InputError
from tfgen.evaluation.importance import importance_sample
from tfgen.models.two_layer_vae import TwoLayerVAE
from tfgen.models.vae import VAE, ImportanceWeightedVAE
from tfgen.recipes import RECIPES, vae_burda
from tfgen.training.run import Run

STAGES = ((1, 0.5, 2e-3), (2, 0.3, 1e-3), (5, 0.2, 4e-3))


@pytest.fixture(scope="module")
def burda(untrained):
    """Three stages of a small network, ten epochs in all."""
    sizes = {"latent_dim": 3, "hidden_units": (8,), "nll_samples": 2}
    return untrained("iwae-burda", epochs=10, stages=STAGES, epsilon=3e-6, **sizes)


@pytest.fixture(scope="module")
def burda_uncertainty(digits, tmp_path_factory):
    """The metrics of `_measure_nll` of an untrained VAE, and what it asked importance sampling for."""
    config, sampled = RECIPES["vae-burda"].presets["smoke"].replace(binarisations=2), []
    run = Run(RECIPES["vae-burda"], config, digits, tmp_path_factory.mktemp("burda"), "smoke")
    model = VAE(784, 3, (8,))

    def record(log_weights, noise_dim, x, samples, *args, **kwargs):
        found = importance_sample(log_weights, noise_dim, x, samples, *args, **kwargs)
        sampled.append((x, samples, found.nll))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfgen.evaluation.importance.importance_sample", record)
        vae_burda._measure_nll(run, model, fixed_binarization(digits.test.images).numpy(), "nats per image")
    return run.metrics, sampled


def logits_of_the_mean(images):
    """Returns the logits of the mean image in float64, each pixel clipped to [.001, .999]."""
    mean = np.clip(images.astype(np.float64).mean(axis=0) / 255, 0.001, 0.999)
    return np.log(mean / (1 - mean))


def test_the_first_stage_of_burda_s_network_begins_at_the_mean_image(burda, digits):
    expected = logits_of_the_mean(digits.train.images)
    (bias,) = (weight for weight in burda.fitted[0].initial if weight.shape == (784,))
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() == pytest.approx(np.log(999))  # some pixels are clipped
    # Wrong: the mean of images that the training does not see.
    assert np.abs(bias - logits_of_the_mean(digits.test.images)).max() > 0.1


def test_every_stage_of_burda_s_network_begins_with_the_weights_of_the_one_before(burda):
    for earlier, later in itertools.pairwise(burda.fitted):
        for a, b in zip(earlier.model.get_weights(), later.initial, strict=True):
            np.testing.assert_array_equal(a, b)
        # Wrong: the weights that the one before began with.
        assert all(np.any(a != b) for a, b in zip(earlier.initial, later.initial, strict=True))


def test_every_stage_of_burda_s_network_has_its_samples_epochs_rate_and_name(burda):
    assert [fitted.epochs for fitted in burda.fitted] == [5, 3, 2]
    assert [fitted.name for fitted in burda.fitted] == ["k1", "k2", "model"]
    assert [type(fitted.model) for fitted in burda.fitted] == [VAE, ImportanceWeightedVAE, ImportanceWeightedVAE]
    assert [fitted.model.num_samples for fitted in burda.fitted[1:]] == [2, 5]
    for fitted, (_, _, rate) in zip(burda.fitted, STAGES, strict=True):
        optimizer, steps = fitted.model.optimizer, fitted.epochs * burda.steps_per_epoch(fitted.batches)
        assert isinstance(optimizer, keras.optimizers.Adam) and optimizer.epsilon == 3e-6
        # Along a cosine: half of the rate in the middle of the stage, nothing at its end.
        for iteration, expected in ((0, rate), (steps // 2, rate / 2), (steps, 0)):
            optimizer.iterations.assign(iteration)
            assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_the_epochs_of_the_stages_add_up_to_those_asked_for():
    paper = RECIPES["iwae-burda"].presets["paper"].replace(stages=((5, 0.85, 2e-3), (50, 0.15, 1e-3)))
    assert paper.stage_epochs() == [510, 90] and sum(paper.stage_epochs()) == paper.epochs == 600
    for epochs in (4, 7, 33, 599):
        counts = paper.replace(epochs=epochs).stage_epochs()
        assert sum(counts) == epochs and min(counts) >= 1
    with pytest.raises(InputError, match="1 epochs leave none for one of 2 stages; raise --epochs"):
        paper.replace(epochs=1)


@pytest.mark.parametrize(
    "stages, said",
    [
        ((), r"at least one, each with a k of its own; got k \[\]"),
        (((5, 0.5, 1e-3), (5, 0.5, 1e-4)), r"each with a k of its own; got k \[5, 5\]"),
        (((1, 0.5, 1e-3), (5, 0.4, 1e-3)), "fractions of the stages must add up to 1, got 0.9"),
    ],
)
def test_stages_that_are_no_whole_training_are_refused(stages, said):
    with pytest.raises(InputError, match=said):
        RECIPES["iwae-burda"].presets["paper"].replace(stages=stages)


def test_burda_s_network_is_trained_on_pixels_drawn_anew_and_judged_on_pixels_drawn_once(burda, digits):
    once = fixed_binarization(digits.validation.images, number=1).numpy()
    for fitted in burda.fitted:
        first, second = (batch.numpy() for batch in fitted.batches.stream().take(2))
        assert first.shape == (100, 784) and set(np.unique(first)) == {0, 1}
        assert np.any(first != second)
        np.testing.assert_array_equal(fitted.validation, once)


@pytest.mark.parametrize("name", ["vae-burda", "iwae-burda"])
def test_the_models_are_what_the_recipes_say(name, smoke):
    config, run = RECIPES[name].presets["smoke"], smoke(name)
    model = keras.models.load_model(run.directory / "checkpoints" / "model.keras")
    assert (model.latent_dim, tuple(model.hidden_units), model.activation) == (50, (200, 200), "tanh")
    assert {"vae-burda": 1, "iwae-burda": 6}[name] == config.stages[-1][0] == getattr(model, "num_samples", 1)
    rate = model.optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
    assert rate == config.stages[-1][2]
    assert model.optimizer.epsilon == config.epsilon == 5e-6


@pytest.mark.parametrize("name", ["vae-burda", "iwae-burda"])
def test_the_nll_lies_below_the_bound_of_the_checkpoint_and_is_near_that_of_other_draws(name, smoke, digits):
    """50 importance samples of other draws, weighed in float64 with SciPy's densities."""
    run = smoke(name)
    metrics, model = run.results["metrics"], keras.models.load_model(run.directory / "checkpoints" / "model.keras")
    x = fixed_binarization(digits.test.images).numpy()
    mean, log_var = (value.numpy().astype(np.float64) for value in model.encoder(x))
    rng, log_weights, negative_elbos = np.random.default_rng(1), [], []
    kl = 0.5 * np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1)
    for _ in range(50):
        z = rng.normal(mean, np.exp(log_var / 2))
        logits = model.decoder(z.astype(np.float32)).numpy().astype(np.float64)
        log_p_x = np.sum(x * logits - np.logaddexp(0, logits), axis=1)
        log_q_z = stats.norm.logpdf(z, mean, np.exp(log_var / 2)).sum(1)
        log_weights.append(log_p_x + stats.norm.logpdf(z).sum(1) - log_q_z)
        negative_elbos.append(np.mean(kl - log_p_x))
    nll = np.mean(np.log(50) - logsumexp(log_weights, axis=0))
    assert metrics["test_nll"]["value"] == pytest.approx(nll, abs=1.0)
    bound = metrics["test_negative_elbo" if name == "vae-burda" else "test_negative_bound"]["value"]
    assert metrics["test_nll"]["value"] < bound - 1
    if name == "vae-burda":
        # One draw an image, in the mean over 297 of them: five of its standard deviations over the 50 draws.
        assert bound == pytest.approx(np.mean(negative_elbos), abs=5 * np.std(negative_elbos) + 1e-3)
    else:
        of_six = np.log(6) - logsumexp(np.reshape(log_weights[:48], (8, 6, -1)), axis=1).mean(axis=1)
        assert bound == pytest.approx(np.mean(of_six), abs=5 * np.std(of_six) + 1e-3)
    assert metrics["active_latent_units"]["value"] == np.sum(mean.var(axis=0) > 0.01)


def test_the_nll_of_other_binarisations_is_of_other_images_than_those_of_test_and_validation(burda_uncertainty):
    metrics, sampled = burda_uncertainty
    once, *others = [x for x, samples, _ in sampled if len(x) == 297 and samples == 10]
    assert len(others) == 2
    for x in others:
        assert set(np.unique(x)) == {0, 1} and np.any(x != once)
    assert np.any(others[0] != others[1])
    means = [nll.mean() for x, samples, nll in sampled if any(x is other for other in others)]
    assert metrics["test_nll__other_binarisations"]["value"] == pytest.approx(np.mean(means))
    assert metrics["test_nll__other_binarisations"]["std"] == pytest.approx(np.std(means, ddof=1))


def test_numbers_of_importance_samples_are_compared_on_the_first_test_images(burda_uncertainty):
    metrics, sampled = burda_uncertainty
    subset = [(x, samples, nll) for x, samples, nll in sampled if len(x) == 20]
    assert [samples for _, samples, _ in subset] == [10, 50]
    for x, samples, nll in subset:
        np.testing.assert_array_equal(x, sampled[0][0][:20])
        name = f"first_images_{samples}_samples"
        assert metrics[f"test_nll__{name}"]["value"] == pytest.approx(nll.mean())
        assert 1 <= metrics[f"effective_samples__{name}"]["value"] <= samples
        assert metrics[f"test_nll__{name}"]["n"] == 20


@pytest.mark.parametrize(
    "kind, options",
    [
        (VAE, {}),
        (ImportanceWeightedVAE, {"num_samples": 4}),
        (TwoLayerVAE, {"upper_latent_dim": 2, "upper_hidden_units": (5,)}),
    ],
)
def test_the_log_weights_that_xla_compiles_are_those_of_the_formula(kind, options):
    """As the presets paper evaluate them."""
    keras.utils.set_random_seed(0)
    model = kind(20, 3, (8,), **options)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((6, 20)) < 0.5, tf.float32)
    epsilon = tf.constant(rng.standard_normal((7, 6, model.noise_dim)), tf.float32)
    compiled = tf.function(model.log_weights, jit_compile=True, autograph=False)(x, epsilon)
    np.testing.assert_allclose(compiled, model.log_weights(x, epsilon), rtol=1e-5, atol=1e-4)
    assert compiled.shape == (7, 6) and np.std(compiled) > 0.1
    # Inside importance sampling: two chunks, and a last batch of two images.
    log_weights = tf.function(model.log_weights, jit_compile=True, autograph=False)
    nll, other = (
        importance_sample(each, model.noise_dim, x.numpy(), 8, (0, 1), batch_size=4, chunk=4).nll
        for each in (log_weights, model.log_weights)
    )
    np.testing.assert_allclose(nll, other, rtol=1e-5, atol=1e-4)
