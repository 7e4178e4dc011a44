"""Lecture B3, B4: the variational autoencoder of Burda et al. 2015 with one stochastic layer.

Source: Burda et al. 2015, table 1: negative log-likelihood 86.76 nats with k = 1.
Expected: a negative log-likelihood of 86.6 nats, a negative ELBO of 90.5; 21 of the 50 latents are used.
Time: about three quarters of an hour on one core with --preset paper.

    python scripts/replicate_vae_burda.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-burda", *sys.argv[1:]]))
