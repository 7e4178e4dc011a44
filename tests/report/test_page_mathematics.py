"""The mathematics of the report page, plain JavaScript run by a bare V8, against TensorFlow, the package and NumPy."""

import base64
import contextlib
import functools
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from py_mini_racer import MiniRacer
from scipy import ndimage, stats
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import tfgen
from tfgen import distributions, losses
from tfgen.evaluation import adversarial
from tfgen.models import autoencoder
from tfgen.models.gan import GENERATOR_LOSSES
from tfgen.models.vae import VAE

SCRIPTS = pathlib.Path(tfgen.__file__).parent / "report" / "page" / "js"
ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh", "softplus", "elu", "gelu", "leaky_relu", "selu", "silu")
# Of the line GANs of the tests: small, and with rates that float32 has exactly, as Keras keeps them.
SMALL_GAN = {
    "seed": 3,
    "dataMean": 1.0,
    "dataStd": 0.5,
    "generatorUnits": [5, 4],
    "discriminatorUnits": [6, 3],
    "activation": "tanh",
    "k": 2,
    "batchSize": 7,
    "generatorRate": 2**-6,
    "discriminatorRate": 2**-5,
    "generatorLoss": "non-saturating",
    "iterations": None,
}


class Page:
    """The scripts in a V8 of their own, with pieces of their text replaced: each must stand there exactly once."""

    def __init__(self, *replacements, scripts=("tensors", "models", "gan_1d"), before=""):
        source = "\n".join((SCRIPTS / f"{name}.js").read_text() for name in scripts)
        for old, new in replacements:
            assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in the scripts"
            source = source.replace(old, new)
        self.v8 = MiniRacer()
        self.v8.eval(f'"use strict";\n{before}\n{source}\n;0')

    def run(self, expression):
        """Returns the value of an expression, typed arrays as lists."""
        as_list = "(_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value)"
        return json.loads(self.v8.eval(f"JSON.stringify({expression}, {as_list})"))

    def numbers(self, expression):
        """Returns the value of an expression as a float64 array; what is not finite as nan."""
        return np.array(self.run(expression), np.float64)

    def let(self, name, expression):
        self.v8.eval(f"var {name} = {expression}; 0")


@pytest.fixture(scope="module")
def page():
    return Page()


def array(x, name="Float32Array"):
    return f"{name}.from({np.asarray(x, np.float64).ravel().tolist()})"


def float64(x):
    return array(x, "Float64Array")


def text(x):
    """Returns the base64 of an array's bytes, little-endian."""
    x = np.asarray(x)
    return base64.b64encode(x.astype(x.dtype.newbyteorder("<")).tobytes()).decode()


def embedded(layers, encoding="float32"):
    """Returns the page's JSON of a network of (kernel as Keras has it, bias, activation)."""
    network = []
    for kernel, bias, activation in layers:
        kernel = np.asarray(kernel, np.float32).T
        layer = {"inputs": kernel.shape[1], "outputs": kernel.shape[0], "activation": activation, "encoding": encoding}
        if encoding == "int8":
            scale = np.abs(kernel).max(axis=1) / np.float32(127)
            layer["scale"] = text(scale)
            layer["kernel"] = text(np.round(kernel / scale[:, None]).astype(np.int8))
        else:
            layer["kernel"] = text(kernel.astype(encoding))
        network.append({**layer, "bias": text(np.float32(bias))})
    return json.dumps({"layers": network})


def forward(page, layers, x, encoding="float32"):
    return page.numbers(f"forward(decodeNetwork({embedded(layers, encoding)}), {array(x)})")


