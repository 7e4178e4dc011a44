"""The benchmark: every peer does the same mathematics, and what is reported is what was measured."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import Killed, contents

from benchmarks import __main__ as command
from benchmarks import load, matrix_products, numpy_peers, plain_keras, report, tensorflow1, tfgen_trainer, training
from benchmarks.data import Images
from benchmarks.evaluation_workers import Evaluation
from benchmarks.keras_inference import _tensor_names
from benchmarks.models import network
from benchmarks.run import SECTIONS
from benchmarks.worker import Worker
from benchmarks.workloads import WORKLOADS, sized
from tfgen.data import Dataset, Split
from tfgen.distributions import Draw, stateless_seed, threefry_normal
from tfgen.errors import InputError, RunError
from tfgen.evaluation.importance import importance_sample
from tfgen.evaluation.parzen import parzen_log_density
from tfgen.export import export
from tfgen.losses import discriminator_loss, non_saturating_generator_loss, squared_error
from tfgen.models import autoencoder
from tfgen.models.gan import GAN
from tfgen.recipes import MODULES, RECIPES
from tfgen.training.checkpoint import optimizers_of
from tfgen.training.run import Run

pytestmark = [
    # PyTorch looks for a GPU, and warns where it finds no driver.
    pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning"),
    # Its compiler uses what PyTorch deprecates, and warns that it has no cache.
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled:UserWarning"),
]

LECTURE = ("gan", "vae", "autoencoder")
MADE = {
    "environment": {
        "processor": "a processor",
        "cpus": 2,
        "tensorflow": "2.21.0",
        "keras": "3.15.1",
        "jax": None,
        "torch": None,
    },
    "data": "mnist",
    "rounds": 9,
    "load_before": 0.25,
}


@pytest.fixture
def image_file(images, tmp_path):
    np.save(tmp_path / "images.npy", (255 * images).astype(np.uint8))
    return str(tmp_path / "images.npy")


def keras_losses(model, x, noise):
    """Returns the losses of the package's own functions; for a VAE the noise is the seed's."""
    if isinstance(model, GAN):
        fake = model.discriminator(model.generator(noise))
        return [discriminator_loss(model.discriminator(x), fake), non_saturating_generator_loss(fake)]
    if hasattr(model, "loss_and_terms"):
        return [tf.reduce_mean(model.loss_and_terms(x, noise)[0])]
    return [tf.reduce_mean(squared_error(x, model(x)))]


def networks_of(model):
    """Returns name -> kernels and biases in turn, under the names that `Workload.networks` gives."""
    if isinstance(model, GAN):
        return {"generator": model.generator.get_weights(), "discriminator": model.discriminator.get_weights()}
    if hasattr(model, "loss_and_terms"):
        weights = model.encoder.get_weights()
        inner = {"encoder": weights[:-4], "z_mean": weights[-4:-2], "z_log_var": weights[-2:]}
        return {**inner, "decoder": model.decoder.get_weights()}
    return {name: model.get_layer(name).get_weights() for name in ("encoder", "decoder")}


def import_torch():
    """Returns the module, or skips the test."""
    # In one process with TensorFlow, Triton ends it: each brings an LLVM. On a CPU PyTorch does without.
    sys.modules.setdefault("triton", None)
    return pytest.importorskip("torch", reason="NOT TESTED: no PyTorch here: pip install 'tfgen[benchmark]'")


def import_jax():
    return pytest.importorskip("jax", reason="NOT TESTED: no JAX here: pip install 'tfgen[benchmark]'")


def jax_loss_functions(path, name, networks, num_images=200):
    jax = import_jax()
    from benchmarks import jax_scan

    trainer = jax_scan.Trainer(path, name, num_images=num_images)
    _, optimizers = trainer.state
    pairs = {key: list(zip(arrays[::2], arrays[1::2], strict=True)) for key, arrays in networks.items()}
    trainer.state = jax.tree.map(jax.numpy.array, pairs), optimizers

    def evaluate(x, noise):
        weights, _ = trainer.state
        return [float(trainer._loss({}, weights, loss, x, noise)) for loss in trainer.losses.values()]

    return trainer, evaluate


def torch_loss_functions(path, name, networks, num_images=200, **options):
    torch = import_torch()
    from benchmarks import pytorch

    trainer = pytorch.Trainer(path, name, num_images=num_images, **options)
    for key, arrays in networks.items():
        for weight, array in zip(trainer.networks[key].parameters(), arrays, strict=True):
            weight.data = torch.tensor(array.T)

    def evaluate(x, noise):
        return [
            loss(trainer.networks, torch.tensor(x), None if noise is None else torch.tensor(noise)).item()
            for _, loss, _, _ in trainer.updates
        ]

    return trainer, evaluate


def tensorflow1_loss_functions(path, name, networks, num_images=200):
    trainer = tensorflow1.Trainer(path, name, num_images=num_images)
    for key, arrays in networks.items():
        for variable, array in zip(trainer._weights([key]), arrays, strict=True):
            trainer.session.run(variable.initializer, {variable.initializer.inputs[1]: array})

    def evaluate(x, noise):
        fed = {trainer.x: x} if noise is None else {trainer.x: x, trainer.noise: noise}
        return trainer.session.run(list(trainer.losses.values()), fed)

    return trainer, evaluate


def compiled_torch_loss_functions(path, name, networks, num_images=200):
    if not training.has_compiler():
        pytest.skip("NOT TESTED: no C++ compiler here, or no Python headers")
    return torch_loss_functions(path, name, networks, num_images, fused=True, compiled=True)


PEERS = {
    "jax": jax_loss_functions,
    "torch": torch_loss_functions,
    "torch-compile": compiled_torch_loss_functions,
    "tensorflow1": tensorflow1_loss_functions,
}


def weights_of(peer, trainer, names):
    if peer == "jax":
        return [np.asarray(array) for name in names for layer in trainer.state[0][name] for array in layer]
    if peer.startswith("torch"):
        return [w.detach().numpy().T.copy() for name in names for w in trainer.networks[name].parameters()]
    return trainer.session.run(trainer._weights(names))


@pytest.mark.parametrize("name", LECTURE)
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_s_losses_on_the_same_weights_batch_and_noise_are_ours(peer, name, image_file, images):
    keras.utils.set_random_seed(0)
    model = network(sized(name))
    x, noise = images[:50], None
    if name == "gan":
        noise = given = np.random.default_rng(1).uniform(-1, 1, (50, 100)).astype(np.float32)
    else:
        given = stateless_seed(0, Draw.LATENT, 7)
        noise = threefry_normal((50, 20), given).numpy() if name == "vae" else None
    expected = [float(loss) for loss in keras_losses(model, x, given)]
    _, evaluate = PEERS[peer](image_file, name, networks_of(model))
    np.testing.assert_allclose(evaluate(x, noise), expected, rtol=1e-5)
    # Other pixels would be noticed.
    assert np.all(np.abs(np.subtract(evaluate(1 - x, noise), expected))[:1] > 1e-3)


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_s_adam_takes_keras_s_steps(peer, image_file, images):
    """Three batches of the same 128 images, in whatever order: the loss is a mean over them."""
    keras.utils.set_random_seed(0)
    pixels = images[:128]
    np.save(image_file, (255 * pixels).astype(np.uint8))
    model = network(sized("autoencoder"))
    start = networks_of(model)
    trainer, evaluate = PEERS[peer](image_file, "autoencoder", start, 128)
    trainer.train(3)
    model.compile(keras.optimizers.Adam(1e-3), loss=squared_error)
    for _ in range(3):
        model.train_on_batch(pixels, pixels)
    np.testing.assert_allclose(evaluate(pixels, None), keras_losses(model, pixels, None), rtol=1e-3)
    for key, before in start.items():
        for a, b, c in zip(weights_of(peer, trainer, [key]), networks_of(model)[key], before, strict=True):
            # In the mean: where a gradient is all but 0, its rounding decides.
            assert np.mean(np.abs(a - b)) < 0.01 * np.mean(np.abs(b - c))


@pytest.mark.parametrize("name", LECTURE)
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_trains(peer, name, image_file, images):
    keras.utils.set_random_seed(0)
    model = network(sized(name))
    trainer, evaluate = PEERS[peer](image_file, name, networks_of(model))
    noise = None
    if name != "autoencoder":
        noise = np.random.default_rng(1).uniform(-1, 1, (50, 100 if name == "gan" else 20)).astype(np.float32)
    before, weights = evaluate(images[:50], noise)[0], networks_of(model)
    assert trainer.train(30) == 30 * trainer.workload.config.batch_size
    assert evaluate(images[:50], noise)[0] < 0.9 * before
    for key, arrays in weights.items():
        for a, b in zip(weights_of(peer, trainer, [key]), arrays, strict=True):
            assert np.any(a != b)


@pytest.mark.parametrize("options", [{"fused": True}, {"data_loader": True}])
def test_the_other_ways_to_train_with_pytorch_train_as_well(options, image_file):
    import_torch()
    from benchmarks import pytorch

    trainer = pytorch.Trainer(image_file, "autoencoder", **options)
    x = trainer._epoch().__next__()
    assert x.shape == (128, 784) and 0 <= x.min() < x.max() <= 1
    loss = pytorch.LOSSES["autoencoder"]["encoder", "decoder"]
    before = loss(trainer.networks, x, None).item()
    trainer.train(20)
    assert loss(trainer.networks, x, None).item() < 0.9 * before


@pytest.mark.parametrize(
    "name, precision",
    [*((name, "float32") for name in LECTURE), ("gan", "mixed_bfloat16"), ("autoencoder", "mixed_bfloat16")],
)
def test_what_is_timed_is_what_the_recipe_trains(name, precision, images, tmp_path, monkeypatch):
    """The model and the batches that the recipe's own experiment gives to `fit`."""
    workload, pixels, given = sized(name), (255 * images).astype(np.uint8), []
    if name != "vae":  # Which has no choice.
        workload = dataclasses.replace(workload, config=workload.config.replace(precision=precision))

    def fit(self, model, batches, *arguments, **options):
        given.extend((model, batches, self.steps_per_epoch(batches)))
        raise Killed

    split = Split(pixels, np.zeros(len(pixels), np.int64))
    data = Dataset("mnist", split, split, split, comparable=False)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Run, "fit", fit)
        patch.setattr("tfgen.training.samples.ReferenceClassifier", lambda directory: None)
        MODULES[workload.recipe].experiment(Run(RECIPES[workload.recipe], workload.config, data, tmp_path, "quick"))

    model, batches, steps_per_epoch = tfgen_trainer.recipe(workload, pixels)
    theirs, their_batches, their_steps_per_epoch = given
    assert steps_per_epoch == their_steps_per_epoch
    assert vars(batches) == {**vars(their_batches), "images": batches.images}
    assert batches.images is pixels and their_batches.images is pixels
    # Keras numbers the names.
    configs, their_configs = (
        [{**optimizer.get_config(), "name": None} for optimizer in optimizers_of(each)] for each in (model, theirs)
    )
    assert configs == their_configs
    for attribute in ("jit_compile", "steps_per_execution", "loss"):
        assert getattr(model, attribute) == getattr(theirs, attribute)
    assert model.jit_compile is (precision == "float32")
    for a, b in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # With the same weights, other activations, another likelihood or other products would be other losses.
    x, noise = images[:50], stateless_seed(0, Draw.LATENT, 7)
    if name == "gan":
        noise = model.sample_noise((50, 100), noise)
        np.testing.assert_array_equal(noise, theirs.sample_noise((50, 100), stateless_seed(0, Draw.LATENT, 7)))
    assert [float(loss) for loss in keras_losses(model, x, noise)] == [
        float(loss) for loss in keras_losses(theirs, x, noise)
    ]


