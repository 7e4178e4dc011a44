"""Deep embedded clustering: its formulas in float64, what a step moves and what it does not, saving and serving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import rel_entr
from scipy.stats import t as student

from tfgen.export import TENSORS
from tfgen.models.deep_embedded_clustering import (
    DeepEmbeddedClustering,
    assignment_divergence,
    assignment_logits,
    embedding_autoencoder,
    soft_assignment,
    target_distribution,
)


@pytest.fixture
def codes():
    """30 codes of 3 dimensions, and 4 centres."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 2, (30, 3)).astype(np.float32), rng.normal(0, 2, (4, 3)).astype(np.float32)


def assigned(z, centres, power=1.0):
    """Equation 1 of Xie et al. 2016 in float64, one code and one centre at a time."""
    kernel = [[(1 + np.sum((code - centre) ** 2)) ** -power for centre in centres] for code in np.float64(z)]
    return np.array([row / np.sum(row) for row in kernel])


def targeted(q):
    """Equation 3 in float64, one entry at a time."""
    q = np.float64(q)
    frequencies = [sum(row[j] for row in q) for j in range(q.shape[1])]
    weights = [[value**2 / frequency for value, frequency in zip(row, frequencies, strict=True)] for row in q]
    return np.array([[weight / sum(row) for weight in row] for row in weights])


# Formulas.


def test_the_soft_assignment_is_student_s_t_normalised_over_the_centres(codes):
    z, centres = codes
    q = soft_assignment(*codes).numpy()
    np.testing.assert_allclose(q, assigned(z, centres), rtol=1e-5)
    # On a line, the density of the t distribution with one degree of freedom itself.
    density = student.pdf(np.subtract.outer([0.3, -2.0], [0.0, 1.0, 4.0]), df=1)
    line = soft_assignment(np.float32([[0.3], [-2.0]]), np.float32([[0.0], [1.0], [4.0]]))
    np.testing.assert_allclose(line, density / density.sum(axis=1, keepdims=True), rtol=1e-5)
    # Two degrees of freedom would give other numbers, and so would distances that are not squared.
    assert not np.allclose(q, assigned(z, centres, 1.5), rtol=1e-2)


def test_a_soft_assignment_sums_to_1_and_is_largest_at_the_nearest_centre(codes):
    z, centres = codes
    q = soft_assignment(z, centres).numpy()
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(q.argmax(axis=1), np.linalg.norm(z[:, None] - centres, axis=2).argmin(axis=1))
    # Equally far from all of them.
    np.testing.assert_allclose(soft_assignment(np.zeros((1, 4), np.float32), np.eye(4, dtype=np.float32)), 0.25)


def test_the_target_distribution_is_that_of_the_paper(codes):
    q = soft_assignment(*codes)
    p = target_distribution(q).numpy()
    np.testing.assert_allclose(p, targeted(q), rtol=1e-5)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    # By hand: f = (1.5, 0.5); of the first (0.81 / 1.5, 0.01 / 0.5) = (0.54, 0.02), of the second (0.24, 0.32).
    by_hand = target_distribution(tf.constant([[0.9, 0.1], [0.6, 0.4]]))
    np.testing.assert_allclose(by_hand, [[27 / 28, 1 / 28], [3 / 7, 4 / 7]], rtol=1e-5)
    # Without the sizes of the clusters the second would stay with the first cluster.
    assert np.argmax(np.square([0.6, 0.4])) == 0


def test_where_clusters_are_equally_large_targets_are_sharper_than_assignments():
    q = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    q = np.concatenate([np.roll(q, shift, axis=1) for shift in range(3)])  # Each size is 20.
    p = target_distribution(tf.constant(q)).numpy()
    np.testing.assert_array_equal(p.argmax(axis=1), q.argmax(axis=1))
    assert np.all(p.max(axis=1) > q.max(axis=1))
    # Assignments that are all alike, and those that are certain, are their own targets.
    for fixed in (np.full((6, 3), 1 / 3), np.eye(3)[[0, 1, 2, 0]]):
        np.testing.assert_allclose(target_distribution(tf.constant(fixed)), fixed, atol=1e-12)


