"""`python -m benchmarks.judges`: how measures of generated images change with the classifier that judges them.

`tfgen check` adds these deviations where a run was judged by another classifier than the kept ones.
"""

import argparse
import pathlib
import statistics

NUM_SAMPLES = 10_000
# As many as precision and recall of a run are of.
NUM_NEIGHBOURS = 5_000


def deviations(rows):
    """Returns a dict from each measure to its mean over judges and its standard deviation relative to that.

    Args:
        rows: a dict from a measure to its value, of each judge.
    """
    values = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: (statistics.mean(one), statistics.stdev(one) / statistics.mean(one)) for name, one in values.items()}


def judged(classifier, samples, data):
    """Returns a dict from a measure to its value for images, as one classifier sees them.

    Args:
        classifier: a `tfgen.training.samples.ReferenceClassifier`.
        samples: `(n, pixels)` in [0, 1].
        data: the `Dataset` whose test images they are compared with.
    """
    from tfgen.data.batches import scale
    from tfgen.evaluation.coverage import class_fractions, classifier_score
    from tfgen.evaluation.frechet import frechet_distance
    from tfgen.evaluation.manifold import precision_and_recall

    n = min(len(data.validation), len(data.test))
    validation, test = (classifier.features(scale(split.images[:n]).numpy()) for split in (data.validation, data.test))
    generated, probabilities = classifier.features(samples), classifier.probabilities(samples)
    precision, recall = precision_and_recall(generated[:NUM_NEIGHBOURS], test[:NUM_NEIGHBOURS])
    return {
        "frechet_distance": frechet_distance(generated, test),
        "frechet_distance__validation_images": frechet_distance(validation, test),
        "sample_precision": precision,
        "sample_recall": recall,
        "classifier_score": classifier_score(probabilities),
        "rarest_class_share": float(class_fractions(probabilities).min()),
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judges", description=__doc__)
    parser.add_argument("saved_model", help="of a GAN, such as saved_models/gan/4")
    parser.add_argument("classifiers", nargs="+", type=pathlib.Path, help="runs of digit-classifier, two or more")
    options = parser.parse_args()
    if len(options.classifiers) < 2:
        parser.error("a deviation needs two runs of digit-classifier, or more")

    from tfgen import data
    from tfgen.sampling import generate
    from tfgen.training.samples import ReferenceClassifier

    mnist, samples = data.load("mnist"), generate(options.saved_model, NUM_SAMPLES, 0)
    rows = []
    for directory in options.classifiers:
        rows.append(judged(ReferenceClassifier(directory), samples, mnist))
        print(directory, *(f"{name} {value:.4g}" for name, value in rows[-1].items()), sep="  ", flush=True)
    for name, (mean, deviation) in deviations(rows).items():
        print(f"{name}: mean {mean:.4g}, relative standard deviation {deviation:.3f}")


if __name__ == "__main__":
    main()
