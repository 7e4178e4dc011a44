"""Part A of the lecture: autoencoders."""

import numpy as np

from tfgen import datasets, figures, losses
from tfgen.evaluation.pca import pca_squared_error
from tfgen.models import autoencoder


def stacked_autoencoder(run):
    """A5: trains on the squared error of A4; the floor is PCA with as many components as the code has units."""
    config, data = run.config, run.data
    steps = run.steps_per_epoch(config.batch_size)

    def build():
        model = autoencoder.stacked_autoencoder(
            config.hidden_units, datasets.PIXELS, config.activation, config.code_activation
        )
        model.compile(
            run.adam(config.learning_rate, config.epochs * steps),
            loss=losses.squared_error,
            jit_compile=run.jit_compile,
            steps_per_execution=steps,
        )
        return model

    validation, test = (datasets.scale(split.images).numpy() for split in (data.validation, data.test))

    def batches(first_step):
        images = datasets.training_batches(data.train.images, config.batch_size, run.seed, first_step=first_step)
        return images.map(lambda x: (x, x))

    model, history = run.fit(build, batches, config.batch_size, (validation, validation))

    reconstruction = model.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
    unit = "squared error per image, sum over 784 pixels"
    run.metric("test_squared_error", np.mean(losses.squared_error(test, reconstruction)), unit, "test", len(test))
    # Nothing is chosen for PCA, so it may see all the training images.
    train = datasets.scale(np.concatenate([data.train.images, data.validation.images])).numpy()
    for components in config.pca_components:
        value = pca_squared_error(train, test, components)
        run.metric(f"pca_squared_error__{components}", value, unit, "test", len(test))

    run.figure("reconstructions", figures.reconstructions(test[:16], reconstruction[:16], "Stacked autoencoder"))
    run.figure("training", figures.curves(history, [("Squared error", "per image", ["loss", "val_loss"])]))
    run.export(model, autoencoder.endpoints(model))
