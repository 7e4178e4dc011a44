"""One hidden layer, ReLU or sigmoid, untied and tied weights, beside PCA with as many components (A2, A3, A4).

Its story: tfgen/recipes/shallow_autoencoder.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "shallow-autoencoder", *sys.argv[1:]]))
