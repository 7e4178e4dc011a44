"""Lecture A2: the autoencoder that is trained to ignore noise, 784-300-150-300-784 on MNIST.

Source: Vincent et al. 2008 and 2010 for the noises (masking, Gaussian); their networks are pre-trained for classifiers,
and no paper reports a reconstruction error for this one.
Expected: TODO
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_denoising_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "denoising-autoencoder", *sys.argv[1:]]))
