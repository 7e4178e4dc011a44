"""Part A of the lecture: autoencoders."""

import functools

import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from tfgen import datasets, figures, losses
from tfgen.evaluation.clustering import clustering_accuracy, kmeans
from tfgen.evaluation.knn import knn_error
from tfgen.evaluation.pca import fit_pca, pca_squared_error
from tfgen.models import autoencoder

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
    run.figure("reconstructions", figures.compared_reconstructions(test[:16], reconstructions, title))
    panel = ("Squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))


def stacked_autoencoder(run):
    """A5: trains on the squared error of A4; the floor is PCA with as many components as the code has units."""
    config, data = run.config, run.data
    model, history = train_autoencoder(
        run,
        functools.partial(
            autoencoder.stacked_autoencoder,
            config.hidden_units,
            datasets.PIXELS,
            config.activation,
            config.code_activation,
        ),
        config.learning_rate,
    )

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

    run.figure("reconstructions", figures.reconstructions(test[:16], reconstruction[:16], "Stacked autoencoder"))
    run.figure("training", figures.curves(history, [("Squared error", "per image", ["loss", "val_loss"])]))
    run.export(autoencoder.endpoints(model))


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
        value = normalized_mutual_info_score(data.test.labels, clusters)
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


def train_autoencoder(run, make, learning_rate, name=None):
    """Trains the autoencoder that `make` returns on the squared error of A4. Returns `(model, history)`."""
    config, data = run.config, run.data
    steps = run.steps_per_epoch(config.batch_size)

    def build():
        model = make()
        model.compile(
            run.adam(learning_rate, config.epochs * steps),
            loss=losses.squared_error,
            **run.compile_options(config.batch_size),
        )
        return model

    def batches(first_step):
        images = datasets.training_batches(data.train.images, config.batch_size, run.seed, first_step=first_step)
        return images.map(lambda x: (x, x))

    validation = datasets.scale(data.validation.images).numpy()
    return run.fit(build, batches, config.batch_size, (validation, validation), name=name)
