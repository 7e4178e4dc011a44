"""What a run keeps for the page: read back, made small, and the cost of that."""

import base64

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.data.batches import fixed_binarization
from tfgen.distributions import bernoulli_log_prob, kl_divergence
from tfgen.errors import InputError
from tfgen.files import npz
from tfgen.models.networks import layer_arrays
from tfgen.report import networks
from tfgen.report.costs import SQUARED_ERROR, costs
from tfgen.report.networks import Kept, Layer

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 12), np.uint8)


def model(*widths, output="linear"):
    layers = [keras.layers.Dense(width, "tanh", bias_initializer="random_normal") for width in widths[1:-1]]
    keras.utils.set_random_seed(widths[0])
    return keras.Sequential([keras.Input((widths[0],)), *layers, keras.layers.Dense(widths[-1], output)])


def write(path, arrays):
    path.write_bytes(npz({"images": IMAGES, **arrays}))
    return path


def test_networks_come_back_as_they_were_kept(tmp_path):
    encoder, decoder = model(12, 5, 3), model(3, 5, 12, output="sigmoid")
    path = write(tmp_path / "networks.npz", layer_arrays({"encoder": encoder, "decoder/7": decoder}))
    kept = networks.read(path)
    assert set(kept.networks) == {"encoder", "decoder/7"} and kept.pixels == 12
    x = IMAGES / np.float32(255)
    z = networks.forward(kept.networks["encoder"], x)
    np.testing.assert_allclose(z, encoder(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(networks.forward(kept.networks["decoder/7"], z), decoder(z), rtol=1e-5)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda arrays: arrays.pop("e/0/tanh/bias"), "layer 0 of e is missing"),
        (lambda arrays: arrays.pop("e/0/tanh/bias") is arrays.pop("e/0/tanh/kernel"), "layer 0 of e is missing"),
        (lambda arrays: arrays.update({"e/1/linear/bias": np.zeros(4, np.float32)}), "layer 1 of e does not fit"),
        (lambda arrays: arrays.update({"e/0/tanh/kernel": np.zeros((12, 4), np.float32)}), "layer 0 of e does not fit"),
        (lambda arrays: arrays["e/0/tanh/kernel"].fill(np.nan), "layer 0 of e does not fit"),
        (lambda arrays: arrays["e/0/tanh/bias"].fill(np.nan), "layer 0 of e does not fit"),
        (lambda arrays: arrays["e/1/linear/kernel"].fill(-1e5), "layer 1 of e does not fit"),
        (lambda arrays: arrays.update({"e/2/magic/bias": np.zeros(3, np.float32)}), "no layer can be called"),
        (lambda arrays: arrays.update({"<b>/0/relu/bias": np.zeros(3, np.float32)}), "no layer can be called"),
        (lambda arrays: arrays.update({"images": IMAGES[0]}), "it has no uint8 images"),
        (lambda arrays: arrays.update({"images": IMAGES / 255}), "it has no uint8 images"),
        (lambda arrays: arrays.update({"labels": np.array(["text"])}), "instead of numbers"),
        (lambda arrays: arrays.update({"labels": np.array([{}], object)}), "instead of numbers"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change, told):
    arrays = layer_arrays({"e": model(12, 5, 3)})
    change(arrays)
    with pytest.raises(InputError, match=told) as error:
        networks.read(write(tmp_path / "networks.npz", arrays))
    assert str(error.value).startswith(f"{tmp_path / 'networks.npz'} is not the networks.npz of a run")


AUTOENCODER = {"encoder": (12, 2), "decoder": (2, 12)}
WHOLE = {"labels": np.zeros(30, np.uint8), "codes": np.zeros((30, 2), np.float32), "left_out": np.array([4])}


@pytest.mark.parametrize(
    "recipe, networks_of, arrays, told",
    [
        ("denoising-autoencoder", {"encoder": (12, 2)}, {}, "it has no decoder"),
        ("denoising-autoencoder", {**AUTOENCODER, "encoder": (10, 2)}, {}, "its encoder has 10 numbers for the pixels"),
        ("denoising-autoencoder", {**AUTOENCODER, "decoder": (3, 12)}, {}, "its decoder has 3 numbers for the code"),
        ("gan", {}, {}, "it has no generator"),
        ("gan", {"generator": (5, 12), "discriminator": (12, 1)}, {}, "it has no generator"),
        ("gan", {"generator/1": (5, 12), "discriminator/2": (12, 1)}, {}, "not of the same epochs"),
        ("gan", {"generator/1": (5, 12), "discriminator/1": (12, 2)}, {}, "2 numbers for the logit, instead of 1"),
        ("anomaly-detection", AUTOENCODER, {"left_out": None}, "it has no left_out"),
        ("anomaly-detection", AUTOENCODER, {"left_out": np.array([4, 5])}, "its left_out is not one whole number"),
        ("anomaly-detection", AUTOENCODER, {"left_out": np.array([np.nan])}, "its left_out is not one whole number"),
        ("feature-classifier", {"logits": (12, 3)}, {"labels": None}, "it has no labels"),
        ("feature-classifier", {"logits": (12, 3)}, {"labels": np.zeros(29, np.uint8)}, "one for each image"),
        ("feature-classifier", {"logits": (12, 3)}, {"labels": np.zeros(30, np.int64)}, "its labels are not uint8"),
        ("clustering-autoencoder", AUTOENCODER, {"codes": None}, "it has no codes"),
        ("clustering-autoencoder", AUTOENCODER, {"codes": np.zeros((30, 3))}, "not points of the plane"),
        ("clustering-autoencoder", AUTOENCODER, {"codes": np.full((30, 2), np.nan)}, "not points of the plane"),
        ("clustering-autoencoder", AUTOENCODER, {"codes": np.zeros((29, 2))}, "not one label for each code"),
    ],
)
def test_a_run_that_has_not_kept_what_its_recipe_keeps_is_refused(tmp_path, recipe, networks_of, arrays, told):
    def written(networks_of, arrays):
        arrays = {name: array for name, array in arrays.items() if array is not None}
        models = {name: model(sizes[0], 5, sizes[1]) for name, sizes in networks_of.items()}
        return networks.read(write(tmp_path / "networks.npz", {**layer_arrays(models), **arrays}))

    with pytest.raises(InputError, match=told) as error:
        networks.check("networks.npz", recipe, written(networks_of, {**WHOLE, **arrays}))
    assert str(error.value).startswith(f"networks.npz is not the networks.npz of a run of {recipe}: ")
    whole = {"gan": {"generator/1": (5, 12), "discriminator/1": (12, 1)}, "feature-classifier": {"logits": (12, 3)}}
    networks.check("networks.npz", recipe, written(whole.get(recipe, AUTOENCODER), WHOLE))


def test_a_weight_moves_by_half_a_step_at_most():
    rng = np.random.default_rng(1)
    kernel = (rng.standard_normal((50, 4)) * [1e-6, 1, 100, 0]).astype("float32")
    small, scale = networks.quantized(kernel)
    assert small.dtype == np.int8 and list(np.abs(small).max(axis=0)) == [127, 127, 127, 0]
    moved = np.abs(small * scale - kernel)
    assert np.all(moved <= 0.5001 * scale) and np.all(moved[:, :3].max(axis=0) > 0.4 * scale[:3])
    np.testing.assert_allclose(scale[:3], np.abs(kernel).max(axis=0)[:3] / 127, rtol=1e-6)


def test_the_page_has_the_weights_of_an_output_side_by_side():
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    (layer,) = networks.embedded([Layer("relu", kernel, np.ones(3, np.float32))], "int8")["layers"]
    assert (layer["inputs"], layer["outputs"], layer["activation"], layer["encoding"]) == (2, 3, "relu", "int8")
    values = np.frombuffer(base64.b64decode(layer["kernel"]), np.int8)
    # Of the outputs' two weights the second is the larger: 3, 4 and 5, beside 0, 1 and 2.
    assert values.tolist() == [0, 127, round(127 / 4), 127, round(2 * 127 / 5), 127]


# The cost: each measure computed by hand, with the model as trained and with weights that stand on the grid of 8 bits.


def kept(**models):
    labels = np.arange(30, dtype=np.uint8) % 3
    layers = {
        name: [Layer(activation, kernel, bias) for activation, kernel, bias in _layers(one)]
        for name, one in models.items()
    }
    return Kept(layers, {"images": IMAGES, "labels": labels})


def _layers(one):
    return [(layer.activation.__name__, *layer.get_weights()) for layer in one.layers]


def rounded(one):
    """Returns a copy of a model whose weights are those of 8 bits."""
    copy = keras.models.clone_model(one)
    weights = one.get_weights()
    for i in range(0, len(weights), 2):
        scale = np.abs(weights[i]).max(axis=0) / 127
        weights[i] = np.round(weights[i] / scale) * scale
    copy.set_weights(weights)
    return copy


def test_the_cost_in_squared_error():
    encoder, decoder = model(12, 5, 3), model(3, 5, 12, output="sigmoid")
    x = IMAGES / np.float32(255)
    pairs = (encoder, decoder), (rounded(encoder), rounded(decoder))
    expected = [np.mean(np.sum((x - after(before(x))) ** 2, axis=1)) for before, after in pairs]
    measured = costs(kept(encoder=encoder, decoder=decoder), "int8")
    np.testing.assert_allclose(measured.pop(SQUARED_ERROR), expected, rtol=1e-5)
    assert measured == {} and abs(expected[1] / expected[0] - 1) > 1e-4


def test_the_cost_in_the_negative_elbo():
    z_mean, z_log_var, decoder = model(12, 5, 2), model(12, 6, 2), model(2, 5, 12)
    (name, values), *others = costs(kept(z_mean=z_mean, z_log_var=z_log_var, decoder=decoder), "int8").items()
    assert "ELBO" in name and not others
    x = fixed_binarization(IMAGES).numpy()
    epsilon = np.random.default_rng(0).standard_normal((30, 2), np.float32)
    for value, change in zip(values, (lambda one: one, rounded), strict=True):
        mean, log_var = change(z_mean)(x), change(z_log_var)(x)
        logits = change(decoder)(mean + tf.exp(log_var / 2) * epsilon)
        np.testing.assert_allclose(
            value, np.mean(kl_divergence(mean, log_var) - bernoulli_log_prob(x, logits)), rtol=1e-5
        )
    assert values[0] != values[1]


def test_the_cost_in_the_error_of_a_classifier():
    logits = model(12, 5, 3)
    ((name, values),) = costs(kept(logits=logits), "int8").items()
    x, labels = IMAGES / np.float32(255), np.arange(30) % 3
    expected = [np.mean(np.argmax(one(x), axis=1) != labels) for one in (logits, rounded(logits))]
    assert "misclassified" in name and list(values) == pytest.approx(expected)


def test_the_cost_in_what_the_last_discriminator_says():
    first, last = model(12, 4, 1), model(12, 5, 1)
    ((name, values),) = costs(kept(**{"discriminator/9": first, "discriminator/10": last}), "int8").items()
    x = IMAGES / np.float32(255)
    expected = [np.mean(1 / (1 + np.exp(-one(x).numpy()))) for one in (last, rounded(last))]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert "D(x)" in name and values[0] != values[1]


@pytest.mark.parametrize("noise", ["gaussian", "uniform"])
def test_the_cost_in_what_the_last_discriminator_says_of_generated_images(noise):
    """Of a generator that gives its noise, and a discriminator that gives twice its absolute value."""
    z = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "linear", kernel_initializer="ones")])
    absolute = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, "relu"), keras.layers.Dense(1, "linear")])
    absolute.set_weights([np.array([[1.0, -1.0]]), np.zeros(2), np.array([[2.0], [2.0]]), np.zeros(1)])
    one = kept(**{"generator/3": z, "discriminator/3": absolute})
    one.arrays["images"] = np.zeros((20_000, 1), np.uint8)
    values = costs(one, "float16", noise)["mean D(G(z))"]
    draws = np.random.default_rng(0)
    z = draws.standard_normal(10**6) if noise == "gaussian" else draws.uniform(-1, 1, 10**6)
    assert values == pytest.approx([np.mean(1 / (1 + np.exp(-2 * np.abs(z))))] * 2, rel=0.01)


