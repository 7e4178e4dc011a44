"""The generative adversarial network, trained by alternating updates (lecture D1-D5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgen.distributions import PHILOX, THREEFRY, Draw, Generator, serving_seed, stateless_seed
from tfgen.losses import discriminator_loss, minimax_generator_loss, non_saturating_generator_loss
from tfgen.models.networks import Endpoints, hidden_layers, images_of

GENERATOR_LOSSES = {"minimax": minimax_generator_loss, "non-saturating": non_saturating_generator_loss}
NOISES = {
    "uniform": lambda draw, shape, seed: draw.uniform(shape, seed, -1.0, 1.0),
    "gaussian": lambda draw, shape, seed: draw.normal(shape, seed),
    "unit-variance uniform": lambda draw, shape, seed: draw.uniform(shape, seed, -math.sqrt(3), math.sqrt(3)),
}


def squared_gradient_norms(discriminator: keras.Model, x: tf.Tensor) -> tf.Tensor:
    """Returns ||d logit / d x||^2 of each true image, `(batch,)`: what the R1 penalty is the mean of, times gamma / 2.

    It keeps the discriminator from becoming ever steeper around images that it tells apart already.

    Args:
        discriminator: `(batch, input_dim)` -> `(batch, 1)` logits; no layer may mix its rows.
        x: `(batch, input_dim)` float32.

    Source: Mescheder et al. 2018, equation 9.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator(x, training=True)
    return tf.reduce_sum(tf.square(tape.gradient(logits, x)), axis=1)


