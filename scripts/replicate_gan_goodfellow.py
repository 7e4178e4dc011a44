"""Lecture D1, D3, D4: the GAN of the 2014 paper, by the measure of its table 1.

Source: Goodfellow et al. 2014, table 1: Parzen-window log-likelihood 225, standard error 2.
Expected: a Parzen log-likelihood that rises towards the paper's for hundreds of epochs; not yet run to the end here.
Time: about an hour on 2 cores with --preset paper.

    python scripts/replicate_gan_goodfellow.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-goodfellow", *sys.argv[1:]]))