@pytest.mark.parametrize("module", [tfgen_trainer, plain_keras])
def test_keras_trains_the_recipe_s_model_whole_epochs_at_a_time(module, image_file, images):
    trainer = module.Trainer(image_file, "vae", num_images=200)
    unit = trainer.description["unit"]
    before = [weight.numpy() for weight in trainer.model.trainable_variables]
    trained = trainer.train(unit)
    assert int(trainer.model.optimizer.iterations) == unit
    # The recipe makes 100 steps of a small set; a plain epoch is one pass.
    assert (unit, trained) == ((100, 10_000) if module is tfgen_trainer else (2, 200))
    assert trainer.model.jit_compile is (module is tfgen_trainer)
    assert all(np.any(a != b.numpy()) for a, b in zip(before, trainer.model.trainable_variables, strict=True))
    batches = trainer.batches.stream() if module is tfgen_trainer else trainer.batches
    assert set(np.unique(next(iter(batches)))) == {0, 1}


def test_the_parts_of_a_step_are_measured_apart(image_file, monkeypatch):
    """By a stopwatch that tells what each part does: how many steps it takes and whether they move the weights."""
    trainer = tfgen_trainer.Trainer(image_file, "autoencoder", num_images=200)
    trainer.model.jit_compile = False  # XLA would compile two programs.
    shown, done = iter((9.0, 1.0, 3.0, 2.5)), []

    def state():
        return int(trainer.model.optimizer.iterations), trainer.model.get_weights()

    def seconds(function):
        steps, weights = state()
        function()
        now_steps, now_weights = state()
        moved = any(np.any(a != b) for a, b in zip(weights, now_weights, strict=True))
        done.append((type(trainer.model.optimizer), now_steps - steps, moved))
        return next(shown)

    monkeypatch.setattr(tfgen_trainer, "_seconds", seconds)
    parts = trainer.breakdown()
    # An epoch in `fit`, its rows alone, one block as many times with the recipe's optimizer, and with the cheapest.
    adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD
    assert done == [(adam, 100, True), (adam, 0, False), (adam, 100, True), (sgd, 100, False)]
    expected = {"whole": 0.09, "input": 0.01, "compute": 0.025, "update": 0.005, "rest": 0.05}
    assert parts == pytest.approx(expected)


