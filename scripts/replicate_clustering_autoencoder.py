"""Lecture A2, A7: the autoencoder 784-128-64-10-2 on MNIST, its codes drawn in the plane, one colour a digit.

Source: the lecture gives the widths and the picture; no paper reports a number for this network. Van der Maaten 2009
has 66.8 % for a wider autoencoder and 78.2 % for PCA (quoted from memory), which ours leave far behind. The first two
principal components stand beside its codes, and networks with codes of 10 and 32 units.
Expected: the nearest training code is another digit's for 28 to 31 % of the test codes (seeds 0 to 2), for 61 to 62 %
with PCA-2 and for 3 to 7 % with the wider codes. k-means finds 61 to 68 % of the test images' digits on a code of ten
units, 54 to 55 % on pixels, and only 25 to 39 % in the plane: there the digits are rays of very unequal length, and
spheres cut up the long ones.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_clustering_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "clustering-autoencoder", *sys.argv[1:]]))
