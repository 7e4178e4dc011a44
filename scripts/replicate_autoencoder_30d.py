"""Autoencoder 784-1000-500-250-30 of Hinton & Salakhutdinov 2006, beside PCA with 30 components (A2, A4).

Its story: tfgen/recipes/autoencoder_30d.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "autoencoder-30d", *sys.argv[1:]]))
