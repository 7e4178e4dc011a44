"""The VAE of Burda et al. 2015 with one stochastic layer (B3, B4), its likelihood by importance sampling.

784-200-200-50 with tanh, and its mirror image; trained on the ELBO, which is the bound of k = 1 samples.

The estimate of the likelihood has several sources of error, each of which is measured by itself: the test images (the
standard error), how they are binarised (a mean over several draws), and how many importance samples are taken (three
numbers of them on the first test images, with the effective number). The standard error is not that of a difference
between two models on the same images, which is far smaller.

Source: Burda et al. 2015, table 1, VAE, k = 1, and the authors' code (yburda/iwae).
Differs:
- Batches are of 100 instead of 20, and there are fewer epochs, of 50,000 images (theirs: 3,280 of 59,600).
- Adam's rate falls from 2e-3 to 0 along a cosine instead of from 1e-3 to 1e-4 in eight stages; its first moment's decay
  is 0.9 (their code: 0.99), its second moments begin at 0 (theirs: at 1), and its epsilon suits gradients that are
  means (theirs are sums over 20 images).
- For k = 1 the KL divergence is exact, where theirs is that of the sample.
"""

import dataclasses
import itertools
from typing import Any

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import (
    Activation,
    Count,
    Fraction,
    Positive,
    Published,
    Recipe,
    WholeNumber,
    check_at_least,
)