def test_the_cost_in_the_area_under_the_roc_curve():
    encoder, decoder = model(12, 5, 3), model(3, 5, 12, output="sigmoid")
    one = kept(encoder=encoder, decoder=decoder)
    one.arrays["left_out"] = np.array([2])
    x, anomalous = IMAGES / np.float32(255), np.arange(30) % 3 == 2
    expected = []
    for before, after in ((encoder, decoder), (rounded(encoder), rounded(decoder))):
        score = np.sum((x - after(before(x))) ** 2, axis=1)
        expected.append(np.mean(score[anomalous][:, None] > score[~anomalous]))
    name = "area under the ROC curve, a digit left out"
    assert costs(one, "int8")[name] == pytest.approx(expected) and 0 < expected[0] < 1
    one.arrays["left_out"] = np.array([7])  # There is none among the images.
    assert name not in costs(one, "int8")


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_errors_that_are_not_finite_have_no_area_under_the_roc_curve():
    """Of the largest weights that a file may have: four layers of them leave float32."""
    huge = [Layer("linear", np.full((12, 12), 6e4, np.float32), np.zeros(12, np.float32))] * 4
    one = Kept({"encoder": huge, "decoder": huge}, {"images": IMAGES, "labels": np.arange(30) % 3})
    one.arrays["left_out"] = np.array([2])
    assert list(costs(one, "float16")) == [SQUARED_ERROR]


