"""The GAN: who moves when, on what noise, under which loss, and what survives saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import losses
from tfgen.distributions import Draw, stateless_seed
from tfgen.models.gan import GAN, squared_gradient_norms


def small_gan(jit_compile=False, optimizer=lambda: keras.optimizers.Adam(1e-3), **kwargs):
    keras.utils.set_random_seed(0)
    model = GAN(**{"input_dim": 784, "noise_dim": 8, "generator_units": (16,), "discriminator_units": (16,), **kwargs})
    model.compile(optimizer(), optimizer(), jit_compile=jit_compile)
    return model


def sgd():
    return keras.optimizers.SGD(0.1)


def weights(network):
    return [np.copy(weight) for weight in network.get_weights()]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def changed(a, b):
    return all(np.any(x != y) for x, y in zip(a, b, strict=True))


def test_the_lecture_s_networks_have_their_parameters():
    model = GAN(784, 100, (128,), (128,))
    assert model.generator.count_params() == 100 * 128 + 128 + 128 * 784 + 784
    assert model.discriminator.count_params() == 784 * 128 + 128 + 128 + 1


def test_the_discriminator_s_step_leaves_the_generator_bit_identical_and_the_reverse(images):
    model = small_gan()
    z = model.sample_noise((256, 8), [0, 0])
    g, d = weights(model.generator), weights(model.discriminator)
    model._update_discriminator(tf.constant(images), z)
    assert equal(g, weights(model.generator)) and changed(d, weights(model.discriminator))
    d = weights(model.discriminator)
    model._update_generator(z)
    assert equal(d, weights(model.discriminator)) and changed(g, weights(model.generator))


@pytest.mark.parametrize("k", [1, 3])
def test_one_iteration_is_algorithm_1(images, k):
    """k discriminator updates on consecutive parts of the batch, then the generator's against the *updated*
    discriminator, each on noise of its own; retraced here with plain gradient descent.
    """
    model = small_gan(optimizer=sgd, discriminator_steps=k)
    mirror = small_gan(optimizer=sgd, discriminator_steps=k)
    z = mirror.sample_noise((k + 1, 60, 8), stateless_seed(0, Draw.NOISE, 0))
    assert len({z[j].numpy().tobytes() for j in range(k + 1)}) == k + 1
    batch = tf.constant(images[: 60 * k])
    for j in range(k):
        with tf.GradientTape() as tape:
            real = tf.sigmoid(mirror.discriminator(batch[60 * j : 60 * (j + 1)]))
            fake = tf.sigmoid(mirror.discriminator(mirror.generator(z[j])))
            objective = tf.reduce_mean(tf.math.log(real)) + tf.reduce_mean(tf.math.log(1 - fake))
        for variable, gradient in zip(
            mirror.discriminator.trainable_variables,
            tape.gradient(objective, mirror.discriminator.trainable_variables),
            strict=True,
        ):
            variable.assign_add(0.1 * gradient)
    with tf.GradientTape() as tape:
        objective = tf.reduce_mean(tf.math.log(tf.sigmoid(mirror.discriminator(mirror.generator(z[k])))))
    gradients = tape.gradient(objective, mirror.generator.trainable_variables)
    for variable, gradient in zip(mirror.generator.trainable_variables, gradients, strict=True):
        variable.assign_add(0.1 * gradient)

    model.train_on_batch(batch)
    assert int(model.generator_optimizer.iterations) == 1
    assert int(model.discriminator_optimizer.iterations) == k
    for a, b in zip(weights(model), weights(mirror), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_gradient_penalty_is_that_of_the_layers_by_hand_and_moves_the_discriminator_alone(images):
    model = small_gan(optimizer=sgd, gradient_penalty=3.0)
    x, z = tf.constant(images[:20]), model.sample_noise((20, 8), [0, 0])
    norms = squared_gradient_norms(model.discriminator, x).numpy()
    kernels = [np.float64(weight) for weight in model.discriminator.get_weights()]
    for image, norm in zip(images[:20].astype(np.float64), norms, strict=True):
        active = image @ kernels[0] + kernels[1] > 0
        gradient = kernels[0] @ (active * kernels[2][:, 0])  # of a hidden ReLU layer and a linear logit
        assert norm == pytest.approx(np.sum(gradient**2), rel=1e-4)

    fake = model.generator(z)
    variables = model.discriminator.trainable_variables
    with tf.GradientTape() as tape:
        loss = losses.discriminator_loss(model.discriminator(x), model.discriminator(fake))
        objective = loss + 1.5 * tf.reduce_mean(squared_gradient_norms(model.discriminator, x))
    expected = [v - 0.1 * g for v, g in zip(variables, tape.gradient(objective, variables), strict=True)]
    generator = weights(model.generator)
    logged, _ = model._update_discriminator(x, z)
    assert float(logged) == pytest.approx(float(loss), rel=1e-5)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-6)
    assert equal(generator, weights(model.generator))
    # Wrong: no penalty.
    plain = small_gan(optimizer=sgd)
    plain._update_discriminator(x, z)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(weights(plain.discriminator), expected, strict=True))


def test_a_last_batch_that_k_does_not_divide_trains_on_what_k_divides(images):
    steps = []
    for n in (60, 62):
        model = small_gan(optimizer=sgd, discriminator_steps=3)
        model.fit(images[:n], batch_size=62, epochs=1, shuffle=False, verbose=0)
        steps.append(weights(model))
    assert int(model.discriminator_optimizer.iterations) == 3
    for a, b in zip(*steps, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_each_iteration_has_noise_of_its_own(images):
    """The same step from the same weights, taken as iteration 0 and as iteration 1."""
    stepped = []
    for iteration in (0, 1):
        model = small_gan(optimizer=sgd)
        model.generator_optimizer.iterations.assign(iteration)
        model.train_on_batch(images)
        stepped.append(weights(model))
    assert any(np.any(a != b) for a, b in zip(*stepped, strict=True))


def test_a_training_step_logs_each_value_under_its_own_name(images):
    model = small_gan(optimizer=lambda: keras.optimizers.SGD(0.0))
    logs = model.train_on_batch(images, return_dict=True)
    z = model.sample_noise((2, 256, 8), stateless_seed(0, Draw.NOISE, 0))
    real, *fake = (
        1 / (1 + np.exp(-np.asarray(model.discriminator(x), np.float64)))
        for x in (images, model.generator(z[0]), model.generator(z[1]))
    )
    assert logs["real_probability"] == pytest.approx(real.mean(), rel=1e-4)
    assert logs["fake_probability"] == pytest.approx(fake[1].mean(), rel=1e-4)
    assert logs["discriminator_loss"] == pytest.approx(-(np.log(real).mean() + np.log(1 - fake[0]).mean()), rel=1e-4)
    assert logs["generator_loss"] == pytest.approx(-np.log(fake[1]).mean(), rel=1e-4)


def test_logged_values_are_means_over_images_where_the_last_batch_is_smaller(images):
    model = small_gan(optimizer=lambda: keras.optimizers.SGD(0.0))
    logs = model.evaluate(images[:100], batch_size=64, verbose=0, return_dict=True)
    parts = []
    for x, counter in ((images[:64], 0), (images[64:100], 64)):
        z = model.sample_noise((len(x), 8), stateless_seed(0, Draw.EVALUATION, counter))
        fake = np.asarray(model.discriminator(model.generator(z)), np.float64)
        parts.append(np.logaddexp(0, -fake))
    assert logs["generator_loss"] == pytest.approx(np.concatenate(parts).mean(), rel=1e-5)
    assert logs["generator_loss"] != pytest.approx(np.mean([part.mean() for part in parts]), rel=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": np.zeros((8, 784), np.uint8)}, "float in .* got uint8"),
        ({"x": np.zeros((8, 784), np.float32), "y": np.zeros(8)}, "images alone"),
        ({"x": np.zeros((8, 784), np.float32), "y": np.zeros(8), "sample_weight": np.ones(8)}, "images alone"),
    ],
)
def test_what_would_be_ignored_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_gan().fit(**arguments, verbose=0)
    with pytest.raises(TypeError, match="loss"):
        small_gan().compile("adam", "adam", loss="mse")


def test_the_two_generator_losses_move_the_generator_differently(images):
    moved = []
    for loss in ("minimax", "non-saturating"):
        model = small_gan(optimizer=sgd, generator_loss=loss)
        before = weights(model.generator)
        model.train_on_batch(images)
        moved.append(np.concatenate([(b - a).ravel() for a, b in zip(before, weights(model.generator), strict=True)]))
    assert np.linalg.norm(moved[0] - moved[1]) > 0.1 * np.linalg.norm(moved[1])
    # Both raise D(G(z)), so they point into the same half-space.
    assert np.dot(moved[0], moved[1]) > 0


def test_logged_values_are_the_losses_at_the_current_weights(images):
    model = small_gan()
    logs = model.evaluate(images, batch_size=256, verbose=0, return_dict=True)
    z = model.sample_noise((256, 8), stateless_seed(0, Draw.EVALUATION, 0))
    real, fake = (
        1 / (1 + np.exp(-np.asarray(model.discriminator(x), np.float64))) for x in (images, model.generator(z))
    )
    assert logs["real_probability"] == pytest.approx(real.mean(), rel=1e-4)
    assert logs["fake_probability"] == pytest.approx(fake.mean(), rel=1e-4)
    assert logs["discriminator_loss"] == pytest.approx(-(np.log(real).mean() + np.log(1 - fake).mean()), rel=1e-4)
    assert logs["generator_loss"] == pytest.approx(-np.log(fake).mean(), rel=1e-4)


def test_against_a_fixed_generator_the_discriminator_nears_the_optimal_one():
    """D* = p_data / (p_data + p_g): here p_g is one constant image, which is a quarter of the data as well, so at that
    image D* = 0.25 / (0.25 + 1) = 0.2 and at the other image, which G never makes, D* = 1.
    """
    model = small_gan(generator_units=(), input_dim=4, optimizer=lambda: keras.optimizers.Adam(1e-2))
    model.generator.set_weights([np.zeros((8, 4)), np.array([8.0, 8.0, -8.0, -8.0])])
    made, other = np.array([[1, 1, 0, 0]], np.float32), np.array([[0, 0, 1, 1]], np.float32)
    data = tf.constant(np.repeat(np.concatenate([made, other]), [16, 48], axis=0))

    @tf.function
    def train():
        for i in tf.range(1500):
            model._update_discriminator(data, model.sample_noise((64, 8), tf.stack([0, i])))

    train()
    assert float(tf.sigmoid(model.discriminator(made))[0, 0]) == pytest.approx(0.2, abs=0.01)
    assert float(tf.sigmoid(model.discriminator(other))[0, 0]) > 0.99


def test_evaluation_changes_nothing_and_repeats_itself(images):
    model = small_gan()
    before = weights(model)
    first = model.evaluate(images, batch_size=64, verbose=0)
    assert model.evaluate(images, batch_size=64, verbose=0) == first
    assert equal(before, weights(model))
    assert int(model.generator_optimizer.iterations) == 0


def test_fit_moves_the_samples_to_the_data():
    """Two-dimensional Gaussian data: the samples' mean comes near theirs, and they do not collapse to a point."""
    data = np.random.default_rng(0).normal([0.3, 0.7], [0.05, 0.1], (2000, 2)).astype(np.float32)
    model = small_gan(generator_units=(32,), discriminator_units=(32,), input_dim=2)
    z = model.sample_noise((2000, 8), [1, 1])
    assert np.abs(model.generator(z).numpy().mean(0) - [0.3, 0.7]).max() > 0.15
    # Without momentum the two networks circle around their equilibrium less: the means of five seeds come within 0.02.
    rates = [keras.optimizers.schedules.CosineDecay(rate, 3000) for rate in (2e-3, 4e-3)]
    optimizers = [keras.optimizers.Adam(rate, beta_1=0.0) for rate in rates]
    model.compile(*optimizers, jit_compile=True, steps_per_execution=100)
    model.fit(np.tile(data, (150, 1)), batch_size=100, verbose=0)
    samples = model.generator(z).numpy()
    np.testing.assert_allclose(samples.mean(0), [0.3, 0.7], atol=0.04)
    assert np.all(samples.std(0) > 0.01) and np.all(samples.std(0) < 0.2)


