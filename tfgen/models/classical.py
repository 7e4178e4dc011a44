"""Classifiers of lecture C2 that have no layers: scikit-learn's, and generative ones by Bayes' rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tfgen.models import bayes, markov_chain


def scikit_learn_classifiers(config: Any, binary: bool, seed: int) -> dict[str, ClassifierMixin]:
    """Returns C2's models that scikit-learn has as they are, by name.

    Args:
        config: the `Config` of `discriminative-vs-generative`.
        binary: whether naive Bayes takes pixels, as on above 1/2 (Bernoulli), or any numbers (Gaussian).
        seed: int >= 0, of the decision tree.
    """
    return {
        "knn": KNeighborsClassifier(config.neighbors),
        "decision_tree": DecisionTreeClassifier(min_samples_leaf=config.tree_leaf, random_state=seed),
        "maximum_entropy": LogisticRegression(C=config.maximum_entropy_c, max_iter=1000),
        "svm": SVC(C=config.svm_c),
        "naive_bayes": BernoulliNB(alpha=config.smoothing, binarize=0.5) if binary else GaussianNB(),
    }


def gaussian_mixtures(
    config: Any, train: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
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
    classify = bayes.generative_classifier([mixture.score_samples for mixture in mixtures], labels)
    samples = pca.inverse_transform(np.concatenate([mixture.sample(1)[0] for mixture in mixtures]))
    return lambda x: classify(pca.transform(x).astype(np.float64)), samples


def markov_chains(
    config: Any, binary: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Returns a classifier of one Markov chain a class, on binary pixels, and a sample of each class."""
    chains = [markov_chain.fit(binary[labels == y], config.smoothing) for y in np.unique(labels)]
    samples = np.concatenate([chain.sample(1, rng) for chain in chains])
    return bayes.generative_classifier([chain.log_prob for chain in chains], labels), samples


def sample_naive_bayes(classifier: BernoulliNB, rng: np.random.Generator) -> np.ndarray:
    """Returns an image of each class of a Bernoulli naive Bayes: every pixel drawn by itself."""
    p = np.exp(classifier.feature_log_prob_)
    return (rng.random(p.shape) < p).astype(np.uint8)


def two_gaussians(num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns `num` points of each of two Gaussians of unequal covariance, `(2 num, 2)`, and their classes 0 and 1."""
    wide = rng.multivariate_normal([0.0, 0.0], [[2.5, 0.8], [0.8, 1.5]], num)
    narrow = rng.multivariate_normal([2.2, -1.8], [[0.3, -0.15], [-0.15, 0.5]], num)
    return np.concatenate([wide, narrow]), np.repeat([0, 1], num)


def decision_surfaces(
    points: np.ndarray, classes: np.ndarray, mesh: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns what two discriminative models and a generative one say of every point of a mesh (lecture C3).

    The generative model is a Gaussian a class, by maximum likelihood, and the classes' shares.

    Args:
        points: `(n, 2)` float.
        classes: `(n,)`, each 0 or 1.
        mesh: `(rows, columns, 2)` float.

    Returns:
        `(scores, densities)`: a dict from a discriminative model's name to `(rows, columns)`, 0 on its boundary, and
        p(x, y) of the generative one, `(2, rows, columns)`.
    """
    flat = mesh.reshape(-1, 2)
    scores = {
        name: model.fit(points, classes).decision_function(flat).reshape(mesh.shape[:2])
        for name, model in (("logistic regression", LogisticRegression()), ("support vector machine", SVC()))
    }
    of_class = [points[classes == y] for y in range(2)]
    log_densities = [multivariate_normal(x.mean(axis=0), np.cov(x.T, bias=True)).logpdf for x in of_class]
    log_priors = np.log([len(x) / len(points) for x in of_class])
    densities = np.exp(bayes.log_joint(flat, log_densities, log_priors)).T.reshape(2, *mesh.shape[:2])
    return scores, densities
