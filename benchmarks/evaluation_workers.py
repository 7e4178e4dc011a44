"""The evaluations that `evaluation` times: two implementations of each, on the same images and model."""

import numpy as np

from benchmarks import numpy_peers
from benchmarks.models import network
from benchmarks.workloads import WORKLOADS
from tfgen.data.batches import fixed_binarization, scale
from tfgen.distributions import Draw, stateless_seed
from tfgen.evaluation.importance import importance_sample
from tfgen.evaluation.parzen import parzen_log_density

SIGMA = 0.2


class Evaluation:
    """The recipe's VAE with random weights, and images.

    Args:
        images: path of `(n, 784)` uint8 images.
    """

    def __init__(self, images):
        self.images = np.load(images)
        self.vae = network(WORKLOADS["vae"])
        self.description = {}

    def _two_sets(self, num_samples, num_images):
        """Returns centres and images in [0, 1], from the two ends of the set so that they differ."""
        return (scale(part).numpy() for part in (self.images[:num_samples], self.images[-num_images:]))

    def parzen_tfgen(self, num_samples, num_images):
        samples, images = self._two_sets(num_samples, num_images)
        return float(np.mean(parzen_log_density(samples, images, [SIGMA])))

    def parzen_numpy(self, num_samples, num_images):
        samples, images = self._two_sets(num_samples, num_images)
        return float(np.mean(numpy_peers.parzen_log_density(samples, images, SIGMA)))

    def importance_tfgen(self, num_samples, num_images):
        images = fixed_binarization(self.images[-num_images:]).numpy()
        seed = stateless_seed(0, Draw.EVALUATION)
        return float(importance_sample(self.vae.log_weights, self.vae.noise_dim, images, num_samples, seed).nll.mean())

    def importance_numpy(self, num_samples, num_images):
        images = fixed_binarization(self.images[-num_images:]).numpy()
        rng = np.random.default_rng(0)
        return float(np.mean(numpy_peers.importance_sampled_nll(self.weights(), images, num_samples, rng)))

    def weights(self):
        """Returns the VAE's weights as `numpy_peers.importance_sampled_nll` takes them."""
        arrays = [weight.numpy() for weight in self.vae.encoder.trainable_variables]
        pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
        *encoder, z_mean, z_log_var = pairs
        arrays = [weight.numpy() for weight in self.vae.decoder.trainable_variables]
        decoder = list(zip(arrays[::2], arrays[1::2], strict=True))
        return {"encoder": encoder, "z_mean": [z_mean], "z_log_var": [z_log_var], "decoder": decoder}
