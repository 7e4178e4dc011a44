"""The network of `vae-burda` on the importance-weighted bound of 50 samples (B3, B4).

The experiment is that of `vae-burda`.

Source: Burda et al. 2015, table 1, IWAE, k = 50, and the authors' code (yburda/iwae).
Differs:
- As `vae-burda` differs, and there are 600 epochs: one with 50 samples takes many times as long as one with a single
  sample.
- The encoder follows the doubly reparameterised gradient of Tucker et al. 2018, taken of 5 of the 50 samples as in
  `iwae-static`.
"""

import functools

from tfgen.recipe import Published, Recipe
from tfgen.recipes.vae_burda import FEW_SAMPLES, Config, experiment

__all__ = ["RECIPE", "Config", "experiment"]

_config = functools.partial(Config, doubly_reparameterised=True, gradient_samples=5)
RECIPE = Recipe(
    title="The network with one stochastic layer of Burda et al. 2015, trained on the bound of 50 samples",
    lecture_items=("B3", "B4"),
    headline=("test_nll", "test_negative_bound", "active_latent_units"),
    presets={
        "smoke": _config(epochs=1, stages=((6, 1.0, 1e-3),), **FEW_SAMPLES),
        "paper": _config(epochs=600, stages=((50, 1.0, 2e-3),)),
    },
    published={
        "test_nll": Published(
            84.78,
            "Burda et al. 2015, table 1, IWAE, k = 50",
            others=(Published(85.54, "the same table, IWAE, k = 5"),),
        ),
        "active_latent_units": Published(
            25.0,
            "Burda et al. 2015, table 1, not verified, IWAE, k = 50",
            others=(Published(22.0, "the same table, not verified, IWAE, k = 5"),),
        ),
    },
)
