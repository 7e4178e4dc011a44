"""The network of Burda et al. 2015, with one stochastic layer, trained on the bound of 50 samples (B3, B4).

Its story: tfgen/recipes/iwae_burda.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "iwae-burda", *sys.argv[1:]]))
