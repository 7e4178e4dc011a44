"""A block of steps as one program: the steps of plain `fit`, in their order, whatever is compiled."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.data.batches import Batches, blocks, pairs
from tfgen.losses import squared_error
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE
from tfgen.training.blocks import TrainFunction, use_blocks
from tfgen.training.checkpoint import optimizers_of

STEPS, BLOCK = 12, 4


def built(kind, jit_compile=False):
    """Returns a compiled model and what it is trained on."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(256, size=(100, 20), dtype=np.uint8)
    options = {"jit_compile": jit_compile, "steps_per_execution": BLOCK}
    if kind == "gan":
        model = GAN(20, 3, (8,), (8,), discriminator_steps=2)
        model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2), **options)
        return model, Batches(images, 16, 0)
    if kind == "vae":
        model = VAE(20, 2, (8,))
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, STEPS)), **options)
        return model, Batches(images, 16, 0, binarized=True)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(20)])
    model.compile(keras.optimizers.Adam(1e-2), loss=squared_error, metrics=["mae"], **options)
    return model, Batches(images, 16, 0, transform=pairs)


def state(model):
    weights = [np.asarray(weight) for weight in model.weights]
    return weights + [np.asarray(v) for optimizer in optimizers_of(model) for v in optimizer.variables]


def trained(kind, jit_compile, first_step=0):
    """Returns the state and the logs after one epoch in blocks."""
    model, batches = built(kind, jit_compile)
    use_blocks(model, batches)
    rows = blocks(batches, first_step, BLOCK)
    history = model.fit(rows, epochs=1, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    assert [int(optimizer.iterations) for optimizer in optimizers_of(model)] == (
        [STEPS, 2 * STEPS] if kind == "gan" else [STEPS]
    )
    return state(model), history.history


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("kind", ["autoencoder", "vae", "gan"])
def test_blocks_take_the_steps_of_plain_fit_and_log_the_same(kind, jit_compile):
    model, batches = built(kind)
    plain = model.fit(batches.stream(), epochs=1, steps_per_epoch=STEPS, shuffle=False, verbose=0).history
    expected = state(model)
    found, logs = trained(kind, jit_compile)
    assert logs.keys() == plain.keys()
    for name, values in plain.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-4)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    # Wrong: other batches, and for the VAE other pixels.
    other, _ = trained(kind, jit_compile, first_step=BLOCK)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(other, expected, strict=True))


def test_a_program_is_kept_for_batches_that_are_prepared_alike(monkeypatch):
    """Compiling takes longer than many a training."""
    model, batches = built("vae")
    use_blocks(model, batches)
    first = model.train_function
    traced = []
    train_step = model.train_step
    monkeypatch.setattr(type(model), "train_step", lambda self, data: traced.append(data) or train_step(data))
    for images in (batches.images, batches.images[:50]):
        same = Batches(images, 16, 0, binarized=True)
        use_blocks(model, same)
        assert model.train_function is first
        model.fit(blocks(same, 0, BLOCK), steps_per_epoch=BLOCK, shuffle=False, verbose=0)
    assert len(traced) == 1
    use_blocks(model, Batches(batches.images, 16, 1, binarized=True))
    assert isinstance(model.train_function, TrainFunction) and model.train_function is not first
    model.compile("adam")
    assert model.train_function is None


def test_the_number_of_a_batch_counts_from_the_start_of_the_training():
    seen = []

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.built = True
            self.numbers = keras.metrics.Mean(name="number")

        def train_step(self, data):
            number, _ = data
            tf.py_function(lambda n: seen.append(int(n)), [number], [])
            return {}

    model = Model()
    model.compile("sgd", jit_compile=False, steps_per_execution=3)
    batches = Batches(np.zeros((20, 4), np.uint8), 5, 0, transform=lambda step, x: (step, x))
    use_blocks(model, batches)
    model.fit(blocks(batches, 6, 3), epochs=2, steps_per_epoch=3, shuffle=False, verbose=0)
    assert seen == list(range(6, 12))
