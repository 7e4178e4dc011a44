"""The variational autoencoder (B1, B3-B6): maximises the lower bound, reconstructs, generates from the prior.

Its likelihood is Bernoulli: pixels are binarised at random in every batch, and the test images once. `bound` draws
log p(x) = ELBO + KL(q(z|x) || p(z|x)) (B3) exactly, for a linear model of one latent and two pixels.

Source: Kingma & Welling 2013, section 5: one hidden layer of 500 tanh units. They give curves and no number.
Differs:
- There are 20 latents, trained with Adam instead of Adagrad; its rate falls to 0 along a cosine.
- Pixels are binarised at random in every batch.
"""

import dataclasses

from tfgen import recipe
from tfgen.recipe import Activation, Count, Positive, Recipe, check_at_least


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """One hidden layer of 500 tanh units.

    Attributes:
        latent_dim: dimension of z.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of the hidden layers.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over the whole training.
    """

    latent_dim: Count = 20
    hidden_units: tuple[Count, ...] = (500,)
    activation: Activation = "tanh"
    batch_size: Count = 100
    learning_rate: Positive = 1e-3

    def check(self, data):
        super().check(data)
        check_at_least(data, "test", 2, "the picture of ways between pairs of images")


RECIPE = Recipe(
    title="Variational autoencoder, Bernoulli likelihood on binarised pixels",
    lecture_items=("B1", "B3", "B4", "B5", "B6"),
    headline=("test_negative_elbo", "test_reconstruction_loss", "test_kl_divergence"),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=35), "paper": Config(epochs=500)},
    any_images=True,
    needs_labels=False,
)


def experiment(run):
    import numpy as np

    from tfgen import figures
    from tfgen.data.batches import Batches, fixed_binarization
    from tfgen.models import linear_gaussian
    from tfgen.models.vae import VAE
    from tfgen.training.vae import draw_training, measure_elbo, prior_sample

    config, data = run.config, run.data
    validation = fixed_binarization(data.validation.images, number=1).numpy()
    test = fixed_binarization(data.test.images).numpy()

    run.set_random_seed()
    model = VAE(data.pixels, config.latent_dim, config.hidden_units, config.activation, seed=run.seed)
    batches = Batches(data.train.images, config.batch_size, run.seed, binarized=True)
    model.compile(run.decaying_adam(config.learning_rate, batches), **run.compile_options(batches))
    history = run.fit(model, batches, validation)
    draw_training(run, history)
    measure_elbo(run, model, test, "nats per image binarised once")

    samples = data.pictures(model.decode(prior_sample(run, model, 100)))
    run.figure("samples", figures.image_grid(samples, 10, "VAE: p(x|z), z from the prior"))
    above, below = data.pictures(test[:16]), data.pictures(model.reconstruct(test[:16]))
    run.figure("reconstructions", figures.reconstructions(above, below, "VAE, binarised"))
    pairs = min(8, len(test) // 2)
    z_mean = model.encoder(test[: 2 * pairs])[0].numpy()
    weights = np.linspace(0, 1, 11)[:, None]
    paths = np.concatenate(
        [(1 - weights) * a + weights * b for a, b in zip(z_mean[:pairs], z_mean[pairs:], strict=True)]
    )
    title = "VAE: decoded on the straight line between the codes of two test images"
    run.figure("interpolation", figures.image_grid(data.pictures(model.decode(paths)), 11, title))
    run.figure("bound", figures.bound(*linear_gaussian.bound_as_q_moves()))
    run.export(model.endpoints())
    run.keep_networks(model.parts())
