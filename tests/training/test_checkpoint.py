"""Checkpoints and logs: what a kill leaves, going on bit for bit, and a used model that begins as a new one does."""

import csv
import os
import shutil

import keras
import numpy as np
import pytest
from helpers import Killed

from tfgen.errors import InputError, RunError
from tfgen.files import read_log
from tfgen.losses import squared_error
from tfgen.models.autoencoder import stacked_autoencoder
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE
from tfgen.training.checkpoint import (
    Checkpoint,
    EpochSeconds,
    StopWhereItDiverges,
    optimizers_of,
    restore,
    start_anew,
)

STEPS = 4
IDENTITY = {"seed": 3}


@pytest.fixture
def x(images):
    return images[:64]


def decaying_adam():
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 4 * STEPS))


def autoencoder(jit_compile=False):
    keras.utils.set_random_seed(3)
    model = stacked_autoencoder(784, (8, 4, 8))
    model.compile(decaying_adam(), loss=squared_error, jit_compile=jit_compile, steps_per_execution=STEPS)
    return model, True


def autoencoder_by_muon(jit_compile=False):
    model, pairs = autoencoder()
    muon = keras.optimizers.Muon(keras.optimizers.schedules.CosineDecay(1e-2, 4 * STEPS))
    model.compile(muon, loss=squared_error, jit_compile=jit_compile, steps_per_execution=STEPS)
    return model, pairs


def vae(jit_compile=False):
    keras.utils.set_random_seed(3)
    model = VAE(784, 2, (8,))
    model.compile(decaying_adam(), jit_compile=jit_compile, steps_per_execution=STEPS)
    return model, False


def gan(jit_compile=False):
    """Its generator's weights have a moving average, and it has an optimizer for each network."""
    keras.utils.set_random_seed(3)
    model = GAN(784, 3, (8,), (8,))
    generator = keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.9)
    model.compile(generator, decaying_adam(), jit_compile=jit_compile, steps_per_execution=STEPS)
    return model, False


def fit(model, pairs, x, directory=None, epochs=2, first_epoch=0, callbacks=()):
    """Trains in order, without shuffling; with a log and checkpoints if there is a directory for them."""
    validation = None
    if directory is not None:
        # Without validation Keras logs it as missing.
        validation = (x[:16], x[:16]) if pairs else keras.utils.pack_x_y_sample_weight(x[:16])
        log = keras.callbacks.CSVLogger(directory / "log.csv", append=first_epoch > 0)
        callbacks = [
            EpochSeconds(),
            log,
            *callbacks,
            Checkpoint(directory / "model.keras", directory / "log.csv", IDENTITY, epochs),
        ]
    model.fit(
        x,
        x if pairs else None,
        batch_size=len(x) // STEPS,
        epochs=epochs,
        initial_epoch=first_epoch,
        validation_data=validation,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


def state(model):
    return [*model.get_weights(), *(np.asarray(v) for o in optimizers_of(model) for v in o.variables)]


def equal(first, second):
    return [bool(np.array_equal(a, b)) for a, b in zip(first, second, strict=True)]


# Going on.


@pytest.mark.parametrize("build", [autoencoder, autoencoder_by_muon, vae, gan])
def test_a_training_killed_before_its_checkpoint_goes_on_bit_for_bit(build, x, tmp_path):
    """Weights, moments, moving averages and iterations; what a kill at the end of the second of three epochs leaves."""

    def copy(epoch, logs):
        if epoch == 1:
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    (tmp_path / "whole").mkdir()
    whole, pairs = build()
    fit(whole, pairs, x, tmp_path / "whole", 3, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=copy)])
    checkpoint, log = (tmp_path / "killed" / name for name in ("model.keras", "log.csv"))
    assert len(read_log(log)["epoch"]) == 2  # an epoch more than there is a checkpoint of

    resumed, _ = build()
    assert restore(resumed, checkpoint, log, STEPS, IDENTITY, {}) == 1
    assert read_log(log)["epoch"] == [0]
    fit(resumed, pairs, x, tmp_path / "killed", 3, first_epoch=1)
    assert all(equal(state(resumed), state(whole)))
    logs = [read_log(tmp_path / name / "log.csv") for name in ("whole", "killed")]
    assert set(logs[0]) > {"epoch", "seconds"} and logs[0]["epoch"] == [0, 1, 2]
    for column in set(logs[0]) - {"seconds"}:
        assert logs[0][column] == logs[1][column], column


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained for an epoch, and the directory of its checkpoint and log."""
    directory = tmp_path_factory.mktemp("trained")
    model, pairs = autoencoder()
    fit(model, pairs, np.random.default_rng(0).random((64, 784), np.float32), directory, 1)
    return model, directory


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(trained, tmp_path, monkeypatch):
    model, directory = trained
    assert sorted(path.name for path in directory.iterdir()) == ["log.csv", "model.keras"]
    shutil.copy(directory / "model.keras", tmp_path)
    before = (tmp_path / "model.keras").read_bytes()

    def half(path, **options):
        path.write_bytes(before[: len(before) // 2])
        raise Killed

    monkeypatch.setattr(model, "save", half)
    callback = Checkpoint(tmp_path / "model.keras", directory / "log.csv", IDENTITY, 2)
    callback.set_model(model)
    with pytest.raises(Killed):
        callback.on_epoch_end(1)
    assert (tmp_path / "model.keras").read_bytes() == before
    assert all(equal(keras.models.load_model(tmp_path / "model.keras").get_weights(), model.get_weights()))


def restored(model, directory, identity=IDENTITY, defaults=None):
    return restore(model, directory / "model.keras", directory / "log.csv", STEPS, identity, defaults or {})


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the trained model's directory, with the checkpoint before the last one, of the same epoch."""
    directory = shutil.copytree(trained[1], tmp_path / "run" / "checkpoints")
    shutil.copy(directory / "model.keras", directory / "model.previous.keras")
    return directory


