"""Lecture D1, D3: the GAN with uniform or Gaussian noise, with the minimax or the non-saturating generator loss.

Source: Goodfellow et al. 2014, section 3: where D rejects the generator's images, log(1 - D(G(z))) saturates, and
-log D(G(z)) does not. The networks are the usual lecture program's. No paper reports a number for these.
Expected: after 20 epochs at equal settings mean D(G(z)) is 0.1 to 0.2 with the non-saturating loss and below 1e-6 with
minimax, none of whose samples is a digit. How many digits the non-saturating samples cover depends on the initial
weights: no claim is made for either noise. On an untrained generator the minimax gradient falls two thousandfold within
200 updates of D, while the other grows fourfold.
Time: about a minute and a quarter on 2 cores with --preset quick.

    python scripts/replicate_gan_variants.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "gan-variants", *sys.argv[1:]]))
