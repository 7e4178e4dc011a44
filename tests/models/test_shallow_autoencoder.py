"""The autoencoder with one hidden layer: its formula, its tied weights, PCA as its linear case, and saving."""

import keras
import numpy as np
import pytest
from scipy.linalg import subspace_angles

from tfgen.evaluation.pca import pca_squared_error
from tfgen.losses import squared_error
from tfgen.models.autoencoder import ShallowAutoencoder

VARIANTS = [(activation, tied) for activation in ("relu", "sigmoid") for tied in (False, True)]


def compiled(activation="relu", tied=False, **kwargs):
    keras.utils.set_random_seed(0)
    model = ShallowAutoencoder(784, 8, activation=activation, tied=tied, **kwargs)
    model.compile(keras.optimizers.Adam(3e-3), loss=squared_error, jit_compile=False)
    return model


def weights(model):
    return {weight.name: np.copy(weight) for weight in model.weights}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("activation, tied", VARIANTS)
def test_output_is_the_formula_of_the_lecture(activation, tied):
    """x' = s'(W' s(W x + b) + b'), image by image in float64, with W as the lecture writes it: p rows, d columns."""
    rng = np.random.default_rng(0)
    model = ShallowAutoencoder(6, 3, activation, tied=tied)
    for weight in model.weights:
        weight.assign(rng.standard_normal(weight.shape))
    w, b = model.kernel.numpy().T.astype(np.float64), model.bias.numpy()
    w_decoder, b_decoder = (w.T if tied else model.decoder_kernel.numpy().T), model.decoder_bias.numpy()
    assert w.shape == (3, 6) and w_decoder.shape == (6, 3)
    x = rng.random((7, 6)).astype(np.float32)
    s = {"relu": lambda a: np.maximum(a, 0), "sigmoid": sigmoid}[activation]
    expected = [sigmoid(w_decoder @ s(w @ image + b) + b_decoder) for image in x]
    np.testing.assert_allclose(model(x), expected, rtol=1e-4)
    untransposed = [sigmoid(w.reshape(6, 3) @ s(w @ image + b) + b_decoder) for image in x]
    assert not np.allclose(model(x), untransposed, rtol=1e-2)


def test_tying_saves_one_of_two_matrices():
    assert ShallowAutoencoder(784, 64, tied=False).count_params() == 784 * 64 + 64 + 64 * 784 + 784
    assert ShallowAutoencoder(784, 64, tied=True).count_params() == 784 * 64 + 64 + 784


def test_the_gradient_of_a_tied_matrix_is_the_sum_of_its_two_uses():
    """d/dw of (x - w (w x))^2 with one pixel and one unit, linear and without biases: -4 w x^2 (1 - w^2)."""
    import tensorflow as tf

    model = ShallowAutoencoder(1, 1, "linear", "linear", tied=True)
    model.kernel.assign([[0.5]])
    with tf.GradientTape() as tape:
        loss = squared_error(tf.constant([[3.0]]), model(tf.constant([[3.0]])))
    gradient = tape.gradient(loss, model.kernel.value)
    assert float(gradient[0, 0]) == pytest.approx(-4 * 0.5 * 9 * (1 - 0.25))


