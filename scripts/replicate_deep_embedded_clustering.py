"""Deep embedded clustering: the clusters of k-means among the codes, trained together with the autoencoder (A2, A7).

Its story: tfgen/recipes/deep_embedded_clustering.py. It has no preset quick: add --preset smoke or --preset paper.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "deep-embedded-clustering", *sys.argv[1:]]))