def test_the_stopwatch_takes_the_fewer_of_two_calls_after_one_that_is_not_counted(monkeypatch):
    now, lasts = [0.0], iter((1.0, 5.0, 3.0))

    def call():
        now[0] += next(lasts)

    monkeypatch.setattr(tfgen_trainer.time, "perf_counter", lambda: now[0])
    assert tfgen_trainer._seconds(call) == 3 and next(lasts, None) is None


def test_operations_are_counted_as_by_hand():
    g1, g2, d1, d2 = 100 * 128, 128 * 784, 784 * 128, 128
    # Discriminator: generate, two batches forward, gradients of its weights, and of its hidden units.
    discriminator = g1 + g2 + 2 * (d1 + d2) + 2 * (d1 + d2) + 2 * d2
    # Generator: forward through both, back through the discriminator's inputs, its own weights and hidden units.
    generator = (g1 + g2 + d1 + d2) + (d1 + d2) + (g1 + g2) + g2
    assert WORKLOADS["gan"].flops() == 2 * 128 * (discriminator + generator)
    layers = [784 * 300, 300 * 150, 150 * 300, 300 * 784]
    assert WORKLOADS["autoencoder"].flops() == 2 * 128 * (3 * sum(layers) - layers[0])
    layers = [784 * 500, 500 * 20, 500 * 20, 20 * 500, 500 * 784]
    assert WORKLOADS["vae"].flops() == 2 * 100 * (3 * sum(layers) - layers[0])


