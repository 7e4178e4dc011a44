"""Lecture A2, A7: the autoencoder 784-128-64-10-2 on MNIST, its codes drawn in the plane, one colour a digit.

Source: the lecture gives the widths and the picture; no paper reports a number for this network. The first two
principal components stand beside its codes, and networks with codes of 10 and 32 units.
Expected: the nearest training code is another digit's for about 27 % of the test codes, for 61 to 62 % with PCA-2 and
for 4 to 7 % with the wider codes. k-means gains less: about half of the test images lie in their digit's cluster, and
55 % on pixels. The digits are rays of very unequal length: the ones and twos make two thirds of the sum of squares
within the digits, so three of the ten clusters cut up the ray of the ones, while fours and nines share one. With each
code at the square root of its distance from the median code it is 57 %; ten Gaussians of full covariance on the codes
as they are reach 51 to 57 %, the likeliest 57 % (one quick run).
Time: about two minutes on 2 cores with --preset quick.

    python scripts/replicate_clustering_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "clustering-autoencoder", *sys.argv[1:]]))
