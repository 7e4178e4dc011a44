"""Part D of the lecture: generative adversarial networks."""

import functools
import io

import keras
import numpy as np
import tensorflow as tf
from scipy import stats

from tfgen import datasets, figures
from tfgen.distributions import Draw, stateless_normal, stateless_seed
from tfgen.evaluation import adversarial
from tfgen.evaluation.coverage import class_shares
from tfgen.files import write_atomically
from tfgen.lecture.judge import Judge, measure_baselines, measure_samples
from tfgen.losses import discriminator_loss
from tfgen.models.gan import GAN, GENERATOR_LOSSES
from tfgen.models.networks import in_float32


def gan(run):
    """D: algorithm 1 on MNIST, samples of the same noise through training, and how they cover the classes."""
    config = run.config
    judge = run.needed("digit-classifier", Judge)
    snapshots = run.directory / "checkpoints" / "samples"
    epochs = animation_epochs(config.epochs)

    def take_snapshot(model, epoch):
        if epoch in epochs:
            z = model.sample_noise((24, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE))
            write_snapshot(snapshots, epoch, images=tf.cast(model.generator(z), tf.float32).numpy())

    trained, history = _train(
        run,
        config.noise,
        config.generator_loss,
        take_snapshot,
        precision=config.precision,
        use_ema=True,
        ema_momentum=config.ema_momentum,
    )
    make = functools.partial(_make, run, config.noise, config.generator_loss)
    measure_gan(run, judge, make, trained, history, f"GAN after {config.epochs} epochs")
    stages = {epoch: arrays["images"] for epoch, arrays in read_snapshots(snapshots, epochs).items()}
    strip = {epoch: stages[epoch] for epoch in snapshot_epochs(config.epochs)}
    run.figure("samples_through_training", figures.through_training(strip, "The same noise, last weights"))
    film = "figures/samples_through_training.gif"
    write_atomically(run.directory / film, figures.gif(figures.frames_through_training(stages)))
    run.figures.append(film)


def measure_gan(run, judge, make, trained, history, title):
    """Measures and draws what a GAN generates, with its last weights and with the generator's averaged ones.

    The averaged generator is exported, beside the discriminator.

    Args:
        make: function from a Keras dtype policy to the GAN.
        trained: what `make` has returned for some policy, trained by a generator's optimizer with a moving average.
        history: of the training, as `Run.fit` returns it.
        title: of the pictures of samples.
    """
    config = run.config
    last = in_float32(make, trained)
    trained.generator_optimizer.finalize_variable_values(trained.generator.trainable_variables)
    averaged = in_float32(make, trained)

    z = last.sample_noise((config.num_samples, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE, 1))
    of_last, samples = (
        model.generator.predict(z, batch_size=run.EVALUATION_BATCH, verbose=0) for model in (last, averaged)
    )
    measure_samples(run, judge, of_last)
    shares = measure_samples(run, judge, samples, "__averaged_weights")
    measure_baselines(run, judge, config.num_samples)

    run.figure("samples", figures.image_grid(samples[:100], 10, f"{title}: averaged weights"))
    run.figure("samples__last_weights", figures.image_grid(of_last[:100], 10, f"{title}: last weights"))
    panels = [
        ("Losses", "nats", ["discriminator_loss", "generator_loss"]),
        ("D(x) and D(G(z))", "probability of real", ["real_probability", "val_real_probability", "fake_probability"]),
    ]
    run.figure("training", figures.curves(history, panels))
    run.figure("class_shares", figures.class_shares(shares, f"{len(samples):,} samples by class: averaged weights"))
    run.export(averaged.endpoints())


def snapshot_epochs(epochs):
    """Returns the epochs of the film strip: 1, 2, 5, 10, 20, 50, ... and the last."""
    series = {m * 10**e for e in range(len(str(epochs))) for m in (1, 2, 5)}
    return sorted({epoch for epoch in series if epoch < epochs} | {epochs})


def animation_epochs(epochs, frames=30):
    """Returns the epochs of the film: in about equal ratios, at most `frames` of them, and those of the film strip."""
    series = np.geomspace(1, epochs, frames).round().astype(int)
    return sorted({*series.tolist(), *snapshot_epochs(epochs)})


