"""What the recipes of GANs share: optimizers, snapshots of a training, measuring what a generator makes."""

import keras
import numpy as np

from tfgen import figures
from tfgen.distributions import Draw, stateless_seed
from tfgen.files import npz, write_atomically
from tfgen.models.networks import in_float32, layer_arrays
from tfgen.training.run import predict
from tfgen.training.samples import measure_baselines, measure_samples


def adam_optimizers(run, batches, beta_1=0.9, beta_2=0.999, **generator_options):
    """Returns Adam for the generator and for the discriminator, at the rates of the run's configuration.

    Args:
        run: the `Run`.
        batches: what the GAN is trained on.
        beta_1, beta_2: of both.
        **generator_options: of the generator's optimizer alone.
    """
    config = run.config
    rates = [config.generator_learning_rate, config.discriminator_learning_rate]
    if config.learning_rate_decay:
        steps = config.epochs * run.steps_per_epoch(batches)
        # The discriminator takes k steps for the generator's one.
        total_steps = [steps, steps * config.discriminator_steps]
        rates = map(keras.optimizers.schedules.CosineDecay, rates, total_steps)
    generator_rate, discriminator_rate = rates
    generator = keras.optimizers.Adam(generator_rate, beta_1, beta_2, **generator_options)
    return generator, keras.optimizers.Adam(discriminator_rate, beta_1, beta_2)


class Snapshots(keras.callbacks.Callback):
    """Keeps named arrays of some epochs in files, which a resumed run finds again.

    Args:
        directory: of the files.
        epochs: the epochs, counted from 1.
        take: function without arguments to a dict of arrays.
    """

    def __init__(self, directory, epochs, take):
        super().__init__()
        self.directory = directory
        self.epochs = epochs
        self.take = take

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 in self.epochs:
            write_atomically(self._path(epoch + 1), npz(self.take()))

    def read(self):
        """Returns a dict from each epoch to its arrays by name, whatever else lies in the directory."""
        snapshots = {}
        for epoch in self.epochs:
            with np.load(self._path(epoch)) as arrays:
                snapshots[epoch] = dict(arrays)
        return snapshots

    def _path(self, epoch):
        return self.directory / f"{epoch:06d}.npz"


def sample_snapshots(run, model, epochs):
    """Returns the callback that keeps the images which a GAN makes of the same 24 noises in each of the epochs."""

    def take():
        z = model.sample_noise((24, model.noise_dim), stateless_seed(run.seed, Draw.SAMPLE))
        return {"images": np.asarray(keras.ops.cast(model.generator(z), "float32"))}

    return Snapshots(run.directory / "checkpoints" / "samples", epochs, take)


def network_snapshots(run, model, epochs):
    """Returns the callback that keeps the weights of both networks after each of the epochs."""

    def take():
        return layer_arrays({"generator": model.generator, "discriminator": model.discriminator})

    return Snapshots(run.directory / "checkpoints" / "networks", epochs, take)


def keep_networks(run, snapshots):
    """Keeps the networks of `network_snapshots` for the report, as generator/EPOCH and discriminator/EPOCH."""
    arrays = {}
    for epoch, layers in snapshots.read().items():
        for name, array in layers.items():
            network, _, layer = name.partition("/")
            arrays[f"{network}/{epoch}/{layer}"] = array
    run.keep_networks({}, **arrays)


def strip_epochs(epochs):
    """Returns the epochs of the film strip: 1, 2, 5, 10, 20, 50, ... and the last."""
    series = {m * 10**e for e in range(len(str(epochs))) for m in (1, 2, 5)}
    return sorted({epoch for epoch in series if epoch < epochs} | {epochs})


def spread_epochs(epochs, number):
    """Returns at most `number` epochs from the first to the last, in about equal ratios."""
    return sorted(set(np.geomspace(1, epochs, number).round().astype(int).tolist()))


def film_epochs(epochs, frames=30):
    """Returns the epochs of the film: `frames` of them at most, and those of the film strip."""
    return sorted({*spread_epochs(epochs, frames), *strip_epochs(epochs)})


def last_and_averaged(network, trained):
    """Returns a GAN with its last weights and one whose generator has their moving average, both in float32.

    Args:
        network: function from a Keras dtype policy to the GAN.
        trained: what `network` has returned for some policy, trained by a generator's optimizer with a moving average.
    """
    last = in_float32(network, trained)
    trained.generator_optimizer.finalize_variable_values(trained.generator.trainable_variables)
    return last, in_float32(network, trained)


def measure_gan(run, classifier, last, averaged, title):
    """Measures and draws what a GAN generates, with its last weights and with the generator's averaged ones.

    The averaged generator is exported, beside the discriminator.

    Args:
        run: the `Run`.
        classifier: the `ReferenceClassifier`, or None for images without labels: what it judges is then left out.
        last, averaged: see `last_and_averaged`.
        title: of the pictures of samples.
    """
    config, data = run.config, run.data
    z = last.sample_noise((config.num_samples, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE, 1))
    last_samples, samples = predict(last.generator, z), predict(averaged.generator, z)
    if classifier is None:
        print(f"{data.name} has no labels: what a classifier of them would judge is left out", flush=True)
    measure_samples(run, classifier, last_samples)
    shares = measure_samples(run, classifier, samples, "__averaged_weights")
    measure_baselines(run, classifier, config.num_samples)

    for name, images, weights in (("samples", samples, "averaged"), ("samples__last_weights", last_samples, "last")):
        run.figure(name, figures.image_grid(data.pictures(images[:100]), 10, f"{title}: {weights} weights"))
    if shares is not None:
        # The most and the least frequent of ten equal classes already lie three standard deviations apart.
        even, most, least = 1 / len(shares), np.argmax(shares), np.argmin(shares)
        title = figures.finding(
            shares[most] - shares[least],
            3 * np.sqrt(even * (1 - even) / len(samples)),
            f"Class {most} is drawn most, {shares[most]:.1%}, class {least} least, {shares[least]:.1%}",
            "",
            "Each class is drawn about equally often",
        )
        title = f"{title}\n{len(samples):,} samples, averaged weights"
        run.figure("class_shares", figures.class_fractions(shares, title))
    run.export(averaged.endpoints())


def draw_training(run, history):
    """Draws the two losses, and the mean outputs of the discriminator, through the training."""
    panels = [
        ("Losses", "nats", ["discriminator_loss", "generator_loss"]),
        ("D(x) and D(G(z))", "probability of real", ["real_probability", "val_real_probability", "fake_probability"]),
    ]
    run.figure("training", figures.curves(history, panels))
