"""Variational autoencoder, Bernoulli likelihood on binarised pixels (B1, B3, B4, B5, B6).

Its story: tfgen/recipes/vae.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae", *sys.argv[1:]]))
