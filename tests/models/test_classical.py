"""Classical classifiers where the answer is known: made-up classes, and points of two Gaussians."""

import types

import numpy as np
import pytest

from tfgen.models import classical, markov_chain
from tfgen.recipes import RECIPES

CONFIG = RECIPES["discriminative-vs-generative"].presets["smoke"]


def test_points_have_the_covariances_of_their_classes():
    """Standard errors of 20,000 points: below 0.02 for means, and for a covariance of 2.5, sqrt(2 / n) of it: 0.025."""
    points, classes = classical.two_gaussians(20_000, np.random.default_rng(0))
    assert np.bincount(classes).tolist() == [20_000, 20_000]
    wide, narrow = (points[classes == y] for y in (0, 1))
    np.testing.assert_allclose(wide.mean(axis=0), [0, 0], atol=0.05)
    np.testing.assert_allclose(narrow.mean(axis=0), [2.2, -1.8], atol=0.05)
    np.testing.assert_allclose(np.cov(wide.T), [[2.5, 0.8], [0.8, 1.5]], atol=0.1)
    np.testing.assert_allclose(np.cov(narrow.T), [[0.3, -0.15], [-0.15, 0.5]], atol=0.05)


def test_decision_surfaces_are_the_fitted_normals_and_scores_of_either_sign():
    """The joint densities by the normal density's formula with maximum-likelihood moments; 1 : 3 points a class."""
    points, classes = classical.two_gaussians(300, np.random.default_rng(1))
    kept = np.concatenate([np.arange(100), np.arange(300, 600)])
    points, classes = points[kept], classes[kept]
    mesh = np.stack(np.meshgrid(np.linspace(-2, 4, 7), np.linspace(-4, 2, 5)), axis=-1)
    scores, densities = classical.decision_surfaces(points, classes, mesh)
    assert densities.shape == (2, 5, 7)
    for y, share in ((0, 0.25), (1, 0.75)):
        of_class = points[classes == y]
        mean, covariance = of_class.mean(axis=0), np.cov(of_class.T, bias=True)
        mahalanobis = np.einsum("abi,ij,abj->ab", mesh - mean, np.linalg.inv(covariance), mesh - mean)
        expected = share * np.exp(-mahalanobis / 2) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
        np.testing.assert_allclose(densities[y], expected, rtol=1e-9)
    assert list(scores) == ["logistic regression", "support vector machine"]
    for score in scores.values():
        # Positive is class 1: near its mean (2.2, -1.8), and not near the other's (0, 0).
        assert score.shape == (5, 7) and score[1, 4] > 0 > score[3, 2]


def test_markov_chains_tell_classes_apart_that_only_their_transitions_distinguish():
    """Every pixel is on half of the time in both classes: naive Bayes cannot do better than chance here."""
    rng = np.random.default_rng(0)
    same = markov_chain.MarkovChain(0.5, np.tile([0.2, 0.8], (60, 1)))
    other = markov_chain.MarkovChain(0.5, np.tile([0.8, 0.2], (60, 1)))
    train, test = (np.concatenate([chain.sample(400, rng) for chain in (same, other)]) for _ in range(2))
    labels = np.repeat([3, 7], 400)
    predict, samples = classical.markov_chains(CONFIG, train, labels, rng)
    assert np.mean(predict(test) != labels) < 0.01
    naive_bayes = classical.scikit_learn_classifiers(CONFIG, True, 0)["naive_bayes"].fit(train, labels)
    # 800 fair coins: a standard error of 0.018.
    assert np.mean(naive_bayes.predict(test) != labels) == pytest.approx(0.5, abs=0.08)
    # In class 3, 0.2 of the 60 transitions change the pixel, in class 7, 0.8: ten standard errors apart.
    changes = np.mean(samples[:, 1:] != samples[:, :-1], axis=1)
    assert changes[0] < 0.4 < 0.6 < changes[1]


def test_gaussian_mixtures_tell_apart_and_sample_classes_of_one_mean():
    """Both classes are centred on 0; one lies near the middle, the other in two clouds around it."""
    rng = np.random.default_rng(0)

    def draw(num):
        far = rng.choice([-4.0, 4.0], (num, 1)) * np.ones(60) / np.sqrt(60) + 0.1 * rng.normal(size=(num, 60))
        return np.concatenate([0.1 * rng.normal(size=(num, 60)), far]).astype(np.float32)

    labels = np.repeat([2, 5], 300)
    predict, samples = classical.gaussian_mixtures(CONFIG, draw(300), labels, seed=0)
    assert np.mean(predict(draw(300)) != labels) < 0.01
    distance = np.abs(samples.sum(axis=1)) / np.sqrt(60)
    assert distance[0] < 2 < distance[1]


def test_a_sample_of_naive_bayes_has_each_class_s_shares_of_pixels():
    shares = np.random.default_rng(0).uniform(0.1, 0.9, (10, 784))
    classifier = types.SimpleNamespace(feature_log_prob_=np.log(shares))
    images = np.stack([classical.sample_naive_bayes(classifier, np.random.default_rng(seed)) for seed in range(400)])
    assert set(np.unique(images)) == {0, 1}
    z = (images.mean(axis=0) - shares) / np.sqrt(shares * (1 - shares) / 400)
    # 7,840 comparisons: the mean of their squares is 1, with a standard error of about 0.02.
    assert np.mean(z**2) == pytest.approx(1, abs=0.1)
    # Wrong: the classes' order turned round.
    assert np.mean((images.mean(axis=0) - shares[::-1]) ** 2) > 10 * np.mean((images.mean(axis=0) - shares) ** 2)