@pytest.mark.parametrize("of", ["encoder", "z_mean"])
def test_the_cost_in_the_digit_of_the_nearest_code(of):
    network = model(12, 5, 2)
    one = kept(**{of: network})
    x = IMAGES / np.float32(255) if of == "encoder" else fixed_binarization(IMAGES).numpy()
    one.arrays["codes"] = codes = network(x).numpy()
    (values,) = costs(one, "int8").values()
    labels = np.arange(30) % 3
    for value, own in zip(values, (codes, rounded(network)(x).numpy()), strict=True):
        wrong = 0
        for i in range(30):
            others = [j for j in range(30) if j != i]
            wrong += labels[min(others, key=lambda j: np.linalg.norm(codes[j] - own[i]))] != labels[i]
        assert value == pytest.approx(wrong / 30)
    assert values[0] > 0.3  # Of labels that have nothing to do with the images, and no image is its own neighbour.


def test_weights_of_16_bits_stand_as_their_bits_and_cost_less():
    kernel = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    layers = [Layer("relu", kernel, np.ones(3, np.float32))]
    (line,) = networks.embedded(layers, "float16")["layers"]
    values = np.frombuffer(base64.b64decode(line["kernel"]), "<f2").reshape(3, 4).T
    assert line["encoding"] == "float16" and "scale" not in line
    np.testing.assert_allclose(values, kernel, rtol=2**-11)
    (small,) = networks.as_embedded(layers, "float16")
    np.testing.assert_array_equal(small.kernel, values.astype(np.float32))
    one, other = model(12, 5, 3), model(3, 5, 12, output="sigmoid")
    of = {
        encoding: costs(kept(encoder=one, decoder=other), encoding)[SQUARED_ERROR] for encoding in ("int8", "float16")
    }
    assert abs(of["float16"][1] / of["float16"][0] - 1) < abs(of["int8"][1] / of["int8"][0] - 1) / 4