def products_by_hand(products, steps, chained):
    """Returns the results of the last of some steps; if chained, as `matrix_products._xla` chains them."""
    lefts, rights, _ = matrix_products.matrices(products)
    for _ in range(steps):
        results = []
        for i, (kind, *_) in enumerate(products):
            left, right = lefts[i].T if kind == "weights" else lefts[i], rights[i].T if kind == "inputs" else rights[i]
            results.append(np.einsum("ij,jk->ik", left, right))
            if chained:  # `lefts` holds one array for each shape.
                lefts[(i + 1) % len(products)][0, 0] = results[-1][0, 0]
    return results


def last_of_each_shape(results):
    """Returns shape -> result: all that is left where results of one shape have one place."""
    return {tuple(result.shape): result for result in results}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("way", matrix_products.WAYS)
def test_every_way_computes_the_products_of_a_step(way, precision):
    if way == "torch":
        import_torch()
    if (way, precision) == ("numpy", "mixed_bfloat16"):
        with pytest.raises(KeyError, match="mixed_bfloat16"):
            matrix_products.Trainer("", "gan", way, precision)
        return
    trainer = matrix_products.Trainer("", "gan", way, precision, batch_size=12, units=16)
    assert trainer.train(2) == 24
    products = trainer.workload.matrix_products()
    expected = last_of_each_shape(products_by_hand(products, 2, chained=way == "xla"))
    measured = last_of_each_shape(trainer.compute(2))
    assert measured.keys() == expected.keys()
    errors = [
        np.max(np.abs((result.float().numpy() if way == "torch" else np.float32(result)) / expected[shape] - 1))
        for shape, result in measured.items()
    ]
    if precision == "float32":
        assert max(errors) < 1e-5
    else:  # Of 8 bits.
        assert 1e-4 < max(errors) < 0.03


def test_xla_cannot_move_a_product_out_of_the_loop():
    """The first product of a step holds an element of the last one of the step before."""
    trainer = matrix_products.Trainer("", "gan", "xla", batch_size=12, units=16)
    products = trainer.workload.matrix_products()
    for steps in (1, 2):
        first = trainer.compute(steps)[0][0]
        np.testing.assert_allclose(first, products_by_hand(products, steps, chained=True)[0][0], rtol=1e-5)
        same = np.allclose(first, products_by_hand(products, steps, chained=False)[0][0], rtol=1e-3)
        assert same is (steps == 1)


