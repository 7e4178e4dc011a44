"""Part B of the lecture: variational autoencoders."""

from tfgen import datasets, figures
from tfgen.distributions import Draw, stateless_normal, stateless_seed
from tfgen.models.vae import VAE


def vae(run):
    """B: maximises the lower bound on pixels binarised anew in every batch; generates from the prior."""
    config, data = run.config, run.data
    steps = run.steps_per_epoch(config.batch_size)

    def build():
        model = VAE(config.latent_dim, config.hidden_units, datasets.PIXELS, config.activation, seed=run.seed)
        model.compile(
            run.adam(config.learning_rate, config.epochs * steps),
            jit_compile=run.jit_compile,
            steps_per_execution=steps,
        )
        return model

    validation, test = (datasets.fixed_binarization(split.images).numpy() for split in (data.validation, data.test))

    def batches(first_step):
        return datasets.training_batches(
            data.train.images, config.batch_size, run.seed, binarized=True, first_step=first_step
        )

    model, history = run.fit(build, batches, config.batch_size, (validation,))

    terms = model.evaluate(test, batch_size=run.EVALUATION_BATCH, verbose=0, return_dict=True)
    for name, term in (
        ("test_negative_elbo", "loss"),
        ("test_reconstruction_loss", "reconstruction_loss"),
        ("test_kl_divergence", "kl_divergence"),
    ):
        run.metric(name, terms[term], "nats per image", "test, binarised once", len(test))

    z = stateless_normal((100, config.latent_dim), stateless_seed(run.seed, Draw.EVALUATION))
    run.figure("samples", figures.image_grid(model.decode(z), 10, "VAE: p(x|z), z drawn from the prior"))
    run.figure("reconstructions", figures.reconstructions(test[:16], model.reconstruct(test[:16]), "VAE"))
    panels = [
        ("Negative ELBO", "nats per image", ["loss", "val_loss"]),
        ("Reconstruction loss", "nats per image", ["reconstruction_loss", "val_reconstruction_loss"]),
        ("KL divergence", "nats per image", ["kl_divergence", "val_kl_divergence"]),
    ]
    run.figure("training", figures.curves(history, panels))
    run.export(model, model.endpoints())
