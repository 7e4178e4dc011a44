"""Lecture B3, B4: the variational autoencoder of Burda et al. 2015 with one stochastic layer.

Source: Burda et al. 2015, table 1: negative log-likelihood 86.76 nats with k = 1.
Expected: a negative log-likelihood within 1 nat of the paper's; not yet run to the end here.
Time: about an hour on 2 cores with --preset paper.

    python scripts/replicate_vae_burda.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-burda", *sys.argv[1:]]))
