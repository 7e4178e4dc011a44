"""The digits in the plane of an autoencoder's codes (A7): 784-128-64-10-2, a scatter plot, one colour a digit.

No network sees a label. How far the digits keep apart is measured there and in wider codes: the neighbours that vote
are training codes; k-means clusters the test codes themselves. The first two principal components stand beside them.

Source: the lecture gives the widths and the picture; no paper reports a number for this network.
Differs:
- The hidden layers are ReLU and the code is linear, which the lecture leaves open; the decoder mirrors the encoder.
- Behind its layer of 10 a wider code would hold no more than 10 units, so the wider networks are 784-128-64-10 and
  784-128-64-32.
- Adam's rate falls to 0 along a cosine.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, Count, Positive, Published, Recipe, check_at_least, check_at_most


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """The lecture fixes the widths only. Each entry of `code_dims` is a network of its own, the first the lecture's.

    The rate was chosen on the validation images after 25 epochs: at 3e-3 four seeds leave squared errors of 27.8 to
    28.4 and 1-NN errors of 28 to 31 %, at 1e-3 29.9 to 30.8 and 29 to 38 %. GELU and ELU units do no better.

    Attributes:
        hidden_units: widths of the encoder's hidden layers; a code follows those that are wider than itself.
        code_dims: number of units of the code, of each network.
        activation: of the hidden layers.
        code_activation: of the code.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over each training.
        neighbors: numbers of nearest neighbours that vote.
    """

    hidden_units: tuple[Count, ...] = (128, 64, 10)
    code_dims: tuple[Count, ...] = (2, 10, 32)
    activation: Activation = "relu"
    code_activation: Activation = "linear"
    batch_size: Count = 128
    learning_rate: Positive = 3e-3
    neighbors: tuple[Count, ...] = (1, 10)

    def __post_init__(self):
        super().__post_init__()
        self.check_distinct("code_dims", "neighbors")
        if self.code_dims[0] != 2:
            raise InputError(f"code_dims must begin with 2, the code that is drawn in the plane; got {self.code_dims}")

    def check(self, data):
        super().check(data)
        check_at_most(
            "neighbors", max(self.neighbors), len(data.train), f"the number of training images of {data.name}"
        )
        check_at_least(data, "train", 2, "the plane of two principal components")
        if data.classes is not None:
            check_at_least(data, "test", data.classes, f"k-means with {data.classes} clusters")
        if data.pixels < 2:
            raise InputError(f"images of {data.name} have one pixel; two principal components need two")


_DEC_KERAS = "the README of DEC-keras, all 70,000 images"
VAN_DER_MAATEN = "van der Maaten 2009, table 1, not verified"
RECIPE = Recipe(
    title="Autoencoder 784-128-64-10-2: the digits in the plane of its codes, beside PCA-2 and wider codes",
    lecture_items=("A2", "A7"),
    headline=(
        *(f"knn1_error__{of}" for of in ("2d", "10d", "32d", "pca2")),
        *(f"{measure}__{of}" for of in ("2d", "10d", "pixels") for measure in ("kmeans_accuracy", "nmi")),
    ),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=25), "paper": Config(epochs=200)},
    published={
        "knn1_error__2d": Published(0.668, f"{VAN_DER_MAATEN}, autoencoder 784-500-500-2000-2"),
        "knn1_error__10d": Published(0.0633, f"{VAN_DER_MAATEN}, autoencoder 784-500-500-2000-10"),
        "knn1_error__32d": Published(0.027, f"{VAN_DER_MAATEN}, autoencoder of 30 units"),
        "knn1_error__pca2": Published(0.782, f"{VAN_DER_MAATEN}, PCA, by a protocol under which it is an outlier"),
        "kmeans_accuracy__pixels": Published(0.53, f"{_DEC_KERAS}, k-means"),
        "nmi__pixels": Published(0.50, f"{_DEC_KERAS}, k-means"),
        "kmeans_accuracy__10d": Published(0.88, f"{_DEC_KERAS}, autoencoder 784-500-500-2000-10"),
        "nmi__10d": Published(0.81, f"{_DEC_KERAS}, autoencoder 784-500-500-2000-10"),
    },
    any_images=True,
    needs_labels=False,
)


def experiment(run):
    from tfgen import figures, losses
    from tfgen.data.batches import Batches, pairs, scale
    from tfgen.evaluation.pca import fit_pca
    from tfgen.models import autoencoder
    from tfgen.training.autoencoder import measure_squared_error
    from tfgen.training.run import predict

    config, data = run.config, run.data
    train, validation, test = (scale(split.images).numpy() for split in (data.train, data.validation, data.test))
    batches = Batches(data.train.images, config.batch_size, run.seed, transform=pairs)

    codes, validation_error = {}, {}
    for code_dim in config.code_dims:
        lectures = code_dim == config.code_dims[0]
        training = "model" if lectures else f"{code_dim}d"
        hidden_units = tuple(width for width in config.hidden_units if width > code_dim)
        widths = (*hidden_units, code_dim, *hidden_units[::-1])
        run.set_random_seed(training)
        model = autoencoder.stacked_autoencoder(data.pixels, widths, config.activation, config.code_activation)
        optimizer = run.decaying_adam(config.learning_rate, batches)
        model.compile(optimizer, loss=losses.squared_error, **run.compile_options(batches))
        history = run.fit(model, batches, (validation, validation), training)

        codes[f"{code_dim}d"] = [predict(model.get_layer("encoder"), images) for images in (train, test)]
        reconstruction = measure_squared_error(run, f"test_squared_error__{code_dim}d", model, test, test)
        validation_error[f"code of {code_dim}"] = history["val_loss"]
        if lectures:
            above, below = data.pictures(test[:16]), data.pictures(reconstruction[:16])
            run.figure("reconstructions", figures.reconstructions(above, below, f"Code of {code_dim}"))
            run.export(autoencoder.endpoints(model))
            run.keep_networks(autoencoder.parts(model), codes=codes[f"{code_dim}d"][1])

    pca = fit_pca(train, 2)
    codes["pca2"] = [pca.transform(images) for images in (train, test)]
    widths = "-".join(map(str, (data.pixels, *config.hidden_units, config.code_dims[0])))
    first = f"{config.code_dims[0]}d"
    drawn, title = {first: f"Autoencoder {widths}", "pca2": "First two principal components"}, None
    if data.classes is None:
        print(f"{data.name} has no labels: neighbours and clusters are not measured", flush=True)
    else:
        measure_neighbors(run, codes)
        measure_clusters(run, {**{name: test_codes for name, (_, test_codes) in codes.items()}, "pixels": test})
        k = config.neighbors[0]
        errors = {name: run.metrics[f"knn{k}_error__{name}"]["value"] for name in drawn}
        drawn = {name: f"{words}\n{k}-NN error {100 * errors[name]:.1f} %" for name, words in drawn.items()}
        title = figures.finding(
            100 * (errors["pca2"] - errors[first]),
            100 * figures.noise_of_shares(errors.values(), len(test)),
            "Neighbours in the code are wrong {:.0f} points less often than in PCA's plane",
            "Neighbours in the code are wrong {:.0f} points more often than in PCA's plane",
            "Test images in the code and in PCA's plane",
        )
    panels = {words: codes[name][1] for name, words in drawn.items()}
    run.figure("codes", figures.scatter(panels, data.test.labels, title))
    panel = ("Squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))


def measure_neighbors(run, codes):
    """Records the errors of the votes of training codes on test codes.

    Args:
        run: the `Run`.
        codes: dict from a name to the codes of the training images and those of the test images.
    """
    from tfgen.evaluation.knn import knn_errors

    train, test = run.data.train.labels, run.data.test.labels
    for name, (train_codes, test_codes) in codes.items():
        errors = knn_errors(train_codes, train, test_codes, test, run.config.neighbors)
        for k, value in zip(run.config.neighbors, errors, strict=True):
            run.metric(f"knn{k}_error__{name}", value, "share misclassified", "test", len(test))


def measure_clusters(run, points):
    """Records how well k-means finds the classes among the test images' points, a dict from a name to `(n, dim)`."""
    from tfgen.evaluation.clustering import clustering_accuracy, kmeans, normalized_mutual_information

    labels = run.data.test.labels
    for name, array in points.items():
        clusters = kmeans(array, run.data.classes, run.seed)
        value = clustering_accuracy(labels, clusters)
        run.metric(f"kmeans_accuracy__{name}", value, "share in its digit's cluster", "test", len(labels))
        value = normalized_mutual_information(labels, clusters)
        run.metric(f"nmi__{name}", value, "normalised mutual information, 0 to 1", "test", len(labels))
