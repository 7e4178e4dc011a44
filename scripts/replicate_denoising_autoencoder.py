"""Lecture A2: the autoencoder that is trained to ignore noise, 784-300-150-300-784 on MNIST.

Source: Vincent et al. 2008 and 2010 for the noises, masking and Gaussian. Their networks are for classification; no
paper reports a reconstruction error for this one.
Expected: squared errors per test image, the target being the clean image, about (quick, seed 0)
                                   on masked   on noisy   on clean images
    the input itself                    45         71          0
    trained on clean images             41         13          1.9
    trained on masked images (1/2)       7.9       23         13
    trained on Gaussian noise (0.3)     33          5.2        2.6
Each network is the best of the three on what it was trained on. The one trained on masked images expects half of the
light, and so is worse than the plain one on all else: on clean validation images its error falls from 13.6 to 5.0 if
they are multiplied by 1/2. The noise moves the code of the network trained on it less: by 0.38 of the codes' variance
for masking and 0.20 for Gaussian noise, where it moves the plain network's by 0.62 and 0.54.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_denoising_autoencoder.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "denoising-autoencoder", *sys.argv[1:]]))
