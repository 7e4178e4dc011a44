"""The VAE of Burda et al. 2015 with two stochastic layers (B3, B4), its likelihood by importance sampling.

784-200-200-100 to the lower layer, 100-100-100-50 to the upper one, and the mirror image. The experiment is that of
`vae-burda`.

Source: Burda et al. 2015, table 1, two stochastic layers, VAE, k = 1, and the authors' code (yburda/iwae).
Differs:
- As `vae-burda` differs, but for the KL divergence: with two layers it is estimated with a draw, as theirs is.
- The active units of the upper layer are counted at the mean of the lower layer; the authors' code draws it.
"""

import functools

from tfgen.recipe import Published, Recipe
from tfgen.recipes.vae_burda import FEW_SAMPLES, Config, experiment

__all__ = ["RECIPE", "Config", "experiment"]

_TABLE = "Burda et al. 2015, table 1, two stochastic layers, VAE, k = 1"
_config = functools.partial(Config, latent_dim=100, upper_latent_dim=50)
RECIPE = Recipe(
    title="Variational autoencoder with two stochastic layers of Burda et al. 2015, NLL by importance sampling",
    lecture_items=("B3", "B4"),
    headline=(
        "test_nll",
        "test_negative_elbo",
        "active_latent_units",
        "active_latent_units__upper",
    ),
    presets={
        "smoke": _config(epochs=1, stages=((1, 1.0, 2e-3),), **FEW_SAMPLES),
        "paper": _config(epochs=1000, stages=((1, 1.0, 2e-3),)),
    },
    published={
        "test_nll": Published(85.33, _TABLE),
        "active_latent_units": Published(16.0, f"{_TABLE}, not verified"),
        "active_latent_units__upper": Published(5.0, f"{_TABLE}, not verified"),
    },
)
