"""Protocols without their trainings: the published experiments, the classifier of samples, the products' precision."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfgen.lecture import part_d, published

from tfgen import cli, datasets
from tfgen.checks import check_run
from tfgen.distributions import Draw, stateless_seed
from tfgen.errors import InputError
from tfgen.experiment import EXPERIMENTS, Run, check_request
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE, ImportanceWeightedVAE
from tfgen.recipes import RECIPES


class Trained(BaseException):
    """Ends a recipe's function after its first training."""


class Untrained(Run):
    """A run whose trainings move every weight by 1/8192 and do nothing else; it keeps what each was given."""

    def __init__(self, name, config, data, directory):
        request = {"seed": 0, "deterministic": False}
        super().__init__(directory, RECIPES[name], config, data, request, tensorboard=False)
        self.fitted = []
        self.exported = None

    def fit(self, build, batches, batch_size, validation, on_epoch_end=None, name=None, epochs=None):
        keras.utils.set_random_seed(len(self.fitted))
        model = build()
        fitted = {
            "model": model,
            "initial": model.get_weights(),
            "batches": batches,
            "batch_size": batch_size,
            "validation": validation,
            "name": name,
            "epochs": epochs,
        }
        self.fitted.append(fitted)
        model.set_weights([weight + np.float32(1 / 8192) for weight in fitted["initial"]])
        if isinstance(model, GAN) and averages_of(model):
            for average, weight in zip(averages_of(model), model.generator.trainable_variables, strict=True):
                average.assign(weight + np.float32(1 / 8192))
        if on_epoch_end:
            for epoch in range(1, (epochs or self.config.epochs) + 1):
                on_epoch_end(model, epoch)
        return model, None

    def needed(self, name, load):
        """Reads no other run."""

    def metric(self, name, value, *rest, **details):
        self.metrics[name] = float(value)

    def figure(self, name, figure):
        pass

    def export(self, endpoints):
        self.exported = endpoints


def averages_of(gan):
    """Returns the variables that hold the moving averages of the generator's weights."""
    return [variable for variable in gan.generator_optimizer.variables if variable.name.endswith("_average")]


def untrained(name, digits, directory, until_trained=False, **changed):
    """Returns the `Untrained` run of a recipe's smallest preset, as far as its first training or to its end."""
    config = dataclasses.replace(RECIPES[name].presets["smoke"], **changed)
    run = Untrained(name, config, digits, directory)
    if until_trained:
        fit = run.fit

        def fit_once(*arguments, **options):
            fit(*arguments, **options)
            raise Trained

        run.fit = fit_once
        with pytest.raises(Trained):
            EXPERIMENTS[name](run)
    else:
        EXPERIMENTS[name](run)
    return run


def logits_of_the_mean(images):
    """Returns the logits of the mean image in float64, each pixel clipped to [.001, .999]."""
    mean = np.clip(images.astype(np.float64).mean(axis=0) / 255, 0.001, 0.999)
    return np.log(mean / (1 - mean))


STAGES = ((1, 0.5, 2e-3), (2, 0.3, 1e-3), (5, 0.2, 4e-3))


