"""Lecture A1: anomaly detection, a use of unlabelled data. Each digit in turn is left out of the training, then found.

Source: the lecture names the task; leaving one digit out is the customary protocol, and no paper reports numbers for
these two small networks. Scores: an autoencoder's squared error and a VAE's negative ELBO; the sum of the pixels, which
needs no model, stands beside them.
Expected: a mean area under the ROC curve of 0.80 with the autoencoder, 0.70 with the VAE, 0.51 with the sum of pixels.
0, 2, 5, 6 and 8 are found (0.9 with the autoencoder, 0.8 to 0.9 with the VAE), 3, 4 and 7 less well. Not found: 1
(0.32 and 0.12, worse than chance), since both scores add up over pixels and a 1 has the least ink; and 9 (0.62 and
0.48), which looks like the 4s and 7s that the networks know. Divided by the sum of the pixels, the squared error
finds 1 (0.74) and 7 (0.86), and 9 little better (0.68).
Time: about a minute and a half on 2 cores with --preset quick.

    python scripts/replicate_anomaly_detection.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "anomaly-detection", *sys.argv[1:]]))
