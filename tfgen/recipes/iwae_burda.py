"""The network of `vae-burda` on the importance-weighted bound (B3, B4): on 5 samples, then on 50.

The experiment is that of `vae-burda`, with other stages.

Source: Burda et al. 2015, table 1, IWAE, k = 50, and the authors' code (yburda/iwae).
Differs:
- As `vae-burda` differs.
- It trains with k = 5 before k = 50, for 510 and 90 epochs, where the paper trains with k = 50 for all of its 3,280: an
  epoch of 50 samples takes nine times as long as one of 5.
"""

from tfgen.recipe import Published, Recipe
from tfgen.recipes.vae_burda import FEW_SAMPLES, Config, experiment

__all__ = ["RECIPE", "Config", "experiment"]

RECIPE = Recipe(
    title="The network of Burda et al. 2015, trained on the bound of 5 and at last of 50 samples, NLL with 5,000",
    lecture_items=("B3", "B4"),
    headline=("test_nll", "test_negative_bound", "active_latent_units"),
    presets={
        "smoke": Config(epochs=2, stages=((1, 0.5, 2e-3), (5, 0.5, 2e-3)), **FEW_SAMPLES),
        "paper": Config(epochs=600, stages=((5, 0.85, 2e-3), (50, 0.15, 1e-3))),
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
