"""The VAE 784-400-40 on Larochelle's binarised MNIST, NLL by importance sampling (B3, B4).

Its story: tfgen/recipes/vae_static.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-static", *sys.argv[1:]]))