# Importance samples of an image that are evaluated together.
NLL_CHUNK = 50
# For the presets smoke.
FEW_SAMPLES: dict[str, Any] = {
    "nll_samples": 20,
    "fewer_nll_samples": 10,
    "binarisations": 1,
    "subset": 20,
    "subset_nll_samples": (10, 50),
}


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Burda et al.'s network, trained in stages, each with a k of its own, from the weights of the stage before.

    A small k costs little, and what it learns serves the larger one; the presets have one stage each. Each stage begins
    the sequence of batches and noise anew. For k = 1, on the validation images, a rate of 2e-3 is the best of 1e-3,
    2e-3 and 4e-3 after 40 epochs: negative ELBO 100.0, 98.2 and 99.1.

    Attributes:
        epochs: of all stages together.
        stages: for each stage k, the fraction of `epochs` and Adam's initial rate.
        latent_dim: dimension of z, or of the lower one of two stochastic layers.
        upper_latent_dim: dimension of the upper one; 0 means that there is none.
        upper_hidden_units: widths of the hidden layers between the two.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of the hidden layers.
        batch_size: images of an update.
        epsilon: Adam's.
        nll_samples: importance samples an image in the evaluation.
        fewer_nll_samples: of a second evaluation, and of those on other binarisations of the test images.
        binarisations: how many other ones.
        subset: number of test images at most, the first ones, on which numbers of importance samples are compared.
        subset_nll_samples: these numbers.
        doubly_reparameterised: which gradient the encoder follows where k is above 1; see `ImportanceWeightedVAE`.
        gradient_samples: of how many of the k samples that gradient is taken, drawn by their weights; 0 means all.
    """

    stages: tuple[tuple[Count, Fraction, Positive], ...]
    latent_dim: Count = 50
    upper_latent_dim: WholeNumber = 0
    upper_hidden_units: tuple[Count, ...] = (100, 100)
    hidden_units: tuple[Count, ...] = (200, 200)
    activation: Activation = "tanh"
    batch_size: Count = 100
    epsilon: Positive = 5e-6
    nll_samples: Count = 5000
    fewer_nll_samples: Count = 200
    binarisations: Count = 5
    subset: Count = 1000
    subset_nll_samples: tuple[Count, ...] = (500, 5000, 50_000)
    doubly_reparameterised: bool = False
    gradient_samples: WholeNumber = 0

    def __post_init__(self):
        super().__post_init__()
        ks = [k for k, _, _ in self.stages]
        if len(set(ks)) < len(ks) or not ks:
            raise InputError(f"stages must be at least one, each with a k of its own; got k {ks}")
        total = sum(fraction for _, fraction, _ in self.stages)
        if abs(total - 1) > 1e-9:
            raise InputError(f"the fractions of the stages must add up to 1, got {total:g}")
        if min(self.stage_epochs()) < 1:
            raise InputError(f"{self.epochs} epochs leave none for one of {len(self.stages)} stages; raise --epochs")
        if self.gradient_samples and not self.doubly_reparameterised:
            raise InputError("gradient_samples are those of the doubly reparameterised gradient: set it to true too")
        self.check_distinct("subset_nll_samples")
        named = {name: [getattr(self, name)] for name in ("nll_samples", "fewer_nll_samples")}
        for name, numbers in {**named, "subset_nll_samples": self.subset_nll_samples}.items():
            for samples in numbers:
                if samples > NLL_CHUNK and samples % NLL_CHUNK:
                    raise InputError(f"{name} must be at most {NLL_CHUNK} or a multiple of {NLL_CHUNK}, got {samples}")

    def check(self, data):
        super().check(data)
        check_at_least(data, "test", 2, "the standard error of test_nll")

    def stage_epochs(self):
        """Returns the epochs of each stage, which add up to `epochs`."""
        fractions = [fraction for _, fraction, _ in self.stages]
        ends = [round(self.epochs * sum(fractions[:i])) for i in range(len(fractions) + 1)]
        return [end - start for start, end in itertools.pairwise(ends)]


RECIPE = Recipe(
    title="Variational autoencoder with one stochastic layer of Burda et al. 2015, NLL by importance sampling",
    lecture_items=("B3", "B4"),
    headline=("test_nll", "test_negative_elbo", "active_latent_units"),
    presets={
        "smoke": Config(epochs=1, stages=((1, 1.0, 2e-3),), **FEW_SAMPLES),
        "paper": Config(epochs=1000, stages=((1, 1.0, 2e-3),)),
    },
    published={
        "test_nll": Published(86.76, "Burda et al. 2015, table 1, VAE, k = 1"),
        "active_latent_units": Published(19.0, "Burda et al. 2015, table 1, not verified, VAE, k = 1"),
    },
)


def experiment(run):
    import numpy as np

    from tfgen import figures
    from tfgen.data.batches import Batches, fixed_binarization, scale
    from tfgen.training.vae import draw_training, measure_elbo, prior_sample

    config, data = run.config, run.data
    validation = fixed_binarization(data.validation.images, number=1).numpy()
    test = fixed_binarization(data.test.images).numpy()
    # As the authors initialise the output biases: with the logits of the mean image, each clipped.
    mean = np.clip(scale(data.train.images).numpy().mean(axis=0), 0.001, 0.999)
    batches = Batches(data.train.images, config.batch_size, run.seed, binarized=True)

    model = None
    for number, ((k, _, learning_rate), epochs) in enumerate(zip(config.stages, config.stage_epochs(), strict=True), 1):
        print(f"training on the bound of {k} sample{'s' if k > 1 else ''} for {epochs} epochs", flush=True)
        name = "model" if number == len(config.stages) else f"k{k}"
        run.set_random_seed(name)
        before = model
        model = _network(config, data.pixels, k, run.seed)
        if before is None:
            model.decoder.get_layer("logits").bias.assign(np.log(mean / (1 - mean)))
        else:
            model.set_weights(before.get_weights())
        optimizer = run.decaying_adam(learning_rate, batches, epochs, config.epsilon)
        model.compile(optimizer, **run.compile_options(batches))
        history = run.fit(model, batches, validation, name, epochs)

    # Of images that are binary already, all binarisations are the same.
    unit = "nats per image" if data.name == "binarized_mnist" else "nats per image binarised once"
    if k == 1:
        measure_elbo(run, model, test, unit)
    else:
        bound = model.evaluate(test, batch_size=100, verbose=0, return_dict=True)["loss"]
        run.metric("test_negative_bound", bound, f"{unit}, bound of {k} samples", "test", len(test))
    _measure_nll(run, model, test, unit)
    _count_active_units(run, model, test)

    draw_training(run, history, "Negative ELBO" if k == 1 else f"Negative bound of {k} samples")
    layers = f"{config.upper_latent_dim} and " if config.upper_latent_dim else ""
    title = f"{layers}{config.latent_dim} latents, k = {k}"
    samples = data.pictures(model.decode(prior_sample(run, model, 100)))
    run.figure("samples", figures.image_grid(samples, 10, f"{title}: p(x|z), z ~ p(z)"))
    above, below = data.pictures(test[:16]), data.pictures(model.reconstruct(test[:16]))
    run.figure("reconstructions", figures.reconstructions(above, below, title))
    run.export(model.endpoints())


def _network(config, pixels, k, seed):
    """Returns the network with one or two stochastic layers, to be trained on the bound of k samples."""
    from tfgen.models.two_layer_vae import TwoLayerVAE
    from tfgen.models.vae import VAE, ImportanceWeightedVAE

    sizes = (pixels, config.latent_dim, config.hidden_units, config.activation)
    doubly = config.doubly_reparameterised and k > 1
    gradient = {"doubly_reparameterised": doubly, "gradient_samples": config.gradient_samples if doubly else 0}
    options = {"seed": seed, "num_samples": k, **gradient}
    if config.upper_latent_dim:
        upper = {"upper_latent_dim": config.upper_latent_dim, "upper_hidden_units": config.upper_hidden_units}
        return TwoLayerVAE(*sizes, **upper, **options)
    return VAE(*sizes, seed) if k == 1 else ImportanceWeightedVAE(*sizes, **options)


def _count_active_units(run, model, test):
    """Records how many latents of each stochastic layer the test images move."""
    from tfgen.evaluation.codes import active_units
    from tfgen.training.run import predict

    z_mean, _ = predict(model.encoder, test)
    means, where = {"active_latent_units": z_mean}, ""
    if run.config.upper_latent_dim:
        means["active_latent_units__upper"], _ = predict(model.upper_encoder, z_mean)
        where = ", the upper one's at the mean of the lower layer"
    for name, mean in means.items():
        unit = f"of {mean.shape[1]} latents, variance of the posterior mean above 0.01{where}"
        run.metric(name, active_units(mean), unit, "test", len(test))


def _measure_nll(run, model, test, unit):
    """Records the likelihood of the test images, and its sources of error."""
    import numpy as np
    import tensorflow as tf

    from tfgen.data.batches import fixed_binarization
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.evaluation.importance import importance_sample

    config, images = run.config, run.data.test.images
    # XLA takes longer to compile than a few samples take.
    most = max(config.nll_samples, config.fewer_nll_samples, *config.subset_nll_samples)
    jit_compile = most > NLL_CHUNK and not run.deterministic
    log_weights = tf.function(model.log_weights, jit_compile=jit_compile, autograph=False)

    def sample(x, samples):
        seed = stateless_seed(run.seed, Draw.EVALUATION, 1)
        return importance_sample(log_weights, model.noise_dim, x, samples, seed, chunk=NLL_CHUNK)

    for name, samples in (
        ("test_nll", config.nll_samples),
        (f"test_nll__{config.fewer_nll_samples}_samples", config.fewer_nll_samples),
    ):
        nll = sample(test, samples).nll
        standard_error = nll.std(ddof=1) / np.sqrt(len(nll))
        of_samples = f"{unit}, {samples:,} importance samples"
        run.metric(name, nll.mean(), of_samples, "test", len(test), standard_error=standard_error)

    for samples in config.subset_nll_samples:
        nll, effective = sample(test[: config.subset], samples)
        name, of_samples = f"first_images_{samples}_samples", f"{samples:,} importance samples"
        run.metric(f"test_nll__{name}", nll.mean(), f"{unit}, {of_samples}", "test", len(nll))
        of_samples = f"median effective number of {of_samples}"
        run.metric(f"effective_samples__{name}", np.median(effective), of_samples, "test", len(nll))

    if run.data.name != "binarized_mnist":
        # Numbers 0 and 1 are those of the test images themselves and of the validation images.
        binarised = (fixed_binarization(images, number).numpy() for number in range(2, 2 + config.binarisations))
        means = [sample(x, config.fewer_nll_samples).nll.mean() for x in binarised]
        of_samples = f"nats per image, {config.fewer_nll_samples:,} importance samples"
        of_means = f"{of_samples}, mean over other binarisations: {len(means)}"
        std = np.std(means, ddof=1) if len(means) > 1 else None
        run.metric("test_nll__other_binarisations", np.mean(means), of_means, "test", len(test), std)