def write_snapshot(directory, epoch, **arrays):
    """Writes named arrays of an epoch, for `read_snapshots`."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(_snapshot_path(directory, epoch), buffer.getvalue())


def read_snapshots(directory, epochs):
    """Returns a dict from each of the epochs to its arrays by name, whatever else lies in the directory."""
    snapshots = {}
    for epoch in epochs:
        with np.load(_snapshot_path(directory, epoch)) as arrays:
            snapshots[epoch] = dict(arrays)
    return snapshots


def _snapshot_path(directory, epoch):
    return directory / f"{epoch:06d}.npz"


def gan_variants(run):
    """D1, D3: the same GAN with either noise and either generator loss, and the gradients that the losses give."""
    config, data = run.config, run.data
    judge = run.needed("digit-classifier", Judge)
    variants = [(noise, loss) for loss in config.generator_losses for noise in config.noises]
    test = datasets.scale(data.test.images).numpy()
    seed = stateless_seed(run.seed, Draw.SAMPLE, 1)

    samples, verdicts, histories = {}, {}, {}
    for variant in variants:
        noise, loss = variant
        print(f"training with {noise} noise and the {loss} loss", flush=True)
        main = variant == variants[0]
        model, histories[variant] = _train(run, noise, loss, name=None if main else _suffix(variant))
        z = model.sample_noise((config.num_samples, config.noise_dim), seed)
        samples[variant] = model.generator.predict(z, batch_size=run.EVALUATION_BATCH, verbose=0)
        verdicts[variant] = model.evaluate(test, batch_size=run.EVALUATION_BATCH, verbose=0, return_dict=True)
        if main:
            run.export(model.endpoints())

    shares = {variant: class_shares(judge.probabilities(images)) for variant, images in samples.items()}
    n, covered = config.num_samples, f"digits with a share of {config.covered_share:.0%} or more"
    for variant in variants:
        suffix, verdict = _suffix(variant), verdicts[variant]
        rarest = shares[variant].min()
        run.metric(f"rarest_class_share__{suffix}", rarest, "share of samples, 0.1 being even", "generated", n)
        count = np.sum(shares[variant] >= config.covered_share)
        run.metric(f"digits_covered__{suffix}", count, covered, "generated", n)
        run.metric(f"real_probability__{suffix}", verdict["real_probability"], "mean D(x)", "test", len(test))
        run.metric(f"fake_probability__{suffix}", verdict["fake_probability"], "mean D(G(z))", "generated", len(test))

    title = f"GANs after {config.epochs} epochs at equal settings, each from initial weights of its own"
    panels = {
        f"{', '.join(variant)}\nrarest digit {shares[variant].min():.1%} of samples": images[:64]
        for variant, images in samples.items()
    }
    run.figure("samples", figures.panels_of_images(panels, 8, title))
    bars = {
        str(digit): {", ".join(variant): 100 * shares[variant][digit] for variant in variants}
        for digit in range(datasets.CLASSES)
    }
    title = f"{n:,} samples: the verdict of a classifier that must call each one a digit"
    run.figure("class_shares", figures.grouped_bars(bars, title, "share of samples (%)"))
    lines = {"D(x), validation images": "val_real_probability", "D(G(z))": "val_fake_probability"}
    outputs = {
        ", ".join(variant): {label: history[key] for label, key in lines.items()}
        for variant, history in histories.items()
    }
    run.figure("training", figures.discriminator_outputs(outputs, "Mean outputs of the discriminator"))
    _gradients(run, variants[0][0], [history["fake_probability"][0] for history in histories.values()])


def _suffix(variant):
    """Returns a variant's name among the metrics and files, such as `uniform_non_saturating`."""
    return "_".join(variant).replace("-", "_")


def _gradients(run, noise, first_epoch):
    """Measures and draws the generator's gradient of each loss, as the discriminator learns to reject its images."""
    config = run.config
    # Anew, so that a resumed run, which has built fewer models before, begins with the same weights.
    keras.utils.set_random_seed(run.seed)
    model = _build(run, noise, config.generator_losses[0])
    batches = datasets.training_batches(run.data.train.images, config.batch_size, run.seed)
    measured = gradient_norms(model, batches.take(config.gradient_steps), run.seed)
    d_alone = measured.pop("fake_probability")
    unit = f"norm, untrained generator, D at {d_alone[-1]:.2g} after {config.gradient_steps} updates of its own"
    for loss, norms in measured.items():
        run.metric(
            f"generator_gradient_norm__{loss.replace('-', '_')}", norms[-1], unit, "generated", config.batch_size
        )
    d = np.geomspace(1e-4, 1 - 1e-4, 400)
    derivatives = {loss: loss_derivatives(loss, np.log(d / (1 - d))) for loss in measured}
    run.figure("gradients", figures.generator_gradients(d, derivatives, first_epoch, d_alone, measured))