# A variant that needs no framework: it says that a step of 128 images takes so many milliseconds, and puts the clock of
# its process, which stands still otherwise, forward as far.
FAKE = """
import os, time
from tfgen.errors import InputError

now = time.perf_counter()
time.perf_counter = lambda: now

class Trainer:
    def __init__(self, images, workload, milliseconds, **size):
        self.milliseconds = milliseconds
        self.description = {"unit": 1, "threads": 1}

    def train(self, steps):
        global now
        now += self.milliseconds * steps / 1000
        print("this is no answer")
        return 128 * steps

    def breakdown(self):
        return {"whole": 0.002, "input": 0.0005, "compute": 0.001, "update": 0.0002, "rest": 0.0003}

    def fail(self, kind):
        if kind == "dies":
            os._exit(3)
        raise {"wrong": InputError, "broken": KeyError}[kind]("the reason")
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    (tmp_path / "fake_variant.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    fake = "fake_variant:Trainer"
    return {
        "tfgen": (fake, {"milliseconds": 10}),
        "keras": (fake, {"milliseconds": 30}),
        "products-xla": (fake, {"milliseconds": 6}),
        "products-numpy": (fake, {"milliseconds": 5}),
    }


def test_rates_and_ratios_are_those_of_the_variants(fakes):
    measured = training.measure("gan", "none", 3, 0.06, fakes, {})
    rates = {name: np.median(result["images_per_second"]) for name, result in measured["variants"].items()}
    expected = {"tfgen": 12_800, "keras": 128 / 0.03, "products-xla": 128 / 0.006, "products-numpy": 25_600}
    assert rates == pytest.approx(expected)
    ratios = measured["ratios"]["tfgen"]
    assert ratios["keras"] == pytest.approx(dict.fromkeys(("median", "min", "max"), 3))
    assert ratios["products-numpy"] == pytest.approx(dict.fromkeys(("median", "min", "max"), 0.5))
    assert all(len(result["images_per_second"]) == 3 for result in measured["variants"].values())
    assert measured["variants"]["tfgen"]["gflops"] == pytest.approx(WORKLOADS["gan"].flops() / 0.01 / 1e9)
    assert 1e6 < measured["variants"]["keras"]["peak_memory"] < 1e9


def test_a_process_times_what_it_is_asked_and_nothing_else(fakes, tmp_path):
    """By the real clock: no less than the call sleeps, no more than passed meanwhile here."""
    (tmp_path / "sleeper.py").write_text(
        "import time\n"
        "class Sleeper:\n"
        "    description = {}\n"
        "    def sleep(self, seconds):\n"
        "        time.sleep(seconds)\n"
    )
    with Worker("sleeper:Sleeper") as worker:
        started = time.perf_counter()
        taken = [worker.call("sleep", seconds=seconds)[1] for seconds in (0.05, 0.1)]
        assert taken[0] >= 0.05 and taken[1] >= 0.1
        assert sum(taken) <= time.perf_counter() - started


def test_a_dot_stands_for_the_package_of_benchmarks():
    with Worker(".numpy_peers:MatrixProducts", layers=[(3, 2, "relu")]) as worker:
        seconds, taken = worker.call("run", batch=4, calls=5)
    assert len(seconds) == 5 and 0 < sum(seconds) <= taken


def test_the_summary_is_taken_round_by_round():
    """Rates that double in the middle leave ratios as they are; medians of the rates would not."""
    assert training.summary([10, 20, 40], [5, 20, 10]) == {"median": 2, "min": 1, "max": 4}


@pytest.mark.parametrize(
    "kind, error, words", [("wrong", InputError, "^the reason$"), ("broken", RunError, "KeyError.*the reason")]
)
def test_what_fails_in_a_process_is_raised(fakes, kind, error, words):
    with Worker("fake_variant:Trainer", images="", workload="gan", milliseconds=1) as worker:
        with pytest.raises(error, match=words):
            worker.call("fail", kind=kind)
        assert worker.call("train", steps=1)[0] == 128


def test_a_process_that_dies_is_reported(fakes):
    with (
        Worker("fake_variant:Trainer", images="", workload="gan", milliseconds=1) as worker,
        pytest.raises(RunError, match="fake_variant:Trainer ended in fail with code 3"),
    ):
        worker.call("fail", kind="dies")


def test_a_run_writes_what_it_measured(fakes, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()

    def in_this_process(subject, **arguments):
        assert subject == ".data:Images"
        return contextlib.nullcontext(Images(**arguments))

    monkeypatch.setattr("benchmarks.run.Worker", in_this_process)
    monkeypatch.setattr(training, "VARIANTS", fakes)
    asked = ["training", "--families", "gan", "--rounds", "2", "--seconds", "0.05"]
    directories = ["--data-dir", str(tmp_path / "empty"), "--output-dir", str(tmp_path / "out")]
    assert command.main([*asked, *directories]) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert list(results["training"]) == ["gan"] and (results["rounds"], results["seconds"]) == (2, 0.05)
    assert results["data"] == "random" and "tensorflow" in results["environment"]
    tables = (tmp_path / "out" / "benchmark.md").read_text()
    assert tables == report.tables(results) + "\n"
    ratio = results["training"]["gan"]["ratios"]["tfgen"]["keras"]["median"]
    assert f"{ratio:.2f} (" in tables and "compute 1.00" in tables
    assert re.search(r"tfgen: 50 %.* of the rate of the matrix products alone, by `products-numpy`", tables)
    assert (tmp_path / "out" / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert "training images: random" in printed and tables in printed


def test_what_other_programs_took_is_told_from_the_kernel_s_counters(tmp_path):
    """Of 400 ticks 100 passed idle and 20 waiting for a disk; of the 280 others the process and its children had 80."""
    for name, counters, times in (
        ("before", "10 20 30 1000 40 50 60 70 5 5", "7 5 3 1"),
        ("after", "160 50 60 1100 60 80 80 90 105 105", "57 15 18 6"),
    ):
        (tmp_path / name / "42").mkdir(parents=True)
        (tmp_path / name / "stat").write_text(f"cpu  {counters}\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
        (tmp_path / name / "42" / "stat").write_text(f"42 (a) name) S 1 1 1 0 -1 0 0 0 0 0 {times} 20 0 9 0 77\n")
    before, after = (load.reading(42, tmp_path / name) for name in ("before", "after"))
    assert before == (1280, 240, 16)
    assert load.of_others(before, after) == pytest.approx(200 / 400)
    # The last ticks of the process are not in the machine's counters yet.
    assert load.of_others((100, 50, 10), (200, 60, 21)) == 0
    assert load.reading(42, tmp_path) is None
    assert load.of_others(None, after) is None and load.of_others(before, None) is None


@pytest.mark.skipif(not pathlib.Path("/proc/stat").exists(), reason="no /proc/stat here")
def test_the_work_of_the_measured_process_is_its_own():
    """By its own clock; and the machine was busy at least as long."""
    before, started = load.reading(os.getpid()), time.process_time()
    while time.process_time() < started + 0.3:
        pass
    after, ticks = load.reading(os.getpid()), os.sysconf("SC_CLK_TCK")
    total, busy, own = (b - a for a, b in zip(before, after, strict=True))
    assert own / ticks == pytest.approx(0.3, abs=0.05)
    assert own - 5 <= busy <= total


def test_a_variant_is_disturbed_if_the_median_round_was():
    assert load.disturbed([0.0, 0.9, 0.04]) is False
    assert load.disturbed([0.0, 0.06, 0.9]) is True
    assert load.disturbed([0.9, None, 0.9]) is None


def measured_with(**loads):
    """Returns a training of one workload, in which other programs took so much beside each variant."""
    rates = {"tfgen": 100.0, "keras": 50.0, "jax": 80.0, "products-xla": 200.0, "products-torch": 160.0}
    common = {"gflops": 1.0, "compile_seconds": 0.0, "first_step_seconds": 0.0, "peak_memory": 0}
    variants = {
        name: {"images_per_second": [rate] * 3, "load_of_others": loads.get(name, [0.01] * 3), **common}
        for name, rate in rates.items()
    }
    variants["tfgen"]["breakdown"] = dict.fromkeys(("whole", "input", "compute", "update", "rest"), 0.001)
    ratios = {
        name: dict.fromkeys(("median", "min", "max"), 100 / rate) for name, rate in rates.items() if name != "tfgen"
    }
    return {"gan": {"variants": variants, "ratios": {"tfgen": ratios}}}


def test_the_limit_is_the_fastest_way_to_the_products():
    training = measured_with()
    variants = training["gan"]["variants"]
    assert report.limit(training["gan"], "tfgen") == "products-xla"
    # In the precision of the variant.
    variants["products-torch-bfloat16"] = {"images_per_second": [10.0]}
    assert report.limit(training["gan"], "tfgen") == "products-xla"
    assert report.limit(training["gan"], "tfgen-bfloat16") == "products-torch-bfloat16"
    # By its median, not its best round.
    variants["products-torch"]["images_per_second"] = [160.0, 190.0, 900.0]
    variants["products-xla"]["images_per_second"] = [180.0, 180.0, 180.0]
    assert report.limit(training["gan"], "tfgen") == "products-torch"


def test_rows_and_ratios_beside_other_programs_are_marked():
    none, some, all_ = (
        report.tables({**MADE, "training": measured_with(**loads)})
        for loads in ({}, {"keras": [0.2] * 3, "products-torch": [0.2] * 3}, {"tfgen": [0.0, 0.2, 0.2]})
    )
    peers = {"JAX": "1.25", "Keras `fit`": "2.00"}
    cells = [peers.get(peer, "not measured") for peer in report.PEERS]
    assert f"| `gan` | 100 | {' | '.join(cells)} | 50 % |" in none
    assert "other programs took no more than 5 % of the machine in the median round" in none and " *" not in none

    assert f"| `gan` | 100 | {' | '.join(cells)} | 50 % |".replace("2.00", "2.00 *") in some
    assert "| keras * | 50 | 2.00 (2.00 to 2.00) * |" in some and "| jax | 80 | 1.25 (1.25 to 1.25) |" in some
    assert "tfgen: 50 % of the rate of the matrix products alone, by `products-xla`" in some
    assert "What has the mark * is unreliable: meanwhile other programs took more than 5 % of the machine" in some

    assert "| `gan` | 100 * | 1.25 * | 2.00 * |" in all_ and "| 50 % * |" in all_
    assert "| tfgen * | 100 |" in all_ and "| jax | 80 | 1.25 (1.25 to 1.25) * |" in all_


def test_it_is_told_if_the_load_cannot_be_known():
    tables = report.tables({**MADE, "training": measured_with(jax=[None] * 3)})
    assert "is not known" in tables and " *" not in tables and "no more than" not in tables


def test_variants_that_lack_something_are_left_out_and_told(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "has", lambda package: package not in ("torch", "optax"))
    monkeypatch.setattr(training, "has_compiler", lambda: True)
    kept = set(training.variants("gan-1200"))
    assert {"tfgen-bfloat16", "keras", "tensorflow1", "products-numpy", "products-xla-bfloat16"} <= kept
    assert not any("torch" in name or name == "jax" for name in kept)
    assert "torch is not installed: pip" in training.lack("products-torch")
    monkeypatch.setattr(training, "has", lambda package: True)
    assert set(training.variants("gan")) == set(training.VARIANTS)
    monkeypatch.undo()
    monkeypatch.setattr(training, "has", lambda package: True)
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    assert set(training.VARIANTS) - set(training.variants("gan")) == {"torch-compile"}
    assert "C++ compiler" in training.lack("torch-compile")


def test_the_c_library_answers_as_the_model_does(tmp_path):
    model = autoencoder.stacked_autoencoder(784, (30, 15, 30))
    export(autoencoder.endpoints(model), tmp_path / "model", (28, 28))
    names = _tensor_names(tmp_path / "model")["reconstruct"]
    x = np.random.default_rng(0).random((3, 784), np.float32)
    np.save(tmp_path / "x.npy", x)
    program = textwrap.dedent(f"""
        import sys
        import numpy as np
        from benchmarks.c_library import Inference
        inference = Inference({str(tmp_path / "model")!r}, {names!r}, 784)
        np.save({str(tmp_path / "y.npy")!r}, inference.answer(np.load({str(tmp_path / "x.npy")!r})))
        assert len(inference.run(2, 5)) == 5 and "tensorflow" not in sys.modules
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), atol=1e-5)
    assert np.ptp(np.load(tmp_path / "y.npy")) > 0.1


