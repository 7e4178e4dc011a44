"""Variational autoencoder with two stochastic layers of Burda et al. 2015, NLL by importance sampling (B3, B4).

Its story: tfgen/recipes/vae_burda_2l.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-burda-2l", *sys.argv[1:]]))
