"""Lecture D1, D3: the GAN with uniform or Gaussian noise, with the minimax or the non-saturating generator loss.

Source: Goodfellow et al. 2014, section 3: where D rejects the generator's images, log(1 - D(G(z))) saturates, and
-log D(G(z)) does not. The networks are the usual lecture program's. No paper reports a number for these.
Expected: after 12 epochs at equal settings nine or ten digits with the non-saturating loss, mean D(x) about 0.76 and
mean D(G(z)) about 0.23, whichever the noise; with minimax D(G(z)) stays below 0.1 and the images are no digits. On an
untrained generator the minimax gradient falls a thousandfold within 200 updates of D, while the other grows threefold.
Time: one to three minutes on 2 cores with --preset quick.

    python scripts/replicate_gan_variants.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-variants", *sys.argv[1:]]))
