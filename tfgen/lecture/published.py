"""Experiments whose numbers the papers published: the same networks and protocols, measured as the papers measured."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfgen import corruption, datasets, figures, losses
from tfgen.distributions import Draw, stateless_seed
from tfgen.evaluation.codes import active_units
from tfgen.evaluation.importance import importance_sampled_nll
from tfgen.evaluation.pca import pca_squared_error
from tfgen.lecture.judge import Judge
from tfgen.lecture.part_a import SQUARED_ERROR, autoencoder_of, corrupted_batches, train_autoencoder
from tfgen.lecture.part_b import draw_training, fit_vae, measure_elbo, prior_sample
from tfgen.lecture.part_d import measure_gan, read_snapshots, snapshot_epochs, write_snapshot
from tfgen.models import autoencoder
from tfgen.models.goodfellow import GoodfellowGAN, RisingMomentumSGD
from tfgen.models.networks import in_float32
from tfgen.models.vae import VAE, ImportanceWeightedVAE


def autoencoder_30d(run):
    """Hinton & Salakhutdinov 2006: the autoencoder 784-1000-500-250-30 beside PCA with 30 components."""
    config, data = run.config, run.data

    make = functools.partial(autoencoder_of, config)

    def batches(first_step):
        shift = functools.partial(corruption.random_shift, distance=config.shift)
        return corrupted_batches(run, shift, first_step).map(lambda moved, _: (moved, moved))

    validation = datasets.scale(data.validation.images).numpy()
    trained, history = train_autoencoder(
        run,
        functools.partial(make, config.precision),
        config.learning_rate,
        inputs=(batches, (validation, validation)),
        precision=config.precision,
    )
    model = in_float32(make, trained)
    test = datasets.scale(data.test.images).numpy()
    reconstruction = model.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
    value = np.mean(losses.squared_error(test, reconstruction))
    run.metric("test_squared_error", value, SQUARED_ERROR, "test", len(test))
    # Nothing is chosen for PCA, so it may see all the training images.
    train = datasets.scale(np.concatenate([data.train.images, data.validation.images])).numpy()
    components = config.hidden_units[len(config.hidden_units) // 2]
    value = pca_squared_error(train, test, components)
    run.metric(f"pca_squared_error__{components}", value, SQUARED_ERROR, "test", len(test))
    run.figure("reconstructions", figures.reconstructions(test[:16], reconstruction[:16], "Autoencoder, 30-D code"))
    panels = [("Squared error", "per image", ["loss", "val_loss"])]
    run.figure("training", figures.curves(history, panels, log=True))
    run.export(autoencoder.endpoints(model))


def burda(run):
    """Burda et al. 2015, table 1, one stochastic layer: trained on the k-sample bound, which for k = 1 is the ELBO.

    The network is trained in stages, each with a k of its own, from the weights of the stage before: a small k costs
    little, and what it learns serves the larger one. Each stage begins the stream of batches and noise anew.
    """
    config, data = run.config, run.data
    validation = datasets.fixed_binarization(data.validation.images, number=1).numpy()
    test = datasets.fixed_binarization(data.test.images).numpy()
    # As the authors initialise the output biases: with the logits of the mean image, each clipped.
    mean = np.clip(datasets.scale(data.train.images).numpy().mean(axis=0), 0.001, 0.999)

    model, last, epochs = None, len(config.stages) - 1, config.stage_epochs()
    for i, (k, _, learning_rate) in enumerate(config.stages):
        weights = model.get_weights() if model else None

        def make(k=k, weights=weights):
            options = {
                "latent_dim": config.latent_dim,
                "hidden_units": config.hidden_units,
                "input_dim": datasets.PIXELS,
                "activation": config.activation,
                "seed": run.seed,
            }
            made = VAE(**options) if k == 1 else ImportanceWeightedVAE(num_samples=k, **options)
            if weights:
                made.set_weights(weights)
            else:
                made.decoder.get_layer("logits").bias.assign(np.log(mean / (1 - mean)))
            return made

        print(f"training on the bound of {k} sample{'s' if k > 1 else ''} for {epochs[i]} epochs", flush=True)
        name = None if i == last else f"k{k}"
        model, history = fit_vae(run, make, validation, True, learning_rate, epochs[i], name, config.epsilon)

    unit = "nats per image binarised once"
    k = config.stages[last][0]
    if k == 1:
        measure_elbo(run, model, test, unit)
    else:
        bound = model.evaluate(test, batch_size=100, verbose=0, return_dict=True)["loss"]
        run.metric("test_negative_bound", bound, f"{unit}, bound of {k} samples", "test", len(test))
    nll = importance_sampled_nll(
        model.encoder, model.log_likelihood, test, config.nll_samples, stateless_seed(run.seed, Draw.EVALUATION, 1)
    )
    run.metric(
        "test_nll",
        nll.mean(),
        f"{unit}, {config.nll_samples:,} importance samples",
        "test",
        len(test),
        standard_error=nll.std(ddof=1) / np.sqrt(len(nll)),
    )
    z_mean, _ = model.encoder.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
    unit = f"of {config.latent_dim} latents, variance of the posterior mean above 0.01"
    run.metric("active_latent_units", active_units(z_mean), unit, "test", len(test))
    draw_training(run, history, "Negative ELBO" if k == 1 else f"Negative bound of {k} samples")
    title = f"{config.latent_dim} latents, k = {k}"
    run.figure("samples", figures.image_grid(model.decode(prior_sample(run, 100)), 10, f"{title}: p(x|z), z ~ p(z)"))
    run.figure("reconstructions", figures.reconstructions(test[:16], model.reconstruct(test[:16]), title))
    run.export(model.endpoints())


def gan_goodfellow(run):
    """Goodfellow et al. 2014: the GAN of the experiments on MNIST, by the measure of their table 1.

    Measured with the generator's last weights, as in the paper, and with their moving average.
    """
    config, data = run.config, run.data
    judge = run.needed("digit-classifier", Judge)
    steps = run.steps_per_epoch(config.batch_size)
    train = datasets.scale(data.train.images).numpy()
    snapshots = run.directory / "checkpoints" / "samples"
    epochs = snapshot_epochs(config.epochs)

    def make(dtype):
        return GoodfellowGAN(
            config.noise_dim,
            config.generator_units,
            config.discriminator_units,
            config.pieces,
            config.input_keep,
            config.hidden_keep,
            config.generator_range,
            config.discriminator_range,
            config.noise,
            input_dim=datasets.PIXELS,
            seed=run.seed,
            dtype=dtype,
        )

    def build():
        model = make(config.precision)
        model.set_output_bias(train.mean(axis=0))
        # e-fold after as many updates as the decay's logarithm says: one update alone is beyond float32.
        rate = keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate, 1 / np.log(config.learning_rate_decay), np.exp(-1)
        )
        momentum = (config.momentum, config.final_momentum, config.momentum_epochs * steps)
        model.compile(
            RisingMomentumSGD(rate, *momentum, use_ema=True, ema_momentum=config.ema_momentum),
            RisingMomentumSGD(rate, *momentum),
            **run.compile_options(config.batch_size, config.precision),
        )
        return model

    def batches(first_step):
        return datasets.training_batches(data.train.images, config.batch_size, run.seed, first_step=first_step)

    def take_snapshot(model, epoch):
        if epoch in epochs:
            z = model.sample_noise((24, config.noise_dim), stateless_seed(run.seed, Draw.SAMPLE))
            write_snapshot(snapshots, epoch, images=tf.cast(model.generator(z), tf.float32).numpy())

    validation = datasets.scale(data.validation.images).numpy()
    trained, history = run.fit(build, batches, config.batch_size, (validation,), take_snapshot)
    measure_gan(run, judge, make, trained, history, f"The GAN of the 2014 paper after {config.epochs} epochs")
    stages = {epoch: arrays["images"] for epoch, arrays in read_snapshots(snapshots, epochs).items()}
    run.figure("samples_through_training", figures.through_training(stages, "The same noise, last weights"))
