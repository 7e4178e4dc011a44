"""Generative models of images with labels, learned from few labels: M2 of Kingma et al. 2014 (lecture A6, B2-B4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgen.distributions import (
    Draw,
    bernoulli_log_prob,
    kl_divergence,
    normal_log_prob,
    stateless_seed,
    threefry_normal,
)
from tfgen.models.networks import Endpoints, hidden_layers
from tfgen.models.vae import VAE

# The bias with which the log-variance of q(z|x,y) begins: so small a variance lets the decoder use z from the start.
FIRST_Z_LOG_VAR = -4.0


@keras.saving.register_keras_serializable("tfgen")
class SemiSupervisedVAE(keras.Model):
    """M2: p(y) uniform, p(z) = N(0, I), p(x|y,z) = Bernoulli(sigmoid(logits)), and a classifier q(y|x).

    q(z|x,y) = N(z_mean, diag(exp(z_log_var))). Encoder and decoder have weights of their own for each y, so that all
    labels of an image are computed at once. For an image with its label and for one without,

        -L(x, y) = E_q(z|x,y)[log p(x|y,z)] + log p(y) - KL(q(z|x,y) || p(z)) <= log p(x, y),
        -U(x)    = sum_y q(y|x) (-L(x, y) - log q(y|x))                      <= log p(x).

    Minimised is mean U(x) + labelled_share * mean L(x, y) + alpha * mean -log q(y|x): the first over the images without
    labels, the others over those with. Compile it with an optimizer and fit it on `((unlabelled, labelled), labels)`,
    the labels being integers; evaluate it on `(images, labels)`, which serve as both. Logged: `loss`; its terms
    `unlabelled_loss`, `labelled_loss` and `classification_loss`, nats per image; and `error`, the share of the images
    with labels that q(y|x) misclassifies.

    Args:
        input_dim: number of pixels.
        classes: number of classes.
        latent_dim: dimension of z.
        hidden_units: widths of the encoder's hidden layers, for each class; the decoder mirrors them.
        classifier_units: widths of the classifier's hidden layers.
        activation: activation of the hidden layers.
        alpha: weight of the classifier's own loss, without which labels would teach p(x|y,z) alone.
        labelled_share: weight of L(x, y): the number of images with labels divided by that of those without.
        warm_up: updates over which the weight of the KL divergence rises from 0 to 1.
        temperature: weight of the entropy in U(x) at the beginning: above 1, q(y|x) keeps undecided for longer.
        annealing: updates over which it falls to 1.
        seed: int >= 0; the noise is a function of it and of the optimizer iteration.

    Source: Kingma et al. 2014, equations 6, 7 and 9; the authors' code (dpkingma/nips14-ssl, learn_yz_x_ss.py), whose
        sums over all images are means here.
    """

    def __init__(
        self,
        input_dim: int,
        classes: int,
        latent_dim: int,
        hidden_units: Sequence[int],
        classifier_units: Sequence[int],
        activation: str = "softplus",
        alpha: float = 0.1,
        labelled_share: float = 0.0,
        warm_up: int = 0,
        temperature: float = 1.0,
        annealing: int = 0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.classes = classes
        self.latent_dim = latent_dim
        self.hidden_units = tuple(hidden_units)
        self.classifier_units = tuple(classifier_units)
        self.activation = activation
        self.alpha = alpha
        self.labelled_share = labelled_share
        self.warm_up = warm_up
        self.temperature = temperature
        self.annealing = annealing
        self.seed = seed

        image = keras.Input((input_dim,), name="image")
        hidden = hidden_layers(image, self.classifier_units, activation)
        self.classifier = keras.Model(image, keras.layers.Dense(classes, name="logits")(hidden), name="classifier")

        hidden = image
        for width in self.hidden_units:
            hidden = self.of_each_class(hidden, width, activation=activation)
        small = keras.initializers.Constant(FIRST_Z_LOG_VAR)
        z_mean = self.of_each_class(hidden, latent_dim, name="z_mean")
        z_log_var = self.of_each_class(hidden, latent_dim, name="z_log_var", bias_initializer=small)
        self.encoder = keras.Model(image, [z_mean, z_log_var], name="encoder")

        z = hidden = keras.Input((classes, latent_dim), name="z")
        for width in self.hidden_units[::-1]:
            hidden = self.of_each_class(hidden, width, activation=activation)
        self.decoder = keras.Model(z, self.likelihood_parameters(hidden), name="decoder")

        names = ("loss", "unlabelled_loss", "labelled_loss", "classification_loss", "error")
        self.trackers = [keras.metrics.Mean(name=name) for name in names]
        # train_step calls the three networks and never self(x): without this Keras takes the model for unbuilt and
        # drops the optimizer's state on loading.
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.trackers

    def of_each_class(self, x: keras.KerasTensor, units: int, **options: Any) -> keras.KerasTensor:
        """Returns the output `(batch, classes, units)` of a layer that has weights of its own for each class.

        Args:
            x: `(batch, classes, dim)`, or `(batch, dim)` for the same input to all classes.
            units: width of the layer.
            **options: of `keras.layers.EinsumDense`.
        """
        equation = "bd,cdu->bcu" if len(x.shape) == 2 else "bcd,cdu->bcu"
        return keras.layers.EinsumDense(equation, (self.classes, units), bias_axes="cu", **options)(x)

    def likelihood_parameters(self, hidden: keras.KerasTensor) -> keras.KerasTensor | list[keras.KerasTensor]:
        """Returns the decoder's output: here the logits `(batch, classes, input_dim)` of p(x|y,z)."""
        return self.of_each_class(hidden, self.input_dim, name="logits")

    def log_likelihood(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Returns log p(x|y,z) `(batch, classes)` for each y, nats per image, summed over pixels.

        Args:
            x: `(batch, input_dim)` float32, binary.
            z: `(batch, classes, latent_dim)` float32, the latent of each class.
        """
        logits = self.decoder(z)
        return bernoulli_log_prob(tf.broadcast_to(x[:, None], tf.shape(logits)), logits)

    def labelled_losses(self, x: tf.Tensor, seed: tf.Tensor, kl_weight: float | tf.Tensor = 1.0) -> tf.Tensor:
        """Returns L(x, y) for each y, upper bounds of -log p(x, y), estimated with one draw of noise per image.

        L(x, y) = E_q(z|x,y)[-log p(x|y,z)] - log p(y) + KL(q(z|x,y) || p(z)), with p(y) = 1 / classes. The noise is the
        same for each y, so that it hardly changes the differences between them.

        Args:
            x: `(batch, input_dim)` float32.
            seed: `(2,)` integer tensor.
            kl_weight: of the KL divergence; below 1 the results are no bounds.

        Returns:
            `(batch, classes)`, nats per image.

        Source: Kingma et al. 2014, equation 6.
        """
        z_mean, z_log_var = self.encoder(x)
        epsilon = threefry_normal((tf.shape(x)[0], 1, self.latent_dim), seed)
        log_p_x = self.log_likelihood(x, z_mean + tf.exp(0.5 * z_log_var) * epsilon)
        log_p_y = -tf.math.log(float(self.classes))
        return -log_p_x - log_p_y + kl_weight * kl_divergence(z_mean, z_log_var)

    def unlabelled_loss(
        self, x: tf.Tensor, labelled_losses: tf.Tensor, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Returns U(x) `(batch,)`, an upper bound of -log p(x), nats per image: the sum over all labels is exact.

        U(x) = sum_y q(y|x) L(x, y) - H(q(y|x)).

        Args:
            x: `(batch, input_dim)` float32.
            labelled_losses: `(batch, classes)`, L(x, y) for each y.
            temperature: weight of the entropy H; with another than 1 the result is no bound.

        Source: Kingma et al. 2014, equation 7.
        """
        log_q = tf.nn.log_softmax(self.classifier(x))
        return tf.reduce_sum(tf.exp(log_q) * (labelled_losses + temperature * log_q), axis=-1)

    def loss_and_terms(
        self, data: Any, seed: tf.Tensor, kl_weight: float | tf.Tensor = 1.0, temperature: float | tf.Tensor = 1.0
    ) -> tuple[tf.Tensor, ...]:
        """Returns what is minimised, a scalar, then the three terms and the error; see the class.

        Args:
            data: `((unlabelled, labelled), labels)`: `(n, input_dim)` and `(m, input_dim)` float32, `(m,)` integers.
            seed: `(2,)` integer tensor.
            kl_weight: see `labelled_losses`.
            temperature: see `unlabelled_loss`.

        Returns:
            `(loss, unlabelled_loss (n,), labelled_loss (m,), classification_loss (m,), error (m,))`.
        """
        (unlabelled, labelled), labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        y = tf.one_hot(labels, self.classes)
        # One pass, so that images with labels and without have noise of their own.
        losses = self.labelled_losses(tf.concat([unlabelled, labelled], axis=0), seed, kl_weight)
        count = tf.shape(unlabelled)[0]
        unlabelled_loss = self.unlabelled_loss(unlabelled, losses[:count], temperature)
        labelled_loss = tf.reduce_sum(y * losses[count:], axis=-1)
        logits = self.classifier(labelled)
        classification_loss = tf.nn.softmax_cross_entropy_with_logits(y, logits)
        error = tf.cast(tf.argmax(logits, axis=-1) != tf.cast(labels, tf.int64), tf.float32)
        loss = (
            tf.reduce_mean(unlabelled_loss)
            + self.labelled_share * tf.reduce_mean(labelled_loss)
            + self.alpha * tf.reduce_mean(classification_loss)
        )
        return loss, unlabelled_loss, labelled_loss, classification_loss, error

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        if self.loss is not None:
            raise ValueError(f"the loss is a bound: compile with an optimizer only, got loss={self.loss!r}.")
        iteration = self.optimizer.iterations
        kl_weight, temperature = self.weights_of_training(iteration)
        with tf.GradientTape() as tape:
            seed = stateless_seed(self.seed, Draw.LATENT, iteration)
            loss, *terms = self.loss_and_terms(data, seed, kl_weight, temperature)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return self._track(loss, *terms)

    def weights_of_training(self, iteration: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the weights of the KL divergence and of the entropy in an update: both are 1 after the beginning."""
        done = tf.cast(iteration, tf.float32)
        kl_weight = tf.minimum(1.0, done / self.warm_up) if self.warm_up else tf.ones(())
        heat = tf.maximum(0.0, 1.0 - done / self.annealing) if self.annealing else tf.zeros(())
        return kl_weight, 1.0 + (self.temperature - 1.0) * heat

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        x, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        # The tracker counts the images since the evaluation began: fresh noise in each batch, the same every time.
        seed = stateless_seed(self.seed, Draw.EVALUATION, self.trackers[0].count)
        return self._track(*self.loss_and_terms(((x, x), labels), seed))

    def _track(self, *values):
        loss, *terms = values
        self.trackers[0].update_state(loss, sample_weight=tf.shape(terms[0])[0])
        for tracker, value in zip(self.trackers[1:], terms, strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns q(y|x) `(batch, classes)` of images `(batch, input_dim)`."""
        return tf.nn.softmax(self.classifier(x))

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the mean of p(x|y,z) for each y, `(batch, classes, input_dim)`: here the pixels' probabilities.

        Args:
            z: `(batch, classes, latent_dim)` float32, the latent of each class.
        """
        return tf.sigmoid(self.decoder(z))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "classes": self.classes,
            "latent_dim": self.latent_dim,
            "hidden_units": self.hidden_units,
            "classifier_units": self.classifier_units,
            "activation": self.activation,
            "alpha": self.alpha,
            "labelled_share": self.labelled_share,
            "warm_up": self.warm_up,
            "temperature": self.temperature,
            "annealing": self.annealing,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("tfgen")
class GaussianSemiSupervisedVAE(SemiSupervisedVAE):
    """M2 with p(x|y,z) = N(x_mean, diag(exp(x_log_var))), both given by the decoder: for a VAE's latents as its x.

    Args:
        *args, **kwargs: see `SemiSupervisedVAE`.

    Source: Kingma et al. 2014, section 2.1.3 (M1+M2); the authors' code, `type_px = 'gaussian'`.
    """

    def likelihood_parameters(self, hidden: keras.KerasTensor) -> list[keras.KerasTensor]:
        """Returns the decoder's outputs: mean and log-variance, both `(batch, classes, input_dim)`."""
        x_mean = self.of_each_class(hidden, self.input_dim, name="x_mean")
        return [x_mean, self.of_each_class(hidden, self.input_dim, name="x_log_var", kernel_initializer="zeros")]

    def log_likelihood(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Returns log p(x|y,z) `(batch, classes)`, nats: a density, so it may be positive."""
        return normal_log_prob(x[:, None], *self.decoder(z))

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the mean of p(x|y,z) for each y, `(batch, classes, input_dim)`; see `SemiSupervisedVAE.decode`."""
        return self.decoder(z)[0]


def endpoints(vae: VAE, used: Sequence[int], model: GaussianSemiSupervisedVAE) -> Endpoints:
    """Returns what a SavedModel of M1+M2 offers: signature name -> (function, input specs).

    `classify` image -> logits, probabilities, class_id (also the default); `encode` image -> z_mean, z_log_var of M1.

    Args:
        vae: M1.
        used: indices of those of its latents that M2 is given.
        model: M2 on them.
    """
    image = tf.TensorSpec((None, vae.input_dim), tf.float32, name="image")

    def classify(image):
        logits = model.classifier(tf.gather(vae.encoder(image)[0], used, axis=1))
        class_id = tf.argmax(logits, axis=-1, output_type=tf.int64)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class_id": class_id}

    return {
        "serving_default": (classify, [image]),
        "classify": (classify, [image]),
        "encode": vae.endpoints()["encode"],
    }
