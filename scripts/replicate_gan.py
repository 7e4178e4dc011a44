"""The lecture's GAN on MNIST, alternating updates, non-saturating loss (D1, D2, D3, D4, D5).

Its story: tfgen/recipes/gan.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan", *sys.argv[1:]]))
