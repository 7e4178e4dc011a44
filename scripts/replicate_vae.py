"""Lecture B1, B3-B6: the variational autoencoder on binarised MNIST.

Source: Kingma & Welling 2013; 500 tanh units and 20 latents as in their section 5, Adam instead of Adagrad. They give
curves and no number.
Expected: a negative ELBO of about 100 nats per test image, of which the KL divergence is about 27.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_vae.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae", *sys.argv[1:]]))
