"""The lecture's GAN with uniform or Gaussian noise, with the minimax or the non-saturating loss (D1, D3).

Its story: tfgen/recipes/gan_variants.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-variants", *sys.argv[1:]]))
