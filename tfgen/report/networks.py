"""The networks that a run keeps for the page: read, made small, and what that costs in the run's metric."""

import base64
import dataclasses
import pathlib
import re
import typing

import numpy as np

from tfgen.data import npz
from tfgen.errors import InputError
from tfgen.recipe import Activation

KIND = "the networks.npz of a run"
LAYER = re.compile(
    r"(?P<network>[a-z_]{1,40}(?:/\d{1,9})?)/(?P<number>\d{1,2})/(?P<activation>[a-z_]{1,20})/(?P<part>kernel|bias)"
)
# What the page's scripts know, under Keras's names.
ACTIVATIONS = typing.get_args(Activation)
LARGEST_WEIGHT = np.finfo(np.float16).max
# Of each recipe: its networks, with names for the sizes of their inputs and outputs, and the arrays beside the images.
AUTOENCODER = {"encoder": ("pixels", "code"), "decoder": ("code", "pixels")}
VAE = {"z_mean": ("pixels", "z"), "z_log_var": ("pixels", "z"), "decoder": ("z", "pixels")}
NEEDED = {
    "stacked-autoencoder": (AUTOENCODER | {"pca_encoder": ("pixels", "pca"), "pca_decoder": ("pca", "pixels")}, ()),
    "denoising-autoencoder": (AUTOENCODER, ()),
    "clustering-autoencoder": (AUTOENCODER, ("codes",)),
    "anomaly-detection": (AUTOENCODER, ("left_out",)),
    "feature-classifier": ({"logits": ("pixels", "classes")}, ("labels",)),
    "vae": (VAE, ()),
    "vae-2d": (VAE, ("codes",)),
    "gan": ({"generator": ("noise", "pixels"), "discriminator": ("pixels", "logit")}, ()),
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """A fully connected layer: `kernel` `(inputs, outputs)` and `bias` `(outputs,)`, float32, then the activation."""

    activation: str
    kernel: np.ndarray
    bias: np.ndarray


@dataclasses.dataclass(frozen=True)
class Kept:
    """What a run keeps for the page.

    Attributes:
        networks: dict from a name, such as "encoder", to its `Layer`s.
        arrays: the other arrays by name: `images` of the test split, uint8, and perhaps `labels` and `codes`.
    """

    networks: dict
    arrays: dict

    @property
    def pixels(self):
        """The number of pixels of an image."""
        return self.arrays["images"].shape[1]


def read(path):
    """Returns what `Run.keep_networks` wrote, as `Kept`.

    Raises:
        InputError: if the file is damaged, or holds something else: layers that do not follow one another, weights that
            are not finite or larger than float16 holds, an activation that the page does not know.
    """
    path = pathlib.Path(path)
    arrays = npz.read(
        path, KIND, npz.names(path, KIND), lambda name, dtype, shape: npz.promised_bytes(name, dtype, shape)
    )
    found = {}
    for name in [name for name in arrays if "/" in name]:
        match = LAYER.fullmatch(name)
        if match is None or match["activation"] not in ACTIVATIONS:
            raise InputError(f"{path} is not {KIND}: no layer can be called {name[:100]!r}; delete it")
        key = (match["network"], int(match["number"]), match["activation"])
        found.setdefault(key, {})[match["part"]] = arrays.pop(name)
    networks = {}
    for network, number, activation in sorted(found):
        parts = found[network, number, activation]
        layers = networks.setdefault(network, [])
        if number != len(layers) or set(parts) != {"kernel", "bias"}:
            raise InputError(f"{path} is not {KIND}: layer {len(layers)} of {network} is missing; delete it")
        kernel, bias = parts["kernel"], parts["bias"]
        inputs = layers[-1].bias.shape if layers else kernel.shape[:1]
        fits = kernel.ndim == 2 and kernel.shape == (*inputs, *bias.shape)
        if not fits or not all(np.all(np.abs(part) <= LARGEST_WEIGHT) for part in (kernel, bias)):
            raise InputError(f"{path} is not {KIND}: layer {number} of {network} does not fit; delete it")
        layers.append(Layer(activation, kernel.astype("float32"), bias.astype("float32")))
    images = arrays.get("images")
    if images is None or images.ndim != 2 or images.dtype != np.uint8 or not images.size:
        raise InputError(f"{path} is not {KIND}: it has no uint8 images; delete it")
    return Kept(networks, arrays)


def check(path, recipe, kept):
    """Checks that a run has kept what its recipe keeps, so that all of it can be computed.

    Args:
        path: of the file, for the message.
        recipe: name of one that is in `NEEDED`.
        kept: what `read` has returned.

    Raises:
        InputError: if a network or an array is missing, or does not fit the others.
    """
    problem = _unfit_network(recipe, kept) or _unfit_array(recipe, kept.arrays)
    if problem:
        raise InputError(f"{path} is not {KIND} of {recipe}: {problem}; delete it")


def _unfit_network(recipe, kept):
    """Returns what is wrong with a run's networks, or None."""
    sizes = {"pixels": kept.pixels, "logit": 1}
    epochs = []
    for name, ends in NEEDED[recipe][0].items():
        # A GAN has its two networks of several epochs, as generator/7.
        found = {one.partition("/")[2]: layers for one, layers in kept.networks.items() if one.split("/")[0] == name}
        epochs.append(sorted(found))
        if ("" in found) == (recipe == "gan") or not found:
            return f"it has no {name}"
        for layers in found.values():
            for end, size in zip(ends, (len(layers[0].kernel), len(layers[-1].bias)), strict=True):
                if sizes.setdefault(end, size) != size:
                    return f"its {name} has {size} numbers for the {end}, instead of {sizes[end]}"
    return "its networks are not of the same epochs" if any(one != epochs[0] for one in epochs) else None


def _unfit_array(recipe, arrays):
    """Returns what is wrong with a run's other arrays, or None."""
    labels, codes, left_out = (arrays.get(name) for name in ("labels", "codes", "left_out"))
    for name in NEEDED[recipe][1]:
        if name not in arrays:
            return f"it has no {name}"
    if labels is not None and (labels.ndim != 1 or labels.dtype != np.uint8 or len(labels) < len(arrays["images"])):
        return "its labels are not uint8, one for each image"
    if codes is not None and (codes.ndim != 2 or codes.shape[1] != 2 or not np.all(np.isfinite(codes))):
        return "its codes are not points of the plane"
    if codes is not None and labels is not None and len(codes) != len(labels):
        return "it has not one label for each code"
    if left_out is not None and (left_out.shape != (1,) or left_out.dtype.kind not in "iu"):
        return "its left_out is not one whole number"
    return None


def forward(layers, x):
    """Returns the output `(n, outputs)` of a network for the rows of `x` `(n, inputs)`."""
    import keras

    for layer in layers:
        x = np.asarray(keras.activations.get(layer.activation)(x @ layer.kernel + layer.bias))
    return x


def quantized(kernel):
    """Returns int8 `(inputs, outputs)` and a scale for each output unit, float32, whose product is near the kernel.

    A scale is a 127th of the largest weight of the unit, so no weight moves by more than half a scale.
    """
    scale = np.max(np.abs(kernel), axis=0) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1))
    return np.round(kernel / scale).astype("int8"), scale


