"""How far a training is, in one line: rewritten in place on a terminal, printed now and then elsewhere."""

import shutil
import sys
import time

import keras

# Seconds between two states of the line on a terminal, and between two lines elsewhere.
TERMINAL_SECONDS = 0.1
PLAIN_SECONDS = 20


def _number(value):
    size = abs(value)
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def _probability(value):
    return f"{value:.2f}"


def _share(value):
    return f"{100 * value:.1f} %"


# What is shown of what a model logs, in this order: logged name -> (shown name, format). A terminal of 80 columns has
# room for two of them: of a VAE the terms, whose sum the loss is.
QUANTITIES = {
    "reconstruction_loss": ("reconstruction", _number),
    "kl_divergence": ("KL", _number),
    "real_probability": ("D(x)", _probability),
    "fake_probability": ("D(G(z))", _probability),
    "loss": ("loss", _number),
    "accuracy": ("accuracy", _share),
    "val_loss": ("validation", _number),
    "val_real_probability": ("validation D(x)", _probability),
    "val_accuracy": ("validation accuracy", _share),
}


def _duration(seconds):
    """Returns a time as a reader wants it, in two or three digits of its unit: `99 s`, `2 min`, `1 h 40 min`."""
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Progress(keras.callbacks.Callback):
    """Shows the epoch, the rate, the time left of this training and its `QUANTITIES`.

    On a terminal, one line that is rewritten at the ends of batches. Elsewhere, a line after the first epoch and the
    last, and every `PLAIN_SECONDS` between. Used as a context around `fit`, it ends the terminal's line, also if the
    training is interrupted:

        with Progress(epochs=10, images_per_epoch=50_000) as progress:
            model.fit(..., epochs=10, verbose=0, callbacks=[progress])

    The rate is a mean since the start or the resume, validation included. The first call compiles: a first epoch is
    measured from its end on, and later ones without the first.

    Args:
        epochs: of the whole training.
        images_per_epoch: how many images, or what else the batches hold, an epoch takes.
        first_epoch: the number of epochs that were done before.
        label: stands before each line, such as the training's name, or "".
        unit: what the batches hold.
        stream: the text stream, or None for standard output.
        clock: function that returns seconds.
    """

    def __init__(
        self, epochs, images_per_epoch, first_epoch=0, label="", unit="images", stream=None, clock=time.monotonic
    ):
        super().__init__()
        self.epochs = epochs
        self.images_per_epoch = images_per_epoch
        self.first_epoch = first_epoch
        self.label = label
        self.unit = unit
        self.stream = stream or sys.stdout
        self.clock = clock
        self.terminal = self.stream.isatty()
        self.epoch = first_epoch
        self.shown = ""  # What stands in the terminal's line.
        self.held_out = {}  # The last validation's quantities.
        self.measured_from = None  # (seconds, epochs done)
        self.epochs_per_second = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.shown:
            self._write("\n")

    def on_train_begin(self, logs=None):
        self.shown_at = self.clock()
        if self.terminal:
            self._show(0, {})

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if epoch == self.first_epoch + 1:
            self.measured_from = self.clock(), epoch

    def on_train_batch_end(self, batch, logs=None):
        share = (batch + 1) / self.params["steps"]
        self._measure(self.epoch + share)
        # Elsewhere than on a terminal, the epoch's last batch is left to the line of its end.
        if self._due() and (share < 1 or self.terminal):
            self._show(share, {**self.held_out, **logs})

    def on_epoch_end(self, epoch, logs=None):
        self.held_out = {name: value for name, value in logs.items() if name.startswith("val_")}
        if epoch > self.first_epoch:  # Of the first one, validation compiles as well.
            self._measure(epoch + 1)
        if epoch in (self.first_epoch, self.epochs - 1) or self._due():
            self._show(1, logs, ended=True)

    def _measure(self, done):
        now = self.clock()
        if self.measured_from is None:
            self.measured_from = now, done
        seconds, epochs = now - self.measured_from[0], done - self.measured_from[1]
        if seconds > 0:
            self.epochs_per_second = epochs / seconds

    def _due(self):
        return self.clock() - self.shown_at >= (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS)

    def _show(self, share, logs, ended=False):
        """Shows the state after a share of the epoch, or after its end, with what was logged until then."""
        self.shown_at = self.clock()
        parts = [f"{self.label}: " * bool(self.label) + f"epoch {self.epoch + 1}/{self.epochs}"]
        if not ended:
            parts.append(f"{100 * share:.0f} %")
        if self.epochs_per_second:
            rate = float(f"{self.epochs_per_second * self.images_per_epoch:.3g}")
            parts.append(f"{rate:,.15g} {self.unit}/s")
            left = self.epochs - self.epoch - share
            if left > 0:
                parts.append(f"{_duration(left / self.epochs_per_second)} left")
        parts += [f"{name} {form(float(logs[key]))}" for key, (name, form) in QUANTITIES.items() if key in logs]
        if not self.terminal:
            self._write("  ".join(parts) + "\n")
            return
        # A line as wide as the terminal would go on in the next one. What is left out is left out whole.
        width = shutil.get_terminal_size().columns - 1
        while len(parts) > 1 and len("  ".join(parts)) > width:
            parts.pop()
        text = "  ".join(parts)[:width]
        self._write("\r" + text.ljust(min(len(self.shown), width)))
        self.shown = text

    def _write(self, text):
        self.stream.write(text)
        self.stream.flush()
