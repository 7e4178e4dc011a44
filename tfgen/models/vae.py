"""Variational autoencoders with a Gaussian latent, and a Bernoulli or a Gaussian likelihood (lecture B1-B5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgen.distributions import (
    Draw,
    bernoulli_log_prob,
    bernoulli_log_prob_of_draws,
    for_another,
    kl_divergence,
    log_prior_ratio,
    normal_log_prob,
    sample_normal,
    serving_seed,
    stateless_normal,
    stateless_seed,
    systematic_resample,
    threefry_normal,
    threefry_uniform,
)
from tfgen.models.networks import Endpoints, hidden_layers, images_of


@keras.saving.register_keras_serializable("tfgen")
class VAE(keras.Model):
    """q(z|x) = N(z_mean, diag(exp(z_log_var))), p(z) = N(0, I), p(x|z) = Bernoulli(sigmoid(logits)).

    Compile it with an optimizer and fit it on binarised images alone: `vae.compile("adam"); vae.fit(images)`.
    Logged, per image in nats: `loss` = `negative_elbo` = `reconstruction_loss` + `kl_divergence`.

    Args:
        input_dim: number of pixels.
        latent_dim: dimension of z.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: activation of the hidden layers.
        seed: int >= 0; the noise is a function of it and of the optimizer iteration.

    Source: Kingma & Welling 2013, section 3 and appendix C; lecture B.
    """

    def __init__(
        self,
        input_dim: int,
        latent_dim: int,
        hidden_units: Sequence[int],
        activation: str = "tanh",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.latent_dim = latent_dim
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.seed = seed

        image = keras.Input((input_dim,), name="image")
        hidden = hidden_layers(image, self.hidden_units, activation)
        posterior = [keras.layers.Dense(latent_dim, name=name)(hidden) for name in ("z_mean", "z_log_var")]
        self.encoder = keras.Model(image, posterior, name="encoder")

        z = keras.Input((latent_dim,), name="z")
        hidden = hidden_layers(z, self.hidden_units[::-1], activation)
        self.decoder = keras.Model(z, self.likelihood_parameters(hidden), name="decoder")

        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_divergence")
        # train_step calls the two networks and never self(x): without this Keras takes the model for unbuilt and
        # drops the optimizer's state on loading.
        self.built = True

    @property
    def noise_dim(self) -> int:
        """Numbers that a draw of z takes."""
        return self.latent_dim

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_tracker, self.reconstruction_tracker, self.kl_tracker]

    def parts(self) -> dict[str, keras.Model]:
        """Returns the networks by name: `z_mean` and `z_log_var`, image -> `(batch, latent_dim)`, and the `decoder`."""
        image, outputs = self.encoder.inputs, self.encoder.outputs
        names = ("z_mean", "z_log_var")
        posterior = {name: keras.Model(image, output) for name, output in zip(names, outputs, strict=True)}
        return posterior | {"decoder": self.decoder}

    def likelihood_parameters(self, hidden: keras.KerasTensor) -> keras.KerasTensor | list[keras.KerasTensor]:
        """Returns the decoder's output: here the logits `(batch, input_dim)` of p(x|z)."""
        return keras.layers.Dense(self.input_dim, name="logits")(hidden)

    def log_likelihood(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Returns log p(x|z) `(batch,)`, nats per image, summed over pixels."""
        return bernoulli_log_prob(x, self.decoder(z))

    def log_weights(self, x: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
        """Returns log p(x, z) - log q(z|x), `(k, batch)` in nats, of the draws of z that a standard normal noise makes.

        Args:
            x: `(batch, input_dim)` float32.
            epsilon: `(k, batch, noise_dim)` float32.
        """
        z, (_, z_log_var) = self._draw(x, epsilon)
        return self._log_likelihoods(x, z) + log_prior_ratio(z, epsilon, z_log_var)

    def _draw(self, x, epsilon):
        """Returns z `(k, batch, noise_dim)`, with the mean and the log-variance of q(z|x)."""
        z_mean, z_log_var = self.encoder(x)
        return z_mean + tf.exp(0.5 * z_log_var) * epsilon, (z_mean, z_log_var)

    def _log_likelihoods(self, x, z):
        """Returns log p(x|z) of each draw, `(k, batch)`."""
        logits = self.decoder(tf.reshape(z, (-1, z.shape[-1])))
        return bernoulli_log_prob_of_draws(x, tf.reshape(logits, (*tf.unstack(tf.shape(z)[:2]), self.input_dim)))

    def negative_elbo_terms(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the two terms of the negative ELBO, the first estimated with one draw of z per image.

        -L(x) = E_q[-log p(x|z)] + KL(q(z|x) || p(z)).

        Args:
            x: `(batch, input_dim)` float32: binary, or for a Gaussian likelihood any.
            seed: `(2,)` integer tensor.

        Returns:
            `(reconstruction_loss, kl_divergence)`, both `(batch,)`, nats per image.

        Source: lecture B3; Kingma & Welling 2013, equation 10.
        """
        z_mean, z_log_var = self.encoder(x)
        z = sample_normal(z_mean, z_log_var, seed)
        return -self.log_likelihood(x, z), kl_divergence(z_mean, z_log_var)

    def loss_and_terms(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns what is minimised, the negative ELBO, and its two terms, each `(batch,)`, nats per image."""
        reconstruction_loss, kl = self.negative_elbo_terms(x, seed)
        return reconstruction_loss + kl, reconstruction_loss, kl

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        if self.loss is not None:
            raise ValueError(f"the loss is the negative ELBO: compile with an optimizer only, got loss={self.loss!r}.")
        x = images_of(data)
        seed = stateless_seed(self.seed, Draw.LATENT, self.optimizer.iterations)
        gradients, terms = self.gradients_and_terms(x, seed)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._track(*terms)

    def gradients_and_terms(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[list[tf.Tensor], tuple[tf.Tensor, ...]]:
        """Returns the gradients of the mean loss, one a trainable variable, and what `loss_and_terms` returns."""
        with tf.GradientTape() as tape:
            loss, *terms = self.loss_and_terms(x, seed)
            mean_loss = tf.reduce_mean(loss)
        return tape.gradient(mean_loss, self.trainable_variables), (loss, *terms)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        x = images_of(data)
        # The tracker counts the images since the evaluation began: fresh noise in each batch, the same every time.
        seed = stateless_seed(self.seed, Draw.EVALUATION, self.loss_tracker.count)
        return self._track(*self.loss_and_terms(x, seed))

    def _track(self, loss, reconstruction_loss, kl):
        self.loss_tracker.update_state(loss)
        self.reconstruction_tracker.update_state(reconstruction_loss)
        self.kl_tracker.update_state(kl)
        return self.get_metrics_result()

    def reconstruct(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the mean image `(batch, input_dim)` decoded from the posterior mean: deterministic."""
        return self.decode(self.encoder(x)[0])

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the mean of p(x|z), here the pixels' probabilities: `(batch, latent_dim)` -> `(batch, input_dim)`."""
        return tf.sigmoid(self.decoder(z))

    def prior(self, epsilon: tf.Tensor) -> tf.Tensor:
        """Returns z ~ p(z) `(n, latent_dim)`, as a function of standard normal noise `(n, noise_dim)`: here itself."""
        return epsilon

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.reconstruct(x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "latent_dim": self.latent_dim,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "seed": self.seed,
        }

    def endpoints(self) -> Endpoints:
        """Returns what the SavedModel offers: signature name -> (function, input specs).

        `reconstruct` image -> reconstruction, through the mean (also the default); `encode` image -> z_mean, z_log_var;
        `decode` z -> image; `generate` seed -> image, z (lecture B5). z[i] depends on seed[i] alone, bit for bit; so
        does image[i], up to a rounding of products that varies with the size of the batch. With two stochastic layers
        z[i] comes from such products too.
        """
        image = tf.TensorSpec((None, self.input_dim), tf.float32, name="image")
        z = tf.TensorSpec((None, self.latent_dim), tf.float32, name="z")
        seed = tf.TensorSpec((None,), tf.int64, name="seed")

        def encode(image):
            z_mean, z_log_var = self.encoder(image)
            return {"z_mean": z_mean, "z_log_var": z_log_var}

        def generate(seed):
            epsilon = tf.map_fn(
                lambda s: stateless_normal((self.noise_dim,), serving_seed(s)), seed, fn_output_signature=tf.float32
            )
            z = self.prior(epsilon)
            return {"image": self.decode(z), "z": z}

        reconstruct = (lambda image: {"reconstruction": self.reconstruct(image)}, [image])
        return {
            "serving_default": reconstruct,
            "reconstruct": reconstruct,
            "encode": (encode, [image]),
            "decode": (lambda z: {"image": self.decode(z)}, [z]),
            "generate": (generate, [seed]),
        }


@keras.saving.register_keras_serializable("tfgen")
class GaussianVAE(VAE):
    """The VAE as the lecture writes it: p(x|z) = N(x_mean, diag(exp(x_log_var))), both given by the decoder.

    The variance of a pixel is `min_variance` + softplus(output). Without the floor the density has no maximum: many
    pixels are 0 in nearly every image, and a variance that goes to 0 there takes log p(x|z) to infinity.

    Args:
        min_variance: the floor, in squared units of pixels in [0, 1].
        *args, **kwargs: see `VAE`.

    Raises:
        ValueError: if `min_variance` is not positive.

    Source: lecture B2; Kingma & Welling 2013, appendix C.2.
    """

    def __init__(self, *args: Any, min_variance: float = 0.04, **kwargs: Any) -> None:
        if min_variance <= 0:
            raise ValueError(f"`min_variance` must be positive, got {min_variance}.")
        self.min_variance = min_variance
        super().__init__(*args, **kwargs)

    def likelihood_parameters(self, hidden: keras.KerasTensor) -> list[keras.KerasTensor]:
        """Returns the decoder's outputs: mean in [0, 1] and log-variance, both `(batch, input_dim)`."""
        x_mean = keras.layers.Dense(self.input_dim, "sigmoid", name="x_mean")(hidden)
        variance = keras.layers.Dense(self.input_dim, "softplus", name="excess_variance")(hidden)
        return [x_mean, keras.ops.log(self.min_variance + variance)]

    def log_likelihood(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Returns log p(x|z) `(batch,)`, nats per image: a density, so it may be positive."""
        return normal_log_prob(x, *self.decoder(z))

    def _log_likelihoods(self, x, z):
        k, latent_dim = tf.shape(z)[0], z.shape[-1]
        repeated = tf.reshape(tf.repeat(x[None], k, axis=0), (-1, self.input_dim))
        return tf.reshape(self.log_likelihood(repeated, tf.reshape(z, (-1, latent_dim))), (k, -1))

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the mean of p(x|z): `(batch, latent_dim)` -> `(batch, input_dim)`."""
        return self.decoder(z)[0]

    def sample_image(self, z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns x ~ p(x|z) `(batch, input_dim)`: mean plus noise of the decoder's variance, beyond [0, 1] too."""
        mean, log_var = self.decoder(z)
        return sample_normal(mean, log_var, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "min_variance": self.min_variance}


@keras.saving.register_keras_serializable("tfgen")
class ImportanceWeightedVAE(VAE):
    """The VAE's two networks trained on the k-sample bound, which lies between the ELBO and log p(x) (IWAE).

    L_k = E[log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)], z_i ~ q(z|x). Logged: `loss` = -L_k; `reconstruction_loss` and
    `kl_divergence` are those of the ELBO, to which the loss no longer adds up.

    Args:
        num_samples: k, at least 1. With k = 1 the expectation is the ELBO, its KL divergence being estimated.
        doubly_reparameterised: whether the encoder's gradient is the estimate that is zero where q(z|x) is p(z|x), and
            whose signal does not vanish in its noise as k grows; in expectation it is the same.
        gradient_samples: of the k samples, how many the doubly reparameterised gradient is taken of; 0, or k and
            more, for all. They are drawn by their weights, so it stays the same in expectation and costs less: most of
            the k have next to no weight.
        *args, **kwargs: see `VAE`.

    Raises:
        ValueError: for another `num_samples`, and for `gradient_samples` that are not a whole number of at least 0 or
            whose gradient is not doubly reparameterised.

    Source: Burda et al. 2015, equations 8, 13 and 14 (samples drawn by weight: section 3); Tucker et al. 2018, equation
    8.
    """

    def __init__(
        self,
        *args: Any,
        num_samples: int = 50,
        doubly_reparameterised: bool = False,
        gradient_samples: int = 0,
        **kwargs: Any,
    ) -> None:
        if num_samples != int(num_samples) or num_samples < 1:
            raise ValueError(f"`num_samples` must be a whole number of at least 1, got {num_samples}.")
        if gradient_samples != int(gradient_samples) or gradient_samples < 0:
            raise ValueError(f"`gradient_samples` must be a whole number of at least 0, got {gradient_samples}.")
        if gradient_samples and not doubly_reparameterised:
            raise ValueError("`gradient_samples` are those of the doubly reparameterised gradient: set it too.")
        self.num_samples = int(num_samples)
        self.doubly_reparameterised = doubly_reparameterised
        self.gradient_samples = int(gradient_samples)
        super().__init__(*args, **kwargs)

    def loss_and_terms(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns -L_k and, of the same draws, the two terms of the negative ELBO, each `(batch,)`, nats per image."""
        epsilon = self._noise(x, seed)
        z, posterior = self._draw(x, epsilon)
        log_p_x = self._log_likelihoods(x, z)
        log_weights = log_p_x + log_prior_ratio(z, epsilon, posterior[1])
        return self._loss_and_terms(log_weights, log_p_x, posterior)

    def gradients_and_terms(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[list[tf.Tensor], tuple[tf.Tensor, ...]]:
        if not self.doubly_reparameterised:
            return super().gradients_and_terms(x, seed)
        epsilon = self._noise(x, seed)
        if not 0 < self.gradient_samples < self.num_samples:
            return self._doubly_reparameterised(x, epsilon)
        z, posterior = self._draw(x, epsilon)
        log_weights, log_p_x = self._weigh(x, z, posterior)
        weights = tf.nn.softmax(log_weights, axis=0)
        uniform = threefry_uniform((tf.shape(x)[0], 1), for_another(seed, Draw.RESAMPLE))[:, 0]
        chosen = systematic_resample(weights, self.gradient_samples, tf.cast(uniform, weights.dtype))
        epsilon, weights = (_columns_of(values, chosen) for values in (epsilon, weights))
        gradients, _ = self._doubly_reparameterised(x, epsilon, weights)
        return gradients, self._loss_and_terms(log_weights, log_p_x, posterior)

    def _doubly_reparameterised(self, x, epsilon, weights=None):
        """Returns the gradients, and what `loss_and_terms` returns.

        Args:
            x: images.
            epsilon: the noise of the samples.
            weights: None for all samples; or of samples drawn by their weight, which `epsilon` is of, these weights.
        """
        of_encoder, of_decoder = self._variables()
        with tf.GradientTape() as draw:
            z, posterior = self._draw(x, epsilon)
        with tf.GradientTape() as bound:
            bound.watch(z)
            # Here the parameters of q(z|x) are constants: the encoder is reached through z alone.
            log_weights, log_p_x = self._weigh(x, z, posterior)
            loss, *terms = self._loss_and_terms(log_weights, log_p_x, posterior)
            # How often a sample is drawn says already how much it counts.
            mean_loss = tf.reduce_mean(loss) if weights is None else -tf.reduce_mean(log_weights)
        by_z, *by_decoder = bound.gradient(mean_loss, [z, *of_decoder])
        # `by_z` has each sample's normalised weight once, the estimate has its square.
        weights = tf.nn.softmax(log_weights, axis=0) if weights is None else weights
        by_encoder = draw.gradient(z, of_encoder, output_gradients=weights[..., None] * by_z)
        pairs = zip((*of_encoder, *of_decoder), (*by_encoder, *by_decoder), strict=True)
        of_variable = {id(variable): gradient for variable, gradient in pairs}
        return [of_variable[id(variable)] for variable in self.trainable_variables], (loss, *terms)

    def _noise(self, x, seed):
        """Returns epsilon ~ N(0, I), `(k, batch, noise_dim)`."""
        return tf.cast(threefry_normal((self.num_samples, tf.shape(x)[0], self.noise_dim), seed), x.dtype)

    def _variables(self):
        """Returns the trainable variables of q(z|x), and those of p(x, z)."""
        return self.encoder.trainable_variables, self.decoder.trainable_variables

    def _weigh(self, x, z, posterior):
        """Returns log p(x, z) - log q(z|x) and log p(x|z) of each draw, both `(k, batch)`."""
        log_p_x = self._log_likelihoods(x, z)
        return log_p_x + normal_log_prob(z, 0.0, tf.zeros_like(z)) - normal_log_prob(z, *posterior), log_p_x

    def _loss_and_terms(self, log_weights, log_p_x, posterior):
        return -self._bound(log_weights), -tf.reduce_mean(log_p_x, axis=0), kl_divergence(*posterior)

    def _bound(self, log_weights):
        return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(tf.cast(self.num_samples, log_weights.dtype))

    def get_config(self) -> dict[str, Any]:
        names = ("num_samples", "doubly_reparameterised", "gradient_samples")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _columns_of(values, chosen):
    """Returns of each column of `(k, batch, ...)` the rows that `(m, batch)` names, `(m, batch, ...)`."""
    return tf.gather_nd(
        values, tf.stack([chosen, tf.broadcast_to(tf.range(tf.shape(chosen)[1]), tf.shape(chosen))], axis=-1)
    )