def half(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def nothing(content):
    return b""


@pytest.mark.parametrize("torn", [half, flipped, nothing, None])
def test_a_torn_checkpoint_falls_back_to_the_one_before_and_says_so(torn, trained, copied, capsys):
    """As a power failure leaves one, and between the two renames."""
    model, weights = trained[0], trained[0].get_weights()
    checkpoint = copied / "model.keras"
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    if torn is not None:
        checkpoint.write_bytes(torn(content))
    model.set_weights([weight + 1 for weight in weights])
    assert restored(model, copied) == 1
    assert all(equal(model.get_weights(), weights))
    printed = capsys.readouterr().out
    assert f"{checkpoint} cannot be read" in printed and printed.endswith("going on from model.previous.keras\n")
    # The next checkpoint is renamed over a whole one only.
    assert checkpoint.read_bytes() == content


@pytest.mark.parametrize("torn", [half, flipped, nothing])
def test_checkpoints_that_are_both_torn_are_named_with_the_directory_to_delete(torn, trained, copied, tmp_path):
    for name in ("model.keras", "model.previous.keras"):
        (copied / name).write_bytes(torn((copied / name).read_bytes()))
    said = rf"model\.keras cannot be read .*; delete {tmp_path / 'run'} to start over"
    with pytest.raises(InputError, match=said):
        restored(trained[0], copied)


@pytest.mark.parametrize("log", [None, "", "\0\xff", "epoch,loss\n", "epoch,loss\n0,1.0\n", "epoch\n0\n1\n2\n"])
def test_a_log_that_was_lost_or_changed_is_written_again_as_it_was(log, trained, copied, capsys):
    before = (copied / "log.csv").read_bytes()
    if log is None:
        (copied / "log.csv").unlink()
    else:
        (copied / "log.csv").write_text(log)
    assert restored(trained[0], copied) == 1
    assert (copied / "log.csv").read_bytes() == before
    assert "log.csv is not as the run left it: it is written again from model.keras" in capsys.readouterr().out
    assert restored(trained[0], copied) == 1
    assert capsys.readouterr().out == ""


def test_a_run_goes_on_with_its_own_checkpoint_only(trained, copied):
    before = trained[0].get_weights()
    with pytest.raises(InputError, match=r"model\.keras is of a run with seed 3, not 4; delete .*run to start over"):
        restored(trained[0], copied, {"seed": 4})
    assert all(equal(trained[0].get_weights(), before))


def test_a_field_that_has_come_since_had_its_default(trained, copied):
    assert restored(trained[0], copied, {"seed": 3, "decay": 0.5}, {"decay": 0.5, "seed": 0}) == 1
    with pytest.raises(InputError, match=r"model\.keras is of a run with decay 0\.5, not 0\.7; delete"):
        restored(trained[0], copied, {"seed": 3, "decay": 0.7}, {"decay": 0.5})


def test_a_checkpoint_is_on_disk_before_it_takes_its_name(trained, copied, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr("tfgen.training.checkpoint.sync", lambda path: done.append(("sync", path.name)))

    def renamed(old, new):
        done.append((old.name, new.name))
        replace(old, new)

    monkeypatch.setattr(os, "replace", renamed)
    callback = Checkpoint(copied / "model.keras", copied / "log.csv", IDENTITY, 2)
    callback.set_model(trained[0])
    callback.save()
    assert done == [
        ("sync", ".model.keras"),
        ("model.keras", "model.previous.keras"),
        (".model.keras", "model.keras"),
        ("sync", "checkpoints"),
    ]


@pytest.mark.parametrize("cost, saved", [(1.0, [0, 7, 11]), (0.1, [*range(12)])])
def test_checkpoints_take_a_bounded_share_of_the_time(cost, saved, monkeypatch, tmp_path):
    """Epochs of 8 seconds, a fiftieth of which is 0.16: a checkpoint of 1 second is due when 50 have passed."""
    clock, epochs = [0.0], []
    monkeypatch.setattr("tfgen.training.checkpoint.time.monotonic", lambda: clock[0])
    callback = Checkpoint(tmp_path / "model.keras", tmp_path / "log.csv", IDENTITY, 12)

    def save():
        epochs.append(epoch)
        clock[0] += cost

    monkeypatch.setattr(callback, "save", save)
    for epoch in range(12):
        clock[0] += 8
        callback.on_epoch_end(epoch)
    assert epochs == saved


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_the_checkpoint_of_another_architecture_is_refused(trained):
    other = stacked_autoencoder(784, (8, 5, 8))
    other.compile(decaying_adam(), loss=squared_error)
    with pytest.raises(InputError, match=r"model\.keras cannot be read"):
        restored(other, trained[1])


# Logs.


def test_a_log_is_read_as_numbers_by_column(tmp_path):
    with open(tmp_path / "log.csv", "w", newline="") as file:
        csv.writer(file).writerows([["epoch", "loss"], [0, 2.5], [1, "1e-3"]])
    assert read_log(tmp_path / "log.csv") == {"epoch": [0.0, 1.0], "loss": [2.5, 0.001]}


def test_seconds_are_those_of_each_epoch(monkeypatch):
    times = iter([100.0, 103.0, 103.5])
    monkeypatch.setattr("tfgen.training.checkpoint.time.monotonic", lambda: next(times))
    callback, logs = EpochSeconds(), [{}, {}]
    callback.on_train_begin()
    for epoch, of_epoch in enumerate(logs):
        callback.on_epoch_end(epoch, of_epoch)
    assert logs == [{"seconds": 3.0}, {"seconds": 0.5}]


@pytest.mark.parametrize(
    "epoch, value, said",
    [
        (0, np.nan, "diverged in epoch 1 .*no checkpoint yet"),
        (3, np.inf, "diverged in epoch 4 .*last checkpoint is kept"),
    ],
)
def test_values_that_are_not_finite_end_a_training(epoch, value, said):
    callback = StopWhereItDiverges()
    assert callback.on_epoch_end(epoch, {"loss": 1e30, "val_loss": -1.0}) is None
    with pytest.raises(RunError, match=said):
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})


