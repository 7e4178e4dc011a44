"""Stacked autoencoder 784-300-150-300-784, squared error, beside PCA with as many components (A2, A4, A5).

Its story: tfgen/recipes/stacked_autoencoder.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "stacked-autoencoder", *sys.argv[1:]]))
