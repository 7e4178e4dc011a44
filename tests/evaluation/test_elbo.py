"""The negative ELBO of single images where the decoder is known to be blind."""

import keras
import numpy as np

from tfgen.distributions import Draw, kl_divergence, stateless_seed
from tfgen.evaluation.elbo import negative_elbo
from tfgen.models.vae import VAE


def test_the_negative_elbo_of_a_blind_decoder_is_known():
    """A decoder without weights says p = sigmoid(b) of every pixel whatever z: log p(x|z) follows by hand."""
    keras.utils.set_random_seed(0)
    model = VAE(6, 3, (5,))
    bias = np.linspace(-2, 2, 6)
    for variable in model.decoder.weights:
        variable.assign(np.zeros(variable.shape))
    model.decoder.weights[-1].assign(bias)
    x = np.random.default_rng(0).integers(2, size=(7, 6)).astype(np.float32)
    p = 1 / (1 + np.exp(-bias))
    kl = kl_divergence(*model.encoder(x)).numpy()
    expected = kl - np.sum(np.log(np.where(x == 1, p, 1 - p)), axis=1)
    # Batches of three, the last one short.
    np.testing.assert_allclose(negative_elbo(model.negative_elbo_terms, x, 0, 3), expected, rtol=1e-5)
    assert np.ptp(kl) > 0.01


def test_every_batch_has_a_seed_of_its_own_and_images_keep_their_order():
    seeds = []

    def terms(x, seed):
        seeds.append(tuple(np.asarray(seed)))
        return x[:, 0], 10 * x[:, 1]

    x = np.random.default_rng(0).random((5, 2))
    np.testing.assert_allclose(negative_elbo(terms, x, 3, batch_size=2), x @ [1, 10])
    assert seeds == [tuple(np.asarray(stateless_seed(3, Draw.EVALUATION, i))) for i in range(3)]
    assert len(set(seeds)) == 3
