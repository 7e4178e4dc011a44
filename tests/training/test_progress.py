"""What is shown of a training: line for line, with a clock and a terminal that are made up."""

import functools
import gc
import io
import math
import re
import sys

import keras
import pytest
from helpers import StubModule

from tfgen.data.batches import Batches, pairs, scale
from tfgen.models.gan import GAN
from tfgen.models.vae import VAE
from tfgen.training import progress
from tfgen.training.progress import Progress
from tfgen.training.run import Run

STEPS = 10


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(text):
    """Returns the lines that a terminal shows after a text."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


class Clock:
    """Counts the seconds that a test lets pass."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def train(shown, calls=(1, 1), validation=1, first=(30, 10), logs=None, held_out=None):
    """Tells a `Progress` of a training as `fit` does, and lets the time pass.

    Args:
        shown: the `Progress`.
        calls: seconds of the calls of an epoch.
        validation: seconds of a validation.
        first: seconds of the first call and of the first validation, which compile.
        logs: what is logged.
        held_out: what a validation adds.
    """
    logs, held_out = logs or {"loss": 2.5}, held_out or {"val_loss": 2.75}
    shown.set_params({"steps": STEPS})
    shown.on_train_begin()
    for epoch in range(shown.first_epoch, shown.epochs):
        shown.on_epoch_begin(epoch)
        for i, seconds in enumerate(calls, 1):
            begins = epoch == shown.first_epoch
            shown.clock.seconds += first[0] if begins and i == 1 else seconds
            shown.on_train_batch_end(i * STEPS // len(calls) - 1, logs)
        shown.clock.seconds += first[1] if begins else validation
        shown.on_epoch_end(epoch, {**logs, **held_out, "seconds": 1.0})


# By hand. The first call ends at 30 s, and the other half of the first epoch has taken 1 s when the validation ends at
# 41 s. From then on an epoch takes 6 s, its first half 4 s: 20 s have passed after 22 s (3.5 epochs), 42 s, 64 s, ...
PLAIN = """\
epoch 1/20  50 %  loss 2.50
epoch 1/20  300 images/s  38 s left  loss 2.50  validation 2.75
epoch 5/20  50 %  95.5 images/s  97 s left  loss 2.50  validation 2.75
epoch 8/20  100 images/s  72 s left  loss 2.50  validation 2.75
epoch 12/20  50 %  98.4 images/s  52 s left  loss 2.50  validation 2.75
epoch 15/20  100 images/s  30 s left  loss 2.50  validation 2.75
epoch 19/20  50 %  99.1 images/s  9 s left  loss 2.50  validation 2.75
epoch 20/20  100 images/s  loss 2.50  validation 2.75
"""


def plain(cls=Progress, **options):
    stream = io.StringIO()
    with cls(20, 600, stream=stream, clock=Clock(), **options) as shown:
        train(shown, calls=(4, 1))
    return stream.getvalue()


def test_where_there_is_no_terminal_a_line_is_printed_now_and_then():
    assert plain() == PLAIN


def test_the_time_that_compiling_takes_is_no_training():
    class FromTheStart(Progress):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.measured_from = epoch, (0.0, 0)

    class WithTheFirstEpoch(Progress):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    for wrong in (FromTheStart, WithTheFirstEpoch):
        assert plain(wrong) != PLAIN


def test_each_line_of_a_training_that_has_a_name_begins_with_it():
    assert plain(label="gan, seed 2") == re.sub("^epoch", "gan, seed 2: epoch", PLAIN, flags=re.MULTILINE)


def test_a_resumed_training_counts_its_own_epochs_alone():
    """Half of the first one has taken 1 s again, and then an epoch 6 s, of the 20 - 17 that are left."""
    assert plain(first_epoch=17).splitlines() == [
        "epoch 18/20  50 %  loss 2.50",
        "epoch 18/20  300 images/s  4 s left  loss 2.50  validation 2.75",
        "epoch 20/20  100 images/s  loss 2.50  validation 2.75",
    ]


def test_what_is_not_known_is_not_said():
    """Of an epoch that is one call, compiling and training cannot be told apart."""
    stream = io.StringIO()
    with Progress(2, 600, stream=stream, clock=Clock()) as shown:
        train(shown, calls=(2,), first=(5, 1))
    assert stream.getvalue().splitlines() == [
        "epoch 1/2  loss 2.50  validation 2.75",
        "epoch 2/2  200 images/s  loss 2.50  validation 2.75",
    ]


@pytest.mark.parametrize("rate, text", [(0.4, "0.4"), (12.344, "12.3"), (61_234, "61,200"), (1_234_567, "1,230,000")])
def test_a_rate_has_three_digits(rate, text):
    stream = io.StringIO()
    with Progress(2, rate, stream=stream, clock=Clock()) as shown:
        train(shown, calls=(0.25, 0.25), validation=0.5)
    assert f"epoch 2/2  {text} images/s  " in stream.getvalue()


def test_points_are_not_called_images():
    assert "  300 points/s  " in plain(unit="points")


# On a terminal.


def test_on_a_terminal_one_line_is_rewritten(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream, clock = Terminal(), Clock()
    with Progress(3, 600, stream=stream, clock=clock) as shown:
        train(shown, first=(2, 1))
        assert "\n" not in stream.getvalue()
    states = [state.rstrip() for state in stream.getvalue().split("\r")[1:]]
    assert states == [
        "epoch 1/3  0 %",
        "epoch 1/3  50 %  loss 2.50",
        "epoch 1/3  100 %  300 images/s  4 s left  loss 2.50",
        "epoch 1/3  300 images/s  4 s left  loss 2.50  validation 2.75",
        "epoch 2/3  50 %  300 images/s  3 s left  loss 2.50  validation 2.75",
        "epoch 2/3  100 %  300 images/s  2 s left  loss 2.50  validation 2.75",
        "epoch 2/3  200 images/s  3 s left  loss 2.50  validation 2.75",
        "epoch 3/3  50 %  225 images/s  1 s left  loss 2.50  validation 2.75",
        "epoch 3/3  100 %  240 images/s  loss 2.50  validation 2.75",
        "epoch 3/3  200 images/s  loss 2.50  validation 2.75",
    ]
    # Nothing of a longer state is left, and the last one is a line.
    assert screen(stream.getvalue()) == [states[-1], ""]
    assert len(states[-1]) < len(states[-3])


def test_a_terminal_is_written_to_ten_times_a_second_at_most_and_numbers_are_read_as_often():
    read = []

    class Loss:
        """Stands for a value that the device may not have computed yet."""

        def __float__(self):
            read.append(clock.seconds)
            return 2.5

    stream, clock = Terminal(), Clock()
    with Progress(100, 600, stream=stream, clock=clock) as shown:
        train(shown, calls=(0.001,) * 10, first=(0.001, 0), validation=0, logs={"loss": Loss()}, held_out={"a": 0})
    assert clock.seconds == pytest.approx(1)
    # And those of the first epoch's end and of the last's.
    assert 9 <= len(read) <= 12
    assert stream.getvalue().count("\r") == len(read) + 1


PARTS = ("epoch 1/1", "90 %", "3,600 images/s", "15 s left", "loss 2.50", "validation 24.7")


@pytest.mark.parametrize("parts", range(1, 7))
@pytest.mark.parametrize("spare", [0, 1, 2])
def test_a_line_is_cut_to_the_width_of_the_terminal_and_no_number_in_it(parts, spare, monkeypatch):
    """One column less, since a terminal may begin a new line after the last."""
    text = "  ".join(PARTS[:parts])
    assert written(len(text) + 1 + spare, monkeypatch) == text
    if parts > 1:
        assert written(len(text), monkeypatch) == "  ".join(PARTS[: parts - 1])


def test_a_terminal_that_is_narrower_than_the_epoch_shows_a_part_of_it(monkeypatch):
    assert [written(columns, monkeypatch) for columns in (9, 6, 1)] == ["epoch 1/", "epoch", ""]


def written(columns, monkeypatch):
    """Returns the last state on a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    stream, clock = Terminal(), Clock()
    shown = Progress(1, 540_000, stream=stream, clock=clock)
    shown.set_params({"steps": STEPS})
    shown.on_train_begin()
    for batch in (0, 8):
        clock.seconds += 120
        shown.on_train_batch_end(batch, {"loss": 2.5, "val_loss": 24.66})
    states = stream.getvalue().split("\r")
    assert all(len(state) < columns for state in states)
    return states[-1].rstrip()


# What is shown.


@pytest.mark.parametrize(
    "logs, text",
    [
        ({"loss": 5.25, "val_loss": 5.5}, "loss 5.25  validation 5.50"),
        (
            {"loss": 104.23, "reconstruction_loss": 79.54, "kl_divergence": 24.69, "val_loss": 1234.56},
            "reconstruction 79.5  KL 24.7  loss 104.2  validation 1234.6",
        ),
        (
            {
                "discriminator_loss": 0.9,
                "generator_loss": 1.2,
                "real_probability": 0.7149,
                "fake_probability": 0.0,
                "val_real_probability": 0.999,
                "val_fake_probability": 0.2,
            },
            "D(x) 0.71  D(G(z)) 0.00  validation D(x) 1.00",
        ),
        (
            {"loss": 0.0123, "accuracy": 0.99614, "val_loss": 0.00005, "val_accuracy": 1.0},
            "loss 0.012  accuracy 99.6 %  validation 5e-05  validation accuracy 100.0 %",
        ),
        ({"loss": -812.34, "val_loss": math.inf}, "loss -812.3  validation inf"),
        ({"loss": 0.0, "val_loss": math.nan}, "loss 0  validation nan"),
    ],
)
def test_the_quantities_that_matter_have_the_lecture_s_names_and_numbers_that_can_be_read(logs, text):
    stream = io.StringIO()
    shown = Progress(1, 600, stream=stream, clock=Clock())
    shown.on_train_begin()
    shown.on_epoch_end(0, logs)
    assert stream.getvalue() == f"epoch 1/1  {text}\n"


def test_these_are_what_the_models_log():
    networks = {"input_dim": 4, "noise_dim": 2, "generator_units": (3,), "discriminator_units": (3,)}
    logged = {metric.name for model in (GAN(**networks), VAE(4, 2, (3,))) for metric in model.metrics}
    logged |= {"accuracy"}  # Keras's name.
    assert {name.removeprefix("val_") for name in progress.QUANTITIES} <= logged


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.4, "0 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (150.1, "3 min"),
        (99.4 * 60, "99 min"),
        (99.6 * 60, "1 h 40 min"),
        (72 * 3600 + 59.6 * 60, "73 h 0 min"),
    ],
)
def test_a_time_has_the_unit_that_it_is_read_in(seconds, text):
    assert progress._duration(seconds) == text


# In a run.


class Second(keras.callbacks.Callback):
    """Lets a second pass at each batch, and presses Ctrl-C at one of them."""

    def __init__(self, clock, interrupt_at=None):
        super().__init__()
        self.clock = clock
        self.interrupt_at = interrupt_at

    def on_train_batch_end(self, batch, logs=None):
        self.clock.seconds += 1
        if batch == self.interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture
def fit(digits, tmp_path, monkeypatch):
    """Function that trains one linear unit on the digits, 50 images a batch and a second, 100 batches an epoch."""

    def fitted(epochs=2, name="model", interrupt_at=None):
        clock = Clock()
        monkeypatch.setattr("tfgen.training.run.Progress", functools.partial(Progress, clock=clock))
        config = StubModule.RECIPE.presets["smoke"].replace(epochs=epochs)
        run = Run(StubModule.RECIPE, config, digits, tmp_path, "smoke")
        run.set_random_seed(name)
        model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(784)])
        model.compile(keras.optimizers.SGD(1e-3), loss="mean_squared_error")
        x = scale(digits.validation.images)
        batches = Batches(digits.train.images, 50, run.seed, transform=pairs)
        run.fit(model, batches, (x, x), name, callbacks=[Second(clock, interrupt_at)])

    return fitted


QUANTITY = r"  loss \d+\.\d\d  validation \d+\.\d\d"


def test_a_run_shows_its_rate_and_goes_on_where_it_was_resumed(fit, capsys):
    fit()
    lines = capsys.readouterr().out.splitlines()
    # Every 20 s, of which the first second is not measured.
    assert re.fullmatch(r"epoch 1/2  20 %  50 images/s  3 min left  loss \S+", lines[0])
    assert re.fullmatch("epoch 2/2  50 images/s" + QUANTITY, lines[-1])
    assert len(lines) == 10
    fit(epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resuming after epoch 2 of 3"
    assert re.fullmatch(r"epoch 3/3  20 %  50 images/s  80 s left  loss \S+", lines[1])
    assert re.fullmatch("epoch 3/3  50 images/s" + QUANTITY, lines[-1])
    fit(epochs=1, name="second")
    assert all(line.startswith("second: epoch 1/1  ") for line in capsys.readouterr().out.splitlines())


# Keras's CSVLogger leaves its file open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_training_leaves_its_line_ended(fit, monkeypatch):
    def interrupted():
        monkeypatch.setattr(sys, "stdout", Terminal())
        with pytest.raises(KeyboardInterrupt):
            fit(name=f"training_{len(shown)}", interrupt_at=49)
        shown.append(sys.stdout.getvalue())

    shown = []
    interrupted()
    first, last = screen(shown[0])
    assert re.fullmatch(r"training_0: epoch 1/2  49 %  50 images/s  3 min left  loss \S+", first) and last == ""
    # Wrong: only a training that ends by itself ends it.
    monkeypatch.setattr(Progress, "__exit__", lambda self, *exception: None)
    interrupted()
    assert not shown[1].endswith("\n")
    gc.collect()
