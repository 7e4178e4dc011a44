"""Lecture D2-D4: a GAN on the line, where p_data, p_g, D and the optimal D* can all be drawn.

Source: Goodfellow et al. 2014, figure 1, proposition 1 and theorem 1. The paper gives a sketch and no number; here
p_data = N(1, 0.5^2), the noise is Gaussian, and D has five updates for each of G.
Expected: D within 0.01 of D* on average, V(D, G) within 0.01 of -log 4 = -1.3863, and a Jensen-Shannon divergence of
about 0.001 nats.
The images of --dataset are not used: the data are drawn in the run.
Time: a quarter of a minute on 2 cores with --preset quick.

    python scripts/replicate_gan_1d.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-1d", *sys.argv[1:]]))
