"""The stacked autoencoder 784-300-150-300-784 (A5), trained on the squared error of A4.

The linear floor beside it is PCA with as many components as the code has units. A second network has greedy layer-wise
pre-training under the same number of epochs in all.

Source: the lecture gives the widths and the squared error; no paper reports a number for this network. PCA with 30
components is checked against Hinton & Salakhutdinov 2006.
Differs:
- The code layer is linear, the other hidden layers are ReLU, and the output is a sigmoid; the lecture leaves them open.
- The optimizer's rate falls to 0 along a cosine. It is Adam's, with preset paper Muon's.
- The layer-wise pre-training trains autoencoders of one hidden layer, as Bengio et al. 2007 do, where Hinton &
  Salakhutdinov 2006 train restricted Boltzmann machines. Both networks pass through the training images equally often
  in all, with preset quick 40 epochs end to end, or 10 for each of two layers and 20 end to end. The work of an epoch
  is not equal: it is less on a layer alone.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import (
    Activation,
    AutoencoderUnits,
    Count,
    Fraction,
    Optimizer,
    Positive,
    Precision,
    Published,
    Recipe,
    check_at_most,
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """The lecture fixes the widths only.

    Chosen on the validation images for preset paper: after 20 epochs Muon leaves a squared error of 0.80 with batches
    of 256 and a rate of 3e-3, and of 0.88 with 1e-2; GELU units leave as much as ReLU. With batches of 1,024 and 5e-3
    it leaves 0.77 after 30 epochs, which take less time. Adam leaves 1.29 after 40 epochs. No run of these is kept.

    Attributes:
        hidden_units: widths of the hidden layers; the middle one is the code.
        activation: of the hidden layers.
        code_activation: of the code.
        batch_size: images of an update.
        optimizer: of both networks end to end. Muon moves a layer's weights by the nearest orthogonal matrix to their
            gradient's moving average, which costs products of its own and takes far fewer epochs (Jordan et al. 2024).
        learning_rate: at the beginning; it falls to 0 along a cosine over the whole training.
        pca_components: of the PCAs beside the network.
        pretraining_share: share of `epochs` that each of the layers is trained by itself in a second network, which is
            trained end to end for the epochs that remain; 0 leaves that network out.
        pretraining_learning_rate: on the validation images 1e-3 suits a layer by itself better than 3e-3 (squared error
            1.73 and 5.44 after ten epochs on pixels), and the whole network ends about alike (1.15 and 1.13).
        dead_threshold: a unit of the code counts as near-dead below this fraction of the median standard deviation.
        precision: Keras dtype policy of the training; evaluated and exported in float32.
    """

    hidden_units: AutoencoderUnits = (300, 150, 300)
    activation: Activation = "relu"
    code_activation: Activation = "linear"
    batch_size: Count = 128
    optimizer: Optimizer = "adam"
    learning_rate: Positive = 1e-3
    pca_components: tuple[Count, ...] = (30, 150)
    pretraining_share: Fraction = 0.25
    pretraining_learning_rate: Positive = 1e-3
    dead_threshold: Fraction = 0.01
    precision: Precision = "float32"

    def __post_init__(self):
        super().__post_init__()
        if self.pretraining_share and self.hidden_units != self.hidden_units[::-1]:
            raise InputError(
                f"layer-wise pre-training needs a decoder that mirrors the encoder, got hidden_units "
                f"{self.hidden_units}; or set pretraining_share=0"
            )
        if not self.pretraining_share * (len(self.hidden_units) // 2 + 1) < 1:
            raise InputError(f"pretraining_share {self.pretraining_share} of each layer leaves no epoch end to end")

    def check(self, data):
        super().check(data)
        # PCA stands beside the code with as many components.
        width = self.hidden_units[len(self.hidden_units) // 2]
        bound = min(len(data.train) + len(data.validation), data.pixels)
        meaning = f"the number of pixels of {data.name}, or of its training and validation images"
        check_at_most("the code's width in hidden_units", width, bound, meaning)


RECIPE = Recipe(
    title="Stacked autoencoder 784-300-150-300-784, squared error, beside PCA with as many components",
    lecture_items=("A2", "A4", "A5"),
    headline=(
        "test_squared_error",
        "test_squared_error__pretrained",
        "pca_squared_error__150",
        "pca_squared_error__30",
    ),
    presets={
        "smoke": Config(epochs=1),
        "quick": Config(epochs=40),
        "paper": Config(epochs=150, batch_size=1024, optimizer="muon", learning_rate=5e-3),
    },
    published={"pca_squared_error__30": Published(13.87, "Hinton & Salakhutdinov 2006, figure 2B")},
    any_images=True,
    needs_labels=False,
)


def experiment(run):
    from tfgen import figures, losses
    from tfgen.data.batches import Batches, pairs, scale
    from tfgen.evaluation.pca import fit_pca, linear_networks
    from tfgen.models import autoencoder
    from tfgen.models.networks import in_float32
    from tfgen.training.autoencoder import measure_pca, measure_squared_error, pixels_for_pca
    from tfgen.training.run import predict

    config, data = run.config, run.data
    validation, test = (scale(split.images).numpy() for split in (data.validation, data.test))

    def network(dtype):
        return autoencoder.stacked_autoencoder(
            data.pixels, config.hidden_units, config.activation, config.code_activation, dtype
        )

    run.set_random_seed()
    model = network(config.precision)
    batches = Batches(data.train.images, config.batch_size, run.seed, transform=pairs)
    model.compile(
        _optimizer(run, batches),
        loss=losses.squared_error,
        **run.compile_options(batches, config.precision),
    )
    history = run.fit(model, batches, (validation, validation))
    model = in_float32(network, model)

    reconstruction = measure_squared_error(run, "test_squared_error", model, test, test)
    for components in config.pca_components:
        measure_pca(run, components)
    title = f"Stacked autoencoder, squared error {run.metrics['test_squared_error']['value']:.2f} a test image"
    run.figure(
        "reconstructions", figures.reconstructions(data.pictures(test[:16]), data.pictures(reconstruction[:16]), title)
    )
    code = predict(model.get_layer("encoder"), test)
    pca = fit_pca(pixels_for_pca(data), code.shape[1])
    _describe_code(run, code, pca.transform(test))
    run.export(autoencoder.endpoints(model))
    run.keep_networks({**autoencoder.parts(model), **linear_networks(pca)})

    panels = [("Squared error, trained end to end", "per image", ["loss", "val_loss"])]
    if config.pretraining_share:
        curves = {"end to end": history["val_loss"], **_pretrained(run, network, test, validation)}
        panels.append(("Squared error of the validation images", "per image", list(curves)))
        history = {**history, **curves}
    run.figure("training", figures.curves(history, panels, log=True))


def _optimizer(run, batches, epochs=None):
    """Returns the optimizer of a training end to end: neither decays the weights."""
    import keras

    rate = run.decaying_rate(run.config.learning_rate, batches, epochs)
    if run.config.optimizer == "muon":
        return keras.optimizers.Muon(rate, weight_decay=None, adam_weight_decay=None)
    return keras.optimizers.Adam(rate)


def _describe_code(run, code, pca_code):
    """Records how the units of the code vary over the test images, and draws it beside as many components of PCA."""
    import numpy as np

    from tfgen import figures
    from tfgen.evaluation.codes import covariance_spectrum, near_dead_fraction, participation_ratio

    n, dim = code.shape
    mean, standard_deviation = np.mean(code, axis=0), np.std(code, axis=0)
    threshold = run.config.dead_threshold
    run.metric("code_mean", np.mean(np.abs(mean)), "|mean| of a unit of the code, averaged over units", "test", n)
    unit = "standard deviation of a unit of the code, averaged over units"
    run.metric("code_standard_deviation", np.mean(standard_deviation), unit, "test", n)
    unit = f"share of units below {threshold:g} of the median standard deviation"
    run.metric("code_near_dead_share", near_dead_fraction(code, threshold), unit, "test", n)
    spectra = {}
    for name, label, codes in (
        ("code", "code of the stacked autoencoder", code),
        (f"pca_{dim}", f"{dim} principal components", pca_code),
    ):
        eigenvalues = covariance_spectrum(codes)
        value = participation_ratio(eigenvalues)
        run.metric(f"participation_ratio__{name}", value, f"effective dimensions of {dim}", "test", n)
        spectra[f"{label}: participation ratio {value:.1f}"] = eigenvalues
    title = f"The code's {dim} units over the {n:,} test images"
    run.figure("code_statistics", figures.code_statistics(spectra, mean, standard_deviation, title))


def _pretrained(run, network, test, validation):
    """Trains the network again, from layers that were trained one by one, and records its test errors.

    Returns:
        dict from a curve's name to validation errors, one an epoch, NaN before the curve's first epoch.
    """
    import numpy as np

    from tfgen import losses
    from tfgen.data.batches import Batches, pairs
    from tfgen.models import autoencoder
    from tfgen.models.networks import in_float32
    from tfgen.training.autoencoder import measure_squared_error
    from tfgen.training.pretraining import pretrain_layers, pretraining_epochs

    config, data = run.config, run.data
    encoder_units = config.hidden_units[: len(config.hidden_units) // 2 + 1]
    each, together = pretraining_epochs(config.epochs, config.pretraining_share, len(encoder_units))
    layers, histories = pretrain_layers(run, encoder_units, each)

    run.set_random_seed("pretrained")
    model = network(config.precision)
    autoencoder.stack(model, layers)
    stages = f"{len(layers)} layers of {each} epochs each"
    measure_squared_error(run, "test_squared_error__layerwise", in_float32(network, model), test, test, stages)

    batches = Batches(data.train.images, config.batch_size, run.seed, transform=pairs)
    model.compile(
        _optimizer(run, batches, together),
        loss=losses.squared_error,
        **run.compile_options(batches, config.precision),
    )
    history = run.fit(model, batches, (validation, validation), "pretrained", together)
    stages = f"{stages}, then {together} end to end"
    measure_squared_error(run, "test_squared_error__pretrained", in_float32(network, model), test, test, stages)
    return {
        f"layer 1 by itself, {data.pixels}-{encoder_units[0]}-{data.pixels}": histories[0]["val_loss"],
        "pre-trained, then end to end": [np.nan] * (len(layers) * each) + history["val_loss"],
    }
