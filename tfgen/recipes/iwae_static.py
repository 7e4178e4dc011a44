"""The IWAE on Larochelle's fixed binarisation of MNIST (B3, B4): the bound of 50 samples from the first epoch on.

The experiment is that of `vae-burda`, on images that are binary already: neither training nor test binarises anything.

Source: pythae's reproducibility README and script, IWAE with k = 50 on binary MNIST; the network is that of Burda et
al. 2015.
Differs:
- There are 150 epochs instead of 3,280. Adam's rate falls from 1e-3 to 0 along a cosine instead of by factors of
  10^(-1/7) at eight epochs, and its epsilon is that of `vae-burda` (theirs: 1e-4).
- The encoder follows the doubly reparameterised gradient of Tucker et al. 2018, taken of 5 of the 50 samples, which are
  drawn by their weights: Burda et al. 2015, section 3, do so with one.
"""

import functools

from tfgen.recipe import Published, Recipe
from tfgen.recipes.vae_burda import FEW_SAMPLES, Config, experiment

__all__ = ["RECIPE", "Config", "experiment"]

_PYTHAE = "pythae's reproducibility README"
_config = functools.partial(Config, batch_size=20, doubly_reparameterised=True, gradient_samples=5)
RECIPE = Recipe(
    title="The network of Burda et al. 2015 on Larochelle's binarised MNIST, the bound of 50 samples",
    lecture_items=("B3", "B4"),
    headline=("test_nll", "test_nll__200_samples", "test_negative_bound", "active_latent_units"),
    presets={
        "smoke": _config(epochs=1, batch_size=100, stages=((6, 1.0, 1e-3),), **FEW_SAMPLES),
        "paper": _config(epochs=150, stages=((50, 1.0, 1e-3),)),
    },
    published={
        "test_nll": Published(
            87.1,
            f"{_PYTHAE}, the reference that it gives",
            others=(Published(86.82, f"{_PYTHAE}, its own"),),
        ),
    },
    any_images=True,
    needs_labels=False,
    dataset="binarized_mnist",
)
