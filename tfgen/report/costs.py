"""What a run's measure becomes when its networks compute with the page's small weights."""

import numpy as np

from tfgen.report.networks import as_embedded, forward


def costs(kept, encoding, noise=None):
    """Returns a dict from a measure to its values with the weights as trained and with those that a page embeds.

    Both are of the same images and the same noise, so their difference is the cost of the embedding alone.

    Args:
        kept: what a run has kept, a `networks.Kept`.
        encoding: see `networks.embedded`.
        noise: what a GAN generates from, a name in `tfgen.models.gan.NOISES`; None of what is none.
    """
    small = {name: as_embedded(layers, encoding) for name, layers in kept.networks.items()}
    there = {name.partition("/")[0] for name in kept.networks} | kept.arrays.keys()
    of_generated = ("mean D(G(z))", {"generator", "discriminator"}, _probability_of_generated(noise))
    measured = {
        measure: (function(kept.networks, kept), function(small, kept))
        for measure, needed, function in (*MEASURES, of_generated)
        if needed <= there
    }
    return {measure: values for measure, values in measured.items() if None not in values}


def _pixels(kept):
    return kept.arrays["images"] / np.float32(255)


def _binarised(kept):
    from tfgen.data.batches import fixed_binarization

    return fixed_binarization(kept.arrays["images"]).numpy()


def _squared_error(encoder, decoder):
    """Returns the function from networks to their squared error, summed over pixels, mean per image (lecture A4)."""

    def value(networks, kept):
        from tfgen.losses import squared_error

        x = _pixels(kept)
        return float(np.mean(squared_error(x, forward(networks[decoder], forward(networks[encoder], x)))))

    return value


def _negative_elbo(networks, kept):
    """Returns -ELBO in nats per binarised image, one draw of z for each (lecture B3)."""
    from tfgen.distributions import bernoulli_log_prob, kl_divergence

    x = _binarised(kept)
    z_mean, z_log_var = forward(networks["z_mean"], x), forward(networks["z_log_var"], x)
    epsilon = np.random.default_rng(0).standard_normal(z_mean.shape, np.float32)
    logits = forward(networks["decoder"], z_mean + np.exp(z_log_var / 2) * epsilon)
    return float(np.mean(kl_divergence(z_mean, z_log_var) - bernoulli_log_prob(x, logits)))


def _error(networks, kept):
    """Returns the share of images that a classifier takes for another digit."""
    x = _pixels(kept)
    return float(np.mean(np.argmax(forward(networks["logits"], x), axis=1) != kept.arrays["labels"][: len(x)]))


def _auc(networks, kept):
    """Returns the area under the ROC curve of the squared error, the digit left out being the anomaly (lecture A1).

    It is None where the images are not of both kinds, or where an error is not finite.
    """
    from sklearn.metrics import roc_auc_score

    from tfgen.losses import squared_error

    x = _pixels(kept)
    anomalous = kept.arrays["labels"][: len(x)] == kept.arrays["left_out"][0]
    score = squared_error(x, forward(networks["decoder"], forward(networks["encoder"], x)))
    if np.all(anomalous) or not np.any(anomalous) or not np.all(np.isfinite(score)):
        return None
    return float(roc_auc_score(anomalous, score))


def _neighbour_error(encoder, inputs):
    """Returns the function from networks to the share of images whose nearest code is of another digit (lecture A7).

    The nearest is one of the codes that the page shows, as trained, an image's own aside.
    """

    def value(networks, kept):
        codes, labels = kept.arrays["codes"], kept.arrays["labels"]
        own = forward(networks[encoder], inputs(kept))
        distances = np.sum(codes**2, axis=1) - 2 * own @ codes.T
        np.fill_diagonal(distances, np.inf)
        return float(np.mean(labels[np.argmin(distances, axis=1)] != labels[: len(own)]))

    return value


def _probability(networks, kept):
    """Returns the discriminator's mean probability, after the last epoch, that test images are real (lecture D1)."""
    return _mean_probability(networks, _pixels(kept))


def _probability_of_generated(noise):
    """Returns the function from networks to the same of images generated from noise of a kind (lecture D1)."""

    def value(networks, kept):
        from tfgen.distributions import THREEFRY
        from tfgen.models.gan import NOISES

        generator = networks[_last(networks, "generator")]
        z = NOISES[noise](THREEFRY, (len(kept.arrays["images"]), len(generator[0].kernel)), [0, 0])
        return _mean_probability(networks, forward(generator, z.numpy()))

    return value


def _mean_probability(networks, x):
    logits = forward(networks[_last(networks, "discriminator")], x).astype(np.float64)
    return float(np.mean(np.exp(-np.logaddexp(0, -logits))))


def _last(networks, name):
    """Returns the name of a GAN's network of the last epoch."""
    return max((one for one in networks if one.startswith(f"{name}/")), key=lambda one: int(one.rpartition("/")[2]))


SQUARED_ERROR = "squared error of test images, sum over pixels"
NEIGHBOUR_ERROR = "share whose nearest code is of another digit"
MEASURES = (
    (SQUARED_ERROR, {"encoder", "decoder"}, _squared_error("encoder", "decoder")),
    (f"{SQUARED_ERROR}: PCA", {"pca_encoder", "pca_decoder"}, _squared_error("pca_encoder", "pca_decoder")),
    ("-ELBO of binarised test images, nats", {"z_mean", "z_log_var", "decoder"}, _negative_elbo),
    ("share of test images misclassified", {"logits"}, _error),
    ("area under the ROC curve, a digit left out", {"encoder", "decoder", "left_out", "labels"}, _auc),
    (NEIGHBOUR_ERROR, {"encoder", "codes", "labels"}, _neighbour_error("encoder", _pixels)),
    (NEIGHBOUR_ERROR, {"z_mean", "codes", "labels"}, _neighbour_error("z_mean", _binarised)),
    ("mean D(x) of test images", {"discriminator"}, _probability),
)
