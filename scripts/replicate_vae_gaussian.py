"""Variational autoencoder whose decoder gives mean and variance of Gaussian pixels (B2, B4, B5).

Its story: tfgen/recipes/vae_gaussian.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-gaussian", *sys.argv[1:]]))
