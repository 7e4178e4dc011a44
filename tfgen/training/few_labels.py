"""Classifiers learned from few labels: which ones, a linear head, and fine-tuning the network below it (lecture A6)."""

import math

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tfgen.data.batches import Batches, blocks
from tfgen.training.blocks import use_blocks
from tfgen.training.checkpoint import start_anew
from tfgen.training.run import predict


def balanced_subset(labels, classes, count, rng):
    """Returns the indices of `count` examples, equally many of each class; a smaller subset is part of a larger one.

    Args:
        labels: `(n,)` integers in 0..classes - 1.
        classes: the number of classes.
        count: a multiple of `classes`.
        rng: `np.random.Generator`.
    """
    order = rng.permutation(len(labels))
    return np.concatenate([order[labels[order] == y][: count // classes] for y in range(classes)])


def softmax_regression(x, labels, c):
    """Returns kernel `(dim, classes)` and bias `(classes,)` of multinomial logistic regression.

    Args:
        x: `(n, dim)` float32.
        labels: `(n,)` integers, each class present.
        c: inverse strength of the L2 penalty, on x divided by its standard deviation over all entries.
    """
    deviation = np.std(x)
    # The matrices are small: where other programs keep the cores busy, threads make it many times slower.
    with threadpool_limits(1):
        model = LogisticRegression(C=c, max_iter=1000, tol=1e-3).fit(x / deviation, labels)
    return model.coef_.T / deviation, model.intercept_


def compile_classifier(run, model):
    """Compiles the classifier for all its trainings: XLA takes longer than most of them."""
    config = run.config
    model.compile(
        keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=not run.deterministic,
        steps_per_execution=math.gcd(*config.updates, config.all_labels_updates),
    )


def fit_classifier(run, model, chosen, updates, seed, weights, test):
    """Trains encoder and head together on the chosen labelled images; returns the logits of the test images.

    Args:
        run: the `Run`.
        model: what `compile_classifier` has compiled.
        chosen: indices of training images.
        updates: how many, a multiple of the model's `steps_per_execution`.
        seed: of the initial weights and the order of the batches.
        weights: the initial ones, or None to draw them.
        test: images `(n, pixels)`.
    """
    config, train = run.config, run.data.train
    if weights is None:
        keras.utils.set_random_seed(seed)
        weights = keras.models.clone_model(model).get_weights()
    start_anew(model, weights)
    batches = Batches(train.images[chosen], config.labelled_batch_size, seed, labels=train.labels[chosen])
    steps = model.steps_per_execution
    calls = updates // steps
    # By hand, since a schedule of the optimizer would be part of what is compiled, and the numbers of updates differ.
    decay = keras.callbacks.LearningRateScheduler(
        lambda call: config.labelled_learning_rate * 0.5 * (1 + math.cos(math.pi * call / calls))
    )
    use_blocks(model, batches)
    stream = blocks(batches, 0, steps)
    model.fit(stream, epochs=calls, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[decay])
    return predict(model, test)
