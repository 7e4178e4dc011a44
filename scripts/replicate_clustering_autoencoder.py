"""Autoencoder 784-128-64-10-2: the digits in the plane of its codes, beside PCA-2 and wider codes (A2, A7).

Its story: tfgen/recipes/clustering_autoencoder.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "clustering-autoencoder", *sys.argv[1:]]))
