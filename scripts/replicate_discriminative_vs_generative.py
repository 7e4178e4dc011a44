"""Discriminative and generative classifiers: boundaries, tables, errors on pixels and codes, samples (C1, C2, C3, C4).

Its story: tfgen/recipes/discriminative_vs_generative.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "discriminative-vs-generative", *sys.argv[1:]]))
