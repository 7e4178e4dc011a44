"""Few labels and the VAE family (A6, B3, B4): unlabelled images help where one model explains images and labels.

With the same labelled images, ten choices of them, three methods: a support vector machine on the latents of a VAE
that saw all training images and no label (M1+SVM); a VAE whose encoder and decoder know the label, which is summed over
where it is hidden (M2); and this second model on the latents of the first (M1+M2).

Source: Kingma et al. 2014, "Semi-supervised learning with deep generative models", table 1, and the authors' code for
M1+M2 (dpkingma/nips14-ssl, learn_yz_x_ss.py), which was read.
Differs:
- The support vector machine sees the labelled images alone; theirs is transductive.
- Encoder and decoder of M2 have weights of their own for each label, and so fewer units; theirs have one network of 500
  units, to which the label is another input. Ours learn in fewer and cheaper updates on M1's latents. z means something
  else for each label, so there are no analogies as in their figure 1b.
- In U(x) of M1+M2 the weight of the entropy of q(y|x) begins at 4 and falls to 1, and in all bounds of M2 that of the
  KL divergence rises from 0 to 1. Without the first, q(y|x) is sure before the model is right; without the second, z
  is not used.
- The weight alpha of the classifier's own loss is 1 for M1+M2 and 10 for M2 instead of 0.1, and there is no prior on
  the weights.
- One draw of noise serves all labels of an image, where theirs draw one for each.
- M1 has 600-600 tanh units (the authors' code: 500-500 softplus): with softplus only 11 of the 50 latents were used.
- A fixed number of M1's latents is kept, those whose posterior means vary most; the code keeps those whose standard
  deviation is above 0.1.
- Adam's rate falls to 0 along a cosine. There are far fewer epochs: 30 of M1+M2, where the authors' code takes 3,000,
  and no more than 2 of M2, which is far from trained to the end.
- The images with labels are among those without as well.
- All settings were chosen with the labels of all validation images: more than 100 labels allow.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError
from tfgen.recipe import Activation, Count, NonNegative, Positive, Published, Recipe, WholeNumber, check_at_most


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """Kingma et al.'s models M1, M2 and M1+M2.

    Chosen on MNIST's validation images, with one or two choices of 100 labels: for M1+M2 the sizes and rates, alpha
    among 0.1, 1 and 5, the temperature among 1, 4 and 10, and how long it falls; for M2 alpha and whether it falls.

    Attributes:
        epochs: of M1.
        m2_epochs: of M2, for each choice of labels.
        m1_m2_epochs: of M2 on M1's latents, for each choice of labels.
        label_counts: numbers of labelled images, equally many of each digit.
        label_seeds: how often each number of labels is drawn and learned anew.
        m1_latent_dim: number of M1's latents.
        m1_hidden_units: widths of the hidden layers of M1's encoder; the decoder mirrors them.
        m1_activation: of M1's hidden layers.
        m1_batch_size: images of an update of M1.
        m1_learning_rate: of M1's Adam at the beginning; it falls to 0 along a cosine, as the others do.
        svm_c: the support vector machine's C, the inverse strength of its penalty.
        used_latents: of M1, those whose posterior means vary most: what the machine and M1+M2 are given.
        latent_dim: number of M2's latents.
        m2_hidden_units: widths of the hidden layers of M2's encoder on pixels, a network for each class; the decoder
            mirrors them.
        m1_m2_hidden_units: the same, on M1's latents.
        m2_classifier_units: widths of the hidden layers of M2's classifier on pixels.
        m1_m2_classifier_units: the same, on M1's latents.
        activation: of M2's hidden layers.
        m2_alpha, m1_m2_alpha: weight of the classifier's own loss on the labelled images.
        m2_warm_up, m1_m2_warm_up: updates over which the weight of the KL divergence rises from 0 to 1.
        temperature: weight of the classifier's entropy in M2's loss at the beginning.
        m2_annealing, m1_m2_annealing: updates over which it falls to 1, on pixels and on M1's latents.
        batch_size: unlabelled images of an update of M1+M2.
        m2_batch_size: of M2.
        labelled_batch_size: labelled images of an update of M2.
        m2_learning_rate: of Adam at the beginning, on pixels.
        m1_m2_learning_rate: of Adam at the beginning, on M1's latents.
    """

    m2_epochs: Count
    m1_m2_epochs: Count
    label_seeds: Count
    label_counts: tuple[Count, ...] = (100,)
    m1_latent_dim: Count = 50
    m1_hidden_units: tuple[Count, ...] = (600, 600)
    m1_activation: Activation = "tanh"
    m1_batch_size: Count = 200
    m1_learning_rate: Positive = 1.5e-3
    svm_c: Positive = 10.0
    used_latents: Count = 25
    latent_dim: Count = 15
    m2_hidden_units: tuple[Count, ...] = (32,)
    m1_m2_hidden_units: tuple[Count, ...] = (40,)
    m2_classifier_units: tuple[Count, ...] = (128,)
    m1_m2_classifier_units: tuple[Count, ...] = (128,)
    activation: Activation = "softplus"
    m2_alpha: NonNegative = 10.0
    m1_m2_alpha: NonNegative = 1.0
    m2_warm_up: WholeNumber = 200
    m1_m2_warm_up: WholeNumber = 500
    temperature: Positive = 4.0
    m2_annealing: WholeNumber = 0
    m1_m2_annealing: WholeNumber = 12_000
    batch_size: Count = 50
    m2_batch_size: Count = 100
    labelled_batch_size: Count = 10
    m2_learning_rate: Positive = 3e-3
    m1_m2_learning_rate: Positive = 4e-3

    def __post_init__(self):
        super().__post_init__()
        self.check_distinct("label_counts")
        check_at_most("used_latents", self.used_latents, self.m1_latent_dim, "m1_latent_dim")

    def check(self, data):
        import numpy as np

        super().check(data)
        images = f"the number of training images of {data.name}"
        check_at_most("m1_batch_size", self.m1_batch_size, len(data.train), images)
        check_at_most("m2_batch_size", self.m2_batch_size, len(data.train), images)
        check_at_most("labelled_batch_size", self.labelled_batch_size, min(self.label_counts), "the fewest labels")
        most = data.classes * np.bincount(data.train.labels, minlength=data.classes).min()
        for count in self.label_counts:
            if count % data.classes:
                raise InputError(
                    f"label_counts must be multiples of {data.classes}, equally many of each class; got {count}"
                )
            check_at_most("label_counts", count, most, f"{data.classes} times the rarest class of {data.name}")


METHODS = {
    "m1_svm": "M1+SVM: support vector machine on a VAE's latents",
    "m2": "M2: on pixels",
    "m1_m2": "M1+M2: on the VAE's latents",
}
_KINGMA = "Kingma et al. 2014, table 1"
RECIPE = Recipe(
    title="Semi-supervised VAE: M1 with a support vector machine, M2 and M1+M2, from 100 labels",
    lecture_items=("A6", "B3", "B4"),
    headline=tuple(f"test_error__100_labels_{method}" for method in METHODS),
    presets={
        "smoke": Config(
            epochs=1,
            m2_epochs=1,
            m1_m2_epochs=1,
            label_seeds=2,
            m1_hidden_units=(64,),
            m1_latent_dim=10,
            used_latents=8,
            m1_batch_size=50,
            m2_hidden_units=(16,),
            m1_m2_hidden_units=(16,),
            m2_classifier_units=(16,),
            m1_m2_classifier_units=(64,),
            latent_dim=4,
            m2_warm_up=20,
            m1_m2_warm_up=20,
            m1_m2_alpha=30.0,
            temperature=10.0,
            m1_m2_annealing=1000,
            m2_batch_size=50,
            m2_learning_rate=5e-3,
            m1_m2_learning_rate=1e-2,
        ),
        "paper": Config(epochs=30, m2_epochs=2, m1_m2_epochs=30, label_seeds=10),
    },
    published={
        **{
            f"test_error__{count}_labels_m1_svm": Published(
                error, f"{_KINGMA}, M1+TSVM: a transductive machine, which sees the unlabelled images as well"
            )
            for count, error in ((100, 0.1182), (600, 0.0572), (1000, 0.0424), (3000, 0.0349))
        },
        **{
            f"test_error__{count}_labels_{method}": Published(error, f"{_KINGMA}, not verified, {name}")
            for method, name, errors in (
                ("m2", "M2", (0.1197, 0.0494, 0.0360, 0.0392)),
                ("m1_m2", "M1+M2", (0.0333, 0.0259, 0.0240, 0.0218)),
            )
            for count, error in zip((100, 600, 1000, 3000), errors, strict=True)
        },
    },
    splits_batches=False,
)


def experiment(run):
    import numpy as np
    from sklearn.svm import SVC
    from threadpoolctl import threadpool_limits

    from tfgen import figures
    from tfgen.data.batches import Batches, Redrawn, fixed_binarization, scale
    from tfgen.models import semi_supervised
    from tfgen.training.few_labels import balanced_subset
    from tfgen.training.run import predict
    from tfgen.training.vae import measure_elbo

    config, data = run.config, run.data
    train, judged = data.train, {"validation": data.validation, "test": data.test}
    binary = {
        name: fixed_binarization(split.images, 1 if name == "validation" else 0).numpy()
        for name, split in judged.items()
    }
    vae = _train_m1(run, binary["validation"])
    measure_elbo(run, vae, binary["test"], "nats per image binarised once, of M1")
    # Of the images as they are, not binarised: each has one mean and one variance.
    mean, log_var = predict(vae.encoder, scale(train.images).numpy())
    used = np.sort(np.argsort(-np.var(mean, axis=0))[: config.used_latents])
    mean, log_var = mean[:, used], log_var[:, used]
    latents = {name: predict(vae.encoder, scale(split.images).numpy())[0][:, used] for name, split in judged.items()}

    sizes = (data.classes, config.latent_dim)
    rest = {
        "activation": config.activation,
        "temperature": config.temperature,
        "seed": run.seed,
    }

    def m2(share):
        units = (config.m2_hidden_units, config.m2_classifier_units)
        weights = {"alpha": config.m2_alpha, "labelled_share": share}
        schedule = {"warm_up": config.m2_warm_up, "annealing": config.m2_annealing}
        return semi_supervised.SemiSupervisedVAE(data.pixels, *sizes, *units, **weights, **schedule, **rest)

    def m1_m2(share):
        units = (config.m1_m2_hidden_units, config.m1_m2_classifier_units)
        weights = {"alpha": config.m1_m2_alpha, "labelled_share": share}
        schedule = {"warm_up": config.m1_m2_warm_up, "annealing": config.m1_m2_annealing}
        return semi_supervised.GaussianSemiSupervisedVAE(len(used), *sizes, *units, **weights, **schedule, **rest)

    # Binarised anew in each batch, and drawn anew from M1's q(z|x) in each batch.
    pixels = Batches(train.images, config.m2_batch_size, run.seed, binarized=True)
    rows = np.concatenate([mean, log_var], axis=1)
    drawn = Batches(rows, config.batch_size, run.seed, transform=Redrawn(run.seed))

    errors = {split: {method: {} for method in METHODS} for split in judged}
    validation_error = {}
    for count in config.label_counts:
        choices = []
        for k in range(config.label_seeds):
            rng = np.random.default_rng([run.seed, k])
            choices.append((balanced_subset(train.labels, data.classes, count, rng), int(rng.integers(2**31))))

        def judge(method, predicted, count=count):
            for name, split in judged.items():
                errors[name][method].setdefault(count, []).append(np.mean(predicted[name] != split.labels))

        for chosen, _ in choices:
            with threadpool_limits(1):
                machine = SVC(C=config.svm_c).fit(mean[chosen], train.labels[chosen])
                judge("m1_svm", {name: machine.predict(z_mean) for name, z_mean in latents.items()})
        for method, network, batches, inputs, epochs, rate in (
            ("m1_m2", m1_m2, drawn, latents, config.m1_m2_epochs, config.m1_m2_learning_rate),
            ("m2", m2, pixels, binary, config.m2_epochs, config.m2_learning_rate),
        ):
            print(f"training {METHODS[method]}, {count:,} labels", flush=True)
            histories = []
            for model, history in _trainings(run, f"{method}_{count}", network, batches, inputs, choices, epochs, rate):
                histories.append(history["val_error"])
                judge(method, {name: np.argmax(predict(model.classifier, x), axis=1) for name, x in inputs.items()})
                if (method, count, len(histories)) == ("m1_m2", config.label_counts[0], 1):
                    run.export(semi_supervised.endpoints(vae, used, model))
                    _draw_samples(run, vae, used, model)
            validation_error[f"{METHODS[method]}, {count:,} labels"] = 100 * np.mean(histories, axis=0)

    for split, methods in errors.items():
        for method, of_counts in methods.items():
            for count, values in of_counts.items():
                unit = f"share misclassified, mean over label seeds: {len(values)}"
                std = np.std(values, ddof=1) if len(values) > 1 else None
                name = f"{split}_error__{count}_labels_{method}"
                run.metric(name, np.mean(values), unit, split, len(judged[split]), std)
    panel = ("Errors of validation images, mean over label seeds", "%", list(validation_error))
    run.figure("validation_errors", figures.curves(validation_error, [panel]))
    _draw_errors(run, errors["test"])


def _train_m1(run, validation):
    """Returns M1, a VAE trained on all training images without labels."""
    from tfgen.data.batches import Batches
    from tfgen.models.vae import VAE
    from tfgen.training.vae import draw_training

    config, data = run.config, run.data
    run.set_random_seed()
    vae = VAE(data.pixels, config.m1_latent_dim, config.m1_hidden_units, config.m1_activation, seed=run.seed)
    batches = Batches(data.train.images, config.m1_batch_size, run.seed, binarized=True)
    vae.compile(run.decaying_adam(config.m1_learning_rate, batches), **run.compile_options(batches))
    draw_training(run, run.fit(vae, batches, validation))
    return vae


def _trainings(run, name, network, unlabelled, inputs, choices, epochs, learning_rate):
    """Trains a model once for each choice of labels and yields it with its history: one model, compiled once."""
    from tfgen.data.batches import Batches, PartlyLabelledBatches
    from tfgen.training.checkpoint import start_anew

    train, validation = run.data.train, run.data.validation
    share = len(choices[0][0]) / len(train)
    model = network(share)
    model.compile(run.decaying_adam(learning_rate, unlabelled, epochs), **run.compile_options(unlabelled))
    for k, (chosen, seed) in enumerate(choices):
        training = f"{name}_labels_{k}"
        run.set_random_seed(training)
        start_anew(model, network(share).get_weights())
        images, size = unlabelled.images[chosen], run.config.labelled_batch_size
        labelled = Batches(images, size, seed, labels=train.labels[chosen])
        batches = PartlyLabelledBatches(unlabelled, labelled)
        yield model, run.fit(model, batches, (inputs["validation"], validation.labels), training, epochs)


def _draw_samples(run, vae, used, model):
    """Draws ten images of each class: z of M2 from its prior, decoded to M1's latents and these to pixels."""
    import numpy as np

    from tfgen import figures
    from tfgen.distributions import Draw, stateless_normal, stateless_seed

    config, data = run.config, run.data
    z = stateless_normal((10, data.classes, config.latent_dim), stateless_seed(run.seed, Draw.SAMPLE))
    decoded = np.swapaxes(model.decode(z), 0, 1).reshape(-1, len(used))
    # What M2 is not given hardly depends on the image: its mean is near that of the prior.
    latents = np.zeros((len(decoded), config.m1_latent_dim), np.float32)
    latents[:, used] = decoded
    title = "M1+M2: each row of one label y, z from the prior"
    run.figure("samples", figures.image_grid(data.pictures(vae.decode(latents)), 10, title))


def _draw_errors(run, errors):
    """Draws the test errors of each method by the number of labels, with bars of a standard deviation."""
    import numpy as np

    from tfgen import figures

    config = run.config
    several = config.label_seeds > 1
    series = {
        METHODS[method]: (
            [100 * np.mean(values) for values in of_counts.values()],
            [100 * np.std(values, ddof=1) if several else np.nan for values in of_counts.values()],
        )
        for method, of_counts in errors.items()
    }
    title = "Errors by the number of labels"
    if several:
        fewest = config.label_counts[0]
        saved = 100 * np.subtract(errors["m1_svm"][fewest], errors["m1_m2"][fewest])
        title = figures.finding(
            np.mean(saved),
            np.std(saved, ddof=1),
            f"M1+M2 errs {{:.1f}} points less than M1 with an SVM at {fewest:,} labels",
            f"M1+M2 errs {{:.1f}} points more than M1 with an SVM at {fewest:,} labels",
            title,
        )
    title += f"\nmean ± standard deviation over {config.label_seeds} choices of labels"
    unit = "test images misclassified (%)"
    run.figure("test_errors", figures.errors_by_count(series, config.label_counts, title, unit))