def dense_layers(model, names=None):
    """Returns (kernel, bias, activation) of a Keras model's dense layers, or of those named."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    return [
        (*layer.get_weights(), layer.activation.__name__) for layer in layers if names is None or layer.name in names
    ]


def random_layers(widths, activations, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (
            np.float32(rng.normal(0, inputs**-0.5, (inputs, outputs))),
            np.float32(rng.normal(0, 0.1, outputs)),
            activation,
        )
        for inputs, outputs, activation in zip(widths[:-1], widths[1:], activations, strict=True)
    ]


def keras_forward(layers, x):
    for kernel, bias, activation in layers:
        x = keras.activations.get(activation)(tf.matmul(np.atleast_2d(x), kernel) + bias)
    return np.asarray(x)[0]


# tensors.js


def test_base64_gives_back_bytes_of_every_length(page):
    rng = np.random.default_rng(0)
    for n in range(9):
        values = rng.integers(0, 256, n, np.uint8)
        np.testing.assert_array_equal(page.run(f'decodeBase64("{text(values)}")'), values)
    np.testing.assert_array_equal(page.run(f'decodeBase64("{text(np.arange(256, dtype=np.uint8))}")'), np.arange(256))


def test_float16_is_what_numpy_reads_in_all_its_finite_values(page):
    bits = np.arange(2**16, dtype=np.uint16)
    halves = bits.view(np.float16)
    finite = np.isfinite(halves)
    read = page.numbers("Array.from({length: 65536}, (_, bits) => halfToFloat(bits))")
    np.testing.assert_array_equal(read[finite], halves[finite])
    # One bit of the smallest subnormal number, by IEEE 754.
    assert read[1] == 2.0**-24
    assert np.isnan(read[~finite]).all()


def test_float32_is_read_bit_for_bit(page):
    values = np.float32([0, -1.5, np.pi, 1e-40, 3e38])
    np.testing.assert_array_equal(page.numbers(f'decodeFloat32("{text(values)}")'), values)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_keras_own(page, activation):
    x = np.float32([-1000, -30, -5, *np.linspace(-3, 3, 25), 5, 30, 1000])
    expected = np.asarray(keras.activations.get(activation)(tf.constant(x)))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(page.numbers(f"ACTIVATIONS.{activation}({array(x)})"), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("encoding", ["float32", "float16"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_keras_own(page, activation, encoding):
    # Widths that four does not divide.
    layers = random_layers((13, 10, 7, 3), (activation, activation, "linear"))
    x = np.random.default_rng(1).random(13, np.float32)
    if encoding == "float16":
        stored = [(np.float32(np.float16(kernel)), bias, name) for kernel, bias, name in layers]
        assert np.abs(keras_forward(layers, x) - keras_forward(stored, x)).max() > 1e-5
        layers = stored
    np.testing.assert_allclose(forward(page, layers, x, encoding), keras_forward(layers, x), atol=1e-5)


def test_forward_of_the_lectures_autoencoder_is_keras_own(page):
    keras.utils.set_random_seed(0)
    model = autoencoder.stacked_autoencoder(784, (300, 150, 300))
    x = np.random.default_rng(1).random(784, np.float32)
    layers = dense_layers(model.get_layer("encoder")) + dense_layers(model.get_layer("decoder"))
    np.testing.assert_allclose(forward(page, layers, x), model(x[None])[0], atol=1e-5)


def test_int8_weights_stay_within_half_a_step_of_the_true_ones(page):
    layers = random_layers((40, 30, 20), ("relu", "sigmoid"))
    x = np.random.default_rng(1).random(40, np.float32)
    # The error of a layer's output is at most sum |h| half_step from its weights and |W + half_step| error from its
    # input; both activations have slopes of at most 1.
    hidden, error = x.astype(np.float64), np.zeros(40)
    quantised = []
    for kernel, bias, activation in layers:
        scale = np.abs(kernel).max(axis=0) / 127
        error = scale / 2 * np.abs(hidden).sum() + (np.abs(kernel) + scale / 2).T @ error
        hidden = keras_forward([(kernel, bias, activation)], hidden)
        quantised.append((np.round(kernel / scale) * scale, bias, activation))
    differences = np.abs(forward(page, layers, x, "int8") - hidden)
    assert (differences <= error + 1e-6).all()
    assert differences.max() > 1e-4, "int8 has changed nothing"
    np.testing.assert_allclose(forward(page, layers, x, "int8"), keras_forward(quantised, x), atol=1e-5)


def test_the_logistic_function_and_its_logarithm_stay_finite(page):
    x = [-1000, -40, -1, 0, 1, 40, 1000]
    np.testing.assert_allclose(page.numbers(f"{x}.map(sigmoid)"), 1 / (1 + np.exp(-np.clip(x, -700, 700))), atol=1e-300)
    np.testing.assert_allclose(page.numbers(f"{x}.map(softplus)"), np.logaddexp(0, x), rtol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "swish"}, "activation"),
        ({"encoding": "int4"}, "encoding"),
        ({"inputs": 4}, "weights"),
    ],
)
def test_a_network_that_cannot_be_read_is_refused(page, change, message):
    network = json.loads(embedded(random_layers((3, 2), ("relu",))))
    network["layers"][0].update(change)
    with pytest.raises(Exception, match=message):
        page.run(f"decodeNetwork({json.dumps(network)})")


# models.js


def test_squared_error_is_the_packages(page):
    x, y = np.random.default_rng(0).random((2, 784), np.float32)
    expected = float(losses.squared_error(x[None], y[None])[0])
    assert page.run(f"squaredError({array(x)}, {array(y)})") == pytest.approx(expected, rel=1e-5)
    assert page.run("squaredError([1, 2, 3], [0, 0, 5])") == 9


def test_bernoulli_log_prob_is_the_packages_and_finite_at_extreme_logits(page):
    rng = np.random.default_rng(0)
    x, logits = rng.random(784), rng.normal(0, 5, 784)
    expected = float(distributions.bernoulli_log_prob(x, logits))
    assert page.run(f"bernoulliLogProb({float64(x)}, {float64(logits)})") == pytest.approx(expected, rel=1e-12)
    # Sure and right is 0, sure and wrong -1000 nats a pixel, undecided log 2.
    by_hand = page.numbers(
        "[[1, 1000], [0, -1000], [1, -1000], [0, 1000], [1, 0]].map(([x, l]) => bernoulliLogProb([x], [l]))"
    )
    np.testing.assert_allclose(by_hand, [0, 0, -1000, -1000, -np.log(2)], rtol=1e-14)


def test_kl_divergence_is_the_packages_and_zero_at_the_prior(page):
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(0, 1, 20), rng.normal(-2, 2, 20)
    expected = float(distributions.kl_divergence(mean, log_var))
    assert page.run(f"klDivergence({float64(mean)}, {float64(log_var)})") == pytest.approx(expected, rel=1e-12)
    assert page.run("klDivergence([0, 0], [0, 0])") == 0
    # log_var^2 / 4 to second order, which 1 + log_var - exp(log_var) would lose.
    assert page.run("klDivergence([0], [1e-9])") == pytest.approx(2.5e-19, rel=1e-3, abs=0)


def test_softmax_is_tensorflows_and_adds_up_to_one(page):
    for logits in ([0.5, -1, 3, 2], [1000, 999, -1000], [-1000, -1000, -1000]):
        probabilities = page.numbers(f"softmax({array(logits)})")
        np.testing.assert_allclose(probabilities, tf.nn.softmax(np.float32(logits)), rtol=1e-5)
        assert probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_elbo_terms_are_the_packages_for_the_same_noise(page):
    keras.utils.set_random_seed(0)
    vae = VAE(784, 3, (12,))
    rng = np.random.default_rng(1)
    x, epsilon = np.float32(rng.random(784) < 0.3), np.float32(rng.normal(size=3))
    z_mean, z_log_var = vae.encoder(x[None])
    z = z_mean + tf.exp(0.5 * z_log_var) * epsilon
    hidden = [layer.name for layer in vae.encoder.layers if layer.name not in ("z_mean", "z_log_var")]
    mean, log_var = (embedded(dense_layers(vae.encoder, [*hidden, name])) for name in ("z_mean", "z_log_var"))
    terms = page.run(
        f"elboTerms({array(x)}, {{mean: decodeNetwork({mean}), logVar: decodeNetwork({log_var})}}, "
        f"decodeNetwork({embedded(dense_layers(vae.decoder))}), {array(epsilon)})"
    )
    np.testing.assert_allclose(terms["z"], z[0], atol=1e-5)
    np.testing.assert_allclose(terms["logits"], vae.decoder(z)[0], atol=1e-4)
    assert terms["reconstruction"] == pytest.approx(-float(vae.log_likelihood(x[None], z)[0]), rel=1e-5)
    assert terms["kl"] == pytest.approx(float(distributions.kl_divergence(z_mean, z_log_var)[0]), rel=1e-4)


def test_the_ellipse_holds_the_share_of_the_posterior_that_its_radius_says(page):
    mean, log_var = np.array([1.0, -2.0]), np.log([0.25, 4.0])
    ellipse = page.run(f"posteriorEllipse({array(mean)}, {array(log_var)}, 2)")
    assert ellipse == pytest.approx({"x": 1, "y": -2, "radiusX": 1, "radiusY": 4})
    n = 100_000
    z = mean + np.exp(log_var / 2) * np.random.default_rng(0).normal(size=(n, 2))
    inside = np.hypot((z[:, 0] - ellipse["x"]) / ellipse["radiusX"], (z[:, 1] - ellipse["y"]) / ellipse["radiusY"]) < 1
    # P(chi^2 of two degrees of freedom < 2^2), to four standard errors.
    share = 1 - np.exp(-2)
    assert inside.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / n))


def test_the_anomaly_score_is_the_recipes_and_its_heat_adds_up_to_it(page):
    x, y = np.random.default_rng(0).random((2, 784), np.float32)
    score = page.run(f"anomalyScore({array(x)}, {array(y)})")
    error = float(losses.squared_error(x[None], y[None])[0])
    assert score["error"] == pytest.approx(error, rel=1e-5)
    assert score["perInk"] == pytest.approx(error / x.sum(), rel=1e-5)
    np.testing.assert_allclose(score["heat"], (x - y) ** 2, atol=1e-6)
    assert sum(score["heat"]) == pytest.approx(error, rel=1e-5)
    # Less than one pixel of ink counts as one.
    assert page.run("anomalyScore([0, 0.5], [1, 0.5])")["perInk"] == 1


def test_two_linear_networks_are_pca(page):
    data = np.random.default_rng(0).normal(size=(50, 12)) @ np.random.default_rng(1).normal(size=(12, 12)) + 3
    pca = PCA(4).fit(data)
    encoder = [(pca.components_.T, -pca.components_ @ pca.mean_, "linear")]
    decoder = [(pca.components_, pca.mean_, "linear")]
    code = forward(page, encoder, data[0])
    np.testing.assert_allclose(code, pca.transform(data[:1])[0], atol=1e-4)
    np.testing.assert_allclose(
        forward(page, decoder, code), pca.inverse_transform(pca.transform(data[:1]))[0], atol=1e-4
    )


def test_random_bits_are_xoshiros_own(page):
    # Vigna's generator from the state 1, 2, 3, 4: by hand, s[1] * 5 rotated by 7, times 9; then the published values.
    page.let("bits", "xoshiro128([1, 2, 3, 4])")
    assert page.run("Array.from({length: 10}, bits)") == [
        11520,
        0,
        5927040,
        70819200,
        2031721883,
        1637235492,
        1287239034,
        3734860849,
        3729100597,
        4258142804,
    ]


def test_random_numbers_are_a_function_of_the_seed(page):
    draw = "(({uniform, normal, integer}) => [uniform(), normal(), normal(), normal(), integer(1000), uniform()])"
    draws = page.numbers(f"[7, 7, 8, 2 ** 31 + 7, -7].map((seed) => {draw}(createRandom(seed)))")
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (np.diff(np.sort(draws[1:], axis=0)[:, [0, 1, 2, 3, 5]], axis=0) != 0).all()


def assert_moments(x, distribution):
    """Asserts the first four moments, each to four standard errors, and that neighbours are uncorrelated."""
    for power in range(1, 5):
        moment, square = distribution.moment(power), distribution.moment(2 * power)
        assert np.mean(x**power) == pytest.approx(moment, abs=4 * np.sqrt((square - moment**2) / len(x))), power
    centred = (x - distribution.mean()) / distribution.std()
    assert np.mean(centred[1:] * centred[:-1]) == pytest.approx(0, abs=4 / np.sqrt(len(x)))


def test_uniform_draws_fill_the_interval_evenly(page):
    x = page.numbers("(({uniform}) => Array.from({length: 40000}, uniform))(createRandom(1))")
    assert_moments(x, stats.uniform())
    assert x.min() >= 0
    assert x.max() < 1


def test_normal_draws_have_the_moments_of_the_normal_distribution(page):
    assert_moments(page.numbers("normalArray(createRandom(1), 40000)"), stats.norm())


def test_whole_draws_are_equally_frequent(page):
    x = page.numbers("(({integer}) => Array.from({length: 40000}, () => integer(10)))(createRandom(1))")
    counts = np.bincount(x.astype(int), minlength=10)
    assert len(counts) == 10
    np.testing.assert_allclose(counts, 4000, atol=4 * np.sqrt(40000 * 0.1 * 0.9))


@pytest.mark.parametrize(
    ("kind", "distribution"),
    [
        ("uniform", stats.uniform(-1, 2)),
        ("gaussian", stats.norm()),
        ("unit-variance uniform", stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))),
    ],
)
def test_noise_has_the_packages_distributions(page, kind, distribution):
    x = page.numbers(f"sampleNoise(createRandom(2), {json.dumps(kind)}, 40000)")
    assert_moments(x, distribution)
    low, high = distribution.support()
    assert low <= x.min() < x.max() <= high


def test_unknown_noise_is_refused(page):
    with pytest.raises(Exception, match="noise must be one of"):
        page.run('sampleNoise(createRandom(2), "cauchy", 3)')


def test_straight_interpolation_runs_from_one_end_to_the_other(page):
    a, b = np.float32(np.random.default_rng(0).normal(size=(2, 20)))
    for t in (0, 0.25, 1):
        point = page.numbers(f"interpolate({array(a)}, {array(b)}, {t})")
        np.testing.assert_allclose(point, (1 - t) * a + t * b, atol=1e-6)


def test_spherical_interpolation_turns_by_equal_angles_and_keeps_the_norm(page):
    rng = np.random.default_rng(0)
    a, b = (x / np.linalg.norm(x) for x in rng.normal(size=(2, 20)))
    angle = np.arccos(a @ b)
    for t in (0, 0.25, 0.5, 1):
        point = page.numbers(f"sphericalInterpolate({array(a)}, {array(b)}, {t})")
        assert np.linalg.norm(point) == pytest.approx(1, abs=1e-6)
        assert np.arccos(min(point @ a, 1)) == pytest.approx(t * angle, abs=1e-3)
        assert np.arccos(min(point @ b, 1)) == pytest.approx((1 - t) * angle, abs=1e-3)


def test_spherical_interpolation_is_straight_where_there_is_no_circle(page):
    for a, b in (([0, 0], [1, 2]), ([1, 2], [1, 2]), ([1, 2], [-1, -2])):
        point = page.numbers(f"sphericalInterpolate({array(a)}, {array(b)}, 0.25)")
        np.testing.assert_allclose(point, 0.75 * np.array(a) + 0.25 * np.array(b), atol=1e-6)


# A drawing, centred


def drawings():
    """Yields digits of scikit-learn, enlarged, somewhere on a larger sheet."""
    rng = np.random.default_rng(0)
    for digit in load_digits().images[:12] / 16:
        ink = np.kron(digit[:, digit.any(axis=0)], np.ones(rng.integers(3, 12, 2)))
        sheet = np.zeros((100, 140))
        top, left = rng.integers(0, np.subtract(sheet.shape, ink.shape) + 1)
        sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
        yield sheet


def centre_digit(page, sheet):
    height, width = sheet.shape
    return page.numbers(f"centreDigit({array(sheet)}, {height}, {width})").reshape(28, 28)


def box(x):
    """Returns (top, bottom), (left, right) of what is not 0, the ends exclusive."""
    return [
        (int(np.flatnonzero(line)[0]), int(np.flatnonzero(line)[-1]) + 1) for line in (x.any(axis=1), x.any(axis=0))
    ]


def area_means(sheet, axis, first, side):
    """Returns the means over 20 equal pieces of [first, first + side) along an axis, 0 beyond the sheet."""
    edges = first + np.linspace(0, side, 21)

    def means(line):
        return np.diff(np.interp(edges, np.arange(len(line) + 1), np.concatenate([[0], np.cumsum(line)]))) / (side / 20)

    return np.apply_along_axis(means, axis, sheet)


def test_a_drawing_is_centred_as_an_integral_image_and_scipy_have_it(page):
    for sheet in drawings():
        (top, bottom), (left, right) = box(sheet)
        side = max(bottom - top, right - left)
        ink = area_means(area_means(sheet, 0, top, side), 1, left, side)
        expected = np.zeros((48, 48))
        down, across = (int(np.floor(14 - centre + 0.5)) for centre in ndimage.center_of_mass(ink))
        expected[down : down + 20, across : across + 20] = ink
        assert not expected[28:].any() and not expected[:, 28:].any()
        np.testing.assert_allclose(centre_digit(page, sheet), expected[:28, :28], atol=1e-5)


def test_a_centred_drawing_has_mnists_box_and_centre_and_stays(page):
    for sheet in drawings():
        digit = centre_digit(page, sheet)
        assert max(end - first for first, end in box(digit)) == 20
        # As in MNIST, whose own centres lie in [13.5, 14.5) too.
        np.testing.assert_allclose(ndimage.center_of_mass(digit), 14, atol=0.5 + 1e-5)
        assert 0 <= digit.min() < digit.max() <= 1
        np.testing.assert_array_equal(centre_digit(page, digit), digit)


def test_place_and_size_of_a_drawing_make_no_difference(page):
    for sheet in list(drawings())[:4]:
        moved, doubled = ndimage.shift(np.pad(sheet, 9), (-5, 7), order=0), np.kron(sheet, np.ones((2, 2)))
        np.testing.assert_allclose(centre_digit(page, moved), centre_digit(page, sheet), atol=1e-6)
        np.testing.assert_allclose(centre_digit(page, doubled), centre_digit(page, sheet), atol=1e-5)


def test_an_empty_drawing_stays_empty_and_a_dot_becomes_a_square(page):
    assert not centre_digit(page, np.zeros((30, 40))).any()
    dot = np.zeros((30, 40))
    dot[29, 0] = 1
    assert box(centre_digit(page, dot)) == [(5, 25), (5, 25)]
    assert centre_digit(page, dot).sum() == 400


def test_no_ink_is_cut_off_where_the_centre_of_mass_is_at_an_edge(page):
    sheet = np.zeros((20, 20))
    sheet[:2, :], sheet[:, 0] = 1, 0.01
    digit = centre_digit(page, sheet)
    assert digit.sum() == pytest.approx(sheet.sum(), rel=1e-6)
    assert box(digit)[0] == (8, 28)


# gan_1d.js


def line_weights(page, gan, network):
    """Returns [kernel, bias, ...] of a network as Keras has them, float64."""
    weights = []
    for layer in page.run(f"{gan}.{network}.layers"):
        weights += [
            np.array(layer["kernel"], np.float64).reshape(layer["outputs"], layer["inputs"]).T,
            np.array(layer["bias"], np.float64),
        ]
    return weights


def line_network(weights, x, activation="tanh"):
    x = tf.reshape(x, (-1, 1))
    for i in range(0, len(weights), 2):
        x = tf.matmul(x, weights[i]) + weights[i + 1]
        x = keras.activations.get(activation)(x) if i + 2 < len(weights) else x
    return x


def as_keras(page, gradients, weights):
    """Returns the page's list of gradients in the shapes of Keras's weights."""
    return [np.array(g).reshape(w.shape[::-1]).T for g, w in zip(gradients, weights, strict=True)]


@pytest.mark.parametrize("generator_loss", GENERATOR_LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradients_of_both_losses_are_tensorflows(page, generator_loss, activation):
    options = {**SMALL_GAN, "generatorLoss": generator_loss, "activation": activation}
    page.let("gan", f"createLineGan({json.dumps(options)})")
    rng = np.random.default_rng(0)
    x, z = rng.normal(1, 0.5, 9), rng.normal(size=9)
    ours = page.run(f"lineGanGradients(gan, {float64(x)}, {float64(z)})")

    g, d = ([tf.Variable(w) for w in line_weights(page, "gan", name)] for name in ("generator", "discriminator"))
    with tf.GradientTape(persistent=True) as tape:
        real, fake = (line_network(d, batch, activation) for batch in (x, line_network(g, z, activation)))
        expected = {
            "discriminator": losses.discriminator_loss(real, fake),
            "generator": GENERATOR_LOSSES[generator_loss](fake),
        }
    for name, weights in (("generator", g), ("discriminator", d)):
        assert ours[name]["loss"] == pytest.approx(float(expected[name]), rel=1e-12)
        gradients = tape.gradient(expected[name], weights)
        assert max(np.abs(gradient).max() for gradient in gradients) > 1e-2
        for gradient, theirs in zip(as_keras(page, ours[name]["gradients"], weights), gradients, strict=True):
            np.testing.assert_allclose(gradient, theirs, rtol=1e-10, atol=1e-12)


def test_losses_and_gradients_stay_finite_at_extreme_logits(page):
    for loss in GENERATOR_LOSSES:
        page.let("loss", f"meanLoss(Float64Array.of(-1000, 1000), GENERATOR_LOSSES[{json.dumps(loss)}])")
        sign = 1 if loss == "non-saturating" else -1
        assert page.run("loss.loss") == sign * 500
        expected = [-0.5, 0] if loss == "non-saturating" else [0, -0.5]
        np.testing.assert_allclose(page.numbers("loss.gradient"), expected, atol=1e-300)


@contextlib.contextmanager
def exact_betas(page):
    """Gives the page, for a while, decays that float32 has exactly, to which Keras rounds them; yields Keras's options.

    Keras's results for 0.9 and 0.999 differ from the formula by 1e-7 of a step.
    """
    page.run("Object.assign(ADAM, {beta1: 0.90625, beta2: 0.998046875})")
    try:
        yield {"beta_1": 0.90625, "beta_2": 0.998046875}
    finally:
        page.run("Object.assign(ADAM, {beta1: 0.9, beta2: 0.999})")


def test_adams_constants_are_keras_defaults(page):
    adam = keras.optimizers.Adam()
    assert page.run("ADAM") == {"beta1": adam.beta_1, "beta2": adam.beta_2, "epsilon": adam.epsilon}


def test_steps_of_adam_are_keras_own(page):
    rng = np.random.default_rng(0)
    page.let("network", "createLineNetwork(createRandom(0), [3], 'tanh')")
    page.let("gan", "{network}")
    weights = [tf.Variable(w) for w in line_weights(page, "gan", "network")]
    with exact_betas(page) as betas:
        optimizer = keras.optimizers.Adam(2**-6, epsilon=1e-7, **betas)
        for scale in (1, 1e-7, 10):
            gradients = [scale * rng.normal(size=w.shape) for w in weights]
            page.run(f"(adamStep(network, [{', '.join(float64(g.T) for g in gradients)}], {2**-6}), 0)")
            optimizer.apply([tf.constant(g) for g in gradients], weights)
            for ours, theirs in zip(line_weights(page, "gan", "network"), weights, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_an_iteration_is_k_updates_of_the_discriminator_and_then_one_of_the_generator(page):
    page.let("gan", f"createLineGan({json.dumps(SMALL_GAN)})")
    # Of the same seed, so that it draws what the other one draws.
    page.let("twin", f"createLineGan({json.dumps(SMALL_GAN)})")
    g, d = ([tf.Variable(w) for w in line_weights(page, "gan", name)] for name in ("generator", "discriminator"))
    with exact_betas(page) as betas:
        g_optimizer, d_optimizer = (
            keras.optimizers.Adam(SMALL_GAN[f"{name}Rate"], **betas) for name in ("generator", "discriminator")
        )
        for iteration in range(3):
            for _ in range(SMALL_GAN["k"]):
                x, z = page.numbers("drawLineData(twin)"), page.numbers("drawLineNoise(twin)")
                with tf.GradientTape() as tape:
                    d_loss = losses.discriminator_loss(line_network(d, x), line_network(d, line_network(g, z)))
                d_optimizer.apply(tape.gradient(d_loss, d), d)
            z = page.numbers("drawLineNoise(twin)")
            with tf.GradientTape() as tape:
                g_loss = losses.non_saturating_generator_loss(line_network(d, line_network(g, z)))
            gradients = tape.gradient(g_loss, g)
            g_optimizer.apply(gradients, g)
            step = page.run("lineGanStep(gan)")
            assert step["discriminatorLoss"] == pytest.approx(float(d_loss), rel=1e-9)
            assert step["generatorLoss"] == pytest.approx(float(g_loss), rel=1e-9)
            assert step["generatorGradientNorm"] == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-9)
            assert page.run("gan.iteration") == iteration + 1
            for name, weights in (("generator", g), ("discriminator", d)):
                for ours, theirs in zip(line_weights(page, "gan", name), weights, strict=True):
                    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_rates_fall_along_keras_cosine(page):
    decay = keras.optimizers.schedules.CosineDecay(1.0, 40)
    for step in (0, 1, 20, 39, 40, 50):
        assert page.run(f"cosineDecay({step}, 40)") == pytest.approx(float(decay(step)), abs=1e-6)
    page.let("gan", f"createLineGan({json.dumps({**SMALL_GAN, 'iterations': 2})})")
    page.run("[lineGanStep(gan), lineGanStep(gan)]")
    before = line_weights(page, "gan", "generator")
    page.run("lineGanStep(gan)")
    for ours, theirs in zip(line_weights(page, "gan", "generator"), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_optimal_discriminator_and_the_divergence_are_the_packages(page):
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(30), 2)
    p[:3], q[2:6] = 0, 0
    ours = page.numbers(f"optimalDiscriminator({float64(p)}, {float64(q)})")
    np.testing.assert_allclose(ours, adversarial.optimal_discriminator(p, q), rtol=1e-12)
    expected = adversarial.jensen_shannon_divergence(p, q)
    assert page.run(f"jensenShannon({float64(p)}, {float64(q)})") == pytest.approx(expected, rel=1e-12)
    assert page.run("jensenShannon([1, 0], [0, 1])") == pytest.approx(np.log(2), rel=1e-14)
    assert page.run("jensenShannon([0.5, 0.5], [0.5, 0.5])") == 0


def test_the_datas_histogram_is_the_packages(page):
    edges = np.linspace(-1.5, 3.5, 101)
    masses = page.numbers(f"normalMasses({float64(edges)}, 1, 0.5)")
    np.testing.assert_allclose(masses, adversarial.normal_histogram(edges, 1, 0.5), atol=1e-6)


def test_the_generated_density_is_the_histogram_of_a_million_samples(page):
    page.let("gan", f"createLineGan({json.dumps({**SMALL_GAN, 'dataMean': 0.3})})")
    page.run("(() => { for (let i = 0; i < 30; i++) lineGanStep(gan); })() ?? 0")
    densities = page.run("lineGanDensities(gan, 50, 1000)")
    centres = np.array(densities["centres"])
    width = centres[1] - centres[0]
    edges = np.append(centres - width / 2, centres[-1] + width / 2)
    n = 1_000_000
    z = np.random.default_rng(0).normal(size=n)
    samples = line_network(line_weights(page, "gan", "generator"), z).numpy()
    p_data, p_g = adversarial.normal_histogram(edges, 0.3, 0.5), adversarial.histogram(samples, edges)
    # The second term is what straight pieces of G and their even spread leave.
    tolerance = 5 * np.sqrt(p_g * (1 - p_g) / n) + 2e-4
    assert (np.abs(np.array(densities["pG"]) * width - p_g) < tolerance).all()
    np.testing.assert_allclose(np.array(densities["pData"]) * width, p_data, atol=1e-6)
    logits = line_network(line_weights(page, "gan", "discriminator"), centres).numpy()[:, 0]
    np.testing.assert_allclose(densities["discriminator"], 1 / (1 + np.exp(-logits)), rtol=1e-9)
    optimal = adversarial.optimal_discriminator(densities["pData"], densities["pG"])
    np.testing.assert_allclose(densities["optimalDiscriminator"], optimal, atol=1e-9)
    divergence = adversarial.jensen_shannon_divergence(p_data, p_g)
    assert 0.01 < divergence < 0.69
    assert densities["jensenShannon"] == pytest.approx(divergence, abs=5e-4)


def test_what_lies_beyond_the_bins_is_in_the_outermost_ones(page):
    page.let("gan", f"createLineGan({json.dumps(SMALL_GAN)})")
    page.run("(gan.generator.layers[2].bias[0] = 100, 0)")
    densities = page.run("lineGanDensities(gan, 50, 1000)")
    assert sum(densities["pG"][:-1]) == 0
    assert densities["jensenShannon"] == pytest.approx(np.log(2), abs=1e-5)


def test_a_training_with_the_pages_options_meets_the_data(page):
    page.let("gan", "createLineGan(DEFAULT_LINE_GAN)")
    assert page.run("lineGanDensities(gan, 200, 1000).jensenShannon") > 0.2
    page.run("(() => { for (let i = 0; i < 1000; i++) lineGanStep(gan); })() ?? 0")
    assert page.run("lineGanDensities(gan, 200, 1000).jensenShannon") < 0.02
    # By samples: the plug-in estimate of n samples in b bins is too large by about (b - 1) / (8 n), here 5e-5.
    z = np.random.default_rng(0).normal(size=500_000)
    samples = line_network(line_weights(page, "gan", "generator"), z).numpy()
    edges = np.linspace(-1.5, 3.5, 201)
    p_data, p_g = adversarial.normal_histogram(edges, 1, 0.5), adversarial.histogram(samples, edges)
    assert adversarial.jensen_shannon_divergence(p_data, p_g) < 0.02
    assert samples.mean() == pytest.approx(1, abs=0.1)
    assert samples.std() == pytest.approx(0.5, abs=0.1)


def test_the_minimax_loss_saturates_where_the_discriminator_is_far_ahead(page):
    norms = {}
    for loss in GENERATOR_LOSSES:
        options = {"dataMean": 4, "k": 10, "seed": 1, "generatorLoss": loss}
        page.let("gan", f"createLineGan({{...DEFAULT_LINE_GAN, ...{json.dumps(options)}}})")
        steps = page.run("Array.from({length: 60}, () => lineGanStep(gan).generatorGradientNorm)")
        norms[loss] = np.mean(steps[30:])
    assert norms["minimax"] < 0.2
    assert norms["non-saturating"] > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("k", 0), ("dataStd", 0), ("batchSize", 1.5), ("generatorUnits", []), ("generatorLoss", "hinge")],
)
def test_options_of_no_meaning_are_named(page, name, value):
    with pytest.raises(Exception, match=f"{name} cannot be"):
        page.run(f"createLineGan({json.dumps({**SMALL_GAN, name: value})})")


# worker.js

# Stands in for the browser: messages that are sent, one timer, and a clock that a reading moves on by 10 ms.
BROWSER = """
    var sent = [];
    let waiting = null, now = 0;
    var self = { postMessage: (message) => sent.push(message) };
    globalThis.setTimeout = (action) => ((waiting = action), 1);
    globalThis.clearTimeout = () => (waiting = null);
    globalThis.performance = { now: () => (now += 10) };
    const tick = () => { const action = waiting; waiting = null; if (action) action(); };
    const say = (data) => self.onmessage({ data });
