"""Convolutional classifier of the digits, whose features and verdicts measure generated images (A1).

Its story: tfgen/recipes/digit_classifier.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "digit-classifier", *sys.argv[1:]]))
