"""Deep embedded clustering: an autoencoder, and centres of clusters among its codes, trained together (lecture A7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgen.losses import squared_error
from tfgen.models.networks import Endpoints, images_of


def assignment_logits(z: tf.Tensor, centres: tf.Tensor) -> tf.Tensor:
    """Returns -log(1 + ||z_i - mu_j||^2): the logarithm of q_ij, up to what makes the q_ij of a code sum to 1.

    Args:
        z: `(batch, code_dim)` float, the codes.
        centres: `(clusters, code_dim)` float, the mu_j.

    Returns:
        `(batch, clusters)` float <= 0.

    Source: Xie et al. 2016, equation 1, with one degree of freedom (alpha = 1).
    """
    distances = tf.reduce_sum(tf.square(z[:, None] - centres), axis=-1)
    return -tf.math.log1p(distances)


def soft_assignment(z: tf.Tensor, centres: tf.Tensor) -> tf.Tensor:
    """Returns q_ij = (1 + ||z_i - mu_j||^2)^-1 / sum_k (1 + ||z_i - mu_k||^2)^-1.

    Student's t-distribution with one degree of freedom around each centre, normalised over the centres: the degree to
    which a code belongs to each cluster. The nearest centre has the largest q.

    Args:
        z: `(batch, code_dim)` float, the codes.
        centres: `(clusters, code_dim)` float, the mu_j.

    Returns:
        `(batch, clusters)` float in [0, 1]; each row sums to 1.

    Source: Xie et al. 2016, equation 1, with alpha = 1.
    """
    return tf.nn.softmax(assignment_logits(z, centres))


def target_distribution(q: tf.Tensor) -> tf.Tensor:
    """Returns p_ij = (q_ij^2 / f_j) / sum_k (q_ik^2 / f_k), with f_j = sum_i q_ij.

    Squaring sharpens confident assignments. The division by the soft size f_j of a cluster keeps large clusters from
    growing at the expense of small ones.

    Args:
        q: `(n, clusters)` float in [0, 1], the soft assignments of all n examples; each row sums to 1.

    Returns:
        `(n, clusters)` float in [0, 1]; each row sums to 1.

    Source: Xie et al. 2016, equation 3.
    """
    # A cluster of size 0 has only assignments of 0.
    weights = tf.math.divide_no_nan(tf.square(q), tf.reduce_sum(q, axis=0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def assignment_divergence(p: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns KL(P_i || Q_i) = sum_j p_ij log(p_ij / q_ij) of each example.

    Args:
        p: `(batch, clusters)` float in [0, 1], each row summing to 1; 0 log 0 is 0.
        logits: `(batch, clusters)` float, the logarithm of q_ij up to a constant in each row.

    Returns:
        `(batch,)` float >= 0, nats per image.

    Source: Xie et al. 2016, equation 2.
    """
    return tf.reduce_sum(tf.math.xlogy(p, p) - p * tf.nn.log_softmax(logits), axis=-1)


def embedding_autoencoder(input_dim: int, encoder_units: Sequence[int], activation: str = "relu") -> keras.Model:
    """Returns the autoencoder of deep embedded clustering, such as 784-500-500-2000-10 and back, as a functional model.

    Code and output are linear. The initial weights are uniform within +-sqrt(1 / inputs of the layer).

    Args:
        input_dim: number of pixels.
        encoder_units: widths of the encoder's layers, the last one the code's; the decoder mirrors them.
        activation: of the hidden layers.

    Returns:
        `keras.Model` from `(batch, input_dim)` float32 in [0, 1] to reconstructions of the same shape, which may leave
        the range a little, made of two sub-models: `get_layer("encoder")` and `get_layer("decoder")`.

    Source: DEC.py of DEC-keras (XifengGuo), with what it sets for MNIST; the widths are those of Xie et al. 2016.
    """

    def part(name, dim, units):
        x = inputs = keras.Input((dim,), name=name)
        for i, width in enumerate(units, 1):
            initial = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
            x = keras.layers.Dense(width, activation if i < len(units) else "linear", kernel_initializer=initial)(x)
        return inputs, x

    encoder = keras.Model(*part("image", input_dim, encoder_units), name="encoder")
    decoder = keras.Model(*part("code", encoder_units[-1], (*encoder_units[-2::-1], input_dim)), name="decoder")
    image = keras.Input((input_dim,), name="image")
    return keras.Model(image, decoder(encoder(image)), name="embedding_autoencoder")


