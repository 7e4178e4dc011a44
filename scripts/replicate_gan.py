"""Lecture D1-D5: the generative adversarial network on MNIST.

Source: Goodfellow et al. 2014, algorithm 1, with the networks of the usual lecture program: 100-128-784 against
784-128-1. No paper reports a number for these.
Expected: samples that a person calls digits, though not all; all ten digits among them, the rarest at 1 to 3 %. How
varied they are hangs on the seed: Frechet distance 94 and 55, recall 0.01 and 0.37 with seeds 0 and 1.
Time: about a minute and a half on 2 cores with --preset quick.

    python scripts/replicate_gan.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan", *sys.argv[1:]]))