def test_the_evaluations_in_numpy_are_ours(image_file, images):
    rng = np.random.default_rng(0)
    samples = rng.random((40, 784))
    np.testing.assert_allclose(
        numpy_peers.parzen_log_density(samples, images[:9], 0.3),
        parzen_log_density(samples, images[:9], [0.3])[0],
        rtol=1e-4,
    )
    evaluation = Evaluation(image_file)
    vae = evaluation.vae
    # A posterior near the prior and a decoder that z moves little: 400 samples tell the value to a tenth of a nat.
    for layer in (vae.encoder.get_layer("z_mean"), vae.encoder.get_layer("z_log_var"), vae.decoder.layers[-1]):
        layer.kernel.assign(layer.kernel / 10)
    theirs = numpy_peers.importance_sampled_nll(evaluation.weights(), images[:9], 400, rng)
    seed = stateless_seed(0, Draw.EVALUATION)
    nll = importance_sample(vae.log_weights, vae.noise_dim, images[:9], 400, seed).nll
    np.testing.assert_allclose(theirs, nll, atol=0.2)
    # With another bias in the decoder it is another value.
    weights = evaluation.weights()
    weights["decoder"] = [(kernel, bias - 0.1) for kernel, bias in weights["decoder"]]
    assert np.all(np.abs(numpy_peers.importance_sampled_nll(weights, images[:9], 400, rng) - nll) > 1.0)


