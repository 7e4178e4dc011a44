"""Products of bfloat16, for the recipes that have a choice: what computes in it, and that nothing measured does."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen import cli
from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.runner.request import Request

# From a recipe that has a choice of precision to a signature of its model, the output, its inputs' width, what it is of
# the model that was trained, and a smaller configuration.
WITH_A_CHOICE = {
    "stacked-autoencoder": (
        *("reconstruct", "reconstruction", 784, lambda model: model),
        {"hidden_units": (60, 30, 60), "pretraining_share": 0.0},
    ),
    "autoencoder-30d": (
        *("reconstruct", "reconstruction", 784, lambda model: model),
        {"hidden_units": (60, 40, 30, 40, 60)},
    ),
    "digit-classifier": ("classify", "logits", 784, lambda model: model, {"filters": (4, 8), "units": 20}),
    "gan": ("generate_from_z", "image", 100, lambda model: model.generator, {"num_samples": 100}),
    "gan-goodfellow": (
        *("generate_from_z", "image", 100, lambda model: model.generator),
        {"num_samples": 100, "generator_units": (60, 60), "discriminator_units": (24, 24)},
    ),
}


@pytest.fixture(scope="module")
def trained(untrained):
    """From recipe and precision to a run as far as its training in float32, and to its end in bfloat16."""
    return {
        (name, precision): untrained(name, first_only=precision == "float32", precision=precision, **changed)
        for name, (*_, changed) in WITH_A_CHOICE.items()
        for precision in ("float32", "mixed_bfloat16")
    }


def test_a_precision_that_there_is_not_is_refused_with_those_there_are():
    said = r"^gan: precision must be one of float32, mixed_bfloat16, got 'float16'$"
    with pytest.raises(InputError, match=said):
        Request("gan", "smoke", settings=("precision=float16",))


def test_a_recipe_without_a_choice_refuses_any_precision(tmp_path, capsys):
    assert {name for name, recipe in RECIPES.items() if hasattr(recipe.presets["smoke"], "precision")} == {
        *WITH_A_CHOICE
    }
    for precision in ("float32", "mixed_bfloat16"):
        with pytest.raises(InputError, match=r"^vae: there is no hyper-parameter 'precision'; choose from epochs, "):
            Request("vae", "smoke", settings=(f"precision={precision}",))
    arguments = ["run", "gan", "vae", "--set", "precision=mixed_bfloat16", "--output-dir", str(tmp_path / "runs")]
    assert cli.main(arguments) == 2
    assert "vae: there is no hyper-parameter 'precision'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_the_precision_asked_for_is_that_of_the_run_and_else_the_recipe_s(name, digits, tmp_path):
    for asked in ("float32", "mixed_bfloat16", None):
        expected = asked or {"gan-goodfellow": "mixed_bfloat16"}.get(name, "float32")
        settings = (f"precision={asked}",) if asked else ()
        request = Request(name, "smoke", settings=settings, output_dir=tmp_path)
        assert request.config().precision == request.identity(digits)["precision"] == expected


def layers_with_weights(layer):
    """Returns the layers below one that have weights and no layers of their own."""
    inner = getattr(layer, "layers", [])
    return [one for part in inner for one in layers_with_weights(part)] if inner else [layer] * bool(layer.weights)


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_bfloat16_is_of_the_products_alone_and_goes_without_xla(name, trained):
    for precision, computed, compiled in (("mixed_bfloat16", "bfloat16", False), ("float32", "float32", True)):
        model = trained[name, precision].fitted[0].model
        layers = layers_with_weights(model)
        assert len(layers) >= 4
        # The last layer's logits stay exact: a loss is made of them.
        hidden = [layer for layer in layers if layer.name not in ("logit", "logits")]
        assert {layer.compute_dtype for layer in hidden} == {computed}
        assert {layer.compute_dtype for layer in layers if layer not in hidden} <= {"float32"}
        assert {weight.dtype for weight in model.weights} == {"float32"}
        # XLA's convolutions are slow on a CPU.
        assert model.jit_compile is (compiled and name != "digit-classifier")


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_what_was_trained_in_bfloat16_is_measured_and_exported_in_float32(name, digits, trained):
    run = trained[name, "mixed_bfloat16"]
    model, exact = run.fitted[0].model, trained[name, "float32"].fitted[0].model
    exact.set_weights(model.get_weights())

    signature, output, width, network, _ = WITH_A_CHOICE[name]
    function, _ = run.exported[signature]
    x = digits.test.images / np.float32(255) if width == 784 else np.random.default_rng(0).uniform(-1, 1, (50, width))
    x = tf.constant(x, tf.float32)
    expected, rounded = (tf.cast(network(one)(x), tf.float32).numpy() for one in (exact, model))
    answer = function(x)[output]
    assert answer.dtype == tf.float32
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(answer.numpy(), expected, atol=tolerance)
    assert np.abs(rounded - expected).max() > 100 * tolerance  # wrong: the network as it was trained

    if width == 784:
        pixels = x.numpy().astype(np.float64)
        measure = {
            "reconstruction": lambda y: np.mean(np.sum((y - pixels) ** 2, axis=1)),
            "logits": lambda y: np.mean(np.argmax(y, axis=1) != digits.test.labels),
        }[output]
        recorded = run.metrics["test_squared_error" if output == "reconstruction" else "test_error"]["value"]
        assert recorded == pytest.approx(measure(expected), rel=1e-5)
    else:
        assert set(run.samples) == {"", "__averaged_weights"}
    for samples in run.samples.values():
        assert np.any(samples != tf.cast(tf.cast(samples, tf.bfloat16), tf.float32).numpy())
