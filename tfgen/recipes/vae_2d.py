"""The VAE with two latents (B5, B6), all of whose images fit on one page: the manifold, and a scatter plot of codes.

Neighbouring pictures change into each other; the digits form clusters among the posterior means.

Source: Kingma & Welling 2013, appendix A, figure 4: the manifold on the prior's quantiles. They report no number.
Differs:
- There are two hidden layers of ReLU units.
- Adam instead of Adagrad; its rate falls to 0 along a cosine.
- Pixels are binarised at random in every batch.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, Count, Positive, Recipe


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Two latents and two hidden layers.

    Attributes:
        latent_dim: dimension of z; the pictures need 2.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: of the hidden layers.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over the whole training.
    """

    latent_dim: Count = 2
    hidden_units: tuple[Count, ...] = (512, 256)
    activation: Activation = "relu"
    batch_size: Count = 100
    learning_rate: Positive = 1e-3

    def __post_init__(self):
        super().__post_init__()
        if self.latent_dim != 2:
            raise InputError(f"latent_dim must be 2 here, for the plane (vae takes others); got {self.latent_dim}")


RECIPE = Recipe(
    title="Variational autoencoder with two latents: the manifold, and a scatter plot of the codes",
    lecture_items=("B5", "B6"),
    headline=("test_negative_elbo",),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=20), "paper": Config(epochs=500)},
    any_images=True,
    needs_labels=False,
)


def experiment(run):
    import numpy as np
    from scipy import stats

    from tfgen import figures
    from tfgen.data.batches import Batches, fixed_binarization
    from tfgen.models.vae import VAE
    from tfgen.training.run import predict
    from tfgen.training.vae import draw_training, measure_elbo

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

    side = 20
    # Equal shares of the prior: its inverse distribution function on an even grid (Kingma & Welling 2013, appendix A).
    quantiles = stats.norm.ppf((np.arange(side) + 0.5) / side)
    across, down = np.meshgrid(quantiles, quantiles[::-1])
    z = np.stack([across.ravel(), down.ravel()], axis=1).astype(np.float32)
    title = "VAE: decoded prior quantiles of two latents"
    run.figure("manifold", figures.image_grid(data.pictures(model.decode(z)), side, title))
    z_mean, _ = predict(model.encoder, test)
    run.figure("latents", figures.scatter({"VAE: posterior means of the test images": z_mean}, data.test.labels))
    run.export(model.endpoints())
    run.keep_networks(model.parts(), codes=z_mean)
