"""The network of Burda et al. 2015, trained on the bound of 5 and at last of 50 samples, NLL with 5,000 (B3, B4).

Its story: tfgen/recipes/iwae_burda.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "iwae-burda", *sys.argv[1:]]))
