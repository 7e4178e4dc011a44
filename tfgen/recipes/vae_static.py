"""The VAE 784-400-40 on Larochelle's fixed binarisation of MNIST (B3, B4), on which most likelihoods were published.

The experiment is that of `vae-burda`, on images that are binary already: neither training nor test binarises anything.

Source: pythae's reproducibility README, VAE on binary MNIST, 784-400-40 with ReLU, batches of 100, 500 epochs; its
number is of 200 importance samples, ours of 5,000 with that of 200 beside it.
Differs:
- Adam's rate falls from 1e-3 to 0 along a cosine instead of from 1e-4 by two factors of 10^(-1/5);
  its epsilon is that of `vae-burda`.
- The output biases begin at the logits of the mean image, as in `vae-burda`.
"""

import functools

from tfgen.recipe import Published, Recipe
from tfgen.recipes.vae_burda import FEW_SAMPLES, Config, experiment

__all__ = ["RECIPE", "Config", "experiment"]

_PYTHAE = "pythae's reproducibility README"
_config = functools.partial(Config, latent_dim=40, hidden_units=(400,), activation="relu")
RECIPE = Recipe(
    title="The VAE 784-400-40 on Larochelle's binarised MNIST, NLL by importance sampling",
    lecture_items=("B3", "B4"),
    headline=("test_nll", "test_nll__200_samples", "test_negative_elbo", "active_latent_units"),
    presets={
        "smoke": _config(epochs=1, stages=((1, 1.0, 1e-3),), **FEW_SAMPLES),
        "paper": _config(epochs=500, stages=((1, 1.0, 1e-3),)),
    },
    published={
        "test_nll": Published(
            89.9,
            f"{_PYTHAE}, the reference that it gives, 200 samples",
            others=(Published(89.78, f"{_PYTHAE}, its own, 200 samples"),),
        ),
    },
    any_images=True,
    needs_labels=False,
    dataset="binarized_mnist",
)
