"""Anomaly detection: each digit left out of an autoencoder's and a VAE's training in turn, ROC curves (A1).

Its story: tfgen/recipes/anomaly_detection.py.
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "anomaly-detection", *sys.argv[1:]]))
