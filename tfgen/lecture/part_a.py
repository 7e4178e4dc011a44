"""Part A of the lecture: autoencoders."""

import functools
import itertools

import numpy as np
import tensorflow as tf

from tfgen import corruption, datasets, figures, losses
from tfgen.distributions import Draw, stateless_seed
from tfgen.evaluation.clustering import clustering_accuracy, kmeans, normalized_mutual_information
from tfgen.evaluation.codes import code_shift, covariance_spectrum, near_dead_share, participation_ratio
from tfgen.evaluation.knn import knn_error
from tfgen.evaluation.pca import fit_pca, pca_squared_error
from tfgen.models import autoencoder
from tfgen.models.networks import in_float32

SQUARED_ERROR = "squared error per image, sum over 784 pixels"


def shallow_autoencoder(run):
    """A3, A4: one hidden layer, s = ReLU or sigmoid, W' free or W' = W^T, beside PCA with as many components."""
    config, data = run.config, run.data
    test = datasets.scale(data.test.images).numpy()
    rates = dict(zip(config.activations, config.learning_rates, strict=True))
    variants = [(activation, tied) for activation in config.activations for tied in (False, True)]

    features, reconstructions, validation_error = {}, {}, {}
    for activation, tied in variants:
        name = f"{activation}_{'tied' if tied else 'untied'}"
        main = (activation, tied) == variants[0]
        make = functools.partial(
            autoencoder.ShallowAutoencoder, config.code_dim, datasets.PIXELS, activation, tied=tied
        )
        model, history = train_autoencoder(run, make, rates[activation], None if main else name)
        reconstruction = model.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
        value = np.mean(losses.squared_error(test, reconstruction))
        run.metric(f"test_squared_error__{name}", value, SQUARED_ERROR, "test", len(test))
        run.metric(f"parameters__{name}", model.count_params(), "trained parameters", "model", 1)
        label = name.replace("_", ", ")
        features[label] = model.kernel.numpy()
        reconstructions[label] = reconstruction[:16]
        validation_error[label] = history["val_loss"]
        if main:
            run.export(model.endpoints())

    # Nothing is chosen for PCA, so it may see all the training images.
    train = datasets.scale(np.concatenate([data.train.images, data.validation.images])).numpy()
    value = pca_squared_error(train, test, config.code_dim)
    run.metric(f"pca_squared_error__{config.code_dim}", value, SQUARED_ERROR, "test", len(test))

    title = f"One hidden layer of {config.code_dim} units"
    run.figure("features", figures.features(features, f"{title}: the rows of W, each on a scale of its own"))
    run.figure("reconstructions", figures.rows_of_images({"test image": test[:16], **reconstructions}, title))
    panel = ("Squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))


def stacked_autoencoder(run):
    """A5: trains on the squared error of A4; the floor is PCA with as many components as the code has units.

    A second network is trained layer by layer first: see `_pretrained`.
    """
    config, data = run.config, run.data
    trained, history = train_autoencoder(
        run, _stacked(config, config.precision), config.learning_rate, precision=config.precision
    )
    model = in_float32(functools.partial(autoencoder_of, config), trained)

    test = datasets.scale(data.test.images).numpy()
    reconstruction = model.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
    run.metric(
        "test_squared_error", np.mean(losses.squared_error(test, reconstruction)), SQUARED_ERROR, "test", len(test)
    )
    # Nothing is chosen for PCA, so it may see all the training images.
    train = datasets.scale(np.concatenate([data.train.images, data.validation.images])).numpy()
    for components in config.pca_components:
        value = pca_squared_error(train, test, components)
        run.metric(f"pca_squared_error__{components}", value, SQUARED_ERROR, "test", len(test))

    code = model.get_layer("encoder").predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
    pca = fit_pca(train, code.shape[1])
    _describe_code(run, code, pca.transform(test))

    run.figure("reconstructions", figures.reconstructions(test[:16], reconstruction[:16], "Stacked autoencoder"))
    run.export(autoencoder.endpoints(model))

    panels = [("Squared error, trained end to end", "per image", ["loss", "val_loss"])]
    if config.pretraining_share:
        curves = {"end to end": history["val_loss"], **_pretrained(run, test)}
        panels.append(("Squared error of the validation images", "per image", list(curves)))
        history = {**history, **curves}
    run.figure("training", figures.curves(history, panels, log=True))


def pretraining_epochs(epochs, share, layers):
    """Returns `(epochs of each layer by itself, epochs end to end)`, in all `epochs` where these are enough.

    Each is one at least, so fewer than `layers + 1` epochs in all become `layers + 1`.

    Raises:
        ValueError: if the layers' shares leave nothing for the training end to end.
    """
    if not 0 < share * layers < 1:
        raise ValueError(f"`share` of each of {layers} layers must lie between 0 and 1/{layers}; got {share}.")
    each = max(1, round(share * epochs))
    return each, max(1, epochs - layers * each)


def autoencoder_of(config, dtype=None):
    """Returns the configuration's stacked autoencoder, with random weights, of a Keras dtype policy."""
    return autoencoder.stacked_autoencoder(
        config.hidden_units, datasets.PIXELS, config.activation, config.code_activation, dtype
    )


def _stacked(config, dtype=None):
    """Returns the function that makes the configuration's stacked autoencoder, with random weights."""
    return functools.partial(autoencoder_of, config, dtype)


def _describe_code(run, code, pca_code):
    """Records how the units of the code vary over the test images, and draws it beside as many components of PCA."""
    n, dim = code.shape
    mean, standard_deviation = np.mean(code, axis=0), np.std(code, axis=0)
    threshold = run.config.dead_threshold
    run.metric("code_mean", np.mean(np.abs(mean)), "|mean| of a unit of the code, averaged over units", "test", n)
    unit = "standard deviation of a unit of the code, averaged over units"
    run.metric("code_standard_deviation", np.mean(standard_deviation), unit, "test", n)
    unit = f"share of units below {threshold:g} of the median standard deviation"
    run.metric("code_near_dead_share", near_dead_share(code, threshold), unit, "test", n)
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


def _pretrained(run, test):
    """Trains the stacked autoencoder with greedy layer-wise pre-training and records its test errors.

    Each layer is trained as an autoencoder of one hidden layer, the first one on the images, the next one on the codes
    of the one before, which no longer changes. Stacked, they are the network's initial weights, and it is trained end
    to end for the epochs that remain. Equal to the training without it: the passes through the training images, over
    all the stages; not equal: the work of an epoch, which is less on a layer alone.

    Source: Hinton & Salakhutdinov 2006; Bengio et al. 2007.
    Differs: the layers are autoencoders as in the latter, restricted Boltzmann machines in the former; they minimise
    the squared error.

    Returns:
        dict from a curve's name to validation errors, one an epoch, NaN before the curve's first epoch.
    """
    config, data = run.config, run.data
    encoder_units = config.hidden_units[: len(config.hidden_units) // 2 + 1]
    if config.hidden_units != (*encoder_units, *encoder_units[-2::-1]):
        raise ValueError(f"layer-wise pre-training needs a decoder that mirrors the encoder; got {config.hidden_units}")
    each, together = pretraining_epochs(config.epochs, config.pretraining_share, len(encoder_units))

    layers, histories = [], []
    inputs = [datasets.scale(split.images).numpy() for split in (data.train, data.validation)]
    for i, (wide, narrow) in enumerate(itertools.pairwise((datasets.PIXELS, *encoder_units)), 1):
        make = functools.partial(
            autoencoder.ShallowAutoencoder,
            narrow,
            wide,
            config.code_activation if i == len(encoder_units) else config.activation,
            "sigmoid" if i == 1 else config.activation,
        )
        layer, history = train_autoencoder(
            run, make, config.pretraining_learning_rate, f"layer_{i}", inputs=_rows(run, *inputs), epochs=each
        )
        inputs = [layer.encode(rows).numpy() for rows in inputs]
        layers.append(layer)
        histories.append(history)

    def make_stack():
        model = _stacked(config, config.precision)()
        autoencoder.stack(model, layers)
        return model

    before = in_float32(functools.partial(autoencoder_of, config), make_stack()).predict(
        test, batch_size=run.EVALUATION_BATCH, verbose=0
    )
    trained, history = train_autoencoder(
        run, make_stack, config.learning_rate, "pretrained", epochs=together, precision=config.precision
    )
    after = in_float32(functools.partial(autoencoder_of, config), trained).predict(
        test, batch_size=run.EVALUATION_BATCH, verbose=0
    )
    stages = f"{len(layers)} layers of {each} epochs each"
    for name, reconstruction, epochs in (
        ("layerwise", before, stages),
        ("pretrained", after, f"{stages}, then {together} end to end"),
    ):
        value = np.mean(losses.squared_error(test, reconstruction))
        run.metric(f"test_squared_error__{name}", value, f"{SQUARED_ERROR}; {epochs}", "test", len(test))
    return {
        f"layer 1 by itself, {datasets.PIXELS}-{encoder_units[0]}-{datasets.PIXELS}": histories[0]["val_loss"],
        "pre-trained, then end to end": [np.nan] * (len(layers) * each) + history["val_loss"],
    }


def denoising_autoencoder(run):
    """A2: the network of A5 learns to ignore noise: its input is corrupted, its target is the clean image.

    One network for each kind of noise and one that never sees any, each tested on every kind. The noise is new in each
    batch, and the same for every run on the validation and the test images.

    Source: Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders", and 2010,
    "Stacked denoising autoencoders".
    """
    config, data = run.config, run.data
    corruptions = {
        "masking": functools.partial(corruption.masking_noise, rate=config.masking_rate),
        "gaussian": functools.partial(corruption.gaussian_noise, standard_deviation=config.gaussian_standard_deviation),
        "clean": lambda images, seed: images,
    }
    labels = {
        "masking": f"masking noise, rate {config.masking_rate:g}",
        "gaussian": f"Gaussian noise, standard deviation {config.gaussian_standard_deviation:g}",
        "clean": "clean images",
    }
    validation, test = (datasets.scale(split.images) for split in (data.validation, data.test))
    inputs = {
        name: corrupt(test, seed=stateless_seed(0, Draw.FIXED_CORRUPTION, 0)).numpy()
        for name, corrupt in corruptions.items()
    }
    for name in ("masking", "gaussian"):
        value = np.mean(losses.squared_error(test, inputs[name]))
        run.metric(f"input_squared_error__{name}", value, SQUARED_ERROR, "test", len(test))

    build = compiled_once(run, _stacked(config), loss=losses.squared_error)
    reconstructed, features, validation_error = {}, {}, {}
    errors = {kind: {} for kind in inputs}
    for name, corrupt in corruptions.items():
        batches = functools.partial(corrupted_batches, run, corrupt)
        held_out = corrupt(validation, seed=stateless_seed(0, Draw.FIXED_CORRUPTION, 1)).numpy(), validation.numpy()
        main = name == "masking"
        model, history = run.fit(build, batches, config.batch_size, held_out, name=None if main else name)

        encode = model.get_layer("encoder")
        codes = {k: encode.predict(x, batch_size=run.EVALUATION_BATCH, verbose=0) for k, x in inputs.items()}
        for kind, x in inputs.items():
            reconstruction = model.predict(x, batch_size=run.EVALUATION_BATCH, verbose=0)
            reconstructed[name, kind] = reconstruction[:12]
            value = np.mean(losses.squared_error(test, reconstruction))
            run.metric(f"test_squared_error__{name}_on_{kind}", value, SQUARED_ERROR, "test", len(test))
            errors[kind][f"trained on {labels[name].split(',')[0]}"] = value
            if kind != "clean":
                unit = "squared distance that noise moves the code / the codes' variance"
                value = code_shift(codes["clean"], codes[kind])
                run.metric(f"code_shift__{name}_on_{kind}", value, unit, "test", len(test))
        features[f"trained on {labels[name]}"] = encode.layers[1].kernel.numpy()[:, :64]
        validation_error[labels[name]] = history["val_loss"]
        if main:
            run.export(autoencoder.endpoints(model))

    for kind in ("masking", "gaussian"):
        rows = {
            "test image": test[:12],
            "with noise": inputs[kind][:12],
            "plain network": reconstructed["clean", kind],
            "denoising network": reconstructed[kind, kind],
        }
        run.figure(f"denoised_{kind}", figures.rows_of_images(rows, labels[kind].capitalize()))
    title = "Squared error per test image, target: the clean image"
    # The short bars above, where the legend finds room.
    groups = {f"tested on {labels[kind]}".replace(", ", ",\n"): errors[kind] for kind in reversed(errors)}
    run.figure("errors", figures.grouped_bars(groups, title, "sum over 784 pixels"))
    title = "First layer, 64 of its units: weights, each picture on a scale of its own"
    run.figure("features", figures.features(features, title))
    panel = ("Validation images, each network on its own noise", "squared error per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel], log=True))


def clustering_autoencoder(run):
    """A7: draws the digits in the plane of the codes, and measures how far they keep apart there and in wider codes.

    No network sees a label. The neighbours that vote are training codes; k-means clusters the test codes themselves.
    """
    config, data = run.config, run.data
    train, test = (datasets.scale(split.images).numpy() for split in (data.train, data.test))

    codes, validation_error = {}, {}
    for code_dim in config.code_dims:
        main = code_dim == config.code_dims[0]
        hidden_units = tuple(width for width in config.hidden_units if width > code_dim)
        model, history = train_autoencoder(
            run,
            functools.partial(
                autoencoder.stacked_autoencoder,
                (*hidden_units, code_dim, *hidden_units[::-1]),
                datasets.PIXELS,
                config.activation,
                config.code_activation,
            ),
            config.learning_rate,
            None if main else f"{code_dim}d",
        )
        encode = model.get_layer("encoder")
        codes[f"{code_dim}d"] = [
            encode.predict(images, batch_size=run.EVALUATION_BATCH, verbose=0) for images in (train, test)
        ]
        reconstruction = model.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
        value = np.mean(losses.squared_error(test, reconstruction))
        run.metric(f"test_squared_error__{code_dim}d", value, SQUARED_ERROR, "test", len(test))
        validation_error[f"code of {code_dim}"] = history["val_loss"]
        if main:
            run.figure(
                "reconstructions", figures.reconstructions(test[:16], reconstruction[:16], f"Code of {code_dim}")
            )
            run.export(autoencoder.endpoints(model))

    pca = fit_pca(train, 2)
    codes["pca2"] = [pca.transform(images) for images in (train, test)]
    for name, (train_codes, test_codes) in codes.items():
        for k in config.neighbors:
            value = knn_error(train_codes, data.train.labels, test_codes, data.test.labels, k)
            run.metric(f"knn{k}_error__{name}", value, "share misclassified", "test", len(test))
    for name, images in [*((name, test_codes) for name, (_, test_codes) in codes.items()), ("pixels", test)]:
        clusters = kmeans(images, datasets.CLASSES, run.seed)
        value = clustering_accuracy(data.test.labels, clusters)
        run.metric(f"kmeans_accuracy__{name}", value, "share in its digit's cluster", "test", len(test))
        value = normalized_mutual_information(data.test.labels, clusters)
        run.metric(f"nmi__{name}", value, "normalised mutual information, 0 to 1", "test", len(test))

    lecture = f"{config.code_dims[0]}d"
    widths = "-".join(map(str, (datasets.PIXELS, *config.hidden_units, config.code_dims[0])))
    panels = {
        f"{title}\n1-NN error {100 * run.metrics[f'knn1_error__{name}']['value']:.1f} %": codes[name][1]
        for title, name in ((f"Autoencoder {widths}", lecture), ("First two principal components", "pca2"))
    }
    run.figure("codes", figures.scatter(panels, data.test.labels))
    panel = ("Squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))


def train_autoencoder(run, make, learning_rate, name=None, inputs=None, epochs=None, precision="float32"):
    """Trains the autoencoder that `make` returns on the squared error of A4.

    Args:
        run: the `Run`.
        make: function that returns the model.
        learning_rate: the initial one.
        name: as in `Run.fit`.
        inputs: `(batches, validation)` as in `Run.fit`, or None for the images as inputs and targets.
        epochs: as in `Run.fit`.
        precision: the dtype policy of what `make` returns.

    Returns:
        `(model, history)`.
    """
    config, data = run.config, run.data

    def batches(first_step):
        images = datasets.training_batches(data.train.images, config.batch_size, run.seed, first_step=first_step)
        return images.map(lambda x: (x, x))

    if inputs is None:
        validation = datasets.scale(data.validation.images).numpy()
        inputs = batches, (validation, validation)

    def build():
        model = make()
        steps = (epochs or config.epochs) * run.steps_per_epoch(config.batch_size)
        options = run.compile_options(config.batch_size, precision)
        model.compile(run.adam(learning_rate, steps), loss=losses.squared_error, **options)
        return model

    return run.fit(build, inputs[0], config.batch_size, inputs[1], name=name, epochs=epochs)


def start_anew(model, weights):
    """Sets a compiled model's weights and the state of its optimizer back to a beginning.

    Args:
        model: `keras.Model`, compiled with Adam.
        weights: the initial ones, as `model.get_weights()` returns them.
    """
    model.set_weights(weights)
    # Adam's moments and its count of iterations, on which a schedule of the rate and a VAE's noise depend.
    for variable in model.optimizer.variables:
        variable.assign(tf.zeros_like(variable))


def compiled_once(run, make, **kwargs):
    """Returns a `build` for `Run.fit` that gives back the same compiled model each time, as if newly made.

    Many trainings of one architecture would spend most of their time on compilation.

    Args:
        run: the `Run`.
        make: function that returns the model, not compiled, with fresh weights.
        **kwargs: for `compile`.
    """
    config = run.config
    compiled = []

    def build():
        fresh = make()
        if not compiled:
            compiled.append(fresh)
            fresh.compile(
                run.adam(config.learning_rate, config.epochs * run.steps_per_epoch(config.batch_size)),
                **run.compile_options(config.batch_size),
                **kwargs,
            )
        start_anew(compiled[0], fresh.get_weights())
        return compiled[0]

    return build


def corrupted_batches(run, corrupt, first_step):
    """Returns the stream of pairs (corrupted images, images); the noise of batch t is a function of (seed, t) alone."""
    images = datasets.training_batches(run.data.train.images, run.config.batch_size, run.seed, first_step=first_step)

    def pair(step, x):
        return corrupt(x, seed=stateless_seed(run.seed, Draw.CORRUPTION, step)), x

    return images.enumerate(first_step).map(pair).prefetch(4)


def _rows(run, train, validation):
    """Returns `inputs` for `train_autoencoder`: the rows of two arrays, shuffled for training as the images are."""
    indices, batch_size = np.arange(len(train)), run.config.batch_size

    def batches(first_step):
        # The index stands in the label's place: which row of the array belongs to an image of the batch.
        stream = datasets.training_batches(
            run.data.train.images, batch_size, run.seed, labels=indices, first_step=first_step
        )
        rows = tf.constant(train)

        def gather(_, index):
            x = tf.gather(rows, index)
            return x, x

        return stream.map(gather).prefetch(4)

    return batches, (validation, validation)
