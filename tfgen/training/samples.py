"""How good generated images are, by the verdicts and the features of a classifier trained on true ones."""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf

from tfgen.data.batches import scale
from tfgen.evaluation.coverage import class_fractions, classifier_score
from tfgen.evaluation.frechet import frechet_distance
from tfgen.evaluation.manifold import precision_and_recall
from tfgen.evaluation.parzen import KMEANS_MOVES, kmeans_centres, parzen_log_likelihood
from tfgen.files import read_json

FRECHET = "squared distance of the digit classifier's features"


class ReferenceClassifier:
    """The exported classifier of a finished run of `digit-classifier`.

    Attributes:
        sha256: of its weights, which names it whatever the file that holds them.
        test_error: the share of test images that it misclassifies.
    """

    CHUNK = 1000

    def __init__(self, directory):
        self.model = tf.saved_model.load(str(directory / "saved_model"))
        # Sorted, since their order in the file, like their names, depends on what else the exporting process has built.
        weights = sorted(weight.numpy().tobytes() for weight in self.model.signatures["classify"].variables)
        self.sha256 = hashlib.sha256(b"".join(weights)).hexdigest()
        self.test_error = read_json(directory / "results.json")["metrics"]["test_error"]["value"]

    def identity(self):
        """Returns what is kept beside each of its verdicts."""
        return {"classifier": self.sha256, "classifier_test_error": self.test_error}

    def _in_chunks(self, signature, output, images):
        function = self.model.signatures[signature]
        chunks = (images[i : i + self.CHUNK] for i in range(0, len(images), self.CHUNK))
        return np.concatenate([function(image=tf.constant(chunk, tf.float32))[output].numpy() for chunk in chunks])

    def probabilities(self, images):
        """Returns `(n, classes)` float32 p(y|x) of images `(n, pixels)` in [0, 1]."""
        return self._in_chunks("classify", "probabilities", images)

    def features(self, images):
        """Returns the last hidden layer, `(n, units)` float32, of images `(n, pixels)` in [0, 1]."""
        return self._in_chunks("features", "features", images)


def record_parzen(run, name, points):
    """Records the Parzen log-likelihood of the test images under points; sigma is the best for validation images."""
    _record_parzen(run, name, _measure_parzen(run.data, points))


def _measure_parzen(data, points):
    # As many validation images as the authors' code takes.
    validation, test = (scale(images).numpy() for images in (data.validation.images[:1000], data.test.images))
    return {"points": len(points), **dataclasses.asdict(parzen_log_likelihood(points, validation, test))}


def _record_parzen(run, name, measured):
    unit = f"nats per image, window of {measured['points']:,} points"
    details = {key: measured[key] for key in ("standard_error", "sigma", "at_edge")}
    run.metric(name, measured["log_likelihood"], unit, "test", len(run.data.test.images), **details)


def measure_samples(run, classifier, samples, suffix=""):
    """Records every measure of generated images; returns the share of each class among them, `(classes,)`.

    Precision and recall compare as many samples as there are test images with these; the Frechet distance as many as
    there are validation images too, whose distance stands beside it. Without a classifier there is the Parzen
    log-likelihood alone, and None instead of shares.

    Args:
        run: the `Run`.
        classifier: the `ReferenceClassifier` or None.
        samples: `(n, pixels)` float32 in [0, 1].
        suffix: end of the metrics' names, which tells a run's sets of samples apart.
    """
    record_parzen(run, f"parzen_log_likelihood{suffix}", samples)
    if classifier is None:
        return None

    by = classifier.identity()
    test = scale(run.data.test.images).numpy()
    n = min(len(samples), len(test))
    features, real = classifier.features(samples[:n]), classifier.features(test[:n])
    compared = _compared(run.data, n)
    distance, against = frechet_distance(features[:compared], real[:compared]), f"against {compared:,} test images"
    run.metric(f"frechet_distance{suffix}", distance, FRECHET, f"generated, {against}", compared, **by)
    against = f"generated, against {n:,} test images"
    precision, recall = precision_and_recall(features, real)
    unit = "share of samples among the test images' 3-nearest balls"
    run.metric(f"sample_precision{suffix}", precision, unit, against, n, **by)
    unit = "share of test images among the samples' 3-nearest balls"
    run.metric(f"sample_recall{suffix}", recall, unit, against, n, **by)

    probabilities = classifier.probabilities(samples)
    n = len(samples)
    run.metric(
        f"classifier_score{suffix}", classifier_score(probabilities), f"1 to {run.data.classes}", "generated", n, **by
    )
    shares = class_fractions(probabilities)
    unit = f"share of samples, {1 / run.data.classes:g} being even"
    run.metric(f"rarest_class_share{suffix}", shares.min(), unit, "generated", n, **by)
    return shares


def _compared(data, n):
    """Returns of how many of n samples the Frechet distance is taken, and of how many images: it depends on them."""
    return min(n, len(data.validation.images), len(data.test.images))


def measure_baselines(run, classifier, n):
    """Records what the measures of n samples are to be seen beside.

    Parzen windows of n training images, and of n centres of k-means: true images make no better window than centres do,
    which are no images at all (Theis et al. 2015). And the Frechet distance of held-out images, which a perfect
    generator would get: it is 0 for no finite n.
    """
    data = run.data
    train = scale(data.train.images).numpy()
    of_train = min(n, len(train))
    points = {
        "train_images": ({"n": of_train}, lambda: train[:of_train]),
        "kmeans_centres": (
            {"n": of_train, "seed": run.seed, "moves": KMEANS_MOVES},
            lambda: kmeans_centres(train, of_train, run.seed),
        ),
    }
    for key, (parameters, make) in points.items():
        name = f"parzen_log_likelihood__{key}"
        measured = run.baseline(name, lambda make=make: _measure_parzen(data, make()), **parameters)
        _record_parzen(run, name, measured)
    if classifier is None:
        return
    # Not training images: the classifier has fitted its features to them.
    n = _compared(data, n)
    features = [classifier.features(scale(split.images[:n]).numpy()) for split in (data.validation, data.test)]
    value, split = frechet_distance(*features), f"validation, against {n:,} test images"
    run.metric("frechet_distance__validation_images", value, FRECHET, split, n, **classifier.identity())
