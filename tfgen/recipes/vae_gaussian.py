"""The VAE as the lecture writes it (B2): the decoder gives mean and variance of every pixel, and x is drawn from them.

Means are smooth, and draws from p(x|z) noisy: independent noise on each pixel is what this model says.

Source: Kingma & Welling 2013, appendix C.2. They report no MNIST number.
Differs:
- There are two hidden layers of ReLU units and ten latents.
- The variance of a pixel has a floor of 0.04: without one the density has no maximum. A lower floor, or one hidden
  layer and 20 latents, reconstructs better and samples worse: the KL term weighs less, and z from the prior falls
  where no image was encoded.
- The bound is that of a density on grey pixels, which may exceed 1, so that the nats may be negative and stand beside
  no Bernoulli model's.
- Adam instead of Adagrad; its rate falls to 0 along a cosine.
"""

import dataclasses

from tfgen import recipe
from tfgen.recipe import Activation, Count, Positive, Recipe


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Two hidden layers and ten latents, with a floor for the variance of a pixel: a standard deviation of 0.2.

    Attributes:
        latent_dim: dimension of z.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of the hidden layers.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over the whole training.
        min_variance: the floor, in squared units of pixels in [0, 1].
    """

    latent_dim: Count = 10
    hidden_units: tuple[Count, ...] = (512, 256)
    activation: Activation = "relu"
    batch_size: Count = 100
    learning_rate: Positive = 1e-3
    min_variance: Positive = 0.04


RECIPE = Recipe(
    title="Variational autoencoder whose decoder gives mean and variance of Gaussian pixels",
    lecture_items=("B2", "B4", "B5"),
    headline=("test_negative_elbo",),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=15), "paper": Config(epochs=200)},
)


def experiment(run):
    import tensorflow as tf

    from tfgen import figures
    from tfgen.data.batches import Batches, scale
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.models.vae import GaussianVAE
    from tfgen.training.vae import draw_training, measure_elbo, prior_sample

    config, data = run.config, run.data
    validation, test = (scale(split.images).numpy() for split in (data.validation, data.test))

    run.set_random_seed()
    model = GaussianVAE(
        data.pixels,
        config.latent_dim,
        config.hidden_units,
        config.activation,
        seed=run.seed,
        min_variance=config.min_variance,
    )
    batches = Batches(data.train.images, config.batch_size, run.seed)
    model.compile(run.decaying_adam(config.learning_rate, batches), **run.compile_options(batches))
    history = run.fit(model, batches, validation)
    draw_training(run, history)
    measure_elbo(run, model, test, "nats per image")

    z = prior_sample(run, model, 50)
    x = model.sample_image(z, stateless_seed(run.seed, Draw.SAMPLE, 1))
    both = tf.concat([model.decode(z), tf.clip_by_value(x, 0, 1)], axis=0)
    title = "Gaussian VAE, z from the prior\nabove: means of p(x|z); below: draws x ~ p(x|z) for the same z, clipped"
    run.figure("samples", figures.image_grid(data.pictures(both), 10, title))
    above, below = data.pictures(test[:16]), data.pictures(model.reconstruct(test[:16]))
    run.figure("reconstructions", figures.reconstructions(above, below, "Gaussian VAE, mean of p(x|z)"))
    run.export(model.endpoints())
