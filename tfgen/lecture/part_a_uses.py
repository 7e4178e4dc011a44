"""Part A of the lecture: what networks that learn from images alone are good for (A1, A6)."""

import functools
import math

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from threadpoolctl import threadpool_limits

from tfgen import corruption, datasets, figures, losses
from tfgen.distributions import Draw, stateless_seed
from tfgen.lecture.part_a import compiled_once, corrupted_batches, start_anew
from tfgen.models import autoencoder, classifier
from tfgen.models.vae import VAE

METHODS = {
    "finetuned": "fine-tuned",
    "frozen": "head on the frozen encoder",
    "finetuned_plain": "fine-tuned, encoder trained without noise",
    "frozen_plain": "head on the frozen encoder trained without noise",
    "scratch": "the same network from scratch",
    "linear": "linear model on pixels",
}
SCORES = {
    "squared_error": "autoencoder: squared error",
    "negative_elbo": "VAE: negative ELBO",
    "squared_error_per_ink": "autoencoder: squared error / sum of the pixels",
    "ink": "no model: sum of the pixels",
}
MODEL_SCORES = ("squared_error", "negative_elbo")
AUC = "area under the ROC curve, 0.5 being chance"


def feature_classifier(run):
    """A6: drops A5's decoder and puts a softmax head on the encoder; learns from few labels, and from all of them.

    The encoder comes from an autoencoder that saw all training images and no label. Two of these: one learned to fill
    in masked pixels, as A2 says that the network is trained to ignore noise, and one to reproduce plain images.
    """
    config, data = run.config, run.data
    labels = data.train.labels
    pixels, test_pixels = (datasets.scale(split.images).numpy() for split in (data.train, data.test))
    pretrained = _pretrain(run, pixels, test_pixels)
    network = _network(run)

    counts = [count for count in config.label_counts if count <= datasets.CLASSES * np.bincount(labels).min()]
    for count in sorted(set(config.label_counts) - set(counts)):
        print(f"leaving out {count:,} labels: {data.name} has too few training images of a digit", flush=True)
    updates = dict(zip(config.label_counts, config.updates, strict=True))

    errors = {method: {} for method in METHODS}
    for count in (*counts, None):
        print(f"training the classifiers on {count or len(labels):,} labels", flush=True)
        for k in range(config.label_seeds if count else config.all_labels_seeds):
            # Labels, initial weights and the order of the batches: all of them functions of the run's seed and k.
            rng = np.random.default_rng([run.seed, k])
            chosen = np.arange(len(labels)) if count is None else balanced_subset(labels, count, rng)
            train = functools.partial(
                _train, run, network, chosen, updates.get(count, config.all_labels_updates), int(rng.integers(2**31))
            )
            found = {}
            for name, (encoder_weights, codes, test_codes) in pretrained.items():
                head = softmax_regression(codes[chosen], labels[chosen], config.frozen_c)
                found[f"frozen{name}"] = test_codes @ head[0] + head[1]
                found[f"finetuned{name}"] = train([*encoder_weights, *head], test_pixels)
                if (name, count, k) == ("", None, 0):
                    run.export(classifier.endpoints(network))
            found["scratch"] = train(None, test_pixels)
            kernel, bias = softmax_regression(pixels[chosen], labels[chosen], config.linear_c)
            found["linear"] = test_pixels @ kernel + bias
            for method, logits in found.items():
                error = np.mean(np.argmax(logits, axis=1) != data.test.labels)
                errors[method].setdefault(count, []).append(error)

    for count in (*counts, None):
        for method, values in errors.items():
            name = f"test_error__{count or 'all'}_labels_{method}"
            unit = f"share misclassified, mean over label seeds: {len(values[count])}"
            std = np.std(values[count], ddof=1) if len(values[count]) > 1 else None
            run.metric(name, np.mean(values[count]), unit, "test", len(data.test), std)
    _draw_errors(run, errors)


def _draw_errors(run, errors):
    """Draws the mean over label seeds and, where there are several, their standard deviation."""
    series = {
        METHODS[method]: (
            [100 * np.mean(values) for values in of_counts.values()],
            [100 * np.std(values, ddof=1) if len(values) > 1 else np.nan for values in of_counts.values()],
        )
        for method, of_counts in errors.items()
    }
    counts = [count or len(run.data.train) for count in errors["linear"]]
    title = f"Mean and standard deviation over {run.config.label_seeds} choices of the labels; of all, one training"
    run.figure("test_errors", figures.errors_by_count(series, counts, title, "test images misclassified (%)"))


