"""Lecture B2, B4, B5: the VAE whose decoder gives a mean and a variance for every pixel.

Source: Kingma & Welling 2013, appendix C.2; the variance of a pixel has a floor of 0.04. They report no MNIST number.
Expected: smooth means, and noisy draws from p(x|z): independent noise on each pixel is what this model says.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_vae_gaussian.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-gaussian", *sys.argv[1:]]))
