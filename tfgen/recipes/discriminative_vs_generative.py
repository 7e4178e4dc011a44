"""Discriminative and generative models (C1-C4): on the lecture's worked example, in the plane, and on MNIST.

The joint and the conditional table of the example, exactly; on the same points, boundaries that only separate and one
that follows from how the points came about; C2's models on pixels and on the code of A5's autoencoder, which sees all
training images and no label; samples of the generative ones. The VAE's and the GAN's samples join them where runs of
the same preset are finished beside this one.

Source: the lecture names the models and no settings; they are scikit-learn's, and the Markov chain is tfgen's. No paper
reports their errors under this protocol.
Differs:
- All of the models learn from the same 10,000 training images, which keeps the support vector machine quick.
- On pixels, naive Bayes is Bernoulli (a pixel is on above 1/2), on the code Gaussian. The mixtures are four Gaussians
  of full covariance a class, on 50 principal components. The Markov chain has transitions of its own at each pixel, and
  no meaning on a code.
"""

import dataclasses

from tfgen import recipe
from tfgen.errors import InputError, RunError
from tfgen.recipe import Activation, AutoencoderUnits, Count, NonNegative, Positive, Recipe, check_at_most


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """C2's models, all on the same labelled images, and the autoencoder of A5, trained on all without their labels.

    The classifiers' settings were compared on MNIST's validation images, never on test, two to four values each:
    maximum entropy, the support vector machine and the mixtures have the best on pixels, the rest customary values
    at most half a percentage point above it.

    Attributes:
        num_train: number of labelled training images, or all where the set has fewer.
        hidden_units: widths of the autoencoder's hidden layers, as in A5; the middle one is the code.
        activation: of the hidden layers.
        code_activation: of the code.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over the whole training.
        neighbors: of k nearest neighbours.
        tree_leaf: least number of training images in a leaf of the decision tree.
        maximum_entropy_c: inverse strength of its regularisation.
        svm_c: inverse strength of its regularisation; the support vector machine has an RBF kernel.
        mixture_components: Gaussians of full covariance a class.
        mixture_pca: number of principal components that the mixtures see.
        mixture_floor: added to every variance of the mixtures.
        smoothing: pseudo-count of the Bernoulli naive Bayes and of the Markov chain.
    """

    num_train: Count
    hidden_units: AutoencoderUnits = (300, 150, 300)
    activation: Activation = "relu"
    code_activation: Activation = "linear"
    batch_size: Count = 128
    learning_rate: Positive = 1e-3
    neighbors: Count = 3
    tree_leaf: Count = 3
    maximum_entropy_c: Positive = 0.1
    svm_c: Positive = 10.0
    mixture_components: Count = 4
    mixture_pca: Count = 50
    mixture_floor: NonNegative = 0.1
    smoothing: Positive = 1.0

    def check(self, data):
        import numpy as np

        super().check(data)
        labels = data.train.labels[: self.num_train]
        labelled = f"the number of labelled training images of {data.name}"
        check_at_most("neighbors", self.neighbors, len(labels), labelled)
        check_at_most("mixture_pca", self.mixture_pca, min(len(labels), data.pixels), f"{labelled}, or of its pixels")
        # The mixtures see codes too.
        width = self.hidden_units[len(self.hidden_units) // 2]
        check_at_most(
            "mixture_pca", self.mixture_pca, width, f"the width of the code in hidden_units {self.hidden_units}"
        )
        # A Gaussian needs two points at least.
        of_class, least = np.bincount(labels, minlength=data.classes), max(self.mixture_components, 2)
        if of_class.min() < least:
            raise InputError(
                f"num_train {self.num_train} leaves class {of_class.argmin()} of {data.name} {of_class.min()} training "
                f"images; {self.mixture_components} mixture_components need at least {least} of each class"
            )


WORKED_EXAMPLE = ((1, 0), (1, 0), (2, 0), (2, 1))
MODELS = {
    "knn": "k nearest neighbours",
    "decision_tree": "decision tree",
    "maximum_entropy": "maximum entropy",
    "svm": "support vector machine",
    "naive_bayes": "naive Bayes",
    "gaussian_mixture": "Gaussian mixtures",
    "markov_chain": "Markov chains",
}
RECIPE = Recipe(
    title="Discriminative and generative classifiers: boundaries, tables, errors on pixels and codes, samples",
    lecture_items=("C1", "C2", "C3", "C4"),
    headline=("test_error__knn", "test_error__svm", "test_error__naive_bayes", "test_error__gaussian_mixture"),
    presets={
        "smoke": Config(epochs=1, num_train=1_000),
        "quick": Config(epochs=10, num_train=10_000),
        "paper": Config(epochs=40, num_train=50_000),
    },
)


def experiment(run):
    import numpy as np
    from threadpoolctl import threadpool_limits

    from tfgen import figures, losses
    from tfgen.data.batches import Batches, pairs, scale
    from tfgen.models import autoencoder, classical
    from tfgen.training.autoencoder import measure_squared_error
    from tfgen.training.run import predict

    config, data = run.config, run.data
    _draw_worked_example(run)
    _draw_boundaries(run)

    run.set_random_seed()
    model = autoencoder.stacked_autoencoder(data.pixels, config.hidden_units, config.activation, config.code_activation)
    batches = Batches(data.train.images, config.batch_size, run.seed, transform=pairs)
    model.compile(
        run.decaying_adam(config.learning_rate, batches), loss=losses.squared_error, **run.compile_options(batches)
    )
    validation = scale(data.validation.images).numpy()
    history = run.fit(model, batches, (validation, validation))
    labels, test_labels = data.train.labels[: config.num_train], data.test.labels
    pixels, test_pixels = (
        scale(images).numpy() for images in (data.train.images[: config.num_train], data.test.images)
    )
    code, test_code = (predict(model.get_layer("encoder"), x) for x in (pixels, test_pixels))
    measure_squared_error(run, "test_squared_error", model, test_pixels, test_pixels)

    samples, errors = {}, {name: {} for name in MODELS}
    # The matrices are small: where other programs keep the cores busy, threads make the mixtures 100 times slower.
    with threadpool_limits(1):
        for on, train, test in (("pixels", pixels, test_pixels), ("code", code, test_code)):
            print(f"training the classifiers on {len(labels):,} images: {on}", flush=True)
            for name, classifier in classical.scikit_learn_classifiers(config, on == "pixels", run.seed).items():

                def measure(classifier=classifier, train=train, test=test):
                    return {"error": float(np.mean(classifier.fit(train, labels).predict(test) != test_labels))}

                if on == "code":
                    errors[name][on] = measure()["error"]
                    continue
                settings = {**classifier.get_params(), "num_train": len(labels)}
                seed = settings.pop("random_state", None)
                errors[name][on] = run.baseline(f"{name}_on_pixels", measure, seed, **settings)["error"]
                if name == "naive_bayes":
                    rng = np.random.default_rng([run.seed, 0])
                    samples[name] = classical.sample_naive_bayes(classifier.fit(train, labels), rng)
            try:
                classify, mixture_samples = classical.gaussian_mixtures(config, train, labels, run.seed)
            except ValueError as error:  # scikit-learn's, of covariances that are not positive definite.
                raise RunError(
                    f"the mixtures cannot be fitted on {on}: set a larger mixture_floor, now {config.mixture_floor:g}, "
                    f"or fewer mixture_components, now {config.mixture_components}"
                ) from error
            errors["gaussian_mixture"][on] = np.mean(classify(test) != test_labels)
            if on == "pixels":
                samples["gaussian_mixture"] = np.clip(mixture_samples, 0, 1)
    classify, samples["markov_chain"] = classical.markov_chains(
        config, pixels > 0.5, labels, np.random.default_rng([run.seed, 1])
    )
    errors["markov_chain"]["pixels"] = np.mean(classify(test_pixels > 0.5) != test_labels)

    unit = f"share misclassified, {len(labels):,} training images"
    for on, suffix in (("pixels", ""), ("code", "_code")):
        for name in MODELS:
            if on in errors[name]:
                run.metric(f"test_error__{name}{suffix}", errors[name][on], unit, "test", len(data.test))

    width = config.hidden_units[len(config.hidden_units) // 2]
    inputs = {"pixels": f"{data.pixels} pixels", "code": f"{width}-unit code"}
    bars = {
        MODELS[name]: {inputs[on]: 100 * error for on, error in of_inputs.items()} for name, of_inputs in errors.items()
    }
    generative = ("naive_bayes", "gaussian_mixture", "markov_chain")
    best = [
        min(error["pixels"] for name, error in errors.items() if (name in generative) == kind) for kind in (False, True)
    ]
    finding = figures.finding(
        100 * (best[0] - best[1]),
        100 * figures.noise_of_shares(best, len(data.test)),
        "The best generative model errs {:.1f} points less than the best discriminative one",
        "The best generative model errs {:.1f} points more than the best discriminative one",
        "Four discriminative and three generative models",
    )
    title = f"{finding}\n{len(labels):,} training images"
    run.figure("test_errors", figures.grouped_bars(bars, title, "test images misclassified (%)"))
    rows = {MODELS[name]: images for name, images in samples.items()}
    rows |= {f"{name.upper()} (any class)": images for name, images in _samples_of_other_runs(run).items()}
    rows = {label: data.pictures(images) for label, images in rows.items()}
    title = f"Samples of generative models trained on {data.name}; a class a column"
    run.figure("samples", figures.rows_of_images(rows, title))
    run.figure("training", figures.curves(history, [("Autoencoder", "squared error", ["loss", "val_loss"])]))
    run.export(autoencoder.endpoints(model))


def _draw_worked_example(run):
    """C4: p(x, y) and p(y|x) of the lecture's four observations."""
    from tfgen import figures
    from tfgen.joint import conditional, joint

    p_xy = joint(WORKED_EXAMPLE)
    tables = [("joint p(x, y)", p_xy), ("conditional p(y|x) = p(x, y) / p(x)", conditional(p_xy))]
    observations = ", ".join(f"({x}, {y})" for x, y in WORKED_EXAMPLE)
    run.figure("worked_example", figures.probability_tables(tables, f"Observations (x, y): {observations}"))


def _draw_boundaries(run):
    """C3: on the same points, boundaries that only separate, and one that follows from how the points came about."""
    import numpy as np

    from tfgen import figures
    from tfgen.models import classical

    points, classes = classical.two_gaussians(150, np.random.default_rng([run.seed, 2]))
    grid = tuple(np.linspace(points[:, i].min() - 1, points[:, i].max() + 1, 200) for i in range(2))
    scores, densities = classical.decision_surfaces(points, classes, np.stack(np.meshgrid(*grid), axis=-1))
    run.figure("decision_boundaries", figures.decision_boundaries(points, classes, grid, scores, densities))


def _samples_of_other_runs(run):
    """Returns ten images of the VAE and of the GAN, where runs of the same preset are finished beside this one."""
    import json

    from tfgen.files import read_json
    from tfgen.recipes import gan, vae
    from tfgen.sampling import generate

    samples = {}
    for name, recipe_of in (("vae", vae), ("gan", gan)):
        results = run.directory.parent / name / "results.json"
        other = read_json(results) if results.exists() else {}
        preset = recipe_of.RECIPE.presets[run.preset]
        config = json.loads(json.dumps(dataclasses.asdict(preset)))
        if (other.get("dataset"), preset.defaults() | other.get("config", {})) == (run.data.name, config):
            samples[name] = generate(results.with_name("saved_model"), 10, run.seed)
        else:
            print(f"the picture of samples goes without {name}: no finished {run.preset} run of it beside this one")
    return samples