def balanced_subset(labels, count, rng):
    """Returns the indices of `count` examples, equally many of each class; a smaller subset is part of a larger one.

    Args:
        labels: `(n,)` integers in 0..9.
        count: a multiple of 10.
        rng: `np.random.Generator`.
    """
    order = rng.permutation(len(labels))
    of_class = [order[labels[order] == y][: count // datasets.CLASSES] for y in range(datasets.CLASSES)]
    return np.concatenate(of_class)


def softmax_regression(x, labels, c):
    """Returns kernel `(dim, 10)` and bias `(10,)` of multinomial logistic regression.

    Args:
        x: `(n, dim)` float32.
        labels: `(n,)` integers in 0..9, all of them present.
        c: inverse strength of the L2 penalty, on x divided by its standard deviation over all entries.
    """
    deviation = np.std(x)
    # The matrices are small: where other programs keep the cores busy, threads make it many times slower.
    with threadpool_limits(1):
        model = LogisticRegression(C=c, max_iter=1000, tol=1e-3).fit(x / deviation, labels)
    return model.coef_.T / deviation, model.intercept_


def _pretrain(run, pixels, test_pixels):
    """Returns, from a suffix of the method's name, `(encoder's weights, codes, codes of the test images)`."""
    config, data = run.config, run.data
    validation = datasets.scale(data.validation.images)
    make = functools.partial(
        autoencoder.stacked_autoencoder, config.hidden_units, datasets.PIXELS, config.activation, config.code_activation
    )
    build = compiled_once(run, make, loss=losses.squared_error)
    pretrained, validation_error = {}, {}
    for suffix, rate in (("", config.masking_rate), ("_plain", 0.0)):
        mask = functools.partial(corruption.masking_noise, rate=rate)
        batches = functools.partial(corrupted_batches, run, mask)
        masked = mask(validation, seed=stateless_seed(0, Draw.FIXED_CORRUPTION, 1))
        model, history = run.fit(
            build, batches, config.batch_size, (masked, validation), name=suffix.strip("_") or None
        )
        encoder = model.get_layer("encoder")
        codes = [encoder.predict(x, batch_size=run.EVALUATION_BATCH, verbose=0) for x in (pixels, test_pixels)]
        pretrained[suffix] = (encoder.get_weights(), *codes)
        validation_error[f"{100 * rate:g} % of the input masked"] = history["val_loss"]
    panel = ("Autoencoders: squared error of the validation images", "per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel]))
    return pretrained


def _network(run):
    """Returns the compiled classifier: one for all trainings, since XLA takes longer than most of them."""
    config = run.config
    middle = len(config.hidden_units) // 2
    network = classifier.feature_classifier(
        config.hidden_units[: middle + 1], datasets.PIXELS, config.activation, config.code_activation, datasets.CLASSES
    )
    network.compile(
        keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=run.jit_compile,
        steps_per_execution=math.gcd(*config.updates, config.all_labels_updates),
    )
    return network


def _train(run, network, chosen, updates, seed, weights, test):
    """Trains encoder and head together on the chosen labelled images; returns the logits of the test images.

    Args:
        run: the `Run`.
        network: what `_network` returns.
        chosen: indices of training images.
        updates: how many, a multiple of the network's `steps_per_execution`.
        seed: of the initial weights and the order of the batches.
        weights: the initial ones, or None to draw them.
        test: images `(n, 784)`.
    """
    config, data = run.config, run.data
    if weights is None:
        keras.utils.set_random_seed(seed)
        weights = keras.models.clone_model(network).get_weights()
    start_anew(network, weights)
    batches = datasets.training_batches(
        data.train.images[chosen], config.labelled_batch_size, seed, labels=data.train.labels[chosen]
    )
    steps = network.steps_per_execution
    calls = updates // steps
    # By hand, since a schedule of the optimizer would be part of what is compiled, and the numbers of updates differ.
    decay = keras.callbacks.LearningRateScheduler(
        lambda call: config.labelled_learning_rate * 0.5 * (1 + math.cos(math.pi * call / calls))
    )
    network.fit(batches, epochs=calls, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[decay])
    return network.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)


def anomaly_detection(run):
    """A1: trained without one digit, do an autoencoder and a VAE find its test images strange? Each digit in turn.

    Both scores add up over pixels, so that an image of more ink scores higher. The sum of the pixels stands beside them
    as a score of its own, which tells how much of the detection is no more than that; and the squared error divided by
    it, which tells what is left without.
    """
    config, data = run.config, run.data
    test, binary_test = datasets.scale(data.test.images).numpy(), datasets.fixed_binarization(data.test.images)
    build_autoencoder, build_vae = _builds(run)

    scores = {name: {} for name in SCORES}
    for digit in config.left_out:
        main = digit == config.pictured
        model, history = _fit_without(run, build_autoencoder, digit, None if main else f"autoencoder_without_{digit}")
        reconstruction = model.predict(test, batch_size=run.EVALUATION_BATCH, verbose=0)
        scores["squared_error"][digit] = losses.squared_error(test, reconstruction).numpy()
        scores["ink"][digit] = test.sum(axis=1)
        # An empty image is the autoencoder's to judge: dividing by 1 leaves its score as it is.
        scores["squared_error_per_ink"][digit] = scores["squared_error"][digit] / np.maximum(scores["ink"][digit], 1)
        if main:
            panel = (f"Autoencoder without {digit}", "squared error", ["loss", "val_loss"])
            run.figure("training", figures.curves(history, [panel]))
            run.export(scoring_endpoints(model))
        model, _ = _fit_without(run, build_vae, digit, f"vae_without_{digit}", binarized=True)
        scores["negative_elbo"][digit] = negative_elbo(model, binary_test, run.seed, run.EVALUATION_BATCH)

    areas = {name: {} for name in SCORES}
    for name, of_digits in scores.items():
        for digit, score in of_digits.items():
            areas[name][digit] = roc_auc_score(data.test.labels == digit, score)
            if name in MODEL_SCORES:
                value = areas[name][digit]
                run.metric(f"test_auc__{name}_without_{digit}", value, AUC, "test", len(test))
        run.metric(f"test_auc__{name}_mean", np.mean([*areas[name].values()]), AUC, "test", len(test))
    _draw_anomalies(run, test, scores, areas)


def _draw_anomalies(run, test, scores, areas):
    """Draws the ROC curves, the areas under them, and the images that one left-out digit makes strange."""
    labels, pictured = run.data.test.labels, run.config.pictured
    panels = {
        f"{SCORES[name]}, mean AUC {np.mean([*areas[name].values()]):.3f}": {
            f"without {digit}: AUC {areas[name][digit]:.3f}": roc_curve(labels == digit, score)[:2]
            for digit, score in scores[name].items()
        }
        for name in MODEL_SCORES
    }
    run.figure("roc", figures.roc_curves(panels))
    bars = {
        f"without {digit}": {SCORES[name]: 100 * of_digits[digit] for name, of_digits in areas.items()}
        for digit in run.config.left_out
    }
    run.figure("auc", figures.grouped_bars(bars, "The digit left out, told from the other nine", "AUC (%), chance 50"))
    rows = {}
    for name in MODEL_SCORES:
        order = np.argsort(scores[name][pictured])
        of_digit = order[labels[order] == pictured]
        score = SCORES[name].replace(": ", "\n")
        rows[f"{score}, highest"] = test[order[:-17:-1]]
        rows[f"{score}, lowest"] = test[order[:16]]
        rows[f"{score}, lowest {pictured}s"] = test[of_digit[:16]]
    title = f"Most and least anomalous test images, trained without {pictured}"
    run.figure("anomalies", figures.rows_of_images(rows, title))


def negative_elbo(model, images, seed, batch_size):
    """Returns a VAE's negative ELBO of each image, estimated with one draw of z: nats, high where it is surprised.

    Args:
        model: a `VAE`.
        images: `(n, pixels)` float32, as the VAE takes them.
        seed: int >= 0, the seed of the run.
        batch_size: images at a time.
    """
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    terms = [model.negative_elbo_terms(x, stateless_seed(seed, Draw.EVALUATION, i)) for i, x in enumerate(batches)]
    return np.concatenate([reconstruction_loss + kl for reconstruction_loss, kl in terms])


def _builds(run):
    """Returns `Run.fit`'s `build` of the autoencoder and that of the VAE."""
    config = run.config

    def make_autoencoder():
        return autoencoder.stacked_autoencoder(
            config.hidden_units, datasets.PIXELS, config.activation, config.code_activation
        )

    def make_vae():
        return VAE(config.latent_dim, config.vae_hidden_units, datasets.PIXELS, config.activation, seed=run.seed)

    return compiled_once(run, make_autoencoder, loss=losses.squared_error), compiled_once(run, make_vae)


def _fit_without(run, build, digit, name, binarized=False):
    """Trains without a digit: as many batches an epoch as the whole set has, whatever the digit's share in it."""
    config, data = run.config, run.data
    images = data.train.images[data.train.labels != digit]
    # Equally many for each digit, since another size of the last batch would be another compilation.
    held_out = len(data.validation) - np.bincount(data.validation.labels).max()
    validation = data.validation.images[data.validation.labels != digit][:held_out]
    validation = (datasets.fixed_binarization(validation, 1) if binarized else datasets.scale(validation)).numpy()

    def batches(first_step):
        stream = datasets.training_batches(
            images, config.batch_size, run.seed, binarized=binarized, first_step=first_step
        )
        return stream if binarized else stream.map(lambda x: (x, x))

    return run.fit(
        build, batches, config.batch_size, (validation,) if binarized else (validation, validation), name=name
    )


def scoring_endpoints(model):
    """Returns the autoencoder's endpoints, and with them `score` image -> squared_error: high for an anomaly."""
    image = tf.TensorSpec((None, datasets.PIXELS), tf.float32, name="image")

    def score(image):
        return {"squared_error": losses.squared_error(image, model(image))}

    return autoencoder.endpoints(model) | {"score": (score, [image])}
