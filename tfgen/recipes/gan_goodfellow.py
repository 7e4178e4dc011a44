"""The GAN of the 2014 paper (D1, D3, D4), by the measure of its table 1: Parzen windows.

Measured with the generator's last weights, as in the paper, and with their moving average. The measure misleads:
centres of k-means, which are no images, beat true images (Theis et al. 2015), so both stand beside it.

Source: Goodfellow et al. 2014, table 1, and the authors' code (goodfeli/adversarial, `mnist.yaml`): networks, uniform
noise (one version of the file leaves it Gaussian), initial ranges, dropout, rates, both gradients from the same state.
Differs:
- Products are of bfloat16, and the momentum rises at each update instead of each epoch.
- Its 50,000 training images are drawn at random; theirs are the first.
- It stops after 700 epochs: the authors' file names no last one.
- The averaged weights, whose rows say so, are ours alone.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Count, Decay, Fraction, Noise, Positive, Precision, Published, Recipe, Samples


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """The networks and rates of the authors' `mnist.yaml`; it names no number of epochs. Preset smoke has smaller ones.

    Attributes:
        noise_dim: dimension of the noise z.
        generator_units: widths of the generator's hidden layers.
        discriminator_units: numbers of maxout units of the discriminator's hidden layers.
        pieces: linear maps that a maxout unit is the maximum of.
        input_keep: probability that dropout leaves a pixel.
        hidden_keep: probability that dropout leaves a hidden unit.
        generator_range: the generator's initial weights are uniform between minus this and this.
        discriminator_range: the discriminator's initial weights are uniform between minus this and this.
        noise: distribution of z.
        batch_size: images of an update.
        learning_rate: of both networks at the beginning.
        learning_rate_decay: the rate is divided by it at every update.
        momentum: at the beginning.
        final_momentum: to which the momentum rises linearly.
        momentum_epochs: over which it rises.
        ema_momentum: of the moving average of the generator's weights, which the training itself does not use.
        precision: Keras dtype policy of the training; evaluated and exported in float32.
        num_samples: of the Parzen window and of the other measures.
    """

    noise_dim: Count = 100
    generator_units: tuple[Count, ...] = (1200, 1200)
    discriminator_units: tuple[Count, ...] = (240, 240)
    pieces: Count = 5
    input_keep: Fraction = 0.8
    hidden_keep: Fraction = 0.5
    generator_range: Positive = 0.05
    discriminator_range: Positive = 0.005
    noise: Noise = "unit-variance uniform"
    batch_size: Count = 100
    learning_rate: Positive = 0.1
    learning_rate_decay: Positive = 1.000004
    momentum: Decay = 0.5
    final_momentum: Decay = 0.7
    momentum_epochs: Count = 250
    ema_momentum: Decay = 0.9998
    precision: Precision = "mixed_bfloat16"
    num_samples: Samples = 10_000

    def __post_init__(self):
        super().__post_init__()
        if self.learning_rate_decay <= 1:
            raise InputError(f"learning_rate_decay must be greater than 1, got {self.learning_rate_decay}")
        if not (self.input_keep and self.hidden_keep):
            raise InputError("input_keep and hidden_keep must be greater than 0")
        if not self.momentum:
            raise InputError("momentum must be greater than 0")

    def check(self, data):
        super().check(data)
        recipe.check_images_beside_samples(data)


_THEIS = "Theis et al. 2015, table 1, not verified"
_GOODFELLOW = "Goodfellow et al. 2014, table 1 (standard error 2)"
RECIPE = Recipe(
    title="The GAN of the 2014 paper: maxout, dropout, momentum; last and averaged weights, by Parzen windows",
    lecture_items=("D1", "D3", "D4"),
    headline=recipe.SAMPLE_MEASURES,
    needs=("digit-classifier",),
    presets={
        "smoke": Config(
            epochs=1,
            generator_units=(300, 300),
            discriminator_units=(60, 60),
            # With those of the wide networks the first gradients of narrow ones are too small to be seen.
            generator_range=0.1,
            discriminator_range=0.03,
            num_samples=1_000,
        ),
        "paper": Config(epochs=700),
    },
    published={
        "parzen_log_likelihood": Published(
            225.0,
            _GOODFELLOW,
            others=(
                Published(138.0, "the same table, deep belief network"),
                Published(121.0, "the same table, stacked contractive autoencoder"),
                Published(214.0, "the same table, deep generative stochastic network"),
            ),
        ),
        "parzen_log_likelihood__averaged_weights": Published(225.0, f"{_GOODFELLOW}, last weights"),
        "parzen_log_likelihood__train_images": Published(243.0, f"{_THEIS}, true distribution"),
        "parzen_log_likelihood__kmeans_centres": Published(313.0, f"{_THEIS}, k-means"),
    },
)


def experiment(run):
    import keras
    import numpy as np

    from tfgen import figures
    from tfgen.data.batches import Batches, scale
    from tfgen.models.goodfellow import GoodfellowGAN, RisingMomentumSGD
    from tfgen.training import gan
    from tfgen.training.samples import ReferenceClassifier

    config, data = run.config, run.data
    classifier = ReferenceClassifier(run.directory_of("digit-classifier"))

    def network(dtype):
        return GoodfellowGAN(
            data.pixels,
            config.noise_dim,
            config.generator_units,
            config.discriminator_units,
            config.pieces,
            config.input_keep,
            config.hidden_keep,
            config.generator_range,
            config.discriminator_range,
            config.noise,
            seed=run.seed,
            dtype=dtype,
        )

    run.set_random_seed()
    model = network(config.precision)
    model.set_output_bias(scale(data.train.images).numpy().mean(axis=0))
    batches = Batches(data.train.images, config.batch_size, run.seed)
    # e-fold after as many updates as the decay's logarithm says: one update alone is beyond float32.
    rate = keras.optimizers.schedules.ExponentialDecay(
        config.learning_rate, 1 / np.log(config.learning_rate_decay), np.exp(-1)
    )
    momentum = (config.momentum, config.final_momentum, config.momentum_epochs * run.steps_per_epoch(batches))
    model.compile(
        RisingMomentumSGD(rate, *momentum, use_ema=True, ema_momentum=config.ema_momentum),
        RisingMomentumSGD(rate, *momentum),
        **run.compile_options(batches, config.precision),
    )
    strip = gan.sample_snapshots(run, model, gan.strip_epochs(config.epochs))
    history = run.fit(model, batches, scale(data.validation.images).numpy(), callbacks=[strip])

    last, averaged = gan.last_and_averaged(network, model)
    gan.draw_training(run, history)
    gan.measure_gan(run, classifier, last, averaged, f"The GAN of the 2014 paper after {config.epochs} epochs")
    stages = {epoch: data.pictures(arrays["images"]) for epoch, arrays in strip.read().items()}
    run.figure("samples_through_training", figures.through_training(stages, "The same noise, last weights"))
