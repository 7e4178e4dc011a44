"""Lecture B3, B4: the same network on the importance-weighted bound of 50 samples.

Source: Burda et al. 2015, table 1: negative log-likelihood 84.78 nats with k = 50.
Expected: a negative log-likelihood within 1 nat of the paper's; not yet run to the end here.
Time: about an hour on 2 cores with --preset paper.

    python scripts/replicate_iwae_burda.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "iwae-burda", *sys.argv[1:]]))
