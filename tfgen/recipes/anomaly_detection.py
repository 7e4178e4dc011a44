"""Anomaly detection, a use of unlabelled data (A1): trained without one digit, does a network find that digit strange?

Each digit in turn is left out of the training of an autoencoder and of a VAE. Both scores, squared error and negative
ELBO, add up over pixels, so that an image of more ink scores higher. The sum of the pixels stands beside them as a
score of its own, which tells how much of the detection is no more than that; and the squared error divided by it, which
tells what is left without.

A mean over digits hides the digit that a score fails on, so the least area stands beside it. The validation images
choose between the scores: the squared error divided by the ink has the largest least area there, 0.69 with preset
quick, where that of the negative ELBO is 0.14, for the digit 1, which has the least ink.

Source: the lecture names the task; leaving one digit out is the customary protocol, and no paper reports numbers for
these two small networks.
Differs:
- Every training takes equally many batches an epoch, whatever the share of the digit that is left out.
- The widths and the score were chosen on the validation images by the area that they are measured by, for which the
  left-out digit's labels are needed.
- Adam's rate falls to 0 along a cosine.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, AutoencoderUnits, Count, Positive, Published, Recipe, WholeNumber, check_at_most


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """An autoencoder and a VAE for each digit left out of the training, whose test images they are to find strange.

    A code of 8 units has a larger mean area under the ROC curve on MNIST's validation images than one of 16; so has,
    for the digits 1, 4, 7 and 9, a VAE of 8 latents than one of 16 or a wider one of 2.

    Attributes:
        left_out: the classes, one a training; those that the dataset lacks are passed over.
        pictured: the one whose anomalies are drawn and whose autoencoder is exported.
        hidden_units: of the autoencoder; the middle one is the code.
        activation: of the hidden layers.
        code_activation: of the autoencoder's code.
        latent_dim: number of the VAE's latents.
        vae_hidden_units: of the VAE's encoder; the decoder mirrors it.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over each training.
    """

    left_out: tuple[WholeNumber, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    pictured: WholeNumber = 4
    hidden_units: AutoencoderUnits = (256, 8, 256)
    activation: Activation = "relu"
    code_activation: Activation = "linear"
    latent_dim: Count = 8
    vae_hidden_units: tuple[Count, ...] = (128,)
    batch_size: Count = 128
    learning_rate: Positive = 2e-3

    def __post_init__(self):
        super().__post_init__()
        self.check_distinct("left_out")
        if self.pictured not in self.left_out:
            raise InputError(f"pictured must be one of left_out {self.left_out}, got {self.pictured}")

    def check(self, data):
        import numpy as np

        super().check(data)
        left_out = [digit for digit in self.left_out if digit < data.classes]
        if not left_out:
            raise InputError(
                f"left_out must have one of the classes of {data.name}, 0 to {data.classes - 1}; got {self.left_out}"
            )
        train, validation, test = (
            np.bincount(split.labels, minlength=data.classes) for split in (data.train, data.validation, data.test)
        )
        for digit in left_out:
            others = f"the number of training images of {data.name} without class {digit}"
            check_at_most("batch_size", self.batch_size, len(data.train) - train[digit], others)
            if not 0 < test[digit] < len(data.test):
                raise InputError(
                    f"left_out has class {digit}, of which {data.name} has {test[digit]} among {len(data.test)} test "
                    "images; a ROC curve needs images of the class and others"
                )
        if validation.max() == len(data.validation):
            raise InputError(f"the validation images of {data.name} are of one class; without it none are left")


SCORES = {
    "squared_error": "autoencoder: squared error",
    "negative_elbo": "VAE: negative ELBO",
    "squared_error_per_ink": "autoencoder: squared error / sum of the pixels",
    "ink": "no model: sum of the pixels",
}
MODEL_SCORES = ("squared_error", "negative_elbo", "squared_error_per_ink")
_TONNAER = "Tonnaer's thesis, tables 3.3 and 3.4"
# Of each digit: with 2 latents, with 32.
_AREAS = (
    (0.96, 0.81),
    (0.73, 0.09),
    (0.97, 0.92),
    (0.94, 0.87),
    (0.73, 0.78),
    (0.92, 0.86),
    (0.95, 0.87),
    (0.77, 0.51),
    (0.92, 0.89),
    (0.66, 0.58),
)
RECIPE = Recipe(
    title="Anomaly detection: each digit left out of an autoencoder's and a VAE's training in turn, ROC curves",
    lecture_items=("A1",),
    headline=(
        "test_auc__squared_error_mean",
        "test_auc__negative_elbo_mean",
        "test_auc__ink_mean",
        "test_auc__squared_error_per_ink_mean",
        *(f"{split}_auc__{score}_least" for score in SCORES for split in ("validation", "test")),
        *(f"test_auc__{score}_without_{n}" for score in ("squared_error_per_ink", "negative_elbo") for n in range(10)),
    ),
    presets={
        "smoke": Config(epochs=1, left_out=(4, 1)),
        "quick": Config(epochs=3),
        "paper": Config(epochs=50),
    },
    published={
        f"test_auc__negative_elbo_without_{digit}": Published(
            latents_2, f"{_TONNAER}, 2 latents", (Published(latents_32, f"{_TONNAER}, 32 latents"),)
        )
        for digit, (latents_2, latents_32) in enumerate(_AREAS)
    },
    any_images=True,
)


def experiment(run):
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from tfgen import figures, losses
    from tfgen.data.batches import Batches, fixed_binarization, pairs, scale
    from tfgen.evaluation.elbo import negative_elbo
    from tfgen.models import autoencoder
    from tfgen.models.vae import VAE
    from tfgen.training.checkpoint import start_anew
    from tfgen.training.run import predict

    config, data = run.config, run.data
    train, validation = data.train, data.validation
    # Of each split that is scored: shades of grey for the autoencoder, binary pixels for the VAE, and the labels.
    splits = {
        "validation": (scale(validation.images).numpy(), fixed_binarization(validation.images, 1), validation.labels),
        "test": (scale(data.test.images).numpy(), fixed_binarization(data.test.images), data.test.labels),
    }
    left_out = [digit for digit in config.left_out if digit < data.classes]
    pictured = config.pictured if config.pictured in left_out else left_out[-1]
    if len(left_out) < len(config.left_out):
        print(f"{data.name} has {data.classes} classes: {left_out} are left out, {pictured} is drawn", flush=True)

    def autoencoder_network():
        return autoencoder.stacked_autoencoder(
            data.pixels, config.hidden_units, config.activation, config.code_activation
        )

    def vae_network():
        return VAE(data.pixels, config.latent_dim, config.vae_hidden_units, config.activation, seed=run.seed)

    # One compiled model of each kind for all trainings: compiling takes longer than a short one.
    model, vae, batches = autoencoder_network(), vae_network(), Batches(train.images, config.batch_size, run.seed)
    options = run.compile_options(batches)
    model.compile(run.decaying_adam(config.learning_rate, batches), loss=losses.squared_error, **options)
    vae.compile(run.decaying_adam(config.learning_rate, batches), **options)
    # Equally many for each digit, since another size of the last batch would be another compilation.
    held_out = len(validation) - np.bincount(validation.labels).max()

    scores = {split: {name: {} for name in SCORES} for split in splits}
    for digit in left_out:
        others = train.images[train.labels != digit]
        validation_images = validation.images[validation.labels != digit][:held_out]

        training = "model" if digit == pictured else f"autoencoder_without_{digit}"
        run.set_random_seed(training)
        start_anew(model, autoencoder_network().get_weights())
        x = scale(validation_images).numpy()
        batches = Batches(others, config.batch_size, run.seed, transform=pairs)
        history = run.fit(model, batches, (x, x), training)
        for split, (grey, _, _) in splits.items():
            error, ink = losses.squared_error(grey, predict(model, grey)).numpy(), grey.sum(axis=1)
            scores[split]["squared_error"][digit], scores[split]["ink"][digit] = error, ink
            # An empty image is the autoencoder's to judge: dividing by 1 leaves its score as it is.
            scores[split]["squared_error_per_ink"][digit] = error / np.maximum(ink, 1)
        if digit == pictured:
            panel = (f"Autoencoder without {digit}", "squared error", ["loss", "val_loss"])
            run.figure("training", figures.curves(history, [panel]))
            run.export(autoencoder.scoring_endpoints(model))
            run.keep_networks(autoencoder.parts(model), left_out=np.array([digit]))

        training = f"vae_without_{digit}"
        run.set_random_seed(training)
        start_anew(vae, vae_network().get_weights())
        batches = Batches(others, config.batch_size, run.seed, binarized=True)
        run.fit(vae, batches, fixed_binarization(validation_images, 1).numpy(), training)
        for split, (_, binary, _) in splits.items():
            scores[split]["negative_elbo"][digit] = negative_elbo(vae.negative_elbo_terms, binary, run.seed)

    areas = {
        split: {
            name: {
                digit: roc_auc_score(labels == digit, score)
                for digit, score in scores[split][name].items()
                if digit in labels
            }
            for name in SCORES
        }
        for split, (_, _, labels) in splits.items()
    }
    _record(run, areas)
    _draw(run, splits["test"][0], scores["test"], areas["test"], pictured)


def _record(run, areas):
    """Records the area of each digit left out of the test images, and of each split their mean and the least."""
    import numpy as np

    unit = "area under the ROC curve, 0.5 being chance"
    for split, of_split in areas.items():
        n = len(getattr(run.data, split))
        for name, of_digits in of_split.items():
            values = [*of_digits.values()]
            if split == "test":
                for digit, value in of_digits.items():
                    run.metric(f"test_auc__{name}_without_{digit}", value, unit, split, n)
            if values:  # Of own images the validation split may have none that was left out.
                run.metric(f"{split}_auc__{name}_mean", np.mean(values), unit, split, n)
                run.metric(f"{split}_auc__{name}_least", min(values), f"{unit}, least of the digits", split, n)


def _draw(run, test, scores, areas, pictured):
    """Draws the ROC curves, the areas under them, and the images that one left-out digit makes strange."""
    import numpy as np
    from sklearn.metrics import roc_curve

    from tfgen import figures

    labels = run.data.test.labels
    panels = {
        f"without {digit}": {
            f"{SCORES[name]}, mean AUC {np.mean([*areas[name].values()]):.3f}": roc_curve(
                labels == digit, scores[name][digit]
            )[:2]
            for name in MODEL_SCORES
        }
        for digit in areas["ink"]
    }
    run.figure("roc", figures.roc_curves(panels))
    bars = {
        f"without {digit}": {SCORES[name]: 100 * of_digits[digit] for name, of_digits in areas.items()}
        for digit in areas["ink"]
    }
    # The standard error of an AUC of chance, from the numbers of the digit's images and of the others.
    sizes = {digit: np.sum(labels == digit) for digit in areas["ink"]}
    noise = {digit: np.sqrt((len(labels) + 1) / (12 * n * (len(labels) - n))) for digit, n in sizes.items()}
    found = sum(area > 0.5 + 2 * noise[digit] for digit, area in areas["squared_error"].items())
    title = f"The squared error tells {found} of {len(bars)} left-out digits from the others better than chance"
    run.figure("auc", figures.grouped_bars(bars, title, "AUC (%), chance 50"))
    rows = {}
    columns = min(10, np.sum(labels == pictured))
    for name in MODEL_SCORES:
        order = np.argsort(scores[name][pictured])
        of_digit = order[labels[order] == pictured]
        score = SCORES[name]
        rows[f"{score}, highest"] = test[order[::-1][:columns]]
        rows[f"{score}, lowest"] = test[order[:columns]]
        rows[f"{score}, lowest {pictured}s"] = test[of_digit[:columns]]
    rows = {label: run.data.pictures(images) for label, images in rows.items()}
    title = f"Most and least anomalous test images, trained without {pictured}"
    run.figure("anomalies", figures.rows_of_images(rows, title))
