"""M2: its bounds against an exact log p(x), its step, and what survives saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.distributions import Draw, stateless_seed, threefry_normal
from tfgen.models.semi_supervised import GaussianSemiSupervisedVAE, SemiSupervisedVAE, endpoints
from tfgen.models.vae import VAE

FAMILIES = [SemiSupervisedVAE, GaussianSemiSupervisedVAE]


def small_model(family=SemiSupervisedVAE, optimizer=None, jit_compile=False, **kwargs):
    keras.utils.set_random_seed(0)
    options = {"input_dim": 12, "classes": 3, "latent_dim": 2, "hidden_units": (8,), "classifier_units": (6,), **kwargs}
    model = family(**options)
    model.compile(optimizer or keras.optimizers.Adam(3e-3), jit_compile=jit_compile)
    return model


def examples(n=64):
    """Returns n binary images of 12 pixels and their labels: three prototypes with flipped pixels."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((3, 12)) < 0.5
    labels = rng.integers(3, size=n)
    return (prototypes[labels] ^ (rng.random((n, 12)) < 0.1)).astype(np.float32), labels


def batch(n=64, labelled=6):
    x, labels = examples(n)
    return (tf.constant(x), tf.constant(x[:labelled])), tf.constant(labels[:labelled])


def weights(model):
    return [np.copy(weight) for weight in model.get_weights()]


def log_sum_exp(values, axis):
    largest = values.max(axis=axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.exp(values - largest).sum(axis=axis))