def test_the_tables_of_answers_and_evaluations_hold_what_was_measured():
    once = {"median": 1.5, "min": 1.25, "max": 2.0}
    ways = {
        "C++ runtime": {"milliseconds": [0.3, 0.1, 0.2], "ratio": once, "images_per_second": 5000.0},
        "products": {"milliseconds": [0.05], "ratio": once, "images_per_second": 20_000.0},
    }
    one = {"num_images": 10, "seconds": 2.0, "images_per_second": 5.0, "peak_memory": 3 * 2**20}
    evaluation = {"parzen": {"num_samples": 7, "tfgen": one, "numpy": {**one, "images_per_second": 0.5}, "ratio": 10.0}}
    inference = {"signatures": {"generate": {"1": ways}}, "sampled": 60, "sample_seconds": 4.0}
    tables = report.tables({**MADE, "inference": inference, "evaluation": evaluation})
    assert "| generate | 1 | C++ runtime | 0.200 | 5,000 | 1.50 (1.25 to 2.00) |" in tables
    assert "One image of `generate` takes 0.200 ms; twice its matrix products and 0.2 ms are 0.300 ms." in tables
    assert "a processor, 2 cores; tensorflow 2.21.0" in tables and "9 rounds; load before: 0.2" in tables
    assert "| parzen | tfgen | 10 | 7 | 2.0 | 5.0 | 3 | 10.0 |" in tables
    assert "`tfgen sample --num 60`: 4.0 s in all." in tables


