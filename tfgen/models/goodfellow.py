"""The generative adversarial network of the 2014 paper's experiments, as its authors' code trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgen.distributions import Draw, stateless_seed, threefry_uniform
from tfgen.losses import discriminator_loss, non_saturating_generator_loss
from tfgen.models.gan import GAN
from tfgen.models.networks import images_of


@keras.saving.register_keras_serializable("tfgen")
class RisingMomentumSGD(keras.optimizers.SGD):
    """Gradient descent whose momentum rises linearly from `momentum` to `final_momentum` over `saturation` iterations.

    Raises:
        ValueError: if `momentum` is not positive, or with `nesterov`.

    Source: Goodfellow et al. 2014, the authors' `mnist.yaml`, through pylearn2's `Momentum` and `MomentumAdjustor`.
    Differs: there it rises once an epoch.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.1,
        momentum: float = 0.5,
        final_momentum: float = 0.7,
        saturation: int = 125_000,
        **kwargs: Any,
    ) -> None:
        if not momentum > 0:  # Keras's SGD has no velocity then
            raise ValueError(f"`momentum` must be positive, got {momentum}.")
        if kwargs.get("nesterov"):
            raise ValueError("this rising momentum is not Nesterov's: leave `nesterov` out.")
        super().__init__(learning_rate=learning_rate, momentum=momentum, **kwargs)
        self.final_momentum = final_momentum
        self.saturation = saturation

    def current_momentum(self) -> tf.Tensor:
        """Returns the momentum of the next update, a float32 scalar tensor."""
        risen = tf.minimum(tf.cast(self.iterations, tf.float32) / self.saturation, 1.0)
        return self.momentum + (self.final_momentum - self.momentum) * risen

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.current_momentum() * velocity - learning_rate * gradient)
        self.assign_add(variable, velocity)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "final_momentum": self.final_momentum, "saturation": self.saturation}


def dropout(x: tf.Tensor, keep: float, seed: tf.Tensor) -> tf.Tensor:
    """Returns x with each element kept with probability `keep` and divided by it, else 0.

    A function of the `(2,)` integer seed, which Keras's layer is not: its generator's state is not saved.
    """
    mask = threefry_uniform(tf.shape(x), seed) < keep
    return tf.where(mask, x / keep, tf.zeros((), x.dtype))


@keras.saving.register_keras_serializable("tfgen")
class GoodfellowGAN(GAN):
    """Maxout discriminator with dropout on the input of each of its layers; both networks move from the same state.

    The generator is that of `GAN`; `set_output_bias` sets its output biases to the logits of the data's mean. One step
    takes one batch of noise, and both gradients before either update; D's loss is half of `GAN`'s.

    Args:
        discriminator_units: number of maxout units of each hidden layer.
        pieces: linear maps that a maxout unit is the maximum of.
        input_keep, hidden_keep: share of the pixels, and of the hidden units, that dropout leaves.
        generator_range, discriminator_range: initial weights are uniform on [-range, range).
        **kwargs: see `GAN`; `activation` is the generator's alone.

    Raises:
        ValueError: for a share outside (0, 1], several discriminator steps, another loss, or a gradient penalty.

    Source: Goodfellow et al. 2014, section 5, and the authors' code (goodfeli/adversarial: `mnist.yaml`, and
    `AdversaryCost2` in `__init__.py`); maxout: Goodfellow et al. 2013, "Maxout networks".
    """

    def __init__(
        self,
        input_dim: int,
        noise_dim: int,
        generator_units: Sequence[int],
        discriminator_units: Sequence[int],
        pieces: int,
        input_keep: float = 0.8,
        hidden_keep: float = 0.5,
        generator_range: float = 0.05,
        discriminator_range: float = 0.005,
        noise: str = "unit-variance uniform",
        **kwargs: Any,
    ) -> None:
        self.pieces = pieces
        self.input_keep = input_keep
        self.hidden_keep = hidden_keep
        self.generator_range = generator_range
        self.discriminator_range = discriminator_range
        super().__init__(input_dim, noise_dim, generator_units, discriminator_units, noise=noise, **kwargs)
        if not (0 < input_keep <= 1 and 0 < hidden_keep <= 1):
            raise ValueError(f"`input_keep` and `hidden_keep` must lie in (0, 1], got {input_keep} and {hidden_keep}.")
        if self.discriminator_steps != 1 or self.generator_loss != "non-saturating" or self.gradient_penalty:
            raise ValueError(
                "this GAN takes one discriminator step, the non-saturating loss and no gradient penalty: omit others."
            )
        for network, bound in ((self.generator, generator_range), (self.discriminator, discriminator_range)):
            for layer in _dense_layers(network):
                layer.kernel.assign(keras.random.uniform(layer.kernel.shape, -bound, bound))

    def discriminator_features(self, image: keras.KerasTensor) -> keras.KerasTensor:
        x = image
        for units in self.discriminator_units:
            x = keras.layers.Dense(units * self.pieces, dtype=self.dtype_policy)(x)
            x = keras.layers.Reshape((self.pieces, units), dtype=self.dtype_policy)(x)
            x = keras.layers.GlobalMaxPooling1D(dtype=self.dtype_policy)(x)
        return x

    def set_output_bias(self, mean: np.ndarray | tf.Tensor) -> None:
        """Sets the generator's output biases to the logits of the mean image `(pixels,)`, each clipped to [.001, .999].

        Source: pylearn2's `init_sigmoid_bias_from_marginals`.
        """
        mean = tf.clip_by_value(tf.cast(mean, tf.float32), 1e-3, 1 - 1e-3)
        self.generator.layers[-1].bias.assign(tf.math.log(mean) - tf.math.log1p(-mean))

    def dropped_logits(self, x: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
        """Returns the discriminator's logits `(batch, 1)` with dropout, a function of the run's seed and `number`."""
        layers = self.discriminator.layers[1:]
        draws = 1 + len(self.discriminator_units)
        draw = 0
        for layer in layers:
            if isinstance(layer, keras.layers.Dense):
                keep = self.hidden_keep if draw else self.input_keep
                x = dropout(x, keep, stateless_seed(self.seed, Draw.DROPOUT, number * draws + draw))
                draw += 1
            x = layer(x)
        return x

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        x = images_of(data)
        t = tf.cast(self.generator_optimizer.iterations, tf.int64)
        z = self.sample_noise((tf.shape(x)[0], self.noise_dim), stateless_seed(self.seed, Draw.NOISE, t))
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator(z, training=True)
            real_logits, fake_logits = self.dropped_logits(x, 2 * t), self.dropped_logits(fake, 2 * t + 1)
            d_loss = discriminator_loss(real_logits, fake_logits)
            halved = 0.5 * d_loss
            g_loss = non_saturating_generator_loss(fake_logits)
        networks = (self.discriminator, self.generator)
        gradients = [
            tape.gradient(loss, network.trainable_variables)
            for loss, network in zip((halved, g_loss), networks, strict=True)
        ]
        optimizers = (self.discriminator_optimizer, self.generator_optimizer)
        for optimizer, gradient, network in zip(optimizers, gradients, networks, strict=True):
            optimizer.apply(gradient, network.trainable_variables)
        return self._track(d_loss, g_loss, real_logits, fake_logits)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pieces": self.pieces,
            "input_keep": self.input_keep,
            "hidden_keep": self.hidden_keep,
            "generator_range": self.generator_range,
            "discriminator_range": self.discriminator_range,
        }


def _dense_layers(network):
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
