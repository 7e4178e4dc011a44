"""The IWAE on Larochelle's fixed binarisation of MNIST (B3, B4): the bound of 50 samples from the first epoch on.

The experiment is that of `vae-burda`, on images that are binary already: neither training nor test binarises anything.

Source: pythae's reproducibility README, IWAE with k = 50 on binary MNIST; the network is that of Burda et al. 2015.
Differs:
- Adam's rate falls to 0 along a cosine, and its epsilon is that of `vae-burda`.
- The encoder follows the doubly reparameterised gradient of Tucker et al. 2018.
"""

from tfgen.recipe import Published, Recipe
from tfgen.recipes.vae_burda import FEW_SAMPLES, Config, experiment

__all__ = ["RECIPE", "Config", "experiment"]

_PYTHAE = "pythae's reproducibility README"
RECIPE = Recipe(
    title="The network of Burda et al. 2015 on Larochelle's binarised MNIST, the bound of 50 samples",
    lecture_items=("B3", "B4"),
    headline=("test_nll", "test_nll__200_samples", "test_negative_bound", "active_latent_units"),
    presets={
        "smoke": Config(
            epochs=1,
            stages=((5, 1.0, 1e-3),),
            doubly_reparameterised=True,
            **FEW_SAMPLES | {"fewer_nll_samples": 200},
        ),
        "paper": Config(epochs=500, stages=((50, 1.0, 1e-3),), doubly_reparameterised=True),
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
