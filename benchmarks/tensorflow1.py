"""Training as in a TensorFlow 1 program: a graph, a session, a batch fed at each step."""

import numpy as np
import tensorflow as tf

from benchmarks.workloads import load_images, sized

v1 = tf.compat.v1
ACTIVATIONS = {"relu": tf.nn.relu, "tanh": tf.tanh, "sigmoid": tf.sigmoid, "linear": tf.identity}


class Trainer:
    """Trains a workload; see `tfgen_trainer.Trainer`.

    As such programs do, it keeps the training set in memory as floats, slices a new permutation every epoch, draws
    noise in NumPy, and calls `run` once for each update and its loss.
    """

    def __init__(self, images, workload, **size):
        self.workload = sized(workload, **size)
        self.images = load_images(images, self.workload).astype(np.float32) / 255
        self.rng = np.random.default_rng(0)
        with tf.Graph().as_default() as graph:
            self.networks = {name: _variables(layers) for name, layers in self.workload.networks.items()}
            self.x = v1.placeholder(tf.float32, (None, self.images.shape[1]))
            self.noise = v1.placeholder(tf.float32, (None, self.workload.noise[1])) if self.workload.noise else None
            self.losses = {
                names: loss(self._apply, self.x, self.noise) for names, loss in LOSSES[self.workload.model].items()
            }
            # Adam's defaults, except for Keras's epsilon.
            self.updates = {
                names: v1.train.AdamOptimizer(1e-3, epsilon=1e-7).minimize(loss, var_list=self._weights(names))
                for names, loss in self.losses.items()
            }
            self.session = v1.Session(graph=graph)
            self.session.run(v1.global_variables_initializer())
        self.batches = self._batches()
        self.description = {"unit": 20, "threads": 0}

    def _weights(self, names):
        return [variable for name in names for kernel, bias, _ in self.networks[name] for variable in (kernel, bias)]

    def _apply(self, name, x):
        for kernel, bias, activation in self.networks[name]:
            x = ACTIVATIONS[activation](tf.matmul(x, kernel) + bias)
        return x

    def _batches(self):
        batch_size = self.workload.config.batch_size
        while True:
            order = self.rng.permutation(len(self.images))
            for start in range(0, len(order) - batch_size + 1, batch_size):
                x = self.images[order[start : start + batch_size]]
                if self.workload.model == "vae":
                    x = (self.rng.random(x.shape, np.float32) < x).astype(np.float32)
                yield x

    def _draw(self, n):
        kind, dimension = self.workload.noise
        return (
            self.rng.uniform(-1, 1, (n, dimension)) if kind == "uniform" else self.rng.standard_normal((n, dimension))
        )

    def train(self, steps):
        """Takes `steps` training steps; returns the number of images."""
        for _ in range(steps):
            x = next(self.batches)
            for names, update in self.updates.items():
                noise = {} if self.noise is None else {self.noise: self._draw(len(x))}
                self.session.run([update, self.losses[names]], {self.x: x, **noise})
        return steps * self.workload.config.batch_size


def _variables(layers):
    """Returns `(kernel, bias, activation)` of each layer, with kernels initialised as in Keras."""
    glorot = v1.glorot_uniform_initializer()
    return [
        (v1.Variable(glorot((rows, columns))), v1.Variable(tf.zeros(columns)), activation)
        for rows, columns, activation in layers
    ]


def _discriminator_loss(apply, x, z):
    real, fake = apply("discriminator", x), apply("discriminator", apply("generator", z))
    return tf.reduce_mean(tf.math.softplus(-real)) + tf.reduce_mean(tf.math.softplus(fake))


def _generator_loss(apply, x, z):
    return tf.reduce_mean(tf.math.softplus(-apply("discriminator", apply("generator", z))))


def _negative_elbo(apply, x, epsilon):
    hidden = apply("encoder", x)
    z_mean, z_log_var = apply("z_mean", hidden), apply("z_log_var", hidden)
    logits = apply("decoder", z_mean + tf.exp(0.5 * z_log_var) * epsilon)
    reconstruction_loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), axis=1)
    kl = -0.5 * tf.reduce_sum(1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var), axis=1)
    return tf.reduce_mean(reconstruction_loss + kl)


def _squared_error(apply, x, noise):
    return tf.reduce_mean(tf.reduce_sum(tf.square(x - apply("decoder", apply("encoder", x))), axis=1))


# Model -> the networks that an update changes -> its loss; the updates in their order.
LOSSES = {
    "gan": {("discriminator",): _discriminator_loss, ("generator",): _generator_loss},
    "vae": {("encoder", "z_mean", "z_log_var", "decoder"): _negative_elbo},
    "autoencoder": {("encoder", "decoder"): _squared_error},
}
