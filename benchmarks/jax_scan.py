"""The same training in JAX: an epoch is one compiled program, a scan over its batches."""

import functools

import jax
import jax.numpy as jnp
import optax

from benchmarks.workloads import load_images, sized

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "linear": lambda x: x}


class Trainer:
    """Trains a workload in whole epochs; see `tfgen_trainer.Trainer`.

    The training set stays in memory as bytes, and each step of the scan gathers its batch. The program takes over the
    memory of the weights and of Adam's state. The discriminator sees real and generated images in one batch. Random
    numbers are JAX's default, threefry2x32.
    """

    def __init__(self, images, workload, **size):
        self.workload = sized(workload, **size)
        self.images = jnp.asarray(load_images(images, self.workload))
        self.steps_per_epoch = len(self.images) // self.workload.config.batch_size
        self.optimizer = optax.adam(1e-3, eps=1e-7)  # The defaults, except for Keras's epsilon.
        self.losses = LOSSES[self.workload.model]
        self.key, *keys = jax.random.split(jax.random.key(0), 1 + len(self.workload.networks))
        networks = {
            name: _weights(key, layers)
            for key, (name, layers) in zip(keys, self.workload.networks.items(), strict=True)
        }
        optimizers = [self.optimizer.init(_chosen(networks, names)) for names in self.losses]
        self.state = networks, optimizers
        self.epoch = jax.jit(self._epoch, donate_argnums=0)
        self.description = {"unit": self.steps_per_epoch, "threads": 0}

    def _epoch(self, state, images, key):
        """Returns the state after an epoch, and the mean of each loss."""
        n, batch_size = len(images), self.workload.config.batch_size
        order_key, steps_key = jax.random.split(key)
        order = jax.random.permutation(order_key, n)[: self.steps_per_epoch * batch_size]
        keys = jax.random.split(steps_key, (self.steps_per_epoch, 2))

        def step(state, inputs):
            indices, keys = inputs
            return self._step(state, images[indices], *keys)

        state, losses = jax.lax.scan(step, state, (order.reshape(-1, batch_size), keys))
        return state, [jnp.mean(loss) for loss in losses]

    def _step(self, state, images, data_key, noise_key):
        networks, optimizers = state
        x = images.astype(jnp.float32) / 255
        if self.workload.model == "vae":
            x = jax.random.bernoulli(data_key, x).astype(jnp.float32)
        noises = self._noises(noise_key, len(x))
        values, next_optimizers = [], []
        for (names, loss), optimizer, noise in zip(self.losses.items(), optimizers, noises, strict=True):
            chosen = _chosen(networks, names)
            value, gradients = jax.value_and_grad(self._loss)(chosen, networks, loss, x, noise)
            updates, optimizer = self.optimizer.update(gradients, optimizer)
            networks = networks | optax.apply_updates(chosen, updates)
            values.append(value)
            next_optimizers.append(optimizer)
        return (networks, next_optimizers), values

    def _loss(self, chosen, networks, loss, x, noise):
        return loss(functools.partial(self._apply, networks | chosen), x, noise)

    def _apply(self, networks, name, x):
        for (kernel, bias), (_, _, activation) in zip(networks[name], self.workload.networks[name], strict=True):
            x = ACTIVATIONS[activation](x @ kernel + bias)
        return x

    def _noises(self, key, n):
        """Returns the noise of each update of a step."""
        if self.workload.noise is None:
            return [None] * len(self.losses)
        kind, dimension = self.workload.noise
        shape = len(self.losses), n, dimension
        if kind == "uniform":
            return list(jax.random.uniform(key, shape, minval=-1, maxval=1))
        return list(jax.random.normal(key, shape))

    def train(self, steps):
        """Takes `steps` training steps, in whole epochs; returns the number of images."""
        epochs = steps // self.steps_per_epoch
        for _ in range(epochs):
            self.key, key = jax.random.split(self.key)
            self.state, losses = self.epoch(self.state, self.images, key)
        jax.block_until_ready(losses)
        return epochs * self.steps_per_epoch * self.workload.config.batch_size


def _weights(key, layers):
    """Returns `(kernel, bias)` of each layer, initialised as in Keras."""
    glorot = jax.nn.initializers.glorot_uniform()
    keys = jax.random.split(key, len(layers))
    return [(glorot(key, layer[:2]), jnp.zeros(layer[1])) for key, layer in zip(keys, layers, strict=True)]


def _chosen(networks, names):
    return {name: networks[name] for name in names}


def _discriminator_loss(apply, x, z):
    fake = jax.lax.stop_gradient(apply("generator", z))
    real_logits, fake_logits = jnp.split(apply("discriminator", jnp.concatenate([x, fake])), 2)
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def _generator_loss(apply, x, z):
    return jnp.mean(jax.nn.softplus(-apply("discriminator", apply("generator", z))))


def _negative_elbo(apply, x, epsilon):
    hidden = apply("encoder", x)
    z_mean, z_log_var = apply("z_mean", hidden), apply("z_log_var", hidden)
    logits = apply("decoder", z_mean + jnp.exp(0.5 * z_log_var) * epsilon)
    reconstruction_loss = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, x), axis=1)
    kl = -0.5 * jnp.sum(1 + z_log_var - jnp.square(z_mean) - jnp.exp(z_log_var), axis=1)
    return jnp.mean(reconstruction_loss + kl)


def _squared_error(apply, x, noise):
    return jnp.mean(jnp.sum(jnp.square(x - apply("decoder", apply("encoder", x))), axis=1))


# Model -> the networks that an update changes -> its loss; the updates in their order.
LOSSES = {
    "gan": {("discriminator",): _discriminator_loss, ("generator",): _generator_loss},
    "vae": {("encoder", "z_mean", "z_log_var", "decoder"): _negative_elbo},
    "autoencoder": {("encoder", "decoder"): _squared_error},
}