@keras.saving.register_keras_serializable("tfgen")
class GAN(keras.Model):
    """Generator noise -> image, discriminator image -> one logit, each with its own optimizer.

    One training step is one iteration of the paper's algorithm 1: k discriminator updates, each on fresh data and
    fresh noise, then one generator update on fresh noise. The batch that `fit` passes holds the data of all k
    updates, so its size is k times the minibatch (of a last batch that k does not divide, the rest is left out; it
    must hold k images at least):

        gan.compile(generator_optimizer=..., discriminator_optimizer=...)
        gan.fit(images, batch_size=gan.discriminator_steps * 128)

    Logged, each before the update that it belongs to: `discriminator_loss` (nats, mean over the minibatch) and
    `real_probability` = mean D(x) of the last of the k updates; `generator_loss` and `fake_probability` = mean D(G(z))
    of the generator's update, hence against the discriminator as just updated.

    Args:
        input_dim: number of pixels.
        noise_dim: dimension of the noise z.
        generator_units: widths of the generator's hidden layers.
        discriminator_units: widths of the discriminator's hidden layers.
        noise: "uniform" on [-1, 1), "gaussian", standard normal, or "unit-variance uniform" on [-3^(1/2), 3^(1/2)).
        generator_loss: "non-saturating" or "minimax".
        discriminator_steps: k, the discriminator's updates per update of the generator.
        seed: int >= 0; the noise is a function of it and of the generator's iteration.
        activation: of the hidden layers of both networks.
        output_activation: the generator's last one; "sigmoid" makes pixels in [0, 1].
        gradient_penalty: gamma, at least 0, of the penalty that the discriminator minimises beside its loss, which is
            logged without: see `squared_gradient_norms`.
        **kwargs: Keras's; `dtype="mixed_bfloat16"` trains with bfloat16 products and float32 weights.

    Raises:
        ValueError: for a noise, a loss, a k or a gamma outside the allowed ones.

    Source: Goodfellow et al. 2014, algorithm 1; lecture D.
    """

    def __init__(
        self,
        input_dim: int,
        noise_dim: int,
        generator_units: Sequence[int],
        discriminator_units: Sequence[int],
        noise: str = "uniform",
        generator_loss: str = "non-saturating",
        discriminator_steps: int = 1,
        seed: int = 0,
        activation: str = "relu",
        output_activation: str = "sigmoid",
        gradient_penalty: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if noise not in NOISES:
            raise ValueError(f"`noise` must be one of {sorted(NOISES)}, got {noise!r}.")
        if generator_loss not in GENERATOR_LOSSES:
            raise ValueError(f"`generator_loss` must be one of {sorted(GENERATOR_LOSSES)}, got {generator_loss!r}.")
        if gradient_penalty < 0:
            raise ValueError(f"`gradient_penalty` must be at least 0, got {gradient_penalty}.")
        if discriminator_steps < 1:
            raise ValueError(f"`discriminator_steps` must be at least 1, got {discriminator_steps}.")
        self.input_dim = input_dim
        self.noise_dim = noise_dim
        self.generator_units = tuple(generator_units)
        self.discriminator_units = tuple(discriminator_units)
        self.noise = noise
        self.generator_loss = generator_loss
        self.discriminator_steps = discriminator_steps
        self.seed = seed
        self.activation = activation
        self.output_activation = output_activation
        self.gradient_penalty = gradient_penalty

        z = keras.Input((noise_dim,), name="z")
        hidden = hidden_layers(z, self.generator_units, activation, self.dtype_policy)
        output = keras.layers.Dense(input_dim, output_activation, dtype=self.dtype_policy)(hidden)
        self.generator = keras.Model(z, output, name="generator")

        image = keras.Input((input_dim,), name="image")
        hidden = self.discriminator_features(image)
        logit = keras.layers.Dense(1, dtype="float32", name="logit")(hidden)
        self.discriminator = keras.Model(image, logit, name="discriminator")

        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ("discriminator_loss", "generator_loss", "real_probability", "fake_probability")
        }
        # train_step calls the two networks and never self(x): without this Keras takes the model for unbuilt and
        # drops the optimizers' state on loading.
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def compile(
        self,
        generator_optimizer: str | keras.optimizers.Optimizer,
        discriminator_optimizer: str | keras.optimizers.Optimizer,
        jit_compile: bool | str = "auto",
        steps_per_execution: int = 1,
        run_eagerly: bool = False,
    ) -> None:
        """Configures training: two optimizers, and `keras.Model.compile`'s options that have a meaning here."""
        super().compile(
            optimizer=None,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
        )
        self.generator_optimizer = keras.optimizers.get(generator_optimizer)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def discriminator_features(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the discriminator's last hidden layer, a Keras tensor, for the Keras tensor of its input."""
        return hidden_layers(image, self.discriminator_units, self.activation, self.dtype_policy)

    def sample_noise(
        self, shape: Sequence[int | tf.Tensor], seed: tf.Tensor, generator: Generator = THREEFRY
    ) -> tf.Tensor:
        """Returns float32 noise of the given shape, a function of the `(2,)` integer seed and the generator."""
        return NOISES[self.noise](generator, shape, seed)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        x = images_of(data)
        k = self.discriminator_steps
        n = tf.shape(x)[0] // k
        real = tf.reshape(x[: k * n], (k, n, self.input_dim))
        seed = stateless_seed(self.seed, Draw.NOISE, self.generator_optimizer.iterations)
        z = self.sample_noise((k + 1, n, self.noise_dim), seed)
        for j in range(k):
            d_loss, real_logits = self._update_discriminator(real[j], z[j])
        g_loss, fake_logits = self._update_generator(z[k])
        return self._track(d_loss, g_loss, real_logits, fake_logits)

    def _update_discriminator(self, x, z):
        fake = self.generator(z, training=True)
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            # Both halves in one batch: no layer mixes its rows, and fewer and larger products are faster.
            logits = self.discriminator(tf.concat([x, tf.cast(fake, x.dtype)], axis=0), training=True)
            real_logits, fake_logits = tf.split(logits, 2)
            loss = objective = discriminator_loss(real_logits, fake_logits)
            if self.gradient_penalty:
                norms = squared_gradient_norms(self.discriminator, x)
                objective = loss + 0.5 * self.gradient_penalty * tf.reduce_mean(norms)
        self.discriminator_optimizer.apply(tape.gradient(objective, variables), variables)
        return loss, real_logits

    def _update_generator(self, z):
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            fake_logits = self.discriminator(self.generator(z, training=True), training=True)
            loss = GENERATOR_LOSSES[self.generator_loss](fake_logits)
        self.generator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, fake_logits

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        x = images_of(data)
        # The tracker counts the images since the evaluation began: fresh noise in each batch, the same every time.
        seed = stateless_seed(self.seed, Draw.EVALUATION, self.trackers["discriminator_loss"].count)
        z = self.sample_noise((tf.shape(x)[0], self.noise_dim), seed)
        real_logits, fake_logits = self.discriminator(x), self.discriminator(self.generator(z))
        d_loss = discriminator_loss(real_logits, fake_logits)
        return self._track(d_loss, GENERATOR_LOSSES[self.generator_loss](fake_logits), real_logits, fake_logits)

    def _track(self, d_loss, g_loss, real_logits, fake_logits):
        n = tf.shape(real_logits)[0]
        self.trackers["discriminator_loss"].update_state(d_loss, sample_weight=n)
        self.trackers["generator_loss"].update_state(g_loss, sample_weight=n)
        self.trackers["real_probability"].update_state(tf.sigmoid(real_logits))
        self.trackers["fake_probability"].update_state(tf.sigmoid(fake_logits))
        return self.get_metrics_result()

    def call(self, z: tf.Tensor) -> tf.Tensor:
        return self.generator(z)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "noise_dim": self.noise_dim,
            "generator_units": self.generator_units,
            "discriminator_units": self.discriminator_units,
            "noise": self.noise,
            "generator_loss": self.generator_loss,
            "discriminator_steps": self.discriminator_steps,
            "seed": self.seed,
            "activation": self.activation,
            "output_activation": self.output_activation,
            "gradient_penalty": self.gradient_penalty,
        }

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        return {
            "generator_optimizer": keras.optimizers.serialize(self.generator_optimizer),
            "discriminator_optimizer": keras.optimizers.serialize(self.discriminator_optimizer),
            "jit_compile": self.jit_compile,
            "steps_per_execution": self.steps_per_execution,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        optimizers = {
            name: keras.optimizers.deserialize(config.pop(name))
            for name in ("generator_optimizer", "discriminator_optimizer")
        }
        self.compile(**optimizers, **config)

    def endpoints(self, data: str = "image") -> Endpoints:
        """Returns what the SavedModel offers: signature name -> (function, input specs).

        `generate` seed -> image, z, where z i is a function of seed i alone, bit for bit, and image i but for the
        rounding of products, which a batch of another size changes (also the default); `generate_from_z` z -> image;
        `discriminate` image -> logit, probability of being real.

        Args:
            data: name of what is generated, the inputs and outputs `image` above.
        """
        seed = tf.TensorSpec((None,), tf.int64, name="seed")
        z = tf.TensorSpec((None, self.noise_dim), tf.float32, name="z")
        x = tf.TensorSpec((None, self.input_dim), tf.float32, name=data)

        def generate_from_seeds(seed):
            z = tf.map_fn(
                lambda s: self.sample_noise((self.noise_dim,), serving_seed(s), PHILOX),
                seed,
                fn_output_signature=tf.float32,
            )
            return {data: self.generator(z), "z": z}

        def discriminate(x):
            logit = self.discriminator(x)
            return {"logit": logit, "probability": tf.sigmoid(logit)}

        generate = (generate_from_seeds, [seed])
        return {
            "serving_default": generate,
            "generate": generate,
            "generate_from_z": (lambda z: {data: self.generator(z)}, [z]),
            "discriminate": (discriminate, [x]),
        }
