"""Greedy layer-wise pre-training of a stacked autoencoder: each layer learns by itself, on the codes of the one before.

Source: Hinton & Salakhutdinov 2006; Bengio et al. 2007.
Differs: the layers are autoencoders as in the latter, restricted Boltzmann machines in the former; they minimise the
squared error.
"""

import itertools

from tfgen import losses
from tfgen.data.batches import Batches, pairs, scale
from tfgen.models.autoencoder import ShallowAutoencoder


def pretraining_epochs(epochs, share, layers):
    """Returns `(epochs of each layer by itself, epochs end to end)`, in all `epochs` where these are enough.

    Each is one at least, so fewer than `layers + 1` epochs in all become `layers + 1`.

    Raises:
        ValueError: if the layers' shares leave nothing for the training end to end.
    """
    if not 0 < share * layers < 1:
        raise ValueError(f"`share` of each of {layers} layers must lie between 0 and 1/{layers}; got {share}.")
    each = max(1, round(share * epochs))
    return each, max(1, epochs - layers * each)


def pretrain_layers(run, encoder_units, epochs):
    """Trains each layer of an encoder as an autoencoder of one hidden layer.

    The first one is trained on the images, the next one on the codes of the one before, which no longer changes.

    Args:
        run: the `Run`, of a configuration of `stacked-autoencoder`.
        encoder_units: widths of the encoder's layers; the last one is the code.
        epochs: of each layer.

    Returns:
        `(layers, histories)`: the trained `ShallowAutoencoder`s, the outermost first, and what was logged of each.
    """
    config, data = run.config, run.data
    layers, histories = [], []
    train, validation = (scale(split.images).numpy() for split in (data.train, data.validation))
    for i, (wide, narrow) in enumerate(itertools.pairwise((data.pixels, *encoder_units)), 1):
        name = f"layer_{i}"
        run.set_random_seed(name)
        layer = ShallowAutoencoder(
            wide,
            narrow,
            activation=config.code_activation if i == len(encoder_units) else config.activation,
            output_activation="sigmoid" if i == 1 else config.activation,
        )
        batches = Batches(train, config.batch_size, run.seed, transform=pairs)
        optimizer = run.decaying_adam(config.pretraining_learning_rate, batches, epochs)
        layer.compile(optimizer, loss=losses.squared_error, **run.compile_options(batches))
        histories.append(run.fit(layer, batches, (validation, validation), name, epochs))
        layers.append(layer)
        train, validation = (layer.encode(rows).numpy() for rows in (train, validation))
    return layers, histories
