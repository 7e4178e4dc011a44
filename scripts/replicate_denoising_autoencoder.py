"""The stacked autoencoder trained to remove masking and Gaussian noise, beside one trained without noise (A2, A4).

Its story: tfgen/recipes/denoising_autoencoder.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "denoising-autoencoder", *sys.argv[1:]]))