@keras.saving.register_keras_serializable("tfgen")
class DeepEmbeddedClustering(keras.Model):
    """An autoencoder and the centres of clusters among its codes, which learn from the clusters' sure examples.

    It minimises `clustering_weight` KL(P || Q) + `reconstruction_weight` ||x - x'||^2 / pixels, averaged over the
    batch. Q are the soft assignments of the images, P their targets, which `refresh_targets` computes of Q for all
    examples and which stay as they are until it is called again. With a `reconstruction_weight` of 0 this is DEC, and
    the decoder does not change; otherwise it is IDEC.

    The autoencoder is meant to be trained before, and the centres to be those of k-means among its codes. `fit` takes
    pairs of images and of their numbers, by which it finds their targets. Evaluation takes images alone, and their
    targets are those of the batch.

    Logged: `loss`, `kl_divergence` (nats per image) and `squared_error` (per image, summed over pixels).

    Args:
        input_dim: number of pixels.
        encoder_units: widths of the encoder's layers, the last one the code's; the decoder mirrors them.
        clusters: number of clusters.
        examples: number of images that have targets.
        activation: of the hidden layers.
        clustering_weight: gamma, of the KL divergence.
        reconstruction_weight: of the squared error.

    Source: Xie et al. 2016, equations 1 to 3, for DEC; IDEC.py by Guo et al. 2017, for the sum of the two losses with
    the error as a mean over pixels.
    """

    def __init__(
        self,
        input_dim: int,
        encoder_units: Sequence[int],
        clusters: int,
        examples: int,
        activation: str = "relu",
        clustering_weight: float = 0.1,
        reconstruction_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.encoder_units = tuple(encoder_units)
        self.clusters = clusters
        self.examples = examples
        self.activation = activation
        self.clustering_weight = clustering_weight
        self.reconstruction_weight = reconstruction_weight

        self.autoencoder = embedding_autoencoder(input_dim, self.encoder_units, activation)
        self.centres = self.add_weight((clusters, self.encoder_units[-1]), "glorot_uniform", name="centres")
        # In the checkpoint too: a resumed training goes on with the targets that it had.
        even = keras.initializers.Constant(1 / clusters)
        self.targets = self.add_weight((examples, clusters), even, trainable=False, name="targets")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", "kl_divergence", "squared_error")}
        # train_step never calls self(x): without this Keras takes the model for unbuilt and drops the optimizer's
        # state on loading.
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """Returns codes `(batch, code_dim)` of images `(batch, input_dim)`."""
        return self.autoencoder.get_layer("encoder")(x)

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Returns images `(batch, input_dim)`, which may leave [0, 1] a little, from codes `(batch, code_dim)`."""
        return self.autoencoder.get_layer("decoder")(z)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return soft_assignment(self.encode(x), tf.convert_to_tensor(self.centres))

    def refresh_targets(self, q: tf.Tensor) -> None:
        """Sets the targets to those of the soft assignments `(examples, clusters)` of all examples, in their order."""
        self.targets.assign(target_distribution(tf.convert_to_tensor(q)))

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        x, numbers, _ = keras.utils.unpack_x_y_sample_weight(data)
        p = tf.gather(tf.convert_to_tensor(self.targets), numbers)
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            divergence, error = self._terms(x, lambda logits: p)
            loss = self._loss(divergence, error)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self._track(loss, divergence, error)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        divergence, error = self._terms(images_of(data), lambda logits: target_distribution(tf.nn.softmax(logits)))
        return self._track(self._loss(divergence, error), divergence, error)

    def _terms(self, x, targets):
        """Returns the KL divergence and the squared error of each image, given a function from logits to targets."""
        z = self.encode(x)
        logits = assignment_logits(z, tf.convert_to_tensor(self.centres))
        return assignment_divergence(targets(logits), logits), squared_error(x, self.decode(z))

    def _loss(self, divergence, error):
        return tf.reduce_mean(self.clustering_weight * divergence + self.reconstruction_weight * error / self.input_dim)

    def _track(self, loss, divergence, error):
        self.trackers["loss"].update_state(loss, sample_weight=tf.shape(error)[0])
        self.trackers["kl_divergence"].update_state(divergence)
        self.trackers["squared_error"].update_state(error)
        return self.get_metrics_result()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "encoder_units": self.encoder_units,
            "clusters": self.clusters,
            "examples": self.examples,
            "activation": self.activation,
            "clustering_weight": self.clustering_weight,
            "reconstruction_weight": self.reconstruction_weight,
        }

    def endpoints(self) -> Endpoints:
        """Returns what a SavedModel offers: signature name -> (function, input specs).

        `cluster` image -> soft assignments (also the default), `encode` image -> code, `reconstruct` image ->
        reconstruction, which is clipped to [0, 1].
        """

        def reconstruct(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"reconstruction": tf.clip_by_value(self.autoencoder(image), 0.0, 1.0)}

        image = tf.TensorSpec((None, self.input_dim), tf.float32, name="image")
        cluster = (lambda image: {"soft_assignments": self(image)}, [image])
        return {
            "serving_default": cluster,
            "cluster": cluster,
            "encode": (lambda image: {"code": self.encode(image)}, [image]),
            "reconstruct": (reconstruct, [image]),
        }
