"""What a run's measure becomes when its networks compute with the page's small weights."""

import numpy as np

from tfgen.report.networks import as_embedded, forward


def costs(kept, encoding):
    """Returns a dict from a measure to its values with the weights as trained and with those that a page embeds.

    Both are of the same images and the same noise, so their difference is the cost of the embedding alone.

    Args:
        kept: what a run has kept, a `networks.Kept`.
        encoding: see `networks.embedded`.
    """
    small = {name: as_embedded(layers, encoding) for name, layers in kept.networks.items()}
    return {
        measure: (function(kept.networks, kept), function(small, kept))
        for measure, needed, function in MEASURES
        if needed <= {name.partition("/")[0] for name in kept.networks}
    }


def _pixels(kept):
    return kept.arrays["images"] / np.float32(255)


def _squared_error(encoder, decoder):
    """Returns the function from networks to their squared error, summed over pixels, mean per image (lecture A4)."""

    def value(networks, kept):
        from tfgen.losses import squared_error

        x = _pixels(kept)
        return float(np.mean(squared_error(x, forward(networks[decoder], forward(networks[encoder], x)))))

    return value


def _negative_elbo(networks, kept):
    """Returns -ELBO in nats per binarised image, one draw of z for each (lecture B3)."""
    from tfgen.data.batches import fixed_binarization
    from tfgen.distributions import bernoulli_log_prob, kl_divergence

    x = fixed_binarization(kept.arrays["images"]).numpy()
    z_mean, z_log_var = forward(networks["z_mean"], x), forward(networks["z_log_var"], x)
    epsilon = np.random.default_rng(0).standard_normal(z_mean.shape, np.float32)
    logits = forward(networks["decoder"], z_mean + np.exp(z_log_var / 2) * epsilon)
    return float(np.mean(kl_divergence(z_mean, z_log_var) - bernoulli_log_prob(x, logits)))


def _error(networks, kept):
    """Returns the share of images that a classifier takes for another digit."""
    x = _pixels(kept)
    return float(np.mean(np.argmax(forward(networks["logits"], x), axis=1) != kept.arrays["labels"][: len(x)]))


def _probability(networks, kept):
    """Returns the discriminator's mean probability, after the last epoch, that test images are real (lecture D1)."""
    last = max((name for name in networks if name.startswith("discriminator/")), key=lambda name: int(name[14:]))
    logits = forward(networks[last], _pixels(kept)).astype(np.float64)
    return float(np.mean(np.exp(-np.logaddexp(0, -logits))))


SQUARED_ERROR = "squared error of test images, sum over pixels"
MEASURES = (
    (SQUARED_ERROR, {"encoder", "decoder"}, _squared_error("encoder", "decoder")),
    (f"{SQUARED_ERROR}: PCA", {"pca_encoder", "pca_decoder"}, _squared_error("pca_encoder", "pca_decoder")),
    ("-ELBO of binarised test images, nats", {"z_mean", "z_log_var", "decoder"}, _negative_elbo),
    ("share of test images misclassified", {"logits"}, _error),
    ("mean D(x) of test images", {"discriminator"}, _probability),
)