"""


@pytest.fixture
def worker():
    page = Page(scripts=("tensors", "models", "gan_1d", "worker"), before=BROWSER)
    page.let("options", json.dumps({**SMALL_GAN, "iterations": 12}))
    return page


def iterations(worker, events):
    """Returns the iterations of the states that were sent once all events are over."""
    worker.run(f"({events}, 0)")
    return worker.run("sent.map((message) => message.type === 'state' ? message.iteration : message.type)")


def test_the_worker_trains_between_messages_to_the_end(worker):
    assert iterations(worker, "say({type: 'start', options, every: 50}), tick(), tick(), tick(), tick()") == [
        0,
        5,
        10,
        12,
    ]
    last = worker.run("sent[sent.length - 1]")
    assert last["finished"]
    assert last["seconds"] == pytest.approx(0.12)
    assert last["losses"]["generatorLoss"] > 0
    assert len(last["densities"]["pG"]) == 200


def test_the_worker_pauses_and_goes_on(worker):
    started = "say({type: 'start', options, every: 50}), tick()"
    assert iterations(worker, f"{started}, say({{type: 'pause'}}), tick(), tick()") == [0, 5]
    assert iterations(worker, "say({type: 'resume'}), tick()") == [0, 5, 10]


def test_a_start_replaces_what_trains_and_a_failure_is_told(worker):
    start = "say({type: 'start', options, every: 50})"
    assert iterations(worker, f"{start}, tick(), {start}, tick()") == [0, 5, 0, 5]
    wrong = "say({type: 'start', options: {...options, k: 0}, every: 50})"
    assert iterations(worker, f"{wrong}, tick(), say({{type: 'resume'}}), tick()") == [0, 5, 0, 5, "error"]
    assert "k cannot be 0" in worker.run("sent[sent.length - 1].message")


# Each comparison above fails for a formula that is wrong.

tanh_gradients = functools.partial(
    test_gradients_of_both_losses_are_tensorflows, generator_loss="minimax", activation="tanh"
)


@pytest.mark.parametrize(
    ("test", "right", "wrong"),
    [
        (test_base64_gives_back_bytes_of_every_length, "word >> 8", "word >> 7"),
        (test_float16_is_what_numpy_reads_in_all_its_finite_values, "fraction * 2 ** -24", "fraction * 2 ** -25"),
        (test_float16_is_what_numpy_reads_in_all_its_finite_values, "(exponent - 15)", "(exponent - 16)"),
        (test_float32_is_read_bit_for_bit, "getFloat32(offset, true)", "getFloat32(offset, false)"),
        (test_forward_of_the_lectures_autoencoder_is_keras_own, "d += kernel", "d -= kernel"),
        (test_int8_weights_stay_within_half_a_step_of_the_true_ones, "Math.floor(i / layer.inputs)", "0"),
        (test_two_linear_networks_are_pca, "[bias[output], 0, 0, 0]", "[0, 0, 0, 0]"),
        (test_the_logistic_function_and_its_logarithm_stay_finite, "if (x >= 0) return 1 / (1 + Math.exp(-x));", ""),
        (test_the_logistic_function_and_its_logarithm_stay_finite, "Math.max(x, 0) + Math.log1p", "Math.log1p"),
        (test_squared_error_is_the_packages, "(x[i] - y[i]) ** 2", "Math.abs(x[i] - y[i])"),
        (test_bernoulli_log_prob_is_the_packages_and_finite_at_extreme_logits, "- x * logit", "- (1 - x) * logit"),
        (
            test_bernoulli_log_prob_is_the_packages_and_finite_at_extreme_logits,
            "Math.exp(-Math.abs(logit))",
            "Math.exp(logit)",
        ),
        (test_kl_divergence_is_the_packages_and_zero_at_the_prior, "- zLogVar[j]", "- 2 * zLogVar[j]"),
        (
            test_kl_divergence_is_the_packages_and_zero_at_the_prior,
            "Math.expm1(zLogVar[j])",
            "Math.exp(zLogVar[j]) - 1",
        ),
        (test_softmax_is_tensorflows_and_adds_up_to_one, "Math.exp(logit - largest)", "Math.exp(logit)"),
        (test_elbo_terms_are_the_packages_for_the_same_noise, "Math.exp(0.5 * zLogVar[j])", "Math.exp(zLogVar[j])"),
        (
            test_elbo_terms_are_the_packages_for_the_same_noise,
            "-bernoulliLogProb(x, logits)",
            "bernoulliLogProb(x, logits)",
        ),
        (
            test_the_ellipse_holds_the_share_of_the_posterior_that_its_radius_says,
            "Math.exp(0.5 * logVar[axis])",
            "Math.exp(logVar[axis])",
        ),
        (test_the_anomaly_score_is_the_recipes_and_its_heat_adds_up_to_it, "Math.max(ink, 1)", "x.length"),
        (test_random_bits_are_xoshiros_own, "rotate(s[3], 11)", "rotate(s[3], 12)"),
        (test_random_numbers_are_a_function_of_the_seed, "let word = (seed + ", "let word = ("),
        (test_uniform_draws_fill_the_interval_evenly, "(bits() >>> 8)", "(bits() >>> 9)"),
        (test_normal_draws_have_the_moments_of_the_normal_distribution, "Math.sqrt(-2 *", "Math.sqrt(-2.1 *"),
        (
            test_normal_draws_have_the_moments_of_the_normal_distribution,
            "radius * Math.sin(angle)",
            "radius * Math.cos(angle)",
        ),
        (test_whole_draws_are_equally_frequent, "Math.floor(uniform() * n)", "Math.round(uniform() * (n - 1))"),
        (
            test_straight_interpolation_runs_from_one_end_to_the_other,
            "combine(a, 1 - t, b, t)",
            "combine(a, t, b, 1 - t)",
        ),
        (
            test_spherical_interpolation_turns_by_equal_angles_and_keeps_the_norm,
            "const angle = Math.acos(cosine)",
            "const angle = Math.acos(cosine) / 2",
        ),
        (
            test_spherical_interpolation_is_straight_where_there_is_no_circle,
            "if (!(Math.abs(cosine) < 1 - 1e-9)) return interpolate(a, b, t);",
            "",
        ),
        (
            test_a_drawing_is_centred_as_an_integral_image_and_scipy_have_it,
            "Math.min(i + 1, start + length) - Math.max(i, start)",
            "1",
        ),
        (
            test_a_centred_drawing_has_mnists_box_and_centre_and_stays,
            "DIGIT_SIZE / 2 - centre",
            "DIGIT_SIZE / 2 - 1.5 - centre",
        ),
        (
            test_place_and_size_of_a_drawing_make_no_difference,
            "Math.max(box.bottom - box.top, box.right - box.left)",
            "Math.max(box.bottom, box.right)",
        ),
        (
            test_no_ink_is_cut_off_where_the_centre_of_mass_is_at_an_edge,
            "Math.min(Math.max(shift, -first), DIGIT_SIZE - end)",
            "shift",
        ),
        (tanh_gradients, "1 - y[i] * y[i]", "1 - y[i]"),
        (tanh_gradients, "slope: (logit) => -sigmoid(logit)", "slope: (logit) => -sigmoid(-logit)"),
        (tanh_gradients, "value: softplus, slope: sigmoid", "value: softplus, slope: (logit) => -sigmoid(logit)"),
        (
            test_losses_and_gradients_stay_finite_at_extreme_logits,
            "value: (logit) => -softplus(logit)",
            "value: (logit) => -Math.log(1 + Math.exp(logit))",
        ),
        (test_adams_constants_are_keras_defaults, "beta2: 0.999", "beta2: 0.99"),
        (test_steps_of_adam_are_keras_own, "epsilon: 1e-7", "epsilon: 1e-8"),
        (test_steps_of_adam_are_keras_own, "1 - beta1 ** adam.step", "1 - beta1"),
        (
            test_an_iteration_is_k_updates_of_the_discriminator_and_then_one_of_the_generator,
            "j < k; j++",
            "j < 1; j++",
        ),
        (test_rates_fall_along_keras_cosine, "(Math.PI * Math.min(", "(2 * Math.PI * Math.min("),
        (
            test_the_optimal_discriminator_and_the_divergence_are_the_packages,
            "? p / (p + pG[i])",
            "? pG[i] / (p + pG[i])",
        ),
        (
            test_the_optimal_discriminator_and_the_divergence_are_the_packages,
            "Math.log((2 * a) / (a + b))",
            "Math.log(a / (a + b))",
        ),
        (test_the_datas_histogram_is_the_packages, "4 * density(", "3 * density("),
        (
            test_the_generated_density_is_the_histogram_of_a_million_samples,
            "normalMasses(z, 0, 1)",
            "normalMasses(z, 0, 1.02)",
        ),
        (test_what_lies_beyond_the_bins_is_in_the_outermost_ones, "Math.min(Math.max(place, 0), bins)", "place"),
    ],
)
def test_a_wrong_formula_fails(test, right, wrong):
    with pytest.raises(AssertionError):
        test(Page((right, wrong)))
