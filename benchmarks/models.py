"""The models that the recipes train, at a family's size."""

from benchmarks.families import PIXELS
from tfgen.models.autoencoder import stacked_autoencoder
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE


def network(family):
    """Returns the model that a `Family`'s recipe trains, not compiled, with random weights."""
    config = family.config
    if family.model == "gan":
        return GAN(
            PIXELS,
            config.noise_dim,
            config.generator_units,
            config.discriminator_units,
            config.noise,
            config.generator_loss,
            config.discriminator_steps,
            dtype=config.precision,
        )
    if family.model == "vae":
        return VAE(PIXELS, config.latent_dim, config.hidden_units, config.activation)
    return stacked_autoencoder(
        PIXELS, config.hidden_units, config.activation, config.code_activation, dtype=config.precision
    )
