"""The network of Burda et al. 2015 on Larochelle's binarised MNIST, the bound of 50 samples (B3, B4).

Its story: tfgen/recipes/iwae_static.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "iwae-static", *sys.argv[1:]]))