def in_float64(model, x, epsilon):
    """Returns L(x, y) `(n, classes)` of one hidden layer, written out class by class in NumPy."""

    def layer(network, index, h, y, softplus):
        kernel, bias = (np.asarray(w, np.float64) for w in network.get_weights()[2 * index : 2 * index + 2])
        out = h @ kernel[y] + bias[y]
        return np.logaddexp(0, out) if softplus else out

    losses = []
    for y in range(model.classes):
        hidden = layer(model.encoder, 0, x, y, True)
        mean, log_var = (layer(model.encoder, i, hidden, y, False) for i in (1, 2))
        z = mean + np.exp(log_var / 2) * epsilon
        hidden = layer(model.decoder, 0, z, y, True)
        if isinstance(model, GaussianSemiSupervisedVAE):
            x_mean, x_log_var = (layer(model.decoder, i, hidden, y, False) for i in (1, 2))
            log_p = -0.5 * np.sum(np.log(2 * np.pi) + x_log_var + (x - x_mean) ** 2 / np.exp(x_log_var), axis=1)
        else:
            logits = layer(model.decoder, 1, hidden, y, False)
            log_p = np.sum(x * logits - np.logaddexp(0, logits), axis=1)
        kl = 0.5 * np.sum(mean**2 + np.exp(log_var) - log_var - 1, axis=1)
        losses.append(kl - log_p + np.log(model.classes))
    return np.stack(losses, axis=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_losses_are_those_of_the_formulas_in_float64(family):
    """L of each label and U, their sum weighted by q(y|x); without the entropy U would be another."""
    model, (x, _) = small_model(family), examples()
    seed = stateless_seed(0, Draw.EVALUATION, 3)
    epsilon = np.asarray(threefry_normal((64, 1, 2), seed), np.float64)[:, 0]
    expected = in_float64(model, x.astype(np.float64), epsilon)
    losses = model.labelled_losses(x, seed)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    q = np.asarray(model(x), np.float64)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    entropy = -np.sum(q * np.log(q), axis=1)
    found = model.unlabelled_loss(x, losses)
    np.testing.assert_allclose(found, np.sum(q * expected, axis=1) - entropy, rtol=1e-4)
    assert np.abs(found - np.sum(q * expected, axis=1)).min() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_each_label_is_judged_by_weights_of_its_own(family):
    model, (x, _) = small_model(family), examples()
    seed = stateless_seed(0, Draw.EVALUATION)
    before = model.labelled_losses(x, seed).numpy()
    for weight in (*model.encoder.weights, *model.decoder.weights):
        value = np.copy(weight)
        value[1] += 0.1
        weight.assign(value)
    after = model.labelled_losses(x, seed).numpy()
    np.testing.assert_allclose(after[:, [0, 2]], before[:, [0, 2]], rtol=1e-6)
    assert np.all(np.abs(after[:, 1] - before[:, 1]) > 1e-3)


def exact_log_likelihoods(model, x):
    """Returns log p(x, y) `(n, classes)`: p(x|y,z) p(z) p(y) summed over a fine grid of a 1-D z, in float64."""
    z = np.linspace(-8, 8, 4001)
    grid = np.repeat(z[:, None, None], model.classes, axis=1).astype(np.float32)
    parameters = model.decoder(grid)
    log_prior = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(z[1] - z[0])
    columns = []
    for y in range(model.classes):
        if isinstance(model, GaussianSemiSupervisedVAE):
            mean, log_var = (np.asarray(p, np.float64)[:, y] for p in parameters)
            squares = (x[:, None] - mean) ** 2 / np.exp(log_var)
            log_p = -0.5 * np.sum(np.log(2 * np.pi) + log_var + squares, axis=-1)
        else:
            logits = np.asarray(parameters, np.float64)[:, y]
            log_p = np.sum(x[:, None] * logits - np.logaddexp(0, logits), axis=-1)
        columns.append(log_sum_exp(log_p + log_prior, axis=1) - np.log(model.classes))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_losses_bound_exact_log_likelihoods(family):
    """On a model small enough to integrate, trained a little; without the KL term the same check fails."""
    model = small_model(family, latent_dim=1, alpha=1.0, labelled_share=0.1)
    (x, few), labels = batch()
    for _ in range(200):
        model.train_on_batch((x, few), labels)

    def draw(i):
        seed = stateless_seed(7, Draw.EVALUATION, i)
        losses = model.labelled_losses(x, seed)
        return losses, model.unlabelled_loss(x, losses)[:, None], model.labelled_losses(x, seed, kl_weight=0.0)

    every = tf.function(lambda: tf.map_fn(draw, tf.range(200), fn_output_signature=3 * (tf.float32,)), autograph=False)
    draws = every()
    means = [np.mean(losses, axis=0, dtype=np.float64) for losses in draws]
    errors = [np.std(losses, axis=0, ddof=1) / np.sqrt(200) for losses in draws]
    log_p_xy = exact_log_likelihoods(model, x.numpy().astype(np.float64))
    log_p_x = log_sum_exp(log_p_xy, axis=1)
    assert np.all(-means[0] <= log_p_xy + 5 * errors[0] + 1e-4)
    assert np.all(-means[1][:, 0] <= log_p_x + 5 * errors[1][:, 0] + 1e-4)
    # A trained model comes near: the bound is of the right size as well.
    assert np.mean(log_p_x + means[1][:, 0]) < 0.2 * np.mean(np.abs(log_p_x)) + 1
    assert np.any(-means[2] > log_p_xy + 5 * errors[2])


def test_the_bound_on_log_p_of_x_is_tight_where_the_classifier_is_the_posterior():
    """U(x) >= -log sum_y exp(-L(x, y)), with equality for q(y|x) proportional to exp(-L(x, y))."""
    model, (x, _) = small_model(), examples()
    losses = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    tightest = -log_sum_exp(-losses.astype(np.float64), axis=1)
    assert np.all(model.unlabelled_loss(x, losses) > tightest + 1e-4)
    model.classifier.get_layer("logits").kernel.assign(np.zeros((6, 3)))
    one = np.tile(losses[:1], (64, 1))
    model.classifier.get_layer("logits").bias.assign(-losses[0])
    np.testing.assert_allclose(model.unlabelled_loss(x, one), np.repeat(tightest[:1], 64), rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_stay_finite_where_the_classifier_is_sure_and_logits_are_large(family):
    model, (x, labels) = small_model(family, alpha=1.0), examples()
    model.classifier.get_layer("logits").bias.assign([200.0, -200.0, 0.0])
    name = "x_mean" if family is GaussianSemiSupervisedVAE else "logits"
    model.decoder.get_layer(name).bias.assign(np.full((3, 12), 100.0))
    with tf.GradientTape() as tape:
        loss, *terms = model.loss_and_terms(((x, x), labels), stateless_seed(0, Draw.EVALUATION))
    assert all(np.all(np.isfinite(term)) for term in (loss, *terms))
    assert all(np.all(np.isfinite(gradient)) for gradient in tape.gradient(loss, model.trainable_variables))
    np.testing.assert_array_equal(terms[3], (labels != 0).astype(np.float32))


def test_what_is_minimised_is_the_weighted_sum_of_the_means():
    model = small_model(alpha=0.7, labelled_share=0.3)
    (x, few), labels = batch()
    loss, u, l_xy, classification, error = model.loss_and_terms(((x, few), labels), stateless_seed(0, Draw.LATENT))
    assert [term.shape for term in (u, l_xy, classification, error)] == [(64,), (6,), (6,), (6,)]
    expected = np.mean(u) + 0.3 * np.mean(l_xy) + 0.7 * np.mean(classification)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    q = np.asarray(model(few), np.float64)
    np.testing.assert_allclose(classification, -np.log(q[np.arange(6), labels]), rtol=1e-4)
    np.testing.assert_array_equal(error, np.argmax(q, axis=1) != labels)
    # The labelled images' L(x, y) are those of their own labels and noise.
    losses = model.labelled_losses(tf.concat([x, few], axis=0), stateless_seed(0, Draw.LATENT)).numpy()[64:]
    np.testing.assert_allclose(l_xy, losses[np.arange(6), labels], rtol=1e-5)
    assert np.any(np.abs(l_xy - losses[np.arange(6), (np.asarray(labels) + 1) % 3]) > 1e-2)


def test_one_step_follows_the_gradient_and_moves_every_weight():
    model = small_model(optimizer=keras.optimizers.SGD(1e-3), alpha=1.0, labelled_share=0.1)
    data = batch()
    with tf.GradientTape() as tape:
        loss, *_ = model.loss_and_terms(data, stateless_seed(0, Draw.LATENT, 0))
    gradients = tape.gradient(loss, model.trainable_variables)
    before = weights(model)
    model.train_on_batch(*data)
    for old, new, gradient in zip(before, weights(model), gradients, strict=True):
        np.testing.assert_allclose(new - old, -1e-3 * gradient, atol=2e-6)
        assert np.any(new != old)


def test_labels_teach_the_classifier_through_alpha_alone():
    """A label of another class changes the classifier's step, and with alpha 0 it does not."""
    for alpha, changes in ((1.0, True), (0.0, False)):
        stepped = []
        for shift in (0, 1):
            model = small_model(optimizer=keras.optimizers.SGD(1e-2), alpha=alpha, labelled_share=0.1)
            images, labels = batch()
            model.train_on_batch(images, (labels + shift) % 3)
            stepped.append([np.copy(weight) for weight in model.classifier.get_weights()])
        assert any(np.any(a != b) for a, b in zip(*stepped, strict=True)) == changes


def test_the_kl_divergence_counts_for_more_with_each_update_of_the_warm_up():
    logged = []
    for iteration in (0, 2, 4, 9):
        model = small_model(optimizer=keras.optimizers.SGD(0.0), warm_up=4)
        model.optimizer.iterations.assign(iteration)
        logged.append(model.train_on_batch(*batch(), return_dict=True)["unlabelled_loss"])
        data, seed = batch(), stateless_seed(0, Draw.LATENT, iteration)
        expected = model.loss_and_terms(data, seed, min(1.0, iteration / 4))[1]
        assert logged[-1] == pytest.approx(float(np.mean(expected)), rel=1e-5)
        assert logged[-1] != pytest.approx(float(np.mean(model.loss_and_terms(data, seed, 0.3)[1])), rel=1e-3)
    assert logged[0] < logged[1] < logged[2]


def test_the_entropy_counts_for_less_with_each_update_of_the_annealing():
    model = small_model(temperature=5.0, annealing=8)
    assert [float(model.weights_of_training(i)[1]) for i in (0, 2, 8, 100)] == [5.0, 4.0, 1.0, 1.0]
    (x, _), _ = batch()
    losses = model.labelled_losses(x, stateless_seed(0, Draw.EVALUATION))
    q = np.asarray(model(x), np.float64)
    entropy = -np.sum(q * np.log(q), axis=1)
    found = model.unlabelled_loss(x, losses, 4.0)
    np.testing.assert_allclose(found, np.sum(q * losses, axis=1) - 4 * entropy, rtol=1e-4)
    logged = []
    for temperature in (1.0, 5.0):
        model = small_model(optimizer=keras.optimizers.SGD(0.0), temperature=temperature, annealing=8)
        logged.append(model.train_on_batch(*batch(), return_dict=True)["unlabelled_loss"])
    assert logged[0] - logged[1] == pytest.approx(4 * entropy.mean(), rel=1e-3)


def test_each_iteration_has_noise_of_its_own():
    stepped = []
    for iteration in (0, 1):
        model = small_model(optimizer=keras.optimizers.SGD(1e-3))
        model.optimizer.iterations.assign(iteration)
        model.train_on_batch(*batch())
        stepped.append(weights(model))
    assert any(np.any(a != b) for a, b in zip(*stepped, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_xla_takes_the_step_that_uncompiled_code_takes(family):
    stepped = []
    for jit_compile in (True, False):
        model = small_model(
            family, keras.optimizers.SGD(1e-3), jit_compile, alpha=1.0, labelled_share=0.1, warm_up=3, annealing=4
        )
        model.train_on_batch(*batch())
        stepped.append(weights(model))
    for a, b in zip(*stepped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_few_labels_and_many_images_teach_what_the_labels_alone_do_not():
    """Three clusters and one label of each: the classifier learns the clusters from the images without labels."""
    model = small_model(optimizer=keras.optimizers.Adam(1e-2), alpha=1.0, labelled_share=0.01)
    x, labels = examples(600)
    chosen = np.array([np.flatnonzero(labels == y)[0] for y in range(3)])
    for _ in range(300):
        model.train_on_batch((x, x[chosen]), labels[chosen])
    assert np.mean(np.argmax(model(x), axis=1) != labels) < 0.05


def test_evaluation_changes_no_weight_and_repeats_itself():
    model, (x, labels) = small_model(), examples()
    before = weights(model)
    first = model.evaluate(x, labels, batch_size=16, verbose=0, return_dict=True)
    assert model.evaluate(x, labels, batch_size=16, verbose=0, return_dict=True) == first
    assert all(np.array_equal(old, new) for old, new in zip(before, weights(model), strict=True))
    assert first["error"] == pytest.approx(np.mean(np.argmax(model(x), axis=1) != labels), rel=1e-6)


def test_another_loss_than_the_bound_is_refused():
    model = small_model()
    model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match=r"loss is a bound.*mse"):
        model.train_on_batch(*batch())


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_keeps_config_outputs_and_optimizer_state_so_that_training_goes_on_bit_for_bit(family, tmp_path):
    model = small_model(
        family, activation="tanh", alpha=0.5, labelled_share=0.2, warm_up=9, temperature=2.0, annealing=7, seed=5
    )
    for _ in range(3):
        model.train_on_batch(*batch())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert int(loaded.optimizer.iterations) == 3
    (x, _), _ = batch()
    np.testing.assert_array_equal(model(x), loaded(x))
    for network in (model, loaded):
        network.train_on_batch(*batch())
    assert all(np.array_equal(a, b) for a, b in zip(weights(model), weights(loaded), strict=True))


def test_what_is_served_classifies_the_used_latents_of_the_vae():
    keras.utils.set_random_seed(0)
    vae, model = VAE(12, 5, (8,)), small_model(GaussianSemiSupervisedVAE, input_dim=2)
    x, _ = examples()
    outputs = endpoints(vae, [4, 1], model)["classify"][0](x)
    z_mean = vae.encoder(x)[0].numpy()[:, [4, 1]]
    np.testing.assert_allclose(outputs["probabilities"], model(z_mean), rtol=1e-5)
    np.testing.assert_array_equal(outputs["class_id"], np.argmax(outputs["logits"], axis=1))
    assert np.any(np.abs(outputs["probabilities"] - model(z_mean[:, ::-1])) > 1e-4)
