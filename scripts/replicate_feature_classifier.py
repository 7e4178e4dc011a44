"""The stacked autoencoder's encoder with a softmax head: few labels, pre-trained beside from scratch (A6).

Its story: tfgen/recipes/feature_classifier.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "feature-classifier", *sys.argv[1:]]))
