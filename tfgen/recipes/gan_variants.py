"""The lecture's GAN with either noise and either generator loss (D1, D3), and the gradients that the losses give.

Where D rejects the generator's images, log(1 - D(G(z))) saturates, and -log D(G(z)) does not. The same networks are
trained once with every noise and every loss. On an untrained generator the gradients of both losses are measured as the
discriminator alone learns.

Source: Goodfellow et al. 2014, section 3. The networks are the usual lecture program's. No paper reports a number for
these.
Differs:
- Preset quick trains for 20 epochs, at which the samples of `gan` are still rough and the digits that they cover depend
  on the initial weights, which each variant has of its own: no claim is made for either noise. What it compares is the
  early training of the paper's section 3.
"""

import dataclasses

from tfgen import recipe
from tfgen.recipe import Count, Fraction, GeneratorLoss, Noise, Positive, Recipe


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """The networks and rates of `gan`, trained once with every noise and every generator loss; the first is exported.

    Attributes:
        noises: distributions of z.
        generator_losses: losses that the generator minimises.
        noise_dim: dimension of the noise z.
        generator_units: widths of the generator's hidden layers.
        discriminator_units: widths of the discriminator's hidden layers.
        discriminator_steps: k of algorithm 1, the discriminator's updates for each of the generator.
        batch_size: images of one update.
        generator_learning_rate: of the generator's Adam.
        discriminator_learning_rate: of the discriminator's Adam.
        learning_rate_decay: whether both rates fall to 0 along a cosine.
        num_samples: of each variant, whose classes are counted.
        covered_share: the least share of samples that counts a digit as covered; an even share is 0.1.
        gradient_steps: updates of the discriminator alone, in the measurement of the generator's gradients.
    """

    noises: tuple[Noise, ...] = ("uniform", "gaussian")
    generator_losses: tuple[GeneratorLoss, ...] = ("non-saturating", "minimax")
    noise_dim: Count = 100
    generator_units: tuple[Count, ...] = (128,)
    discriminator_units: tuple[Count, ...] = (128,)
    discriminator_steps: Count = 1
    batch_size: Count = 128
    generator_learning_rate: Positive = 1e-3
    discriminator_learning_rate: Positive = 1e-3
    learning_rate_decay: bool = False
    num_samples: Count = 10_000
    covered_share: Fraction = 0.01
    gradient_steps: Count = 200

    def __post_init__(self):
        super().__post_init__()
        self.check_distinct("noises", "generator_losses")

    def check(self, data):
        recipe.check_gan_batch(self, data)


RECIPE = Recipe(
    title="The lecture's GAN with uniform or Gaussian noise, with the minimax or the non-saturating loss",
    lecture_items=("D1", "D3"),
    headline=("generator_gradient_norm__minimax", "generator_gradient_norm__non_saturating"),
    needs=("digit-classifier",),
    presets={
        "smoke": Config(epochs=1, num_samples=1_000, gradient_steps=20),
        "quick": Config(epochs=20),
        "paper": Config(epochs=150),
    },
)


