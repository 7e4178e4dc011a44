"""Semi-supervised VAE: M1 with a support vector machine, M2 and M1+M2, from 100 labels (A6, B3, B4).

Its story: tfgen/recipes/semi_supervised_vae.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "semi-supervised-vae", *sys.argv[1:]]))
