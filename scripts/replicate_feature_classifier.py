"""Lecture A6: drop the stacked autoencoder's decoder, put a softmax head on its encoder, learn from few labels.

Source: the lecture gives the method and no number. Kingma et al. 2014, table 1, report 11.82, 5.72, 4.24 and 3.49 % at
100, 600, 1000 and 3000 labels for M1+TSVM, whose encoder is a VAE's and whose classifier, a transductive support vector
machine, sees the unlabelled images as well: a number to look up to, of another protocol. Their network on the labels
alone has 25.81, 11.44, 10.70 and 6.04 % (not verified), beside ours from scratch.
Expected: test errors in per cent, mean and standard deviation of ten choices of labels (all labels: one training):

    labels                                    100         600        1000        3000         all
    encoder and head, fine-tuned       20.2 ± 1.3   8.9 ± 0.5   7.4 ± 0.3   4.8 ± 0.2         1.6
    head on the frozen encoder         20.0 ± 1.7  11.2 ± 0.7   9.9 ± 0.4   7.7 ± 0.2         5.1
    the same network from scratch      24.2 ± 1.4  11.1 ± 0.4   8.9 ± 0.4   5.7 ± 0.3         1.7
    linear model on pixels             24.4 ± 1.6  13.6 ± 0.4  12.1 ± 0.3   9.8 ± 0.3         7.4
    fine-tuned, trained without noise  24.3 ± 1.9  12.4 ± 0.5  10.7 ± 0.5   7.2 ± 0.2         1.7

Pre-training wins where labels are few, by an encoder that learned to fill in masked pixels. One that learned to
reproduce plain images gains nothing: its code keeps the image, and sets the digits no further apart.
Time: about two minutes on 2 cores with --preset quick.

    python scripts/replicate_feature_classifier.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "feature-classifier", *sys.argv[1:]]))
