"""Part D of the lecture: generative adversarial networks."""

import io

import keras
import numpy as np

from tfgen import datasets, figures
from tfgen.distributions import Draw, stateless_seed
from tfgen.evaluation.coverage import class_shares
from tfgen.files import write_atomically
from tfgen.models.classifier import digit_classifier
from tfgen.models.gan import GAN


def gan(run):
    """D: algorithm 1 on MNIST, samples of the same noise through training, and how they cover the classes."""
    config, data = run.config, run.data
    batch_size = config.batch_size * config.discriminator_steps
    steps = run.steps_per_epoch(batch_size)

    def build():
        model = GAN(
            config.noise_dim,
            config.generator_units,
            config.discriminator_units,
            datasets.PIXELS,
            config.noise,
            config.generator_loss,
            config.discriminator_steps,
            run.seed,
        )
        rates = [config.generator_learning_rate, config.discriminator_learning_rate]
        if config.learning_rate_decay:
            # The discriminator takes k steps for the generator's one.
            total_steps = [config.epochs * steps, config.epochs * steps * config.discriminator_steps]
            rates = map(keras.optimizers.schedules.CosineDecay, rates, total_steps)
        model.compile(*map(keras.optimizers.Adam, rates), **run.compile_options(batch_size))
        return model

    def batches(first_step):
        return datasets.training_batches(data.train.images, batch_size, run.seed, first_step=first_step)

    snapshots = run.directory / "checkpoints" / "samples"

    def snapshot(model, epoch):
        if epoch in snapshot_epochs(config.epochs):
            buffer = io.BytesIO()
            z = model.sample_noise((24, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE))
            np.save(buffer, model.generator(z).numpy())
            write_atomically(snapshots / f"{epoch:06d}.npy", buffer.getvalue())

    validation = datasets.scale(data.validation.images).numpy()
    model, history = run.fit(build, batches, batch_size, (validation,), snapshot)
    z = model.sample_noise((config.num_samples, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE, 1))
    samples = model.generator.predict(z, batch_size=run.EVALUATION_BATCH, verbose=0)

    classify, error = _train_digit_classifier(run)
    n = config.num_samples
    shares = class_shares(classify(samples))
    run.metric("rarest_class_share", shares.min(), "share of samples, 0.1 being even", "generated", n)
    run.metric("test_error__classifier", error, "share misclassified", "test", len(data.test))

    run.figure("samples", figures.image_grid(samples[:100], 10, f"GAN after {config.epochs} epochs"))
    stages = {int(path.stem): np.load(path) for path in sorted(snapshots.glob("*.npy"))}
    run.figure("samples_through_training", figures.through_training(stages, "The same noise through training"))
    panels = [
        ("Losses", "nats", ["discriminator_loss", "generator_loss"]),
        ("D(x) and D(G(z))", "probability of real", ["real_probability", "val_real_probability", "fake_probability"]),
    ]
    run.figure("training", figures.curves(history, panels))
    run.figure("class_shares", figures.class_shares(shares, f"{n:,} samples by class"))
    run.export(model.endpoints())


def snapshot_epochs(epochs):
    """Returns the epochs to keep samples of: 1, 2, 5, 10, 20, 50, ... and the last."""
    series = {m * 10**e for e in range(len(str(epochs))) for m in (1, 2, 5)}
    return sorted({epoch for epoch in series if epoch < epochs} | {epochs})


def _train_digit_classifier(run):
    """Returns a function from images to logits, trained on the training split, and its error on the test split."""
    config, data = run.config, run.data
    batch_size, epochs = config.batch_size, config.classifier_epochs

    def build():
        model = digit_classifier(datasets.PIXELS, config.classifier_units)
        model.compile(
            run.adam(config.classifier_learning_rate, epochs * run.steps_per_epoch(batch_size)),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            **run.compile_options(batch_size),
        )
        return model

    def batches(first_step):
        return datasets.training_batches(
            data.train.images, batch_size, run.seed, labels=data.train.labels, first_step=first_step
        )

    validation = (datasets.scale(data.validation.images).numpy(), data.validation.labels)
    print("training the digit classifier that judges the samples", flush=True)
    model, _ = run.fit(build, batches, batch_size, validation, name="classifier", epochs=epochs)

    def classify(images):
        return model.predict(images, batch_size=run.EVALUATION_BATCH, verbose=0)

    wrong = np.argmax(classify(datasets.scale(data.test.images).numpy()), axis=1) != data.test.labels
    return classify, wrong.mean()
