"""A GAN on the line: both densities, D and the optimal D*, as in figure 1 of the 2014 paper (D2, D3, D4).

Its story: tfgen/recipes/gan_1d.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-1d", *sys.argv[1:]]))
