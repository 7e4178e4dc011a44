"""One hidden layer (A2-A4): h = s(W x + b), x' = s'(W' h + b'), with s ReLU or sigmoid, and W' free or W' = W^T.

The linear floor beside the four networks is PCA with as many components as they have hidden units.

Source: the lecture's formula and its squared error. It names the activations, and no size of the code; no paper
reports a number for these networks.
Differs:
- There are 64 hidden units and sigmoid outputs, which the lecture leaves open.
- Each activation has a learning rate of its own: sigmoid units need 30 times the usual 1e-3 to be trained in as many
  epochs as ReLU ones. Adam's rate falls to 0 along a cosine.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, Count, Positive, Recipe


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """One network for each activation, untied and tied; the first one is exported.

    The rates were chosen on the validation images after 15 epochs: among 1e-3 and 3e-3 for ReLU, and up to 3e-2 for
    sigmoid units, which at 1e-3 are still far from trained after 30 epochs.

    Attributes:
        code_dim: p, the number of hidden units.
        activations: s, of each pair of networks.
        batch_size: images of an update.
        learning_rates: of Adam, one for each of `activations`; they fall to 0 along a cosine.
    """

    code_dim: Count = 64
    activations: tuple[Activation, ...] = ("relu", "sigmoid")
    batch_size: Count = 128
    learning_rates: tuple[Positive, ...] = (3e-3, 3e-2)

    def __post_init__(self):
        super().__post_init__()
        self.check_distinct("activations")
        if len(self.learning_rates) != len(self.activations):
            raise InputError(
                f"learning_rates needs one rate for each of activations {self.activations}, got {self.learning_rates}"
            )


RECIPE = Recipe(
    title="One hidden layer, ReLU or sigmoid, untied and tied weights, beside PCA with as many components",
    lecture_items=("A2", "A3", "A4"),
    headline=("test_squared_error__relu_untied", "test_squared_error__relu_tied", "pca_squared_error__64"),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=20), "paper": Config(epochs=200)},
    any_images=True,
    needs_labels=False,
)


def experiment(run):
    from tfgen import figures, losses
    from tfgen.data.batches import Batches, pairs, scale
    from tfgen.models.autoencoder import ShallowAutoencoder
    from tfgen.training.autoencoder import measure_pca, measure_squared_error

    config, data = run.config, run.data
    validation, test = (scale(split.images).numpy() for split in (data.validation, data.test))
    batches = Batches(data.train.images, config.batch_size, run.seed, transform=pairs)
    rates = dict(zip(config.activations, config.learning_rates, strict=True))
    variants = [(activation, tied) for activation in config.activations for tied in (False, True)]

    features, reconstructions, validation_error = {}, {}, {}
    for activation, tied in variants:
        name = f"{activation}_{'tied' if tied else 'untied'}"
        exported = (activation, tied) == variants[0]
        training = "model" if exported else name
        run.set_random_seed(training)
        model = ShallowAutoencoder(data.pixels, config.code_dim, activation, tied=tied)
        model.compile(
            run.decaying_adam(rates[activation], batches), loss=losses.squared_error, **run.compile_options(batches)
        )
        history = run.fit(model, batches, (validation, validation), training)

        reconstruction = measure_squared_error(run, f"test_squared_error__{name}", model, test, test)
        run.metric(f"parameters__{name}", model.count_params(), "trained parameters", "model", 1)
        label = name.replace("_", ", ")
        features[label] = model.kernel.numpy()
        reconstructions[label] = reconstruction[:10]
        validation_error[label] = history["val_loss"]
        if exported:
            run.export(model.endpoints())
    measure_pca(run, config.code_dim)

    title = f"One hidden layer of {config.code_dim} units"
    features = {label: data.pictures(kernel.T) for label, kernel in features.items()}
    run.figure("features", figures.features(features, f"{title}: the rows of W, each on a scale of its own"))
    rows = {label: data.pictures(images) for label, images in {"test image": test[:10], **reconstructions}.items()}
    run.figure("reconstructions", figures.rows_of_images(rows, title))
    panel = ("Squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))
