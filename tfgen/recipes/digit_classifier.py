"""A small convolutional classifier (A1, supervised learning), whose features and verdicts measure generated images.

Source: a network of the usual kind; no paper's number belongs to it.
Differs:
- Training images are moved by up to two pixels, at random; Adam's rate falls to 0 along a cosine.
- Frechet distance, precision and recall are measured on its features, not on those of an Inception network: they
  compare rows of one preset, whose classifier is the same, and nothing else. Its verdict must call every image a digit,
  noise as well: look at the samples beside the shares.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Count, Positive, Precision, Recipe, WholeNumber, check_at_most


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Convolutions of 3x3, each followed by the maximum of every 2x2, then a layer of features.

    Attributes:
        filters: of each convolution.
        units: width of the layer of features.
        shift: training images are moved by up to as many pixels, at random.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over the whole training.
        precision: Keras dtype policy of the training; evaluated and exported in float32.
    """

    filters: tuple[Count, ...] = (32, 64)
    units: Count = 128
    shift: WholeNumber = 2
    batch_size: Count = 128
    learning_rate: Positive = 2e-3
    precision: Precision = "float32"

    def check(self, data):
        super().check(data)
        side = min(data.image_shape)
        check_at_most("shift", self.shift, side, f"the shorter side of an image of {data.name}")
        if side < 2 ** len(self.filters):
            raise InputError(
                f"filters must have at most {side.bit_length() - 1} entries, since each halves images of "
                f"{data.image_shape[0]}x{data.image_shape[1]}; got {self.filters}"
            )


RECIPE = Recipe(
    title="Convolutional classifier of the digits, whose features and verdicts measure generated images",
    lecture_items=("A1",),
    headline=("test_error",),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=4), "paper": Config(epochs=20)},
    any_images=True,
)


def experiment(run):
    import keras
    import numpy as np

    from tfgen import figures
    from tfgen.data.batches import Batches, scale
    from tfgen.data.corruption import random_shift
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.models import classifier
    from tfgen.models.networks import in_float32
    from tfgen.training.run import predict

    config, data = run.config, run.data

    def network(dtype):
        return classifier.convolutional_classifier(data.image_shape, data.classes, config.filters, config.units, dtype)

    def shifted(step, images, labels):
        return random_shift(images, data.image_shape, config.shift, stateless_seed(run.seed, Draw.SHIFT, step)), labels

    run.set_random_seed()
    model = network(config.precision)
    batches = Batches(data.train.images, config.batch_size, run.seed, labels=data.train.labels, transform=shifted)
    model.compile(
        run.decaying_adam(config.learning_rate, batches),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **run.compile_options(batches, config.precision, convolutions=True),
    )
    history = run.fit(model, batches, (scale(data.validation.images).numpy(), data.validation.labels))
    model = in_float32(network, model)

    test = scale(data.test.images).numpy()
    wrong = np.argmax(predict(model, test), axis=1) != data.test.labels
    run.metric("test_error", wrong.mean(), "share misclassified", "test", len(test))
    panels = [
        ("Cross-entropy", "nats per image", ["loss", "val_loss"]),
        ("Accuracy", "share of images", ["accuracy", "val_accuracy"]),
    ]
    run.figure("training", figures.curves(history, panels))
    if wrong.any():
        title = f"The classifier errs on {wrong.sum()} of {len(test):,} test images"
        run.figure("mistakes", figures.image_grid(data.pictures(test[wrong][:40]), 10, title))
    run.export(classifier.endpoints(model, ("features", "features", "features")))
