"""Encoder features for a classifier (A6): A5's decoder dropped, a softmax head on its encoder, few labels and all.

The encoder comes from an autoencoder that saw all training images and no label. Two of these: one learned to fill in
masked pixels, as A2 says that the network is trained to ignore noise, and one to reproduce plain images. Beside them
stand the same network from scratch and a linear model on pixels.

Source: the lecture gives the method and no number. Kingma et al. 2014, table 1, report M1+TSVM, whose encoder is a
VAE's and whose classifier, a transductive support vector machine, sees the unlabelled images as well: a number to look
up to, of another protocol. Their network on the labels alone (not verified) stands beside ours from scratch.
Differs:
- The encoder is pre-trained on images of which three pixels in four are hidden. Trained on plain images instead
  (`_plain`), its code is no easier to classify than the pixels, and few labels gain nothing.
- The masking rate and the classifiers' settings, those of the network from scratch and of the linear model too, were
  chosen with all validation labels: more than 100 labels allow.
- Adam's rate falls to 0 along a cosine in the pre-training. That of the classifiers follows one in steps of 200
  updates: it does not fall in 200 of them, and in 600 it is the whole, then three quarters, then one quarter.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, AutoencoderUnits, Count, Fraction, Positive, Published, Recipe, check_at_most


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """A5's encoder with a softmax head, pre-trained on all training images, for several numbers of labels.

    Chosen on MNIST's validation images: the masking rate among 0, 0.3, 0.5 and 0.75, the fewest errors being the
    last's; Adam's rate, up to 3e-3, and the number of updates, for the pre-trained network and the one from scratch
    alike; the penalties. With 100 labels both networks would do better with 1e-3, by less than half a percentage point.

    Attributes:
        epochs: of the pre-training.
        label_seeds: how often each number of labels is drawn and learned anew.
        all_labels_seeds: how often all labels are learned anew.
        hidden_units: widths of the autoencoder's hidden layers, as in A5; the middle one is the code.
        activation: of the hidden layers.
        code_activation: of the code.
        batch_size: images of an update of the pre-training.
        learning_rate: of the pre-training's Adam at the beginning; it falls to 0 along a cosine.
        masking_rate: probability that the pre-training hides a pixel; a second encoder is trained without hiding any.
        label_counts: numbers of labelled images, equally many of each digit; all labels are used besides.
        labelled_batch_size: of the supervised training, whose updates are counted in batches.
        updates: of the network, for each of `label_counts`.
        all_labels_updates: of the network, for all labels.
        labelled_learning_rate: of Adam, from the pre-trained and from random weights alike; falls along a cosine, one
            step each time that the greatest common divisor of all numbers of updates is done.
        frozen_c: inverse strength of the L2 penalty of the head on the frozen code, with which fine-tuning begins.
        linear_c: inverse strength of the L2 penalty of the linear model on pixels.
    """

    label_seeds: Count
    all_labels_seeds: Count
    hidden_units: AutoencoderUnits = (300, 150, 300)
    activation: Activation = "relu"
    code_activation: Activation = "linear"
    batch_size: Count = 128
    learning_rate: Positive = 1e-3
    masking_rate: Fraction = 0.75
    label_counts: tuple[Count, ...] = (100, 600, 1000, 3000)
    labelled_batch_size: Count = 100
    updates: tuple[Count, ...] = (200, 200, 200, 600)
    all_labels_updates: Count = 4000
    labelled_learning_rate: Positive = 3e-3
    frozen_c: Positive = 0.3
    linear_c: Positive = 0.01

    def __post_init__(self):
        super().__post_init__()
        self.check_distinct("label_counts")
        if len(self.updates) != len(self.label_counts):
            raise InputError(
                f"updates needs one number for each of label_counts {self.label_counts}, got {self.updates}"
            )

    def usable_counts(self, data):
        """Returns those of `label_counts` for which a dataset has enough training images of each class."""
        import numpy as np

        most = data.classes * np.bincount(data.train.labels, minlength=data.classes).min()
        return [count for count in self.label_counts if count <= most]

    def check(self, data):
        import numpy as np

        super().check(data)
        for count in self.label_counts:
            if count % data.classes:
                raise InputError(
                    f"label_counts must be multiples of {data.classes}, equally many of each class; got {count}"
                )
        of_class = np.bincount(data.train.labels, minlength=data.classes)
        if not of_class.all():
            raise InputError(f"{data.name} has no training image of class {of_class.argmin()}; each class needs one")
        least = min([*self.usable_counts(data), len(data.train)])
        check_at_most("labelled_batch_size", self.labelled_batch_size, least, "the least number of labels")


METHODS = {
    "finetuned": "fine-tuned",
    "frozen": "head on the frozen encoder",
    "finetuned_plain": "fine-tuned, encoder trained without noise",
    "frozen_plain": "head on the frozen encoder trained without noise",
    "scratch": "the same network from scratch",
    "linear": "linear model on pixels",
}
_KINGMA = "Kingma et al. 2014, table 1"
_M1_TSVM = f"{_KINGMA}, M1+TSVM: a VAE's 50 latents, a transductive support vector machine"
_NETWORK = f"{_KINGMA}, not verified, NN: a network on the labels alone"
_CAE = "the same table, not verified, CAE: contractive autoencoders, fine-tuned"
RECIPE = Recipe(
    title="The stacked autoencoder's encoder with a softmax head: few labels, pre-trained beside from scratch",
    lecture_items=("A6",),
    headline=(
        "test_error__100_labels_finetuned",
        "test_error__100_labels_frozen",
        "test_error__100_labels_scratch",
        "test_error__100_labels_linear",
        *(f"test_error__{n}_labels_{method}" for n in (600, 1000, 3000) for method in ("finetuned", "scratch")),
        "test_error__all_labels_finetuned",
        "test_error__all_labels_scratch",
    ),
    presets={
        "smoke": Config(
            epochs=1,
            label_seeds=2,
            all_labels_seeds=1,
            label_counts=(100, 600),
            updates=(20, 20),
            all_labels_updates=40,
        ),
        "quick": Config(epochs=15, label_seeds=10, all_labels_seeds=1),
        "paper": Config(epochs=100, label_seeds=20, all_labels_seeds=5),
    },
    published={
        "test_error__all_labels_finetuned": Published(
            0.0128, "Vincent et al. 2010, not verified, SDAE-3: three denoising layers"
        ),
        "test_error__100_labels_finetuned": Published(0.1182, _M1_TSVM, (Published(0.1347, _CAE),)),
        "test_error__600_labels_finetuned": Published(0.0572, _M1_TSVM, (Published(0.0630, _CAE),)),
        "test_error__1000_labels_finetuned": Published(0.0424, _M1_TSVM, (Published(0.0477, _CAE),)),
        "test_error__3000_labels_finetuned": Published(0.0349, _M1_TSVM, (Published(0.0322, _CAE),)),
        "test_error__100_labels_scratch": Published(0.2581, _NETWORK),
        "test_error__600_labels_scratch": Published(0.1144, _NETWORK),
        "test_error__1000_labels_scratch": Published(0.107, _NETWORK),
        "test_error__3000_labels_scratch": Published(0.0604, _NETWORK),
    },
)


def experiment(run):
    import numpy as np

    from tfgen.data.batches import scale
    from tfgen.models import classifier
    from tfgen.training.few_labels import balanced_subset, compile_classifier, fit_classifier, softmax_regression

    config, data = run.config, run.data
    labels, test_labels = data.train.labels, data.test.labels
    pixels, test_pixels = (scale(split.images).numpy() for split in (data.train, data.test))
    encoders = _pretrain(run, pixels, test_pixels)
    model = classifier.feature_classifier(
        data.pixels,
        data.classes,
        config.hidden_units[: len(config.hidden_units) // 2 + 1],
        config.activation,
        config.code_activation,
    )
    compile_classifier(run, model)

    counts = config.usable_counts(data)
    for count in sorted(set(config.label_counts) - set(counts)):
        print(f"leaving out {count:,} labels: {data.name} has too few training images of a digit", flush=True)
    updates = dict(zip(config.label_counts, config.updates, strict=True)) | {None: config.all_labels_updates}

    errors = {method: {} for method in METHODS}
    for count in (*counts, None):
        print(f"training the classifiers on {count or len(labels):,} labels", flush=True)
        for k in range(config.label_seeds if count else config.all_labels_seeds):
            # Labels, initial weights and the order of the batches: all of them functions of the run's seed and k.
            rng = np.random.default_rng([run.seed, k])
            chosen = np.arange(len(labels)) if count is None else balanced_subset(labels, data.classes, count, rng)
            seed = int(rng.integers(2**31))
            # All labels are one choice, of which only a training with batches makes several classifiers.
            first, logits = count is not None or k == 0, {}
            for suffix, (weights, codes, test_codes) in encoders.items():
                head = softmax_regression(codes[chosen], labels[chosen], config.frozen_c)
                if first:
                    logits[f"frozen{suffix}"] = test_codes @ head[0] + head[1]
                logits[f"finetuned{suffix}"] = fit_classifier(
                    run, model, chosen, updates[count], seed, [*weights, *head], test_pixels
                )
                if (suffix, count, k) == ("", None, 0):
                    run.export(classifier.endpoints(model))
                    run.keep_networks({"logits": model})
            logits["scratch"] = fit_classifier(run, model, chosen, updates[count], seed, None, test_pixels)
            if first:
                kernel, bias = softmax_regression(pixels[chosen], labels[chosen], config.linear_c)
                logits["linear"] = test_pixels @ kernel + bias
            for method, values in logits.items():
                errors[method].setdefault(count, []).append(np.mean(np.argmax(values, axis=1) != test_labels))

    for count in (*counts, None):
        for method, of_counts in errors.items():
            values = of_counts[count]
            name = f"test_error__{count or 'all'}_labels_{method}"
            unit = f"share misclassified, mean over label seeds: {len(values)}"
            std = np.std(values, ddof=1) if len(values) > 1 else None
            run.metric(name, np.mean(values), unit, "test", len(data.test), std)
    _draw_errors(run, errors, counts)


def _draw_errors(run, errors, counts):
    """Draws the test errors of each method by the number of labels, None being all, with bars of a deviation."""
    import numpy as np

    from tfgen import figures

    config = run.config
    series = {
        METHODS[method]: (
            [100 * np.mean(values) for values in of_counts.values()],
            [100 * np.std(values, ddof=1) if len(values) > 1 else np.nan for values in of_counts.values()],
        )
        for method, of_counts in errors.items()
    }
    title = "Errors of a classifier with few labels and with all"
    if counts and config.label_seeds > 1:
        # Both begin with the same choice of labels, so that their difference in each choice counts.
        saved = 100 * np.subtract(errors["scratch"][counts[0]], errors["finetuned"][counts[0]])
        saves, costs = (f"Pre-training {verb} {{:.1f}} points at {counts[0]:,} labels" for verb in ("saves", "costs"))
        title = figures.finding(np.mean(saved), np.std(saved, ddof=1), saves, costs, title)
    seeds = config.all_labels_seeds
    title += f"\nmean ± standard deviation over {config.label_seeds} choices of labels"
    title += f"\nof all labels, over {seeds} trainings" if seeds > 1 else "\nof all labels, one training"
    run.figure(
        "test_errors",
        figures.errors_by_count(series, [*counts, len(run.data.train)], title, "test images misclassified (%)"),
    )


def _pretrain(run, pixels, test_pixels):
    """Returns, from a suffix of the method's name, `(encoder's weights, codes, codes of the test images)`."""
    import functools

    from tfgen import figures, losses
    from tfgen.data.batches import Batches, corrupted, scale
    from tfgen.data.corruption import masking_noise
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.models.autoencoder import stacked_autoencoder
    from tfgen.training.checkpoint import start_anew
    from tfgen.training.run import predict

    config, data = run.config, run.data
    validation = scale(data.validation.images).numpy()

    def network():
        return stacked_autoencoder(data.pixels, config.hidden_units, config.activation, config.code_activation)

    batches = Batches(data.train.images, config.batch_size, run.seed)
    model = network()
    model.compile(
        run.decaying_adam(config.learning_rate, batches), loss=losses.squared_error, **run.compile_options(batches)
    )
    encoders, validation_error = {}, {}
    for suffix, rate in (("", config.masking_rate), ("_plain", 0.0)):
        training = suffix.strip("_") or "model"
        run.set_random_seed(training)
        start_anew(model, network().get_weights())
        mask = functools.partial(masking_noise, rate=rate)
        masked = mask(validation, seed=stateless_seed(0, Draw.FIXED_CORRUPTION, 1))
        history = run.fit(model, batches.map(corrupted(mask, run.seed)), (masked, validation), training)
        encoder = model.get_layer("encoder")
        encoders[suffix] = (encoder.get_weights(), predict(encoder, pixels), predict(encoder, test_pixels))
        validation_error[f"{100 * rate:g} % of the input masked"] = history["val_loss"]
    panel = ("Autoencoders: squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))
    return encoders
