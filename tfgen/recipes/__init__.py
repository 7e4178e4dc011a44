"""One file a recipe, the whole story of an experiment in it. Here they are only named, in the lecture's order."""

from tfgen.recipes import (
    anomaly_detection,
    autoencoder_30d,
    clustering_autoencoder,
    denoising_autoencoder,
    digit_classifier,
    discriminative_vs_generative,
    feature_classifier,
    gan,
    gan_1d,
    gan_goodfellow,
    gan_variants,
    iwae_burda,
    iwae_static,
    shallow_autoencoder,
    stacked_autoencoder,
    vae,
    vae_2d,
    vae_burda,
    vae_gaussian,
    vae_static,
)

MODULES = {
    "shallow-autoencoder": shallow_autoencoder,
    "stacked-autoencoder": stacked_autoencoder,
    "denoising-autoencoder": denoising_autoencoder,
    "clustering-autoencoder": clustering_autoencoder,
    "feature-classifier": feature_classifier,
    "anomaly-detection": anomaly_detection,
    "vae": vae,
    "vae-gaussian": vae_gaussian,
    "vae-2d": vae_2d,
    "digit-classifier": digit_classifier,
    "gan": gan,
    "gan-variants": gan_variants,
    "gan-1d": gan_1d,
    "autoencoder-30d": autoencoder_30d,
    "vae-burda": vae_burda,
    "iwae-burda": iwae_burda,
    "vae-static": vae_static,
    "iwae-static": iwae_static,
    "gan-goodfellow": gan_goodfellow,
    # Last, since its picture of samples has rows of the VAE's and the GAN's finished runs.
    "discriminative-vs-generative": discriminative_vs_generative,
}
RECIPES = {name: module.RECIPE for name, module in MODULES.items()}
