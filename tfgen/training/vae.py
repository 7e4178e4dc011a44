"""What the recipes of VAEs share: measuring the bound, drawing a training, z from the prior."""

from tfgen import figures
from tfgen.distributions import Draw, stateless_normal, stateless_seed
from tfgen.training.run import EVALUATION_BATCH


def draw_training(run, history, loss="Negative ELBO"):
    """Draws what `fit` has logged: the loss and the two terms of the negative ELBO."""
    panels = [
        (loss, "nats per image", ["loss", "val_loss"]),
        ("Reconstruction loss", "nats per image", ["reconstruction_loss", "val_reconstruction_loss"]),
        ("KL divergence", "nats per image", ["kl_divergence", "val_kl_divergence"]),
    ]
    run.figure("training", figures.curves(history, panels))


def measure_elbo(run, model, test, unit):
    """Records the negative ELBO of the test images and its two terms."""
    terms = model.evaluate(test, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True)
    for name, term in (
        ("test_negative_elbo", "loss"),
        ("test_reconstruction_loss", "reconstruction_loss"),
        ("test_kl_divergence", "kl_divergence"),
    ):
        run.metric(name, terms[term], unit, "test", len(test))


def prior_sample(run, model, n):
    """Returns `(n, latent_dim)` float32 draws of z from a model's prior, the same in every run with the same seed."""
    return model.prior(stateless_normal((n, model.noise_dim), stateless_seed(run.seed, Draw.SAMPLE)))
