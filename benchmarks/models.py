"""The models that the recipes train, at the size of a workload."""

from benchmarks.workloads import PIXELS
from tfgen.models.autoencoder import stacked_autoencoder
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE


def network(workload):
    """Returns the model of a `Workload`'s recipe, not compiled, with random weights."""
    config = workload.config
    if workload.model == "gan":
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
    if workload.model == "vae":
        return VAE(PIXELS, config.latent_dim, config.hidden_units, config.activation)
    return stacked_autoencoder(
        PIXELS, config.hidden_units, config.activation, config.code_activation, dtype=config.precision
    )
