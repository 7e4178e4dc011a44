"""Lecture D1, D3, D4: the GAN of the 2014 paper, by the measure of its table 1.

Source: Goodfellow et al. 2014, table 1: Parzen-window log-likelihood 225, standard error 2.
Expected: a Parzen log-likelihood of 202 with the last weights and of 220 with averaged ones, after 700 epochs (194 and
218 with --epochs 400); the authors' file names no last epoch. The samples have a Frechet distance of 11, where those of
the lecture's GAN have 144 and held-out images 2, and a recall of 0.77.
Time: about two hours on one core with --preset paper.

    python scripts/replicate_gan_goodfellow.py --preset paper
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-goodfellow", *sys.argv[1:]]))