def call(line):
    try:
        return command.main(shlex.split(line))
    except SystemExit as end:
        return end.code


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the command has asked to be measured; nothing is."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    (tmp_path / "file").write_text("not a directory")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(command, "run", lambda *arguments: calls.append(arguments) or MADE)
    return calls


# From a request that cannot be met to what the answer must hold.
BAD_REQUESTS = {
    "speed": ["'speed'", "training", "scaling", "inference", "evaluation"],
    "training speed": ["'speed'", "training", "scaling", "inference", "evaluation"],
    "--families rbm": ["'rbm'", "gan", "vae", "autoencoder-1200"],
    "--families": ["--families", "--help"],
    "--rounds 0": ["--rounds", "at least 1", "0"],
    "--rounds many": ["--rounds", "int", "'many'"],
    "--seconds 0": ["--seconds", "greater than 0", "0.0"],
    "--seconds nan": ["--seconds", "greater than 0", "nan"],
    "--seconds inf": ["--seconds", "greater than 0", "inf"],
    "--output-dir file": ["'file'", "name another"],
    "--output-dir=": ["--output-dir", "empty", "name a directory"],
    "--data-dir missing": ["'missing'", "not a directory"],
    "--quic": ["--quic", "--help"],
}


@pytest.mark.parametrize("line", BAD_REQUESTS)
def test_a_request_that_cannot_be_met_gets_one_line_and_code_2_and_writes_nothing(asked, tmp_path, capsys, line):
    before = contents(tmp_path)
    code = call(line)
    printed = capsys.readouterr()
    assert printed.err.startswith("benchmarks: ") and printed.err.endswith("\n") and printed.err.count("\n") == 1
    assert all(word in printed.err for word in BAD_REQUESTS[line])
    assert (code, printed.out, asked) == (2, "", [])
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "line, request_",
    [
        ("", (SECTIONS, list(WORKLOADS), 9, 0.5, False, False, None, "benchmark")),
        (
            "scaling inference --families gan vae --rounds 3 --seconds 2 --full --quick --data-dir data --output-dir x",
            (["scaling", "inference"], ["gan", "vae"], 3, 2.0, True, True, "data", "x"),
        ),
    ],
)
def test_what_is_asked_for_is_measured_and_shown(asked, capsys, line, request_):
    assert call(line) == 0
    assert asked == [request_]
    assert capsys.readouterr().out == f"\n{report.tables(MADE)}\n\nresults, tables and picture: {request_[-1]}\n"


@pytest.mark.parametrize(
    "error, code, words",
    [
        (InputError("the reason"), 2, "the reason"),
        (RunError("the cause"), 1, "the cause"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_fails_while_measuring_is_told_in_one_line(asked, monkeypatch, capsys, error, code, words):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(command, "run", fail)
    assert call("training") == code
    assert capsys.readouterr().err.strip() == f"benchmarks: {words}"


def test_prepared_images_that_cannot_be_read_are_told(tmp_path):
    info = tmp_path / "corrupt" / "mnist" / "3.0.1" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.write_text("garbage")
    with pytest.raises(InputError, match=r"mnist.*corrupt.*cannot be read"):
        Images(str(tmp_path / "corrupt"), tmp_path / "images.npy")
    assert not (tmp_path / "images.npy").exists()