def experiment(run):
    import keras
    import numpy as np

    from tfgen import figures
    from tfgen.data.batches import Batches, scale
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.evaluation.coverage import class_fractions
    from tfgen.models.gan import GAN
    from tfgen.training import gan
    from tfgen.training.generator_gradients import gradient_norms, loss_derivatives
    from tfgen.training.run import EVALUATION_BATCH, predict
    from tfgen.training.samples import ReferenceClassifier

    config, data = run.config, run.data
    classifier = ReferenceClassifier(run.directory_of("digit-classifier"))
    validation, test = (scale(split.images).numpy() for split in (data.validation, data.test))
    batches = Batches(data.train.images, config.batch_size * config.discriminator_steps, run.seed)

    def compiled_gan(noise, loss):
        model = GAN(
            data.pixels,
            config.noise_dim,
            config.generator_units,
            config.discriminator_units,
            noise,
            loss,
            config.discriminator_steps,
            run.seed,
            dtype="float32",
        )
        model.compile(*gan.adam_optimizers(run, batches), **run.compile_options(batches))
        return model

    variants = [(noise, loss) for loss in config.generator_losses for noise in config.noises]
    names = {variant: "_".join(variant).replace("-", "_").replace(" ", "_") for variant in variants}
    samples, outputs, histories = {}, {}, {}
    for variant in variants:
        noise, loss = variant
        print(f"training with {noise} noise and the {loss} loss", flush=True)
        exported = variant == variants[0]
        training = "model" if exported else names[variant]
        run.set_random_seed(training)
        model = compiled_gan(noise, loss)
        histories[variant] = run.fit(model, batches, validation, training)
        z = model.sample_noise((config.num_samples, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE, 1))
        samples[variant] = predict(model.generator, z)
        outputs[variant] = model.evaluate(test, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True)
        if exported:
            run.export(model.endpoints())

    shares = {variant: class_fractions(classifier.probabilities(images)) for variant, images in samples.items()}
    n, covered = config.num_samples, f"digits with a share of {config.covered_share:.0%} or more"
    for variant, name in names.items():
        rarest = shares[variant].min()
        run.metric(f"rarest_class_share__{name}", rarest, "share of samples, 0.1 being even", "generated", n)
        count = np.sum(shares[variant] >= config.covered_share)
        run.metric(f"digits_covered__{name}", count, covered, "generated", n)
        run.metric(f"real_probability__{name}", outputs[variant]["real_probability"], "mean D(x)", "test", len(test))
        value = outputs[variant]["fake_probability"]
        run.metric(f"fake_probability__{name}", value, "mean D(G(z))", "generated", len(test))

    title = f"GANs after {config.epochs} epochs at equal settings, each from initial weights of its own"
    panels = {
        f"{', '.join(variant)}\nrarest digit {shares[variant].min():.1%} of samples": data.pictures(images[:64])
        for variant, images in samples.items()
    }
    run.figure("samples", figures.panels_of_images(panels, 8, title))
    bars = {
        str(digit): {", ".join(variant): 100 * shares[variant][digit] for variant in variants}
        for digit in range(data.classes)
    }
    title = f"{n:,} samples: the verdict of a classifier that must call each one a digit"
    run.figure("class_shares", figures.grouped_bars(bars, title, "share of samples (%)"))
    lines = {"D(x), validation images": "val_real_probability", "D(G(z))": "val_fake_probability"}
    curves = {
        ", ".join(variant): {label: history[key] for label, key in lines.items()}
        for variant, history in histories.items()
    }
    run.figure("training", figures.discriminator_outputs(curves, "Mean outputs of the discriminator"))

    # The gradients of both losses on an untrained generator, as the discriminator alone learns to reject its images.
    keras.utils.set_random_seed(run.seed)
    model = compiled_gan(config.noises[0], config.generator_losses[0])
    one_update = Batches(data.train.images, config.batch_size, run.seed)
    norms = gradient_norms(model, one_update.stream().take(config.gradient_steps), run.seed)
    d_alone = norms.pop("fake_probability")
    after = f"untrained generator, discriminator after {config.gradient_steps} updates of its own"
    run.metric("fake_probability__alone", d_alone[-1], f"mean D(G(z)), {after}", "generated", config.batch_size)
    for loss, of_loss in norms.items():
        name = f"generator_gradient_norm__{loss.replace('-', '_')}"
        run.metric(name, of_loss[-1], f"norm, {after}", "generated", config.batch_size)
    d = np.geomspace(1e-4, 1 - 1e-4, 400)
    derivatives = {loss: loss_derivatives(loss, np.log(d / (1 - d))) for loss in norms}
    first_epoch = [history["fake_probability"][0] for history in histories.values()]
    run.figure("gradients", figures.generator_gradients(d, derivatives, first_epoch, d_alone, norms))