def loss_derivatives(loss, logits):
    """Returns the derivative of a generator loss with respect to the discriminator's logit.

    -D for the minimax loss, which vanishes where D rejects the images, and -(1 - D) for the non-saturating one, which
    is then at its largest: both by automatic differentiation of the losses that training uses.

    Args:
        loss: a key of `GENERATOR_LOSSES`.
        logits: `(n,)` float.

    Returns:
        `(n,)` float.

    Source: Goodfellow et al. 2014, section 3, last paragraph.
    """
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        # Each logit by itself: the losses are means over the batch.
        values = tf.map_fn(GENERATOR_LOSSES[loss], logits)
    return tape.gradient(values, logits).numpy()


def gradient_norms(model, batches, seed):
    """Returns what the generator would feel from each loss while the discriminator alone is trained against it.

    Args:
        model: a compiled `GAN`; its generator stays as it is.
        batches: batches of `(batch, 784)` images, one for each update of the discriminator.
        seed: int >= 0; the noise is a function of it and of the number of the batch.

    Returns:
        Dict of `(steps,)` arrays, each taken before the discriminator's update: for each key of `GENERATOR_LOSSES` the
        norm of that loss's gradient with respect to the generator's weights, and `fake_probability`, the mean D(G(z)).
    """

    @tf.function
    def step(x, z):
        with tf.GradientTape(persistent=True) as tape:
            fake = model.generator(z)
            fake_logits = model.discriminator(fake)
            d_loss = discriminator_loss(model.discriminator(x), fake_logits)
            g_losses = {name: loss(fake_logits) for name, loss in GENERATOR_LOSSES.items()}
        variables = model.generator.trainable_variables
        measured = {name: tf.linalg.global_norm(tape.gradient(loss, variables)) for name, loss in g_losses.items()}
        measured["fake_probability"] = tf.reduce_mean(tf.sigmoid(fake_logits))
        variables = model.discriminator.trainable_variables
        model.discriminator_optimizer.apply(tape.gradient(d_loss, variables), variables)
        return measured

    steps = []
    for t, x in enumerate(batches):
        z = model.sample_noise((len(x), model.noise_dim), stateless_seed(seed, Draw.GRADIENT, t))
        steps.append({name: float(value) for name, value in step(x, z).items()})
    return {name: np.array([measured[name] for measured in steps]) for name in steps[0]}


def gan_1d(run):
    """D2-D4 on the line, where both densities can be drawn: figure 1 of the 2014 paper, with D* beside D."""
    config = run.config
    batch_size = config.batch_size * config.discriminator_steps
    steps = run.steps_per_epoch(batch_size)
    edges = config.data_mean + config.data_std * np.linspace(-config.half_width, config.half_width, config.bins + 1)
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    p_data = _normal_histogram(edges, config.data_mean, config.data_std)
    # Quantiles, since equal shares of the noise lie between them.
    z_shown = stats.norm.ppf((np.arange(21) + 0.5) / 21).astype(np.float32)

    def build():
        model = GAN(
            config.noise_dim,
            config.generator_units,
            config.discriminator_units,
            input_dim=1,
            noise=config.noise,
            discriminator_steps=config.discriminator_steps,
            seed=run.seed,
            activation=config.activation,
            output_activation="linear",
        )
        return _compile(run, model)

    def draw(n, seed):
        return config.data_mean + config.data_std * stateless_normal((n, 1), seed)

    def batches(first_step):
        numbers = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
        drawn = numbers.map(lambda t: draw(batch_size, stateless_seed(run.seed, Draw.DATA, t)))
        return datasets.untuned(drawn.prefetch(4))

    snapshots = run.directory / "checkpoints" / "stages"
    epochs = stage_epochs(config.epochs)

    def take_snapshot(model, epoch):
        if epoch in epochs:
            z = model.sample_noise((config.num_samples, 1), stateless_seed(run.seed, Draw.SAMPLE))
            p_g = histogram(model.generator.predict(z, batch_size=100_000, verbose=0), edges)
            # In float64, in which a confident discriminator is not yet 1.
            logits = model.discriminator(centres[:, None]).numpy()[:, 0].astype(np.float64)
            write_snapshot(
                snapshots,
                epoch,
                p_g=p_g,
                discriminator=1 / (1 + np.exp(-logits)),
                generated=model.generator(z_shown[:, None]).numpy()[:, 0],
            )

    validation = draw(10_000, stateless_seed(run.seed, Draw.SAMPLE, 1)).numpy()
    model, history = run.fit(build, batches, batch_size, (validation,), take_snapshot)

    stages = {}
    for epoch, snapshot in read_snapshots(snapshots, epochs).items():
        p_g, discriminator = snapshot["p_g"], snapshot["discriminator"]
        jsd = adversarial.jensen_shannon_divergence(p_data, p_g)
        stages[f"after {epoch * steps:,} iterations, JSD {jsd:.3f}"] = {
            "model_density": p_g / width,
            "discriminator": discriminator,
            "optimal_discriminator": adversarial.optimal_discriminator(p_data, p_g),
            "generated": snapshot["generated"],
        }
    split, n = f"generated, against N({config.data_mean:g}, {config.data_std:g}^2) on the line", config.num_samples
    error = adversarial.discriminator_error(discriminator, p_data, p_g)
    run.metric("discriminator_error", error, "mean |D - D*| under (p_data + p_g) / 2", split, n)
    value = adversarial.value(discriminator, p_data, p_g)
    run.metric("value", value, f"V(D, G) in nats; -log 4 = {-np.log(4):.4f} at the optimum", split, n)
    run.metric("jensen_shannon_divergence", jsd, "nats, between 0 and log 2", split, n)

    k = config.discriminator_steps
    title = f"Algorithm 1 with k = {k} updates of D for each of G; D as that leaves it, D* from the two densities"
    run.figure("stages", figures.adversarial_stages(centres, p_data / width, stages, z_shown, title))
    panels = [
        ("Losses", "nats", ["discriminator_loss", "generator_loss"]),
        ("D(x) and D(G(z))", "probability of data", ["real_probability", "fake_probability"]),
    ]
    run.figure("training", figures.curves(history, panels))
    run.export(model.endpoints("x"))