def as_embedded(layers, encoding):
    """Returns the layers whose weights a page computes with: those that `embedded` stands for."""
    kernels = {
        "int8": lambda kernel: np.multiply(*quantized(kernel), dtype="float32"),
        "float16": lambda kernel: kernel.astype("float16").astype("float32"),
    }
    return [dataclasses.replace(layer, kernel=kernels[encoding](layer.kernel)) for layer in layers]


def embedded(layers, encoding):
    """Returns a network as the page's JSON has it, each kernel transposed: the weights of an output side by side.

    Args:
        layers: the `Layer`s.
        encoding: "int8", with a scale for each output unit, or "float16", whose bits stand there as whole numbers.
    """
    lines = []
    for layer in layers:
        inputs, outputs = layer.kernel.shape
        line = {"inputs": inputs, "outputs": outputs, "activation": layer.activation, "encoding": encoding}
        if encoding == "int8":
            kernel, scale = quantized(layer.kernel)
            line |= {"kernel": base64_of(kernel.T, "i1"), "scale": base64_of(scale, "<f4")}
        else:
            line["kernel"] = base64_of(layer.kernel.T.astype("<f2").view("<u2"), "<u2")
        lines.append({**line, "bias": base64_of(layer.bias, "<f4")})
    return {"layers": lines}


def base64_of(array, dtype):
    """Returns the bytes of an array, row by row, as base64 text."""
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")
