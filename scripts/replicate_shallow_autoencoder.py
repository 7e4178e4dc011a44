"""Lecture A2-A4: autoencoders with one hidden layer on MNIST, ReLU or sigmoid, tied (W' = W^T) or untied.

Source: the lecture's formula and its squared error; it gives no code size, here 64, and no paper reports a number for
these networks. The linear floor beside them is PCA with 64 components.
Expected: about 3.1 squared error per test image with ReLU, tied or not, so that tying costs nothing and halves the
parameters; with sigmoid units about 5.6 untied and 9.4 tied; PCA leaves 7.09.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_shallow_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "shallow-autoencoder", *sys.argv[1:]]))
