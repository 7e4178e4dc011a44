"""Part B of the lecture: variational autoencoders."""

import numpy as np
import tensorflow as tf
from scipy import stats

from tfgen import datasets, figures
from tfgen.distributions import Draw, stateless_normal, stateless_seed
from tfgen.models import linear_gaussian
from tfgen.models.vae import VAE, GaussianVAE


def fit_vae(run, make_model, validation, binarized, learning_rate, epochs=None, name=None, epsilon=1e-7):
    """Returns `(model, history)`: `make_model` compiled with Adam and fitted on training batches; see `Run.fit`."""
    config, images = run.config, run.data.train.images
    steps = run.steps_per_epoch(config.batch_size)

    def build():
        model = make_model()
        model.compile(
            run.adam(learning_rate, (epochs or config.epochs) * steps, epsilon),
            **run.compile_options(config.batch_size),
        )
        return model

    def batches(first_step):
        return datasets.training_batches(
            images, config.batch_size, run.seed, binarized=binarized, first_step=first_step
        )

    return run.fit(build, batches, config.batch_size, (validation,), name=name, epochs=epochs)


def draw_training(run, history, loss="Negative ELBO"):
    """Writes the figure of what `fit` has logged: the loss and the two terms of the negative ELBO."""
    panels = [
        (loss, "nats per image", ["loss", "val_loss"]),
        ("Reconstruction loss", "nats per image", ["reconstruction_loss", "val_reconstruction_loss"]),
        ("KL divergence", "nats per image", ["kl_divergence", "val_kl_divergence"]),
    ]
    run.figure("training", figures.curves(history, panels))


def measure_elbo(run, model, test, unit):
    """Records the negative ELBO of the test images and its two terms."""
    terms = model.evaluate(test, batch_size=run.EVALUATION_BATCH, verbose=0, return_dict=True)
    for name, term in (
        ("test_negative_elbo", "loss"),
        ("test_reconstruction_loss", "reconstruction_loss"),
        ("test_kl_divergence", "kl_divergence"),
    ):
        run.metric(name, terms[term], unit, "test", len(test))


def _bernoulli_vae(run):
    """Returns a VAE trained on pixels binarised anew in every batch, and the binarised test images."""
    config, data = run.config, run.data
    validation = datasets.fixed_binarization(data.validation.images, number=1).numpy()
    test = datasets.fixed_binarization(data.test.images).numpy()
    model, history = fit_vae(
        run,
        lambda: VAE(config.latent_dim, config.hidden_units, datasets.PIXELS, config.activation, seed=run.seed),
        validation,
        True,
        config.learning_rate,
    )
    draw_training(run, history)
    measure_elbo(run, model, test, "nats per image binarised once")
    return model, test


def prior_sample(run, n):
    """Returns `(n, latent_dim)` float32 draws of z from the prior, the same in every run with the same seed."""
    return stateless_normal((n, run.config.latent_dim), stateless_seed(run.seed, Draw.SAMPLE))


def vae(run):
    """B1, B3-B6: maximises the lower bound, reconstructs, interpolates between images, generates from the prior."""
    model, test = _bernoulli_vae(run)
    run.figure("samples", figures.image_grid(model.decode(prior_sample(run, 100)), 10, "VAE: p(x|z), z from the prior"))
    run.figure("reconstructions", figures.reconstructions(test[:16], model.reconstruct(test[:16]), "VAE, binarised"))

    z_mean = model.encoder(test[:16])[0].numpy()
    weights = np.linspace(0, 1, 11)[:, None]
    paths = np.concatenate([(1 - weights) * a + weights * b for a, b in zip(z_mean[:8], z_mean[8:], strict=True)])
    title = "VAE: decoded on the straight line between the codes of two test images"
    run.figure("interpolation", figures.image_grid(model.decode(paths), 11, title))
    run.figure("bound", figures.bound(*_bound_of_a_linear_model()))
    run.export(model.endpoints())


def _bound_of_a_linear_model():
    """Returns a parameter of q, and for each of its values ELBO, KL(q || p(z|x)) and log p(x): exact, all of them.

    B3's decomposition for one latent and two pixels: q has the posterior's variance, and its mean is moved.
    """
    weights, bias, noise_variance, x = np.array([[1.0], [0.5]]), np.zeros(2), 0.5, np.array([1.5, -0.2])
    mean, covariance = linear_gaussian.posterior(x, weights, bias, noise_variance)
    z_means = np.linspace(mean[0] - 2, mean[0] + 2, 81)
    model = (weights, bias, noise_variance)
    terms = [linear_gaussian.elbo_terms(x, np.array([z]), np.diag(covariance), *model) for z in z_means]
    gaps = [linear_gaussian.kl_to_posterior(x, np.array([z]), np.diag(covariance), *model) for z in z_means]
    elbo = np.array([expected - kl for expected, kl in terms])
    return z_means, elbo, np.array(gaps), linear_gaussian.log_likelihood(x, *model)


def vae_2d(run):
    """B5 with two latents, so that all of them can be seen: the manifold, and where the encoder puts the digits."""
    model, test = _bernoulli_vae(run)
    side = 20
    # Equal shares of the prior: its inverse distribution function on an even grid (Kingma & Welling 2013, appendix A).
    quantiles = stats.norm.ppf((np.arange(side) + 0.5) / side)
    across, down = np.meshgrid(quantiles, quantiles[::-1])
    z = np.stack([across.ravel(), down.ravel()], axis=1).astype(np.float32)
    run.figure("manifold", figures.image_grid(model.decode(z), side, "VAE: decoded prior quantiles of two latents"))
    z_mean, _ = model.encoder.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
    title = "VAE: posterior means of the test images"
    run.figure("latents", figures.scatter({title: z_mean}, run.data.test.labels))
    run.export(model.endpoints())


def vae_gaussian(run):
    """B2 as the lecture writes it: the decoder gives mean and variance of every pixel, and x is drawn from them."""
    config, data = run.config, run.data
    validation, test = (datasets.scale(split.images).numpy() for split in (data.validation, data.test))

    def make_model():
        return GaussianVAE(
            latent_dim=config.latent_dim,
            hidden_units=config.hidden_units,
            input_dim=datasets.PIXELS,
            activation=config.activation,
            seed=run.seed,
            min_variance=config.min_variance,
        )

    model, history = fit_vae(run, make_model, validation, False, config.learning_rate)
    draw_training(run, history)
    measure_elbo(run, model, test, "nats per image")
    z = prior_sample(run, 50)
    x = model.sample_image(z, stateless_seed(run.seed, Draw.SAMPLE, 1))
    both = tf.concat([model.decode(z), tf.clip_by_value(x, 0, 1)], axis=0)
    title = "Gaussian VAE, z from the prior\nabove: means of p(x|z); below: draws x ~ p(x|z) for the same z, clipped"
    run.figure("samples", figures.image_grid(both, 10, title))
    title = "Gaussian VAE, mean of p(x|z)"
    run.figure("reconstructions", figures.reconstructions(test[:16], model.reconstruct(test[:16]), title))
    run.export(model.endpoints())
