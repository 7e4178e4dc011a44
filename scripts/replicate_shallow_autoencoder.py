"""Lecture A2-A4: autoencoders with one hidden layer on MNIST, ReLU or sigmoid, tied (W' = W^T) or untied.

Source: the lecture's formula and its squared error; it gives no code size, here 64, and no paper reports a number for
these networks. The linear floor beside them is PCA with 64 components.
Expected: 3.2 to 3.4 squared error per test image with ReLU, tied or not (two trials: 3.24 and 3.37 untied, 3.38 and
3.34 tied), with half the parameters where tied; with sigmoid units 5.4 to 5.9 untied and 9.8 tied; PCA leaves 7.09.
Time: about half a minute on 2 cores with --preset quick.

    python scripts/replicate_shallow_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "shallow-autoencoder", *sys.argv[1:]]))