@pytest.fixture(scope="module")
def burda(digits, tmp_path_factory):
    """Three stages of a small network, ten epochs in all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "draw_training", lambda *arguments: None)
        return untrained(
            "iwae-burda",
            digits,
            tmp_path_factory.mktemp("run"),
            epochs=10,
            stages=STAGES,
            latent_dim=3,
            hidden_units=(8,),
            epsilon=3e-6,
            nll_samples=2,
        )


def test_the_first_stage_of_burda_s_network_begins_at_the_mean_image(burda, digits):
    first = burda.fitted[0]["initial"]
    expected = logits_of_the_mean(digits.train.images)
    (bias,) = (weight for weight in first if weight.shape == (784,))
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() == pytest.approx(np.log(999))  # some pixels are clipped
    # Wrong: the mean of images that the training does not see.
    assert np.abs(bias - logits_of_the_mean(digits.test.images)).max() > 0.1


def test_every_stage_of_burda_s_network_begins_with_the_weights_of_the_one_before(burda):
    for earlier, later in itertools.pairwise(burda.fitted):
        for a, b in zip(earlier["model"].get_weights(), later["initial"], strict=True):
            np.testing.assert_array_equal(a, b)
        # Wrong: the weights that the one before began with.
        assert all(np.any(a != b) for a, b in zip(earlier["initial"], later["initial"], strict=True))


def test_every_stage_of_burda_s_network_has_its_samples_epochs_rate_and_name(burda, digits):
    assert [fitted["epochs"] for fitted in burda.fitted] == [5, 3, 2]
    assert [fitted["name"] for fitted in burda.fitted] == ["k1", "k2", None]
    assert [type(fitted["model"]) for fitted in burda.fitted] == [VAE, ImportanceWeightedVAE, ImportanceWeightedVAE]
    assert [fitted["model"].num_samples for fitted in burda.fitted[1:]] == [2, 5]
    for fitted, (_, _, rate) in zip(burda.fitted, STAGES, strict=True):
        optimizer, steps = fitted["model"].optimizer, fitted["epochs"] * burda.steps_per_epoch(100)
        assert isinstance(optimizer, keras.optimizers.Adam) and optimizer.epsilon == 3e-6
        # Along a cosine: half of the rate in the middle of the stage, nothing at its end.
        for iteration, expected in ((0, rate), (steps // 2, rate / 2), (steps, 0)):
            optimizer.iterations.assign(iteration)
            assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_the_epochs_of_the_stages_add_up_to_those_asked_for():
    paper = RECIPES["iwae-burda"].presets["paper"]
    assert paper.stage_epochs() == [510, 90] and sum(paper.stage_epochs()) == paper.epochs
    for epochs in (4, 7, 33, 599):
        counts = dataclasses.replace(paper, epochs=epochs).stage_epochs()
        assert sum(counts) == epochs and min(counts) >= 1
    with pytest.raises(InputError, match="1 epochs leave none for one of 2 stages; raise --epochs"):
        dataclasses.replace(paper, epochs=1)


def test_burda_s_network_is_trained_on_pixels_drawn_anew_and_judged_on_pixels_drawn_once(burda, digits):
    once = datasets.fixed_binarization(digits.validation.images, number=1).numpy()
    for fitted in burda.fitted:
        batch = next(iter(fitted["batches"](0))).numpy()
        assert batch.shape == (100, 784) and set(np.unique(batch)) == {0, 1}
        (validation,) = fitted["validation"]
        np.testing.assert_array_equal(validation, once)


def test_the_30_d_autoencoder_reproduces_images_moved_by_a_pixel_at_most(digits, tmp_path):
    run = untrained("autoencoder-30d", digits, tmp_path, until_trained=True, hidden_units=(8, 2, 8))
    (fitted,) = run.fitted
    inputs, targets = (batch.numpy() for batch in next(iter(fitted["batches"](3))))
    np.testing.assert_array_equal(inputs, targets)
    plain = datasets.training_batches(digits.train.images, run.config.batch_size, run.seed, first_step=3)
    plain = next(iter(plain)).numpy().reshape(-1, 28, 28)
    padded = np.pad(plain, ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, y : y + 28, x : x + 28].reshape(-1, 784) for y in range(3) for x in range(3)]
    chosen = [np.all(inputs == candidate, axis=1) for candidate in moved]
    # Every image is one of its nine neighbours, and each of the nine is taken by about a ninth of them.
    assert np.any(chosen, axis=0).all()
    assert np.mean(chosen, axis=1) == pytest.approx(1 / 9, abs=0.1)
    for images in fitted["validation"]:
        np.testing.assert_array_equal(images, digits.validation.images / np.float32(255))


@pytest.fixture(scope="module")
def goodfellow(digits, tmp_path_factory):
    """From the precision to the run, up to its training."""
    sizes = {"generator_units": (8,), "discriminator_units": (4,), "pieces": 2}
    return {
        precision: untrained(
            "gan-goodfellow", digits, tmp_path_factory.mktemp("run"), until_trained=True, precision=precision, **sizes
        )
        for precision in ("float32", "mixed_bfloat16")
    }


def test_goodfellow_s_rate_is_divided_by_1_000004_at_every_update(goodfellow):
    model = goodfellow["float32"].fitted[0]["model"]
    naive = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 1 / 1.000004)
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        for updates in (0, 1_000, 1_000_000):
            optimizer.iterations.assign(updates)
            expected = 0.1 / 1.000004**updates
            assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-4)
        # Wrong: the power of a number as near to 1 as float32 comes.
        assert float(naive(updates)) != pytest.approx(expected, rel=1e-3)


def test_goodfellow_s_momentum_rises_for_250_epochs(goodfellow):
    run = goodfellow["float32"]
    last = 250 * run.steps_per_epoch(100)
    for name in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = getattr(run.fitted[0]["model"], name)
        for iteration, expected in ((0, 0.5), (last // 2, 0.6), (last, 0.7), (2 * last, 0.7)):
            optimizer.iterations.assign(iteration)
            assert float(optimizer.current_momentum()) == pytest.approx(expected)
        optimizer.iterations.assign(last - last // 250)
        assert float(optimizer.current_momentum()) == pytest.approx(0.7 - 0.2 / 250)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_goodfellow_s_generator_begins_at_the_mean_image(goodfellow, digits, precision):
    fitted = goodfellow[precision].fitted[0]
    (bias,) = (weight for weight in fitted["initial"] if weight.shape == (784,))
    np.testing.assert_allclose(bias, logits_of_the_mean(digits.train.images), rtol=1e-4, atol=1e-5)
    batch = next(iter(fitted["batches"](0))).numpy()
    assert batch.shape == (100, 784) and len(np.unique(batch)) > 2  # grey, as in the paper


@pytest.fixture(scope="module")
def classifier(digits, tmp_path_factory):
    """The run of `digit-classifier` up to its training."""
    return untrained("digit-classifier", digits, tmp_path_factory.mktemp("run"), until_trained=True, filters=(2, 2))


def moves(shifted, images, distance=2):
    """Returns by how many rows and columns each image was moved, or fails if one is not such a move of its own."""
    found = []
    for one, image in zip(shifted.reshape(-1, 28, 28), images.reshape(-1, 28, 28), strict=True):
        padded = np.pad(image, distance)
        offsets = itertools.product(range(2 * distance + 1), repeat=2)
        found.append(next((i, j) for i, j in offsets if np.array_equal(padded[i : i + 28, j : j + 28], one)))
    return found


def test_the_classifier_sees_every_training_image_moved_anew_under_its_own_label(classifier, digits):
    shifted = [tuple(part.numpy() for part in batch) for batch in classifier.fitted[0]["batches"](0).take(3)]
    plain = datasets.training_batches(digits.train.images, 128, 0, labels=digits.train.labels)
    of_batches = []
    for (images, labels), (true, true_labels) in zip(shifted, plain.take(3).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(labels, true_labels)
        of_batches.append(moves(images, true))
    assert set(itertools.chain(*of_batches)) == set(itertools.product(range(5), repeat=2))
    # Wrong: the same draw in every step.
    assert of_batches[0] != of_batches[1] != of_batches[2]


def test_a_resumed_classifier_sees_the_batches_that_are_left(classifier):
    batches = classifier.fitted[0]["batches"]
    whole = [[part.numpy() for part in batch] for batch in batches(0).take(5)]
    for k in (1, 3):
        for part, expected in zip(next(iter(batches(k))), whole[k], strict=True):
            np.testing.assert_array_equal(part.numpy(), expected)
    assert np.any(whole[1][0] != whole[0][0])


def test_the_classifier_is_judged_on_validation_images_that_are_not_moved(classifier, digits):
    images, labels = classifier.fitted[0]["validation"]
    np.testing.assert_allclose(images, digits.validation.images / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, digits.validation.labels)


# From a recipe that has a choice of precision to a signature of its model, the output, its inputs' width and what it is
# of the model that was trained.
WITH_A_CHOICE = {
    "stacked-autoencoder": ("reconstruct", "reconstruction", 784, lambda model: model),
    "autoencoder-30d": ("reconstruct", "reconstruction", 784, lambda model: model),
    "digit-classifier": ("classify", "logits", 784, lambda model: model),
    "gan": ("generate_from_z", "image", 100, lambda model: model.generator),
    "gan-goodfellow": ("generate_from_z", "image", 100, lambda model: model.generator),
}


def test_a_precision_that_there_is_not_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"^unknown precision 'float16'; choose one of float32, mixed_bfloat16$"):
        check_run(["gan"], "smoke", tmp_path, 0, None, "float16", False)


def test_a_recipe_without_a_choice_refuses_any_precision_and_names_those_with_one(tmp_path, capsys):
    for precision in ("float32", "mixed_bfloat16"):
        with pytest.raises(InputError, match=r"^vae trains in float32 only; --precision is for ") as refused:
            check_run(["gan", "vae"], "smoke", tmp_path, 0, None, precision, False)
        assert set(str(refused.value).split(" is for ")[1].split(", ")) == set(WITH_A_CHOICE)
    check_run(["gan", "vae"], "smoke", tmp_path, 0, None, None, False)
    arguments = ["run", "vae", "--precision", "mixed_bfloat16", "--output-dir", str(tmp_path / "runs")]
    assert cli.main(arguments) == 2
    assert "vae trains in float32 only" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_the_precision_asked_for_is_that_of_the_run_and_else_the_recipe_s(name, digits, tmp_path):
    for asked in ("float32", "mixed_bfloat16", None):
        expected = asked or RECIPES[name].presets["smoke"].precision
        config, request = check_request(name, digits, "smoke", tmp_path, 0, None, asked, False, False)
        assert config.precision == request["precision"] == expected


@pytest.mark.parametrize("name", ["gan", "gan-goodfellow"])
def test_averaged_weights_are_exported_and_measured_beside_the_last(name, digits, tmp_path, monkeypatch):
    measured = {}

    def measure_samples(run, judge, samples, suffix=""):
        measured[suffix] = samples
        return np.full(10, 0.1)

    monkeypatch.setattr(part_d, "measure_samples", measure_samples)
    monkeypatch.setattr(part_d, "measure_baselines", lambda *arguments: None)
    monkeypatch.setattr("tfgen.figures.curves", lambda *arguments, **options: None)
    monkeypatch.setattr("tfgen.figures.gif", lambda frames: b"")
    sizes = {"generator_units": (8,), "discriminator_units": (4,), "precision": "float32"}
    (tmp_path / "figures").mkdir()
    run = untrained(name, digits, tmp_path, num_samples=50, **sizes)
    fitted = run.fitted[0]
    generator, discriminator = fitted["model"].generator, fitted["model"].discriminator

    z = fitted["model"].sample_noise((50, 100), stateless_seed(0, Draw.SAMPLE, 1))
    last = [weight + np.float32(1 / 8192) for weight in fitted["initial"]]
    generator.set_weights(last[: len(generator.weights)])
    of_last = generator(z).numpy()
    generator.set_weights([weight + np.float32(1 / 8192) for weight in generator.get_weights()])
    of_averages = generator(z).numpy()
    assert set(measured) == {"", "__averaged_weights"}
    np.testing.assert_allclose(measured[""], of_last, rtol=1e-5)
    np.testing.assert_allclose(measured["__averaged_weights"], of_averages, rtol=1e-5)
    assert np.abs(of_averages - of_last).max() > 1e-4
    exported = {name: function for name, (function, _) in run.exported.items()}
    np.testing.assert_allclose(exported["generate_from_z"](z)["image"], of_averages, rtol=1e-5)
    x = datasets.scale(digits.test.images[:9])
    np.testing.assert_allclose(exported["discriminate"](x)["logit"], discriminator(x), rtol=1e-5, atol=1e-6)


def layers_with_weights(layer):
    """Returns the layers below one that have weights and no layers of their own."""
    inner = getattr(layer, "layers", [])
    return [one for part in inner for one in layers_with_weights(part)] if inner else [layer] * bool(layer.weights)


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_bfloat16_is_of_the_products_alone_and_goes_without_xla(name, digits, tmp_path):
    for precision, computed, compiled in (("mixed_bfloat16", "bfloat16", False), ("float32", "float32", True)):
        run = untrained(name, digits, tmp_path / precision, until_trained=True, precision=precision)
        model = run.fitted[0]["model"]
        layers = layers_with_weights(model)
        assert len(layers) >= 4
        # The last layer's logits stay exact: a loss is made of them.
        hidden = [layer for layer in layers if layer.name not in ("logit", "logits")]
        assert {layer.compute_dtype for layer in hidden} == {computed}
        assert {layer.compute_dtype for layer in layers if layer not in hidden} <= {"float32"}
        assert {weight.dtype for weight in model.weights} == {"float32"}
        assert model.jit_compile is compiled


@pytest.mark.parametrize("name", WITH_A_CHOICE)
def test_what_was_trained_in_bfloat16_is_measured_and_exported_in_float32(name, digits, tmp_path, monkeypatch):
    measured = []

    def measure_samples(run, judge, samples, suffix=""):
        measured.append(samples)
        return np.full(10, 0.1)

    monkeypatch.setattr(part_d, "measure_samples", measure_samples)
    monkeypatch.setattr(part_d, "measure_baselines", lambda *arguments: None)
    monkeypatch.setattr("tfgen.figures.curves", lambda *arguments, **options: None)
    monkeypatch.setattr("tfgen.figures.gif", lambda frames: b"")
    # One network is enough.
    changed = {"pretraining_share": 0} if name == "stacked-autoencoder" else {}
    (tmp_path / "runs" / "figures").mkdir(parents=True)
    run = untrained(name, digits, tmp_path / "runs", precision="mixed_bfloat16", **changed)
    trained = run.fitted[0]["model"]
    exact = untrained(name, digits, tmp_path, until_trained=True, precision="float32", **changed).fitted[0]["model"]
    exact.set_weights(trained.get_weights())

    signature, output, width, network = WITH_A_CHOICE[name]
    function, _ = run.exported[signature]
    x = digits.test.images / np.float32(255) if width == 784 else np.random.default_rng(0).uniform(-1, 1, (50, width))
    x = tf.constant(x, tf.float32)
    expected, rounded = (tf.cast(network(model)(x), tf.float32).numpy() for model in (exact, trained))
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
        recorded = run.metrics["test_squared_error" if output == "reconstruction" else "test_error"]
        assert recorded == pytest.approx(measure(expected), rel=1e-5)
    for samples in measured:
        assert np.any(samples != tf.cast(tf.cast(samples, tf.bfloat16), tf.float32).numpy())
