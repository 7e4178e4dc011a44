"""A GAN on the line (D2-D4), where p_data, p_g, D and the optimal D* can all be drawn: figure 1 of the 2014 paper.

p_data is a Gaussian, drawn in the run: the images of --dataset are not used.

Source: Goodfellow et al. 2014, figure 1, proposition 1 and theorem 1. The paper gives a sketch and no number; at the
optimum D is 1/2 everywhere and V(D, G) = -log 4.
Differs:
- The noise is Gaussian where the paper's figure has uniform noise. Uniform noise (`--set noise=uniform`) gives p_g
  edges, at which D* leaps to 1 and pulls G outwards.
- The hidden layers are tanh, and D has five updates for each of G; both rates fall to 0 along a cosine.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, Count, Noise, Positive, Recipe


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Gaussian noise to another Gaussian on the line.

    Attributes:
        epochs: of 100 iterations each.
        data_mean: of p_data.
        data_std: of p_data.
        noise_dim: dimension of the noise z; the picture needs 1.
        noise: distribution of z.
        activation: of the hidden layers of both networks.
        generator_units: widths of the generator's hidden layers.
        discriminator_units: widths of the discriminator's hidden layers.
        discriminator_steps: k of algorithm 1. With it and the two rates D keeps near D* while G moves; where both
            networks learn at 1e-3 or faster it does not.
        batch_size: of one update; k of them must make 500 draws at least, whatever the dataset: see `epochs`.
        generator_learning_rate: of the generator's Adam.
        discriminator_learning_rate: of the discriminator's Adam.
        learning_rate_decay: whether both rates fall to 0 along a cosine.
        num_samples: draws of G(z) in a histogram.
        bins: of the histograms, over `half_width` standard deviations on either side of the mean.
        half_width: of the histograms, in standard deviations of p_data.
    """

    data_mean: float = 1.0
    data_std: Positive = 0.5
    noise_dim: Count = 1
    noise: Noise = "gaussian"
    activation: Activation = "tanh"
    generator_units: tuple[Count, ...] = (32, 32)
    discriminator_units: tuple[Count, ...] = (64, 64)
    discriminator_steps: Count = 5
    batch_size: Count = 256
    generator_learning_rate: Positive = 3e-4
    discriminator_learning_rate: Positive = 3e-3
    learning_rate_decay: bool = True
    num_samples: Count = 1_000_000
    bins: Count = 200
    half_width: Positive = 5.0

    def __post_init__(self):
        super().__post_init__()
        if self.noise_dim != 1:
            raise InputError(f"noise_dim must be 1 here, for the picture of z and G(z); got {self.noise_dim}")
        if self.bins < 2:
            raise InputError(f"bins must be at least 2, for the curves of the densities; got {self.bins}")
        reach = self.half_width * self.data_std
        if 2 * reach / self.bins < 2**-22 * (abs(self.data_mean) + reach):
            raise InputError(
                f"data_std {self.data_std:g}, half_width {self.half_width:g} and {self.bins} bins make bins too narrow "
                f"for float32 at data_mean {self.data_mean:g}; take wider or fewer ones"
            )

    def check(self, data):
        # An epoch is a pass through the images where that has more than 100 iterations.
        draws, least = self.batch_size * self.discriminator_steps, max(500, len(data.train) // 100)
        if draws < least:
            raise InputError(
                f"batch_size times discriminator_steps must be at least {least} draws, so that an epoch has 100 "
                f"iterations beside {data.name}; got {self.batch_size} times {self.discriminator_steps}"
            )


RECIPE = Recipe(
    title="A GAN on the line: both densities, D and the optimal D*, as in figure 1 of the 2014 paper",
    lecture_items=("D2", "D3", "D4"),
    headline=("discriminator_error", "value", "jensen_shannon_divergence"),
    presets={
        "smoke": Config(epochs=1, num_samples=100_000),
        "quick": Config(epochs=40),
        "paper": Config(epochs=500),
    },
)


def experiment(run):
    import numpy as np
    from scipy import stats

    from tfgen import figures
    from tfgen.data.batches import DrawnBatches
    from tfgen.distributions import Draw, stateless_normal, stateless_seed
    from tfgen.evaluation import adversarial
    from tfgen.models.gan import GAN
    from tfgen.training import gan

    config = run.config
    edges = config.data_mean + config.data_std * np.linspace(-config.half_width, config.half_width, config.bins + 1)
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    p_data = adversarial.normal_histogram(edges, config.data_mean, config.data_std)
    # Quantiles, since equal shares of the noise lie between them.
    z_shown = stats.norm.ppf((np.arange(21) + 0.5) / 21).astype(np.float32)

    def draw(n, seed):
        return config.data_mean + config.data_std * stateless_normal((n, 1), seed)

    run.set_random_seed()
    model = GAN(
        1,
        config.noise_dim,
        config.generator_units,
        config.discriminator_units,
        noise=config.noise,
        discriminator_steps=config.discriminator_steps,
        seed=run.seed,
        activation=config.activation,
        output_activation="linear",
    )
    batches = DrawnBatches(draw, config.batch_size * config.discriminator_steps, run.seed)
    model.compile(*gan.adam_optimizers(run, batches), **run.compile_options(batches))

    def densities():
        z = model.sample_noise((config.num_samples, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE))
        samples = model.generator.predict(z, batch_size=100_000, verbose=0)
        # In float64, in which a confident discriminator is not yet 1.
        logits = model.discriminator(centres[:, None]).numpy()[:, 0].astype(np.float64)
        return {
            "p_g": adversarial.histogram(samples, edges),
            "discriminator": 1 / (1 + np.exp(-logits)),
            "generated": model.generator(z_shown[:, None]).numpy()[:, 0],
        }

    # Figure 1 has four pictures: epochs in equal ratios from the first to the last, fewer of few.
    epochs = gan.spread_epochs(config.epochs, 4)
    snapshots = gan.Snapshots(run.directory / "checkpoints" / "stages", epochs, densities)
    validation = draw(10_000, stateless_seed(run.seed, Draw.SAMPLE, 1)).numpy()
    history = run.fit(model, batches, validation, callbacks=[snapshots])

    stages, divergences = {}, []
    for epoch, snapshot in snapshots.read().items():
        p_g, discriminator = snapshot["p_g"], snapshot["discriminator"]
        jsd = adversarial.jensen_shannon_divergence(p_data, p_g)
        divergences.append(jsd)
        stages[f"after {epoch * run.steps_per_epoch(batches):,} iterations\nJSD {jsd:.3f}"] = {
            "model_density": p_g / width,
            "discriminator": discriminator,
            "optimal_discriminator": adversarial.optimal_discriminator(p_data, p_g),
            "generated": snapshot["generated"],
        }
    # Those of the last epoch.
    split, n = f"generated, against N({config.data_mean:g}, {config.data_std:g}^2) on the line", config.num_samples
    error = adversarial.discriminator_error(discriminator, p_data, p_g)
    run.metric("discriminator_error", error, "mean |D - D*| under (p_data + p_g) / 2", split, n)
    value = adversarial.value(discriminator, p_data, p_g)
    run.metric("value", value, f"V(D, G) in nats; -log 4 = {-np.log(4):.4f} at the optimum", split, n)
    run.metric("jensen_shannon_divergence", jsd, "nats, between 0 and log 2", split, n)

    k = config.discriminator_steps
    # Samples of the data themselves would have about this divergence, since they fill the bins by chance.
    noise = config.bins / (8 * config.num_samples)
    title = figures.finding(
        divergences[0] - jsd,
        noise,
        f"The Jensen-Shannon divergence falls from {divergences[0]:.3f} to {jsd:.3f}",
        f"The Jensen-Shannon divergence rises from {divergences[0]:.3f} to {jsd:.3f}",
        "The densities, D, and D* from the two densities",
    )
    title = f"{title}\nk = {k} updates of D for each of G"
    run.figure("stages", figures.adversarial_stages(centres, p_data / width, stages, z_shown, title))
    panels = [
        ("Losses", "nats", ["discriminator_loss", "generator_loss"]),
        ("D(x) and D(G(z))", "probability of data", ["real_probability", "fake_probability"]),
    ]
    run.figure("training", figures.curves(history, panels))
    run.export(model.endpoints("x"))
