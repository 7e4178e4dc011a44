"""The VAE of Burda et al. 2015 with one stochastic layer (B3, B4), its likelihood by importance sampling.

784-200-200-50 with tanh, and its mirror image; trained on the ELBO, which is the bound of k = 1 samples.

Source: Burda et al. 2015, table 1, VAE, k = 1, and the authors' code (yburda/iwae).
Differs:
- Batches are of 100 instead of 20, and there are fewer epochs, of 50,000 images (theirs: 3,280 of 59,600).
- Adam's rate falls along a cosine instead of from 1e-3 to 1e-4 in eight stages; its first moment's decay is 0.9 (their
  code: 0.99), its second moments begin at 0 (theirs: at 1), and its epsilon suits gradients that are means (theirs are
  sums over 20 images).
- For k = 1 the KL divergence is exact, where theirs is that of the sample.
"""

import dataclasses
import itertools

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, Count, Fraction, Positive, Published, Recipe, check_at_least

# Importance samples of an image that are evaluated together.
NLL_CHUNK = 50


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Burda et al.'s network, trained in stages, each with a k of its own, from the weights of the stage before.

    A small k costs little, and what it learns serves the larger one. Each stage begins the sequence of batches and
    noise anew. For k = 1, on the validation images, a rate of 2e-3 is the best of 1e-3, 2e-3 and 4e-3 after 40 epochs:
    negative ELBO 100.0, 98.2 and 99.1.

    Attributes:
        epochs: of all stages together.
        stages: for each stage k, the fraction of `epochs` and Adam's initial rate.
        latent_dim: dimension of z.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of the hidden layers.
        batch_size: images of an update.
        epsilon: Adam's.
        nll_samples: importance samples an image in the evaluation.
        fewer_nll_samples: of a second evaluation, which shows what the number of samples does.
        doubly_reparameterised: which gradient the encoder follows where k is above 1; see `ImportanceWeightedVAE`.
    """

    stages: tuple[tuple[Count, Fraction, Positive], ...]
    latent_dim: Count = 50
    hidden_units: tuple[Count, ...] = (200, 200)
    activation: Activation = "tanh"
    batch_size: Count = 100
    epsilon: Positive = 5e-6
    nll_samples: Count = 5000
    fewer_nll_samples: Count = 200
    doubly_reparameterised: bool = False

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
        for name in ("nll_samples", "fewer_nll_samples"):
            samples = getattr(self, name)
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
        "smoke": Config(epochs=1, stages=((1, 1.0, 2e-3),), nll_samples=50),
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
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.evaluation.codes import active_units
    from tfgen.evaluation.importance import importance_sampled_nll
    from tfgen.models.vae import VAE, ImportanceWeightedVAE
    from tfgen.training.run import predict
    from tfgen.training.vae import draw_training, measure_elbo, prior_sample

    config, data = run.config, run.data
    validation = fixed_binarization(data.validation.images, number=1).numpy()
    test = fixed_binarization(data.test.images).numpy()
    # As the authors initialise the output biases: with the logits of the mean image, each clipped.
    mean = np.clip(scale(data.train.images).numpy().mean(axis=0), 0.001, 0.999)
    batches = Batches(data.train.images, config.batch_size, run.seed, binarized=True)

    sizes = (data.pixels, config.latent_dim, config.hidden_units, config.activation)
    model = None
    for number, ((k, _, learning_rate), epochs) in enumerate(zip(config.stages, config.stage_epochs(), strict=True), 1):
        print(f"training on the bound of {k} sample{'s' if k > 1 else ''} for {epochs} epochs", flush=True)
        name = "model" if number == len(config.stages) else f"k{k}"
        run.set_random_seed(name)
        before = model
        if k == 1:
            model = VAE(*sizes, run.seed)
        else:
            options = {"num_samples": k, "doubly_reparameterised": config.doubly_reparameterised}
            model = ImportanceWeightedVAE(*sizes, run.seed, **options)
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
    for name, samples in (
        ("test_nll", config.nll_samples),
        (f"test_nll__{config.fewer_nll_samples}_samples", config.fewer_nll_samples),
    ):
        seed = stateless_seed(run.seed, Draw.EVALUATION, 1)
        nll = importance_sampled_nll(model.encoder, model.log_likelihood, test, samples, seed, chunk=NLL_CHUNK)
        nll_unit = f"{unit}, {samples:,} importance samples"
        standard_error = nll.std(ddof=1) / np.sqrt(len(nll))
        run.metric(name, nll.mean(), nll_unit, "test", len(test), standard_error=standard_error)
    z_mean, _ = predict(model.encoder, test)
    unit = f"of {config.latent_dim} latents, variance of the posterior mean above 0.01"
    run.metric("active_latent_units", active_units(z_mean), unit, "test", len(test))

    draw_training(run, history, "Negative ELBO" if k == 1 else f"Negative bound of {k} samples")
    title = f"{config.latent_dim} latents, k = {k}"
    samples = data.pictures(model.decode(prior_sample(run, 100)))
    run.figure("samples", figures.image_grid(samples, 10, f"{title}: p(x|z), z ~ p(z)"))
    above, below = data.pictures(test[:16]), data.pictures(model.reconstruct(test[:16]))
    run.figure("reconstructions", figures.reconstructions(above, below, title))
    run.export(model.endpoints())
