"""Lecture C1-C4: discriminative and generative models, on the worked example, in the plane and on MNIST.

Source: the lecture names the models; they are scikit-learn's, and the Markov chain is tfgen's. No paper reports their
errors under this protocol: the same 10,000 training images for all of them, raw pixels or the code of A5's autoencoder.
Expected: about 3 % of test images misclassified by the support vector machine and by Gaussian mixtures, 5 % by nearest
neighbours, 9 % by maximum entropy, 13 to 19 % by Markov chains, naive Bayes and the tree; on the code nearly the same,
but 29 to 30 % by the tree. Samples of the Gaussian mixtures are legible, those of naive Bayes noise in an outline.
Time: about a minute on 2 cores with --preset quick.

    python scripts/replicate_discriminative_vs_generative.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "discriminative-vs-generative", *sys.argv[1:]]))
