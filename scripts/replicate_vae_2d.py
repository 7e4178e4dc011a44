"""Lecture B5, B6: the VAE with two latents, all of whose images fit on one page.

Source: Kingma & Welling 2013, appendix A, figure 4 (the manifold on the prior's quantiles).
Expected: neighbouring pictures change into each other; the digits form clusters among the posterior means.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_vae_2d.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "vae-2d", *sys.argv[1:]]))
