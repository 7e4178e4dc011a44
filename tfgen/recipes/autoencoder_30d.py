"""The autoencoder 784-1000-500-250-30 of Hinton & Salakhutdinov 2006 (A2, A4), beside PCA with 30 components.

Training images are moved by up to one pixel, at random. Of images that stay in place (`--set shift=0`) the network
learns too much by heart.

Source: Hinton & Salakhutdinov 2006, figure 2B.
Differs:
- GELU instead of logistic units; Adam, whose rate falls to 0 along a cosine, instead of restricted Boltzmann machines
  followed by conjugate gradients.
- There are 50,000 training images instead of 60,000, each moved anew in every epoch by up to one pixel in either
  direction.
"""

import dataclasses

from tfgen import recipe
from tfgen.recipe import (
    Activation,
    AutoencoderUnits,
    Count,
    Positive,
    Precision,
    Published,
    Recipe,
    WholeNumber,
    check_at_most,
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """The widths of Hinton & Salakhutdinov 2006; there logistic units, restricted Boltzmann machines, line searches.

    Attributes:
        shift: training images are moved by up to as many pixels, at random; without it the network overfits.
        hidden_units: widths of the hidden layers; the middle one is the code.
        activation: of the hidden layers.
        code_activation: of the code.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over the whole training.
        precision: Keras dtype policy of the training; evaluated and exported in float32.
    """

    shift: WholeNumber = 1
    hidden_units: AutoencoderUnits = (1000, 500, 250, 30, 250, 500, 1000)
    activation: Activation = "gelu"
    code_activation: Activation = "linear"
    batch_size: Count = 128
    learning_rate: Positive = 1e-3
    precision: Precision = "float32"

    def check(self, data):
        super().check(data)
        check_at_most("shift", self.shift, min(data.image_shape), f"the shorter side of an image of {data.name}")


RECIPE = Recipe(
    title="Autoencoder 784-1000-500-250-30 of Hinton & Salakhutdinov 2006, beside PCA with 30 components",
    lecture_items=("A2", "A4"),
    headline=("test_squared_error", "pca_squared_error__30"),
    presets={"smoke": Config(epochs=1), "paper": Config(epochs=100)},
    published={
        "test_squared_error": Published(
            3.00,
            "Hinton & Salakhutdinov 2006, figure 2B",
            others=(
                Published(8.01, "the same figure, logistic PCA"),
                Published(2.46, "Martens 2010, not verified, Hessian-free after pre-training; 2.78 without"),
            ),
        ),
        "pca_squared_error__30": Published(13.87, "Hinton & Salakhutdinov 2006, figure 2B"),
    },
)


def experiment(run):
    from tfgen import figures, losses
    from tfgen.data.batches import Batches, scale
    from tfgen.data.corruption import random_shift
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.models import autoencoder
    from tfgen.models.networks import in_float32
    from tfgen.training.autoencoder import measure_pca, measure_squared_error

    config, data = run.config, run.data
    validation, test = (scale(split.images).numpy() for split in (data.validation, data.test))

    def network(dtype):
        return autoencoder.stacked_autoencoder(
            data.pixels, config.hidden_units, config.activation, config.code_activation, dtype
        )

    def shifted_pairs(step, x):
        moved = random_shift(x, data.image_shape, config.shift, stateless_seed(run.seed, Draw.CORRUPTION, step))
        return moved, moved

    run.set_random_seed()
    model = network(config.precision)
    batches = Batches(data.train.images, config.batch_size, run.seed, transform=shifted_pairs)
    model.compile(
        run.decaying_adam(config.learning_rate, batches),
        loss=losses.squared_error,
        **run.compile_options(batches, config.precision),
    )
    history = run.fit(model, batches, (validation, validation))
    model = in_float32(network, model)

    reconstruction = measure_squared_error(run, "test_squared_error", model, test, test)
    measure_pca(run, config.hidden_units[len(config.hidden_units) // 2])
    above, below = data.pictures(test[:16]), data.pictures(reconstruction[:16])
    title = f"Code of 30, squared error {run.metrics['test_squared_error']['value']:.2f} a test image"
    run.figure("reconstructions", figures.reconstructions(above, below, title))
    panels = [("Squared error", "per image", ["loss", "val_loss"])]
    run.figure("training", figures.curves(history, panels, log=True))
    run.export(autoencoder.endpoints(model))
