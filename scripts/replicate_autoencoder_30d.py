"""Lecture A2, A4: the autoencoder 784-1000-500-250-30 of Hinton & Salakhutdinov 2006.

Source: Hinton & Salakhutdinov 2006, figure 2B: squared error 3.00 per test image, PCA with 30 components 13.87.
Expected: a squared error of 2.1. Training images are moved by up to one pixel, at random. Of images that stay in
place (`shift` 0 in `tfgen.recipes`) the network learns too much by heart: they come down to 1.2, test images to 3.4.
Time: about a quarter of an hour on one core with --preset paper.

    python scripts/replicate_autoencoder_30d.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "autoencoder-30d", *sys.argv[1:]]))