def stage_epochs(epochs):
    """Returns the four epochs that figure 1 is drawn at, in equal ratios from the first to the last; fewer of few."""
    return sorted(set(np.geomspace(1, epochs, 4).round().astype(int).tolist()))


def histogram(x, edges):
    """Returns the share of the points in each bin, `(bins,)`; those beyond the edges count to the outermost bins."""
    counts, _ = np.histogram(np.clip(x, edges[0], edges[-1]), edges)
    return counts / np.size(x)


def _normal_histogram(edges, mean, std):
    """Returns the probability of each bin under N(mean, std^2), with the tails in the outermost bins."""
    cumulative = stats.norm.cdf(edges, mean, std)
    cumulative[0], cumulative[-1] = 0, 1
    return np.diff(cumulative)


def _train(run, noise, generator_loss, on_epoch_end=None, name=None, precision="float32", **generator_options):
    """Returns the GAN trained on the images with the configuration's networks and rates, and its history."""
    config, data = run.config, run.data
    batch_size = config.batch_size * config.discriminator_steps

    def batches(first_step):
        return datasets.training_batches(data.train.images, batch_size, run.seed, first_step=first_step)

    validation = datasets.scale(data.validation.images).numpy()
    return run.fit(
        lambda: _build(run, noise, generator_loss, precision, **generator_options),
        batches,
        batch_size,
        (validation,),
        on_epoch_end,
        name=name,
    )


def _make(run, noise, generator_loss, dtype):
    config = run.config
    return GAN(
        config.noise_dim,
        config.generator_units,
        config.discriminator_units,
        datasets.PIXELS,
        noise,
        generator_loss,
        config.discriminator_steps,
        run.seed,
        dtype=dtype,
    )


def _build(run, noise, generator_loss, precision="float32", **generator_options):
    return _compile(run, _make(run, noise, generator_loss, precision), precision, **generator_options)


def _compile(run, model, precision="float32", **generator_options):
    """Returns the GAN compiled with Adam for both networks, at the rates of the configuration.

    `generator_options` are of the generator's optimizer alone.
    """
    config = run.config
    batch_size = config.batch_size * config.discriminator_steps
    steps = run.steps_per_epoch(batch_size)
    rates = [config.generator_learning_rate, config.discriminator_learning_rate]
    if config.learning_rate_decay:
        # The discriminator takes k steps for the generator's one.
        total_steps = [config.epochs * steps, config.epochs * steps * config.discriminator_steps]
        rates = map(keras.optimizers.schedules.CosineDecay, rates, total_steps)
    generator_rate, discriminator_rate = rates
    model.compile(
        keras.optimizers.Adam(generator_rate, **generator_options),
        keras.optimizers.Adam(discriminator_rate),
        **run.compile_options(batch_size, precision),
    )
    return model
