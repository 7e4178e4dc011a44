"""Trains each kind of model by replicas on as many virtual devices and writes what came out; see test_replicas.

Devices must be made before TensorFlow starts, and one process has one strategy: so this is a process of its own.

    python tests/replicated.py FILE.npz REPLICAS STEPS FLOAT KIND[:WRONG]...

With 0 replicas, by blocks as without a strategy. A wrong version is one that must be told from the right one.
"""

import contextlib
import sys
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from tfgen.data.batches import Batches, blocks
from tfgen.losses import squared_error
from tfgen.models.autoencoder import stacked_autoencoder
from tfgen.models.gan import GAN
from tfgen.models.goodfellow import GoodfellowGAN, RisingMomentumSGD
from tfgen.models.vae import VAE, ImportanceWeightedVAE
from tfgen.training import replicas
from tfgen.training.blocks import use_blocks

BATCH, BLOCK = 10, 10


def built(kind, gradients, block):
    """Returns a compiled model and what it is trained on; one step takes it by its gradients, if these are wanted."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(256, size=(11 * BATCH, 20), dtype=np.uint8)
    options = {"jit_compile": False, "steps_per_execution": block}
    optimizer, other = [keras.optimizers.SGD(1.0) if gradients else keras.optimizers.Adam(1e-2) for _ in range(2)]

    def in_floats(step, x):
        x = tf.cast(x, keras.config.floatx())
        return (x, x) if kind == "autoencoder" else x

    # Of the GAN's batch, k minibatches, one row is left over.
    batch = {"gan": 2 * BATCH + 1}.get(kind, BATCH)
    batches = Batches(images, batch, 0, binarized=kind in ("vae", "iwae", "dreg"), transform=in_floats)
    if kind == "autoencoder":
        model = stacked_autoencoder(20, (8, 3, 8))
        model.compile(optimizer, loss=squared_error, metrics=["mae"], **options)
    elif kind == "vae":
        model = VAE(20, 2, (8,))
        model.compile(optimizer, **options)
    elif kind == "iwae":
        model = ImportanceWeightedVAE(20, 2, (8,), num_samples=3)
        model.compile(optimizer, **options)
    elif kind == "dreg":
        options_of_gradient = {"doubly_reparameterised": True, "gradient_samples": 2}
        model = ImportanceWeightedVAE(20, 2, (8,), num_samples=4, **options_of_gradient)
        model.compile(optimizer, **options)
    elif kind == "gan":
        model = GAN(20, 3, (8,), (8,), discriminator_steps=2, gradient_penalty=0.1)
        model.compile(optimizer if gradients else keras.optimizers.Adam(1e-2, use_ema=True), other, **options)
    else:
        model = GoodfellowGAN(20, 3, (8,), (8,), 3)
        model.compile(optimizer if gradients else RisingMomentumSGD(0.1, use_ema=True), other, **options)
    return model, batches


@contextlib.contextmanager
def wrongly(what):
    """Makes one mistake for as long as the context lasts: "" for none."""
    right, weight = replicas.ReplicaFunction, replicas.ReplicaFunction._weight
    wrong = {
        "": {},
        "means of unequal replicas": {"_weight": lambda self: weight(self) / self._share()[1] * self.rows / 4},
        "sums of means": {"_weight": lambda self: 4 * weight(self)},
        "the same rows everywhere": {"_share": lambda self: self.shares[0]},
        "the same noise everywhere": {},
    }[what]
    with contextlib.ExitStack() as stack:
        for name, method in wrong.items():
            stack.enter_context(mock.patch.object(right, name, method))
        if what == "the same noise everywhere":
            stack.enter_context(mock.patch.object(replicas, "rows_of", lambda first, total: contextlib.nullcontext()))
        yield


def main(file, number, steps, floats, *kinds):
    number, steps = int(number), int(steps)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * max(number, 1))
    keras.config.set_floatx(floats)
    make_dense = keras.layers.Dense.__init__
    # The discriminator's logit is of float32 whatever the rest is.
    keras.layers.Dense.__init__ = lambda self, *args, **options: make_dense(self, *args, **options | {"dtype": floats})
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(number)]) if number else None
    found = {}
    for name in kinds:
        kind, _, wrong = name.partition(":")
        with wrongly(wrong):
            change, logs = trained(kind, steps, strategy, gradients=floats == "float64")
        found |= {f"{name}/{i}": array for i, array in enumerate(change)}
        found |= {f"{name}/{key}": values for key, values in logs.items()}
    np.savez(file, **found)


def trained(kind, steps, strategy, gradients):
    """Returns how the weights have changed, a list of arrays, and what was logged after each block by its name."""
    block = min(BLOCK, steps)
    model, batches = built(kind, gradients, block)
    before = model.get_weights()
    if strategy is None:
        use_blocks(model, batches)
    else:
        replicas.use_replicas(model, batches, strategy)
    kept = []
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: kept.append(dict(logs)))
    model.fit(blocks(batches, 0, block), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[keep])
    change = [now - then for then, now in zip(before, model.get_weights(), strict=True)]
    return change, {key: np.array([float(logs[key]) for logs in kept]) for key in kept[0]}


if __name__ == "__main__":
    main(*sys.argv[1:])
