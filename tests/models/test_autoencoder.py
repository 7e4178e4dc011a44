"""The stacked autoencoder: its shape, its training step, and what survives saving."""

import json

import keras
import numpy as np
import pytest

from tfgen.losses import squared_error
from tfgen.models.autoencoder import endpoints, stacked_autoencoder


def compiled(**kwargs):
    keras.utils.set_random_seed(0)
    model = stacked_autoencoder(784, (32, 8, 32), **kwargs)
    model.compile(keras.optimizers.Adam(1e-3), loss=squared_error, jit_compile=False)
    return model


def test_the_lecture_s_network_has_its_widths_and_parameters():
    model = stacked_autoencoder(784, (300, 150, 300))
    layers = [*model.get_layer("encoder").layers, *model.get_layer("decoder").layers]
    widths = [layer.units for layer in layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [300, 150, 300, 784]
    # 784*300+300 + 300*150+150 + 150*300+300 + 300*784+784
    assert model.count_params() == 235_500 + 45_150 + 45_300 + 235_984


def test_output_is_the_formula_of_the_lecture():
    """x' = s'(W' h + b') and h = W s(V x + a) + c, computed here in float64."""
    keras.utils.set_random_seed(0)
    model = stacked_autoencoder(6, (5, 3, 4))
    x = np.random.default_rng(0).random((7, 6))
    weights = [np.asarray(weight, np.float64) for weight in model.get_weights()]
    assert [weight.shape for weight in weights] == [(6, 5), (5,), (5, 3), (3,), (3, 4), (4,), (4, 6), (6,)]
    hidden = np.maximum(x @ weights[0] + weights[1], 0)
    code = hidden @ weights[2] + weights[3]
    hidden = np.maximum(code @ weights[4] + weights[5], 0)
    expected = 1 / (1 + np.exp(-(hidden @ weights[6] + weights[7])))
    np.testing.assert_allclose(model(x.astype(np.float32)), expected, rtol=1e-5)


def test_an_even_number_of_hidden_layers_is_refused():
    with pytest.raises(ValueError, match="odd number"):
        stacked_autoencoder(784, (300, 300))


def test_fit_lowers_the_error_and_moves_every_weight(images):
    model = compiled()
    before = [np.copy(weight) for weight in model.get_weights()]
    error = model.evaluate(images, images, verbose=0)
    repeated = np.tile(images, (20, 1))
    model.fit(repeated, repeated, batch_size=32, verbose=0)
    assert model.evaluate(images, images, verbose=0) < 0.5 * error
    assert all(np.any(new != old) for new, old in zip(model.get_weights(), before, strict=True))


def test_the_logged_loss_is_the_squared_error_per_image(images):
    model = compiled()
    logged = model.evaluate(images, images, verbose=0)
    residual = images.astype(np.float64) - model.predict(images, verbose=0)
    np.testing.assert_allclose(logged, np.mean(np.sum(residual**2, axis=1)), rtol=1e-5)
    assert not np.isclose(logged, np.mean(residual**2), rtol=0.1)  # the mean over pixels is another quantity


def test_xla_takes_the_step_that_uncompiled_code_takes(images):
    stepped = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        model = stacked_autoencoder(784, (32, 8, 32))
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(1e-3), loss=squared_error, jit_compile=jit_compile)
        model.train_on_batch(images, images)
        stepped.append(model.get_weights())
    for a, b, old in zip(*stepped, before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert np.abs(a - old).max() > 1e-5


def test_evaluation_changes_no_weight(images):
    model = compiled()
    before = [np.copy(weight) for weight in model.get_weights()]
    model.evaluate(images, images, verbose=0)
    model.predict(images, verbose=0)
    assert all(np.array_equal(new, old) for new, old in zip(model.get_weights(), before, strict=True))


def test_saving_keeps_outputs_and_optimizer_state(images, tmp_path):
    model = compiled()
    model.fit(images, images, batch_size=32, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(model.predict(images, verbose=0), loaded.predict(images, verbose=0))
    for part in ("encoder", "decoder"):
        networks = (model.get_layer(part), loaded.get_layer(part))
        configs = [[layer.get_config() for layer in network.layers] for network in networks]
        assert json.loads(json.dumps(configs[0])) == json.loads(json.dumps(configs[1]))
    states = [[np.asarray(variable) for variable in network.optimizer.variables] for network in (model, loaded)]
    assert int(loaded.optimizer.iterations) == 16
    assert all(np.array_equal(new, old) for new, old in zip(*states, strict=True))


def test_endpoints_agree_with_each_other(images):
    model = compiled()
    functions = {name: function for name, (function, _) in endpoints(model).items()}
    code = functions["encode"](images)["code"]
    assert code.shape == (256, 8)
    np.testing.assert_allclose(
        functions["decode"](code)["image"], functions["reconstruct"](images)["reconstruction"], atol=1e-6
    )
    np.testing.assert_allclose(functions["serving_default"](images)["reconstruction"], model(images), atol=1e-6)
