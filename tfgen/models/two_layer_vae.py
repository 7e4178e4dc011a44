"""The variational autoencoder with two stochastic layers of Burda et al. 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgen.distributions import normal_log_prob
from tfgen.models.networks import hidden_layers
from tfgen.models.vae import ImportanceWeightedVAE


@keras.saving.register_keras_serializable("tfgen")
class TwoLayerVAE(ImportanceWeightedVAE):
    """q(z1, z2|x) = q(z1|x) q(z2|z1) and p(x, z1, z2) = p(z2) p(z1|z2) p(x|z1), trained on the k-sample bound.

    Each factor is a Gaussian of diagonal covariance, but for p(z2) = N(0, I) and p(x|z1) = Bernoulli(sigmoid(logits)).
    `encoder` is q(z1|x), `upper_encoder` q(z2|z1), `upper_decoder` p(z1|z2), `decoder` p(x|z1). A draw of z is z1 and
    z2 side by side. With k = 1 the loss is a negative ELBO, of which the logged `kl_divergence` is an estimate.

    Args:
        input_dim: number of pixels.
        latent_dim: dimension of z1.
        hidden_units: widths of the hidden layers between x and z1; the decoder mirrors them.
        activation: activation of the hidden layers.
        upper_latent_dim: dimension of z2.
        upper_hidden_units: widths of the hidden layers between z1 and z2; `upper_decoder` mirrors them.
        **kwargs: see `ImportanceWeightedVAE`.

    Source: Burda et al. 2015, section 5 and appendix C.
    """

    def __init__(
        self,
        input_dim: int,
        latent_dim: int,
        hidden_units: Sequence[int],
        activation: str = "tanh",
        *,
        upper_latent_dim: int,
        upper_hidden_units: Sequence[int],
        **kwargs: Any,
    ) -> None:
        self.upper_latent_dim = upper_latent_dim
        self.upper_hidden_units = tuple(upper_hidden_units)
        super().__init__(input_dim, latent_dim, hidden_units, activation, **kwargs)

        z1 = keras.Input((latent_dim,), name="z1")
        hidden = hidden_layers(z1, self.upper_hidden_units, activation)
        outputs = [keras.layers.Dense(upper_latent_dim, name=name)(hidden) for name in ("z2_mean", "z2_log_var")]
        self.upper_encoder = keras.Model(z1, outputs, name="upper_encoder")

        z2 = keras.Input((upper_latent_dim,), name="z2")
        hidden = hidden_layers(z2, self.upper_hidden_units[::-1], activation)
        outputs = [keras.layers.Dense(latent_dim, name=name)(hidden) for name in ("z1_mean", "z1_log_var")]
        self.upper_decoder = keras.Model(z2, outputs, name="upper_decoder")

    @property
    def noise_dim(self) -> int:
        return self.latent_dim + self.upper_latent_dim

    def prior(self, epsilon: tf.Tensor) -> tf.Tensor:
        """Returns z1 ~ p(z1), as a function of noise `(n, noise_dim)`: z2 is its last part."""
        epsilon1, z2 = self._split(epsilon)
        z1_mean, z1_log_var = self.upper_decoder(z2)
        return z1_mean + tf.exp(0.5 * z1_log_var) * epsilon1

    def loss_and_terms(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        z, posterior = self._draw(x, self._noise(x, seed))
        log_weights, log_p_x = self._weigh(x, z, posterior)
        return self._loss_and_terms(log_weights, log_p_x, posterior)

    def log_weights(self, x: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
        return self._weigh(x, *self._draw(x, epsilon))[0]

    def _split(self, z):
        return z[..., : self.latent_dim], z[..., self.latent_dim :]

    def _draw(self, x, epsilon):
        epsilon1, epsilon2 = self._split(epsilon)
        z1, posterior = super()._draw(x, epsilon1)
        z2_mean, z2_log_var = _of_draws(self.upper_encoder, z1)
        return tf.concat([z1, z2_mean + tf.exp(0.5 * z2_log_var) * epsilon2], axis=-1), posterior

    def _weigh(self, x, z, posterior):
        z1, z2 = self._split(z)
        log_p_x = self._log_likelihoods(x, z1)
        log_p_z = normal_log_prob(z1, *_of_draws(self.upper_decoder, z2)) + normal_log_prob(z2, 0.0, tf.zeros_like(z2))
        log_q_z = normal_log_prob(z1, *posterior) + normal_log_prob(z2, *_of_draws(self.upper_encoder, z1))
        return log_p_x + log_p_z - log_q_z, log_p_x

    def _loss_and_terms(self, log_weights, log_p_x, posterior):
        return (
            -self._bound(log_weights),
            -tf.reduce_mean(log_p_x, axis=0),
            tf.reduce_mean(log_p_x - log_weights, axis=0),
        )

    def _variables(self):
        return (
            [*self.encoder.trainable_variables, *self.upper_encoder.trainable_variables],
            [*self.decoder.trainable_variables, *self.upper_decoder.trainable_variables],
        )

    def get_config(self) -> dict[str, Any]:
        options = {"upper_latent_dim": self.upper_latent_dim, "upper_hidden_units": self.upper_hidden_units}
        return {**super().get_config(), **options}


def _of_draws(network, z):
    """Returns the mean and the log-variance that a network gives of draws: all of them are `(k, batch, dim)`."""
    outputs = network(tf.reshape(z, (-1, z.shape[-1])))
    return [tf.reshape(output, (*tf.unstack(tf.shape(z)[:2]), output.shape[-1])) for output in outputs]
