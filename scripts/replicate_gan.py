"""Lecture D1-D5: the generative adversarial network on MNIST.

Source: Goodfellow et al. 2014, algorithm 1, with the networks of the usual lecture program: 100-128-784 against
784-128-1. No paper reports a number for these.
Expected: samples that a person calls digits, though not all; all ten digits among them, the rarest at 1 to 3 %. With
the moving average of the generator's weights their Frechet distance is 54, their recall 0.44 and their Parzen
log-likelihood 132; with the last weights 56, 0.40 and 119. True images have 0.7 and 242, centres of k-means 335.
Time: about two minutes and a half on 2 cores with --preset quick.

    python scripts/replicate_gan.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan", *sys.argv[1:]]))