@pytest.fixture(scope="module")
def centred():
    """400 points of 12 dimensions, mean 0, their variance along random axes falling from 9 to 0.09."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    x = rng.standard_normal((400, 12)) * np.geomspace(3, 0.3, 12) @ axes.T
    return (x - x.mean(axis=0)).astype(np.float32)


def principal_axes(x, components):
    return np.linalg.eigh(x.T.astype(np.float64) @ x)[1][:, -components:]


def linear_tied(x, activation="linear", updates=0):
    """Each update sees all points; Keras spends more on an epoch than on an update."""
    keras.utils.set_random_seed(0)
    model = ShallowAutoencoder(12, 3, activation, "linear", tied=True)
    model.compile(keras.optimizers.Adam(0.02), loss=squared_error, steps_per_execution=100)
    if updates:
        repeated = np.tile(x, (updates, 1))
        model.fit(repeated, repeated, batch_size=len(x), shuffle=False, verbose=0)
    angles = subspace_angles(model.kernel.numpy(), principal_axes(x, 3))
    return model, angles, model.evaluate(x, x, batch_size=400, verbose=0)


def test_the_trained_linear_tied_autoencoder_spans_the_principal_subspace(centred):
    """Its optimum is PCA's: the same subspace, the same error, orthonormal columns that PCA's need not be."""
    floor = pca_squared_error(centred, centred, 3)
    model, angles, error = linear_tied(centred, updates=400)
    assert np.rad2deg(angles).max() < 0.5
    assert floor * (1 - 1e-5) < error < floor * (1 + 1e-4)
    kernel = model.kernel.numpy()
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(3), atol=1e-2)


def test_an_untrained_or_a_sigmoid_autoencoder_does_not_span_it(centred):
    floor = pca_squared_error(centred, centred, 3)
    for activation, updates in (("linear", 0), ("sigmoid", 400)):
        _, angles, error = linear_tied(centred, activation, updates)
        assert np.rad2deg(angles).max() > 2, activation
        assert error > 1.05 * floor, activation


@pytest.mark.parametrize("activation, tied", VARIANTS)
def test_fit_lowers_the_error_and_one_step_moves_every_weight(activation, tied, images):
    model = compiled(activation, tied)
    before, error = weights(model), model.evaluate(images, images, verbose=0)
    model.fit(images, images, batch_size=256, epochs=1, verbose=0)
    assert int(model.optimizer.iterations) == 1
    after = weights(model)
    assert set(after) == {"kernel", "bias", "decoder_bias"} | (set() if tied else {"decoder_kernel"})
    assert all(np.any(after[name] != before[name]) for name in before)
    repeated = np.tile(images, (30, 1))
    model.fit(repeated, repeated, batch_size=32, verbose=0)
    assert model.evaluate(images, images, verbose=0) < 0.8 * error


@pytest.mark.parametrize("tied", [False, True])
def test_xla_takes_the_step_that_uncompiled_code_takes(tied, images):
    stepped = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        model = ShallowAutoencoder(784, 8, tied=tied)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(1e-3), loss=squared_error, jit_compile=jit_compile)
        model.train_on_batch(images, images)
        stepped.append(model.get_weights())
    for a, b, old in zip(*stepped, before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert np.abs(a - old).max() > 1e-5


def test_evaluation_changes_no_weight(images):
    model = compiled(tied=True)
    before = weights(model)
    model.evaluate(images, images, verbose=0)
    model.predict(images, verbose=0)
    assert all(np.array_equal(value, before[name]) for name, value in weights(model).items())


@pytest.mark.parametrize("tied", [False, True])
def test_saving_keeps_outputs_config_and_optimizer_state(tied, images, tmp_path):
    model = compiled("sigmoid", tied, output_activation="linear")
    model.fit(images, images, batch_size=32, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(model.predict(images, verbose=0), loaded.predict(images, verbose=0))
    expected = {
        "code_dim": 8,
        "input_dim": 784,
        "activation": "sigmoid",
        "output_activation": "linear",
        "tied": tied,
    }
    assert expected.items() <= loaded.get_config().items()
    assert loaded.count_params() == model.count_params()
    assert int(loaded.optimizer.iterations) == 16
    states = [[np.asarray(variable) for variable in network.optimizer.variables] for network in (model, loaded)]
    assert all(np.array_equal(new, old) for new, old in zip(*states, strict=True))
    # Still tied after loading: a step moves both halves together.
    loaded.fit(images, images, batch_size=256, epochs=1, verbose=0)
    code = np.eye(8, dtype=np.float32)
    decoded = loaded.decode(code).numpy() - loaded.decoder_bias.numpy()
    assert np.allclose(decoded, loaded.kernel.numpy().T, atol=1e-6) is tied


@pytest.mark.parametrize("tied", [False, True])
def test_endpoints_agree_with_the_model(tied, images):
    model = compiled(tied=tied)
    functions = {name: function for name, (function, _) in model.endpoints().items()}
    code = functions["encode"](images)["code"]
    assert code.shape == (256, 8) and np.all(code >= 0) and np.any(code > 0)
    reconstruction = model.predict(images, verbose=0)
    np.testing.assert_allclose(functions["decode"](code)["image"], reconstruction, atol=1e-5)
    np.testing.assert_allclose(functions["reconstruct"](images)["reconstruction"], reconstruction, atol=1e-5)
