"""What the recipes of autoencoders measure alike: the squared error of test images, and PCA as its floor."""

import numpy as np

from tfgen import losses
from tfgen.data.batches import scale
from tfgen.evaluation.pca import pca_squared_error
from tfgen.training.run import predict


def measure_squared_error(run, name, model, inputs, targets, stages=None):
    """Records the mean squared error of a model's reconstructions of test images; returns the reconstructions.

    Args:
        run: the `Run`.
        name: of the metric.
        model: `keras.Model` from images to reconstructions.
        inputs: `(n, pixels)` float32, what the model sees.
        targets: `(n, pixels)` float32, the clean images.
        stages: a phrase for the unit that tells how the model was trained, or None.
    """
    reconstructions = predict(model, inputs)
    record_squared_error(run, name, targets, reconstructions, stages)
    return reconstructions


def record_squared_error(run, name, targets, reconstructions, stages=None):
    """Records the mean squared error between test images and reconstructions; returns it."""
    value = np.mean(losses.squared_error(targets, reconstructions))
    unit = squared_error_unit(run.data) + (f"; {stages}" if stages else "")
    run.metric(name, value, unit, "test", len(targets))
    return value


def squared_error_unit(data):
    return f"squared error per image, sum over {data.pixels} pixels"


def measure_pca(run, components):
    """Records the squared error of test images on their first principal components.

    PCA is fitted to training and validation images: nothing is chosen for it, so it may see them all.
    """
    data, name = run.data, f"pca_squared_error__{components}"
    most = min(len(data.train) + len(data.validation), data.pixels)
    if components > most:
        print(f"leaving out PCA with {components} components: there are only {most}", flush=True)
        return

    def measure():
        return {"mean": pca_squared_error(pixels_for_pca(data), scale(data.test.images).numpy(), components)}

    run.metric(name, run.baseline(name, measure)["mean"], squared_error_unit(data), "test", len(data.test))


def pixels_for_pca(data):
    """Returns training and validation images, `(n, pixels)` float32 in [0, 1]."""
    return scale(np.concatenate([data.train.images, data.validation.images])).numpy()
