"""Lecture A2, A4, A5: the stacked autoencoder 784-300-150-300-784 on MNIST.

Source: the lecture gives the widths and the squared error; no paper reports a number for this network. The linear
floor beside it is PCA with as many components, and PCA-30 is checked against Hinton & Salakhutdinov 2006 (13.87).
A second network has greedy layer-wise pre-training (Hinton & Salakhutdinov 2006, Bengio et al. 2007) under the same 40
epochs in all: 10 for each of two layers, 20 end to end.
Expected: about 1.1 to 1.3 squared error per test image, where PCA with 150 components leaves 2.68. Pre-training helps a
little: 1.12 and 1.12 with two initialisations, 1.14 and 1.30 without it; before the epochs end to end it is at 2.0 to
2.5. No unit of the code is near-dead, and its variance fills 38 effective dimensions (PCA's 150 components: 26.5).
With --preset paper, 200 epochs, it is 0.77, and 0.84 with pre-training, whose halved training end to end then tells.
Time: about a minute and a half on 2 cores with --preset quick, seven with --preset paper.

    python scripts/replicate_stacked_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "stacked-autoencoder", *sys.argv[1:]]))
