"""Part C of the lecture: discriminative and generative models."""

import dataclasses
import functools
import json

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from tfgen import datasets, export, figures, losses
from tfgen.files import read_json
from tfgen.joint import conditional, joint
from tfgen.lecture.part_a import train_autoencoder
from tfgen.models import autoencoder, bayes, markov_chain
from tfgen.recipes import RECIPES

WORKED_EXAMPLE = ((1, 0), (1, 0), (2, 0), (2, 1))
MODELS = {
    "knn": "k nearest neighbours",
    "decision_tree": "decision tree",
    "maximum_entropy": "maximum entropy",
    "svm": "support vector machine",
    "naive_bayes": "naive Bayes",
    "gaussian_mixture": "Gaussian mixtures",
    "markov_chain": "Markov chains",
}


def discriminative_vs_generative(run):
    """C: the worked example's tables, the two kinds of boundary, C2's models on pixels and on a code, their samples."""
    config, data = run.config, run.data
    draw_worked_example(run)
    draw_boundaries(run)

    # A5's autoencoder, which sees all training images and no label.
    make = functools.partial(
        autoencoder.stacked_autoencoder, config.hidden_units, datasets.PIXELS, config.activation, config.code_activation
    )
    model, history = train_autoencoder(run, make, config.learning_rate)
    labels = data.train.labels[: config.num_train]
    test_labels = data.test.labels
    pixels, test_pixels = (
        datasets.scale(images).numpy() for images in (data.train.images[: config.num_train], data.test.images)
    )
    code, test_code = (
        model.get_layer("encoder").predict(x, batch_size=run.EVALUATION_BATCH, verbose=0) for x in (pixels, test_pixels)
    )
    reconstruction = model.predict(test_pixels, batch_size=run.EVALUATION_BATCH, verbose=0)
    error = np.mean(losses.squared_error(test_pixels, reconstruction))
    run.metric("test_squared_error", error, "squared error per image, sum over 784 pixels", "test", len(data.test))

    samples = {}
    errors = {name: {} for name in MODELS}

    def record(name, predicted, on):
        errors[name][on] = np.mean(predicted != test_labels)

    # The matrices are small: where other programs keep the cores busy, threads make the mixtures 100 times slower.
    with threadpool_limits(1):
        for on, train, test in (("pixels", pixels, test_pixels), ("code", code, test_code)):
            print(f"training the classifiers on {len(labels):,} images: {on}", flush=True)
            for name, classifier in _scikit_learn_classifiers(config, on, run.seed).items():
                record(name, classifier.fit(train, labels).predict(test), on)
                if (name, on) == ("naive_bayes", "pixels"):
                    samples[name] = _sample_naive_bayes(classifier, np.random.default_rng([run.seed, 0]))
            predict, mixture_samples = _gaussian_mixtures(config, train, labels, run.seed)
            record("gaussian_mixture", predict(test), on)
            if on == "pixels":
                samples["gaussian_mixture"] = np.clip(mixture_samples, 0, 1)
    predict, samples["markov_chain"] = _markov_chains(
        config, pixels > 0.5, labels, np.random.default_rng([run.seed, 1])
    )
    record("markov_chain", predict(test_pixels > 0.5), "pixels")

    unit = f"share misclassified, {len(labels):,} training images"
    for on, suffix in (("pixels", ""), ("code", "_code")):
        for name in MODELS:
            if on in errors[name]:
                run.metric(f"test_error__{name}{suffix}", errors[name][on], unit, "test", len(data.test))

    width = config.hidden_units[len(config.hidden_units) // 2]
    bars = {
        MODELS[name]: {"784 pixels" if on == "pixels" else f"{width}-unit code": 100 * e for on, e in values.items()}
        for name, values in errors.items()
    }
    title = f"Four discriminative and three generative models, {len(labels):,} training images"
    run.figure("test_errors", figures.grouped_bars(bars, title, "test images misclassified (%)"))
    rows = {MODELS[name]: images for name, images in samples.items()}
    rows |= {f"{name.upper()} (any class)": images for name, images in _samples_of_other_runs(run).items()}
    run.figure(
        "samples",
        figures.rows_of_images(rows, f"Samples of generative models trained on {data.name}; a class a column"),
    )
    run.figure("training", figures.curves(history, [("Autoencoder", "squared error", ["loss", "val_loss"])]))
    run.export(autoencoder.endpoints(model))


def draw_worked_example(run):
    """C4: p(x, y) and p(y|x) of the lecture's four observations."""
    p_xy = joint(WORKED_EXAMPLE)
    tables = [("joint p(x, y)", p_xy), ("conditional p(y|x) = p(x, y) / p(x)", conditional(p_xy))]
    observations = ", ".join(f"({x}, {y})" for x, y in WORKED_EXAMPLE)
    run.figure("worked_example", figures.probability_tables(tables, f"Observations (x, y): {observations}"))


def draw_boundaries(run):
    """C3: on the same points, boundaries that only separate, and one that follows from how the points came about."""
    points, classes = two_gaussians(150, np.random.default_rng([run.seed, 2]))
    grid = tuple(np.linspace(points[:, i].min() - 1, points[:, i].max() + 1, 200) for i in range(2))
    mesh = np.stack(np.meshgrid(*grid), axis=-1)
    flat = mesh.reshape(-1, 2)
    scores = {
        name: model.fit(points, classes).decision_function(flat).reshape(mesh.shape[:2])
        for name, model in (("logistic regression", LogisticRegression()), ("support vector machine", SVC()))
    }
    # The generative model: a Gaussian a class, by maximum likelihood, and the classes' shares.
    of_class = [points[classes == y] for y in range(2)]
    log_densities = [multivariate_normal(x.mean(axis=0), np.cov(x.T, bias=True)).logpdf for x in of_class]
    log_priors = np.log([len(x) / len(points) for x in of_class])
    densities = np.exp(bayes.log_joint(flat, log_densities, log_priors)).T.reshape(2, *mesh.shape[:2])
    run.figure("decision_boundaries", figures.decision_boundaries(points, classes, grid, scores, densities))


def two_gaussians(num, rng):
    """Returns `num` points of each of two Gaussians of unequal covariance, `(2 num, 2)`, and their classes 0 and 1."""
    wide = rng.multivariate_normal([0.0, 0.0], [[2.5, 0.8], [0.8, 1.5]], num)
    narrow = rng.multivariate_normal([2.2, -1.8], [[0.3, -0.15], [-0.15, 0.5]], num)
    return np.concatenate([wide, narrow]), np.repeat([0, 1], num)


def _scikit_learn_classifiers(config, on, seed):
    """Returns C2's models that scikit-learn has as they are. Naive Bayes is Bernoulli on pixels, Gaussian on a code."""
    return {
        "knn": KNeighborsClassifier(config.neighbors),
        "decision_tree": DecisionTreeClassifier(min_samples_leaf=config.tree_leaf, random_state=seed),
        "maximum_entropy": LogisticRegression(C=config.maximum_entropy_c, max_iter=1000),
        "svm": SVC(C=config.svm_c),
        "naive_bayes": BernoulliNB(alpha=config.smoothing, binarize=0.5) if on == "pixels" else GaussianNB(),
    }


def _generative_classifier(log_densities, labels):
    """Returns the function from x to the class of largest p(x, y), with the classes' shares as p(y)."""
    classes, counts = np.unique(labels, return_counts=True)
    log_priors = np.log(counts / len(labels))
    return lambda x: classes[np.argmax(bayes.log_joint(x, log_densities, log_priors), axis=1)]


def _gaussian_mixtures(config, train, labels, seed):
    """Returns a classifier of one Gaussian mixture a class, on principal components, and a sample of each class."""
    pca = PCA(config.mixture_pca, svd_solver="covariance_eigh").fit(train)
    # scikit-learn keeps float32, in which a covariance comes out not quite positive definite.
    components = pca.transform(train).astype(np.float64)
    mixtures = [
        GaussianMixture(config.mixture_components, reg_covar=config.mixture_floor, random_state=seed).fit(
            components[labels == y]
        )
        for y in np.unique(labels)
    ]
    classify = _generative_classifier([mixture.score_samples for mixture in mixtures], labels)
    samples = pca.inverse_transform(np.concatenate([mixture.sample(1)[0] for mixture in mixtures]))
    return lambda x: classify(pca.transform(x).astype(np.float64)), samples


def _markov_chains(config, binary, labels, rng):
    """Returns a classifier of one Markov chain a class, on binary pixels, and a sample of each class."""
    chains = [markov_chain.fit(binary[labels == y], config.smoothing) for y in np.unique(labels)]
    samples = np.concatenate([chain.sample(1, rng) for chain in chains])
    return _generative_classifier([chain.log_prob for chain in chains], labels), samples


def _sample_naive_bayes(classifier, rng):
    """Returns an image of each class: every pixel drawn by itself."""
    p = np.exp(classifier.feature_log_prob_)
    return (rng.random(p.shape) < p).astype(np.uint8)


def _samples_of_other_runs(run):
    """Returns ten images of the VAE and of the GAN, where runs of the same preset are finished beside this one."""
    samples, preset = {}, run.request["preset"]
    for name in ("vae", "gan"):
        results = run.directory.parent / name / "results.json"
        other = read_json(results) if results.exists() else {}
        config = json.loads(json.dumps(dataclasses.asdict(RECIPES[name].presets[preset])))
        if (other.get("dataset"), other.get("config")) == (run.data.name, config):
            samples[name] = export.generate(results.with_name("saved_model"), 10, run.seed)
        else:
            print(f"the picture of samples goes without {name}: no finished {preset} run of it beside this one")
    return samples
