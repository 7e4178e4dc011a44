"""Lecture B3, B4: the same network on the importance-weighted bound of 50 samples.

Source: Burda et al. 2015, table 1: negative log-likelihood 84.78 nats with k = 50.
Expected: TBD
Time: TBD

    python scripts/replicate_iwae_burda.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "iwae-burda", *sys.argv[1:]]))