# Starting anew.


@pytest.mark.parametrize("build, jit_compile", [(autoencoder, True), (vae, False)])
def test_a_reused_model_trains_as_a_new_one_does_bit_for_bit(build, jit_compile, x):
    """Its optimizer's moments and rate begin anew, and so does the VAE's noise, a function of the iteration."""
    new, pairs = build(jit_compile)
    initial = new.get_weights()
    fit(new, pairs, x)

    used, _ = build(jit_compile)
    used.set_weights([weight + 1 for weight in initial])
    # First as at the first of a recipe's trainings, where the optimizer has no moments yet, then after another one.
    for _ in range(2):
        start_anew(used, initial)
        assert int(used.optimizer.iterations) == 0
        assert all(equal(used.get_weights(), initial))
        fit(used, pairs, x)
        assert all(equal(state(used), state(new)))
        fit(used, pairs, x[::-1], epochs=1)

    # Wrong: the optimizer's state kept.
    used.set_weights(initial)
    fit(used, pairs, x)
    assert not all(equal(used.get_weights(), new.get_weights()))


def test_a_rate_that_is_no_schedule_stays_when_a_model_starts_anew():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.03), loss="mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    before = [np.any(variable.numpy()) for variable in model.optimizer.variables]
    start_anew(model, model.get_weights())
    assert all(before) and float(model.optimizer.learning_rate) == np.float32(0.03)
    assert [np.any(variable.numpy()) for variable in model.optimizer.variables].count(True) == 1
