"""Lecture A2, A4, A5: the stacked autoencoder 784-300-150-300-784 on MNIST.

Source: the lecture gives the widths and the squared error; no paper reports a number for this network. The linear
floor beside it is PCA with as many components, and PCA-30 is checked against Hinton & Salakhutdinov 2006 (13.87).
Expected: about 1.2 squared error per test image, where PCA with 150 components leaves 2.68.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_stacked_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "stacked-autoencoder", *sys.argv[1:]]))
