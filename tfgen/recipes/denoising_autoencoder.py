"""The autoencoder of A5 trained to ignore noise (A2): its input is corrupted, its target is the clean image.

One network for each kind of noise and one that never sees any, each tested on every kind. The noise is new in each
batch, and the same for every run on the validation and the test images.

Source: Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders", and 2010, "Stacked
denoising autoencoders", for the noises. Their networks are for classification; no paper reports a reconstruction error
for this one.
Differs:
- Masking noise hides each pixel by itself with probability 1/2, where Vincent et al. mask a fixed number of them in
  each image; the Gaussian noise of standard deviation 0.3 is not clipped. Both levels are our choice.
- Adam's rate falls to 0 along a cosine.
"""

import dataclasses

from tfgen import recipe
from tfgen.recipe import Activation, AutoencoderUnits, Count, Fraction, NonNegative, Positive, Recipe


@dataclasses.dataclass(frozen=True)
class Config(recipe.Config):
    """The network of A5, trained on masked, on noisy and on clean images, as many epochs each.

    The levels of the noise are plainly visible and leave the digits legible. The rate is the best of 1e-3, 2e-3 and
    3e-3 on the validation images after 6 epochs, with either noise.

    Attributes:
        masking_rate: probability that a pixel is hidden.
        gaussian_standard_deviation: of the Gaussian noise, on the scale of the pixels.
        hidden_units: widths of the hidden layers; the middle one is the code.
        activation: of the hidden layers.
        code_activation: of the code.
        batch_size: images of an update.
        learning_rate: of Adam at the beginning; it falls to 0 along a cosine over each training.
    """

    masking_rate: Fraction = 0.5
    gaussian_standard_deviation: NonNegative = 0.3
    hidden_units: AutoencoderUnits = (300, 150, 300)
    activation: Activation = "relu"
    code_activation: Activation = "linear"
    batch_size: Count = 128
    learning_rate: Positive = 3e-3


RECIPE = Recipe(
    title="The stacked autoencoder trained to remove masking and Gaussian noise, beside one trained without noise",
    lecture_items=("A2", "A4"),
    headline=(
        "test_squared_error__masking_on_masking",
        "test_squared_error__clean_on_masking",
        "test_squared_error__gaussian_on_gaussian",
        "test_squared_error__clean_on_gaussian",
    ),
    presets={"smoke": Config(epochs=1), "quick": Config(epochs=12), "paper": Config(epochs=200)},
)


def experiment(run):
    import functools

    from tfgen import figures, losses
    from tfgen.data.batches import Batches, corrupted, scale
    from tfgen.data.corruption import gaussian_noise, masking_noise
    from tfgen.distributions import Draw, stateless_seed
    from tfgen.evaluation.codes import code_shift
    from tfgen.models import autoencoder
    from tfgen.training.autoencoder import measure_squared_error, record_squared_error
    from tfgen.training.checkpoint import start_anew
    from tfgen.training.run import predict

    config, data = run.config, run.data
    corruptions = {
        "masking": functools.partial(masking_noise, rate=config.masking_rate),
        "gaussian": functools.partial(gaussian_noise, standard_deviation=config.gaussian_standard_deviation),
        "clean": lambda images, seed: images,
    }
    labels = {
        "masking": f"masking noise, rate {config.masking_rate:g}",
        "gaussian": f"Gaussian noise, standard deviation {config.gaussian_standard_deviation:g}",
        "clean": "clean images",
    }
    validation, test = (scale(split.images).numpy() for split in (data.validation, data.test))
    inputs = {
        name: corrupt(test, seed=stateless_seed(0, Draw.FIXED_CORRUPTION, 0)) for name, corrupt in corruptions.items()
    }
    inputs = {name: images if name == "clean" else images.numpy() for name, images in inputs.items()}
    for name in ("masking", "gaussian"):
        record_squared_error(run, f"input_squared_error__{name}", test, inputs[name])

    def network():
        return autoencoder.stacked_autoencoder(
            data.pixels, config.hidden_units, config.activation, config.code_activation
        )

    batches = Batches(data.train.images, config.batch_size, run.seed)
    # One model for all trainings, each of which begins anew.
    model = network()
    model.compile(
        run.decaying_adam(config.learning_rate, batches), loss=losses.squared_error, **run.compile_options(batches)
    )
    reconstructed, features, validation_error = {}, {}, {}
    errors = {kind: {} for kind in inputs}
    for name, corrupt in corruptions.items():
        exported = name == "masking"
        training = "model" if exported else name
        run.set_random_seed(training)
        start_anew(model, network().get_weights())
        held_out = corrupt(validation, seed=stateless_seed(0, Draw.FIXED_CORRUPTION, 1)), validation
        history = run.fit(model, batches.map(corrupted(corrupt, run.seed)), held_out, training)

        encoder = model.get_layer("encoder")
        codes = {kind: predict(encoder, images) for kind, images in inputs.items()}
        for kind, images in inputs.items():
            metric = f"test_squared_error__{name}_on_{kind}"
            reconstructed[name, kind] = measure_squared_error(run, metric, model, images, test)[:10]
            errors[kind][f"trained on {labels[name].split(',')[0]}"] = run.metrics[metric]["value"]
            if kind != "clean":
                unit = "squared distance that noise moves the code / the codes' variance"
                value = code_shift(codes["clean"], codes[kind])
                run.metric(f"code_shift__{name}_on_{kind}", value, unit, "test", len(test))
        features[f"trained on {labels[name]}"] = encoder.layers[1].kernel.numpy()[:, :64].T
        validation_error[labels[name]] = history["val_loss"]
        if exported:
            run.export(autoencoder.endpoints(model))
            run.keep_networks(autoencoder.parts(model))

    for kind in ("masking", "gaussian"):
        rows = {
            "test image": test[:10],
            "with noise": inputs[kind][:10],
            "plain network": reconstructed["clean", kind],
            "denoising network": reconstructed[kind, kind],
        }
        rows = {label: data.pictures(images) for label, images in rows.items()}
        plain, denoised = (run.metrics[f"test_squared_error__{name}_on_{kind}"]["value"] for name in ("clean", kind))
        noise = labels[kind][0].upper() + labels[kind][1:]
        title = f"{noise}\nsquared error per image: {plain:.1f} plain, {denoised:.1f} denoising"
        run.figure(f"denoised_{kind}", figures.rows_of_images(rows, title))
    title = "Squared error per test image, target: the clean image"
    # The short bars above, where the legend finds room.
    groups = {f"tested on {labels[kind]}".replace(", ", ",\n"): errors[kind] for kind in reversed(errors)}
    run.figure("errors", figures.grouped_bars(groups, title, f"sum over {data.pixels} pixels"))
    title = "First layer, 64 of its units: weights, each picture on a scale of its own"
    run.figure("features", figures.features({name: data.pictures(rows) for name, rows in features.items()}, title))
    panel = ("Validation images, each network on its own noise", "squared error per image", list(validation_error))
    run.figure("training", figures.curves(validation_error, [panel], log=True))
