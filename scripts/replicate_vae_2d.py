"""Variational autoencoder with two latents: the manifold, and a scatter plot of the codes (B5, B6).

Its story: tfgen/recipes/vae_2d.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-2d", *sys.argv[1:]]))
