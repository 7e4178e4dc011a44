"""The Markov chain: a distribution over all images, fitted by counting, sampled as it says."""

import dataclasses
import itertools

import numpy as np
import pytest

from tfgen.models import markov_chain
from tfgen.models.markov_chain import MarkovChain

# Made up: 5 pixels, every probability another.
CHAIN = MarkovChain(0.3, np.array([[0.2, 0.9], [0.6, 0.1], [0.5, 0.7], [0.05, 0.35]]))
ALL_IMAGES = np.array(list(itertools.product([0, 1], repeat=5)))


def brute_force_log_prob(chain, image):
    p = chain.initial if image[0] else 1 - chain.initial
    for t in range(1, len(image)):
        on = float(chain.transitions[t - 1][int(image[t - 1])])
        p *= on if image[t] else 1 - on
    return np.log(p)


def test_probabilities_of_all_images_add_up_to_1():
    assert np.exp(CHAIN.log_prob(ALL_IMAGES)).sum() == pytest.approx(1, abs=1e-12)
    fitted = markov_chain.fit(np.random.default_rng(0).random((7, 10)) < 0.4)
    images = np.array(list(itertools.product([0, 1], repeat=10)))
    assert np.exp(fitted.log_prob(images)).sum() == pytest.approx(1, abs=1e-12)


def test_a_chain_that_forgets_where_it_is_would_not_add_up():
    """The wrong version: p(x_t = 1 | a) taken for p(x_t | a) whatever x_t is."""
    wrong = np.prod(np.where(ALL_IMAGES[:, :-1], CHAIN.transitions[:, 1], CHAIN.transitions[:, 0]), axis=1)
    assert abs(wrong.sum() - 1) > 0.1


def test_log_probability_by_hand():
    # 0 1 1 0 0: begins off, then 0 -> 1, 1 -> 1, 1 -> 0, 0 -> 0, each with the probability of its place.
    assert CHAIN.log_prob([[0, 1, 1, 0, 0]])[0] == pytest.approx(np.log(0.7 * 0.2 * 0.1 * 0.3 * 0.95), abs=1e-12)


def test_log_probability_is_that_of_the_product_pixel_by_pixel():
    expected = [brute_force_log_prob(CHAIN, image) for image in ALL_IMAGES]
    np.testing.assert_allclose(CHAIN.log_prob(ALL_IMAGES), expected, rtol=1e-12)


def test_fitting_counts_transitions_and_smooths_them():
    images = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 1, 1]])
    chain = markov_chain.fit(images, smoothing=1)
    assert chain.initial == pytest.approx(4 / 6)
    # After a first 0: one image, which goes on. After a first 1: three, of which one goes on.
    np.testing.assert_allclose(chain.transitions, [[2 / 3, 2 / 5], [2 / 4, 2 / 4]])


def test_transitions_that_nobody_made_stay_possible():
    black = np.zeros((10_000, 784))
    chain = markov_chain.fit(black)
    assert np.all(np.isfinite(chain.log_prob(np.ones((1, 784)))))
    assert chain.log_prob(black[:1])[0] > -0.1
    # Where the pixel before was never on, nothing is known: 1/2.
    np.testing.assert_array_equal(chain.transitions[:, 1], 0.5)


def test_fitted_chain_is_likelier_than_any_changed_one():
    images = np.random.default_rng(1).integers(2, size=(50, 4))
    chain = markov_chain.fit(images, smoothing=1e-9)
    best = chain.log_prob(images).sum()
    for t, a, change in itertools.product(range(3), range(2), (-0.05, 0.05)):
        transitions = chain.transitions.copy()
        transitions[t, a] += change
        assert dataclasses.replace(chain, transitions=transitions).log_prob(images).sum() < best


def transition_z_scores(images, chain):
    """Returns how many standard errors each transition's frequency among the images is from the chain's."""
    scores = [(images[:, 0].mean() - chain.initial) / np.sqrt(chain.initial * (1 - chain.initial) / len(images))]
    for t, a in itertools.product(range(len(chain.transitions)), range(2)):
        after, p = images[images[:, t] == a, t + 1], chain.transitions[t, a]
        scores.append((after.mean() - p) / np.sqrt(p * (1 - p) / len(after)))
    return np.array(scores)


def test_samples_make_each_transition_as_often_as_the_chain_says():
    images = CHAIN.sample(20_000, np.random.default_rng(0))
    # Nine comparisons: all of them within 4 standard errors in 99.9 % of seeds.
    assert np.abs(transition_z_scores(images, CHAIN)).max() < 4

    # Wrong: the next pixel drawn given the opposite of the one before.
    reversed_chain = dataclasses.replace(CHAIN, transitions=CHAIN.transitions[:, ::-1])
    wrong = reversed_chain.sample(20_000, np.random.default_rng(0))
    assert np.abs(transition_z_scores(wrong, CHAIN)).max() > 10
    # Wrong: each pixel drawn by its share alone, as naive Bayes does.
    independent = np.random.default_rng(0).random((20_000, 5)) < images.mean(axis=0)
    assert np.abs(transition_z_scores(independent.astype(int), CHAIN)).max() > 10


def test_fitting_samples_finds_the_chain_again():
    found = markov_chain.fit(CHAIN.sample(20_000, np.random.default_rng(3)))
    # The rarest state is met about 4,000 times: a standard error of at most 0.008.
    np.testing.assert_allclose(found.transitions, CHAIN.transitions, atol=0.03)
    assert found.initial == pytest.approx(0.3, abs=0.015)


def test_samples_are_a_function_of_the_generator():
    first, again, other = (CHAIN.sample(50, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize(
    "images, smoothing, message",
    [([[0, 2]], 1, "0 and 1 only"), ([[0, 0.5]], 1, "0 and 1 only"), ([[0, 1]], 0, "above 0, got 0")],
)
def test_wrong_arguments_are_refused(images, smoothing, message):
    with pytest.raises(ValueError, match=message):
        markov_chain.fit(images, smoothing)
