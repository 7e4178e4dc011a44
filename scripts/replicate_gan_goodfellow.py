"""The GAN of the 2014 paper: maxout, dropout, momentum; last and averaged weights, by Parzen windows (D1, D3, D4).

Its story: tfgen/recipes/gan_goodfellow.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-goodfellow", *sys.argv[1:]]))