def test_xla_takes_the_step_that_uncompiled_code_takes(images):
    """Three discriminator updates on 20 images each, of the 62."""
    models = [small_gan(jit_compile=jit, optimizer=sgd, discriminator_steps=3) for jit in (True, False)]
    for model in models:
        model.train_on_batch(images[:62])
    for a, b in zip(*map(weights, models), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_saving_keeps_both_optimizers_so_that_training_goes_on_bit_for_bit(images, tmp_path):
    model = small_gan(discriminator_steps=2, noise="gaussian", generator_loss="minimax", seed=5)
    model.fit(images, batch_size=64, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config() and loaded.jit_compile is False
    assert (loaded.noise, loaded.generator_loss, loaded.seed) == ("gaussian", "minimax", 5)
    for name, iterations in (("generator_optimizer", 8), ("discriminator_optimizer", 16)):
        old, new = getattr(model, name), getattr(loaded, name)
        assert int(new.iterations) == iterations
        assert len(new.variables) == len(old.variables) > 5
        assert equal(map(np.asarray, old.variables), map(np.asarray, new.variables))
    for network in (model, loaded):
        network.fit(images, batch_size=64, epochs=1, shuffle=False, verbose=0)
    assert equal(weights(model), weights(loaded))


@pytest.mark.parametrize(
    "argument", [{"noise": "cauchy"}, {"generator_loss": "wasserstein"}, {"discriminator_steps": 0}]
)
def test_unknown_choices_are_refused_with_what_is_allowed(argument):
    (name, value), *_ = argument.items()
    with pytest.raises(ValueError, match=rf"`{name}` must be .*{value}"):
        GAN(784, 8, (16,), (16,), **argument)


@pytest.mark.parametrize("noise, mean, variance, bounded", [("uniform", 0, 1 / 3, True), ("gaussian", 0, 1, False)])
def test_noise_has_the_moments_of_its_distribution(noise, mean, variance, bounded):
    n = 20_000
    z = small_gan(noise=noise).sample_noise((n,), [3, 4]).numpy().astype(np.float64)
    fourth = {"uniform": 1 / 5, "gaussian": 3}[noise]
    assert abs(z.mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs((z**2).mean() - variance) < 5 * np.sqrt((fourth - variance**2) / n)
    assert (np.abs(z).max() <= 1) == bounded
    assert abs(((1.1 * z) ** 2).mean() - variance) > 5 * np.sqrt((fourth - variance**2) / n)


def test_endpoints_agree_with_each_other_and_images_with_their_seeds():
    functions = {name: function for name, (function, _) in small_gan().endpoints().items()}
    several = functions["generate"](tf.constant([3, 1, 4, 1], tf.int64))
    alone = functions["serving_default"](tf.constant([4], tf.int64))
    np.testing.assert_array_equal(several["z"][2], alone["z"][0])
    assert np.any(several["z"][0] != several["z"][1])
    np.testing.assert_allclose(functions["generate_from_z"](several["z"])["image"], several["image"], atol=1e-6)
    judged = functions["discriminate"](several["image"])
    np.testing.assert_allclose(judged["probability"], 1 / (1 + np.exp(-judged["logit"].numpy())), rtol=1e-5)


def test_an_uncompiled_model_can_be_saved(tmp_path):
    model = GAN(784, 8, (16,), (16,))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert equal(weights(model), weights(loaded)) and not loaded.compiled


def test_the_names_of_the_losses_are_true():
    """Non-saturating is -log D(G(z)), minimax log(1 - D(G(z))): at D(G(z)) = 1/4, log 4 and log 3/4."""
    logit = tf.constant([[-np.log(3.0)]], tf.float32)
    assert float(losses.non_saturating_generator_loss(logit)) == pytest.approx(np.log(4), rel=1e-6)
    assert float(losses.minimax_generator_loss(logit)) == pytest.approx(np.log(0.75), rel=1e-6)