def test_the_divergence_is_positive_and_0_for_equal_distributions_alone(codes):
    logits = assignment_logits(*codes)
    q = soft_assignment(*codes)
    p = target_distribution(q)
    divergence = assignment_divergence(p, logits).numpy()
    np.testing.assert_allclose(divergence, rel_entr(np.float64(p), np.float64(q)).sum(axis=1), rtol=1e-3, atol=1e-6)
    assert divergence.min() > 0
    np.testing.assert_allclose(assignment_divergence(q, logits), 0, atol=1e-6)
    # KL is not symmetric.
    assert not np.allclose(divergence, rel_entr(np.float64(q), np.float64(p)).sum(axis=1), rtol=1e-2)
    # A certain target: -log q.
    np.testing.assert_allclose(
        assignment_divergence(tf.constant([[0.0, 1.0]]), tf.math.log([[0.75, 0.25]])), np.log(4), rtol=1e-6
    )


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e6, 1e15])
def test_values_and_gradients_are_finite_at_extremes(scale, codes):
    z, centres = (tf.constant(scale * array) for array in codes)
    with tf.GradientTape() as tape:
        tape.watch((z, centres))
        logits = assignment_logits(z, centres)
        p = tf.stop_gradient(target_distribution(tf.nn.softmax(logits)))
        loss = tf.reduce_mean(assignment_divergence(p, logits))
    for value in (p, loss, *tape.gradient(loss, (z, centres))):
        assert np.all(np.isfinite(value))
    np.testing.assert_allclose(tf.reduce_sum(p, axis=1), 1, atol=1e-5)
    # A cluster that nothing belongs to takes nothing.
    empty = target_distribution(tf.constant([[1.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(empty, [[1, 0], [1, 0]])


def test_the_gradient_is_that_of_the_paper(codes):
    """dL/dz_i = 2 sum_j (1 + ||z_i - mu_j||^2)^-1 (p_ij - q_ij) (z_i - mu_j), equation 4; dL/dmu_j likewise, 5."""
    z, centres = (tf.constant(array) for array in codes)
    q = assigned(*codes)
    p = targeted(q)
    with tf.GradientTape() as tape:
        tape.watch((z, centres))
        loss = tf.reduce_sum(assignment_divergence(tf.constant(np.float32(p)), assignment_logits(z, centres)))
    of_codes, of_centres = tape.gradient(loss, (z, centres))
    difference = np.float64(codes[0])[:, None] - codes[1]
    pull = (p - q)[:, :, None] * difference / (1 + np.sum(difference**2, axis=2, keepdims=True))
    np.testing.assert_allclose(of_codes, 2 * pull.sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(of_centres, -2 * pull.sum(axis=0), atol=1e-5)


# The model.


def network(**changed):
    arguments = {"encoder_units": (12, 6, 3), "clusters": 4, "examples": 256, **changed}
    keras.utils.set_random_seed(0)
    return DeepEmbeddedClustering(784, **arguments)


def begun(images, jit_compile=False, optimizer=None, **changed):
    """The compiled model with codes that are not all alike, four of them as its centres, and targets of these."""
    model = network(**changed)
    last = model.autoencoder.get_layer("encoder").layers[-1].kernel
    last.assign(last / np.std(model.encode(images)))
    model.centres.assign(model.encode(images[:4]))
    model.refresh_targets(model(images))
    model.compile(optimizer or keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    return model


def weights(model):
    return {weight.path: np.copy(weight) for weight in model.weights}


NUMBERS = np.arange(256)


def test_the_autoencoder_has_the_papers_widths_and_initial_weights():
    keras.utils.set_random_seed(0)
    model = embedding_autoencoder(784, (500, 500, 2000, 10))
    layers = [*model.get_layer("encoder").layers, *model.get_layer("decoder").layers]
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [500, 500, 2000, 10, 2000, 500, 500, 784]
    assert [layer.activation.__name__ for layer in dense] == 2 * (3 * ["relu"] + ["linear"])
    for layer in dense:
        inputs = layer.kernel.shape[0]
        assert np.abs(layer.kernel).max() <= inputs**-0.5
        # A uniform distribution: its variance is a third of its bound's square.
        assert np.var(layer.kernel) == pytest.approx(1 / (3 * inputs), rel=0.05)
        assert np.all(layer.bias.numpy() == 0)


def test_the_loss_is_the_weighted_sum_of_divergence_and_mean_squared_error_of_the_pixels(images):
    model = begun(images, clustering_weight=0.3, reconstruction_weight=2.0)
    z = np.float64(model.encode(images))
    q = assigned(z, model.centres.numpy())
    p = targeted(q)
    divergence = rel_entr(p, q).sum(axis=1).mean()
    error = np.sum((images - np.float64(model.decode(np.float32(z)))) ** 2, axis=1).mean()
    expected = {"kl_divergence": divergence, "squared_error": error, "loss": 0.3 * divergence + 2 * error / 784}
    # The batch is all there is, so that its own targets, of the evaluation, are those that were set.
    for logs in (
        model.evaluate(images, batch_size=256, verbose=0, return_dict=True),
        model.train_on_batch(images, NUMBERS, return_dict=True),
    ):
        assert logs == pytest.approx(expected, rel=1e-3)


def test_targets_stay_until_they_are_refreshed_and_each_image_has_its_own(images):
    model = begun(images)
    targets = model.targets.numpy()
    np.testing.assert_allclose(targets, targeted(model(images)), atol=1e-5)
    for _ in range(3):
        model.train_on_batch(images[:100], NUMBERS[:100])
    np.testing.assert_array_equal(model.targets, targets)
    model.refresh_targets(model(images))
    np.testing.assert_allclose(model.targets, targeted(model(images)), atol=1e-5)
    assert np.abs(model.targets - targets).max() > 1e-3

    # Which targets an image meets follows from its number, not from its place.
    order = np.random.default_rng(1).permutation(256)
    logged = [begun(images).train_on_batch(images[of], of, return_dict=True) for of in (NUMBERS, order)]
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)
    wrong = begun(images).train_on_batch(images[order], NUMBERS, return_dict=True)
    assert wrong["kl_divergence"] > 1.1 * logged[0]["kl_divergence"]


def test_one_step_moves_every_weight_but_the_targets(images):
    model = begun(images)
    before = weights(model)
    model.train_on_batch(images, NUMBERS)
    moved = {path for path, value in weights(model).items() if np.any(value != before[path])}
    assert moved == {weight.path for weight in model.trainable_weights}
    assert set(before) - moved == {model.targets.path}


def test_without_the_reconstruction_the_decoder_does_not_change(images):
    model = begun(images, reconstruction_weight=0.0)
    before = weights(model)
    model.train_on_batch(images, NUMBERS)
    decoder = {weight.path for weight in model.autoencoder.get_layer("decoder").weights}
    moved = {path for path, value in weights(model).items() if np.any(value != before[path])}
    assert moved == set(before) - decoder - {model.targets.path}


def test_training_draws_images_to_their_clusters(images):
    surest = {}
    for targets in ("of the paper", "even"):
        model = begun(images, optimizer=keras.optimizers.Adam(1e-3), clustering_weight=1.0)
        before = np.max(model(images), axis=1).mean()
        if targets == "even":
            model.targets.assign(np.full((256, 4), 0.25, np.float32))
        for _ in range(60):
            model.train_on_batch(images, NUMBERS)
        surest[targets] = np.max(model(images), axis=1).mean() - before
    assert surest["of the paper"] > 0.04 and surest["even"] < 0


def test_xla_takes_the_step_that_uncompiled_code_takes(images):
    stepped = []
    for jit_compile in (True, False):
        model = begun(images, jit_compile, keras.optimizers.SGD(1.0))
        before = model.get_weights()
        model.train_on_batch(images, NUMBERS)
        stepped.append(model.get_weights())
    changes = [np.abs(a - old).max() for a, old in zip(stepped[0], before, strict=True)]
    assert max(changes) > 1e-3
    for a, b in zip(*stepped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_evaluation_changes_no_weight(images):
    model = begun(images)
    before = weights(model)
    model.evaluate(images, verbose=0)
    model.predict(images, verbose=0)
    assert all(np.array_equal(value, before[path]) for path, value in weights(model).items())


def test_images_that_are_evaluated_come_without_numbers(images):
    with pytest.raises(ValueError, match="neither targets nor sample weights"):
        begun(images).evaluate(images, NUMBERS, verbose=0)


def test_saving_keeps_outputs_targets_config_and_optimizer_state(images, tmp_path):
    model = begun(images, activation="gelu", clustering_weight=0.5, reconstruction_weight=0.25)
    for _ in range(3):
        model.train_on_batch(images, NUMBERS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert (loaded.activation, loaded.clustering_weight, loaded.reconstruction_weight) == ("gelu", 0.5, 0.25)
    assert (loaded.encoder_units, loaded.clusters, loaded.examples) == ((12, 6, 3), 4, 256)
    np.testing.assert_array_equal(model.predict(images, verbose=0), loaded.predict(images, verbose=0))
    assert int(loaded.optimizer.iterations) == 3
    states = [
        [np.asarray(variable) for variable in (*network.weights, *network.optimizer.variables)]
        for network in (model, loaded)
    ]
    assert all(np.array_equal(new, old) for new, old in zip(*states, strict=True))
    # And the next step is the same.
    for one in (model, loaded):
        one.train_on_batch(images, NUMBERS)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


def test_endpoints_agree_with_the_model_and_reconstructions_are_pixels(images):
    model = begun(images)
    functions = {name: function for name, (function, _) in model.endpoints().items()}
    code = functions["encode"](images)["code"]
    assert code.shape == (256, 3)
    for name in ("cluster", "serving_default"):
        q = functions[name](images)["soft_assignments"].numpy()
        np.testing.assert_allclose(q, assigned(code, model.centres.numpy()), rtol=1e-4)
        assert q.min() >= TENSORS["soft_assignments"][0] and q.max() <= TENSORS["soft_assignments"][1]
    decoded = model.decode(code).numpy()
    assert decoded.min() < 0
    np.testing.assert_allclose(functions["reconstruct"](images)["reconstruction"], decoded.clip(0, 1), atol=1e-6)
