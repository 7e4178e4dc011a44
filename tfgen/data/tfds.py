"""MNIST and similar sets from TensorFlow Datasets (TFDS): reads, downloads and imports them."""

import hashlib
import os
import pathlib
import re
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import ParseError

from tfgen.data import MNIST_LIKE, TFDS_NAMES, Dataset, Split, check, hold_out
from tfgen.errors import InputError, RunError
from tfgen.recipe import MNIST_CLASSES

# What `checksum` gives for MNIST as TFDS 3.0.1 prepares it from the four files of the MNIST database.
MNIST_CHECKSUM = "aa25cfd5d8f401ac3844aea56c77d0acc88e3d0469526bd2ce76bdf2b6ebe29f"
# Likewise Larochelle's binarised MNIST, TFDS 1.0.0, its pixels as 0 and 255.
BINARIZED_MNIST_CHECKSUM = "826fd5f37a09a4ee86e1c09a2de9be58afe95e06a08bec401314f2587bc55a79"
# TFDS speaks of 37 classes of letters, whose labels are 1 to 26.
CLASSES = {"emnist/balanced": 47, "emnist/letters": 26}
PROBE_SECONDS = 5
# Raised by TFDS and TensorFlow for damaged files. TFDS uses assertions, and wraps some errors in RuntimeError.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    AssertionError,
    ParseError,
    tf.errors.OpError,
)


def _root(builder):
    """Returns the data directory `<root>` of a builder, whose own is `<root>/<name>[/<configuration>]/<version>`."""
    return str(pathlib.Path(builder.data_dir).parents[builder.info.full_name.count("/")])


def _builder(name, data_dir):
    """Returns TFDS's builder of a set. Creating it reads the metadata of a prepared set."""
    # TFDS costs a second to import.
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except UNREADABLE as error:
        raise _unreadable(name, data_dir, error) from error


def load(name, data_dir):
    """Returns one of `TFDS_NAMES` as a `Dataset`; see `tfgen.data.load`.

    EMNIST's images come transposed and are turned upright. Its letters' labels come as 1 to 26 and become 0 to 25.
    """
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        _download(builder, name)
    binarized = name == "binarized_mnist"
    splits = {}
    for split in ("train", "validation", "test") if binarized else ("train", "test"):
        try:
            arrays = builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)
            images = arrays["image"].numpy()
            labels = None if binarized else arrays["label"].numpy()
        except UNREADABLE as error:
            raise _unreadable(name, builder.data_dir, error) from error
        expected = builder.info.splits[split].num_examples
        if len(images) != expected:
            raise _unreadable(name, builder.data_dir, f"{len(images)} of {expected} {split} examples")
        if name.startswith("emnist/"):
            images = images.transpose(0, 2, 1, 3)
        images = images.reshape(len(images), -1)
        if binarized and images.max() > 1:
            raise _unreadable(name, builder.data_dir, f"a pixel of {images.max()}, where only 0 and 1 may be")
        if binarized:
            splits[split] = Split(255 * images, None)
        else:
            splits[split] = Split(images, labels.astype(np.int64) - (name == "emnist/letters"))

    known = {"mnist": MNIST_CHECKSUM, "binarized_mnist": BINARIZED_MNIST_CHECKSUM}.get(name)
    arrays = {key: (split.images, split.labels) for key, split in splits.items()}
    comparable = known is not None and checksum(arrays) == known
    train, validation = (splits["train"], splits["validation"]) if binarized else hold_out(splits["train"])
    classes = None if binarized else CLASSES.get(name, MNIST_CLASSES)
    return Dataset(name, train, validation, splits["test"], classes=classes, comparable=comparable)


def checksum(splits):
    """Returns a checksum of the images with their labels, whatever the order in each split, in hexadecimal.

    SHA-256 of the sorted SHA-256 sums of each split's images, each the pixels row by row and the label as a byte, if
    there are labels; after each split "/". Names of files, set sizes and counts of labels do not tell MNIST from other
    sets, such as one with a pixel changed.

    Args:
        splits: dict from "train" and so on, in their order, to `(images (n, ...) uint8, labels)`, the labels `(n,)`
            integers in 0..255, or None.
    """
    total = hashlib.sha256()
    for images, labels in splits.values():
        endings = [b""] * len(images) if labels is None else [bytes([label]) for label in labels]
        sums = sorted(
            hashlib.sha256(image.tobytes() + ending).digest() for image, ending in zip(images, endings, strict=True)
        )
        total.update(b"".join(sums) + b"/")
    return total.hexdigest()


def _unreadable(name, directory, reason):
    # TensorFlow's messages begin with the name of the operation in double braces.
    lines = re.sub(r"\{\{.*?\}\}\s*", "", str(reason)).strip().splitlines() or [type(reason).__name__]
    return InputError(
        f"the prepared {name} in {str(directory or 'the TFDS data directory')!r} cannot be read ({lines[0][:160]}); "
        "prepare it again, or name another directory with --data-dir"
    )


def _download(builder, name):
    """Downloads and prepares a set through TFDS, or fails within seconds.

    The probe is needed because TFDS retries each of four addresses ten times, which takes minutes.
    """
    import tensorflow_datasets as tfds

    where = _root(builder)
    remedies = "prepare it elsewhere and point --data-dir (or TFDS_DATA_DIR) at it"
    if name in MNIST_LIKE:
        remedies += "; or run 'tfgen data import --from DIR' with its IDX files"
    if name != "binarized_mnist":  # Its recipes take no other set.
        remedies += "; or choose --dataset digits"
    problem = _unreachable(_url(builder))
    if problem:
        raise RunError(f"{name} is not prepared in {where} and cannot be downloaded ({problem}): {remedies}")
    try:
        builder.download_and_prepare()
    except (
        OSError,
        tfds.download.DownloadError,
        tfds.core.download.download_manager.NonMatchingChecksumError,
        tfds.core.download.extractor.ExtractError,
    ) as error:
        raise RunError(f"downloading {name} to {where} failed ({error}): {remedies}") from error


def _url(builder):
    """Returns where TFDS downloads a set from: it says so in the builder or, of `binarized_mnist`, in its module."""
    return builder.URL if hasattr(builder, "URL") else sys.modules[type(builder).__module__]._URL


def _unreachable(url):
    """Returns None if the host answers, else the reason why not. Takes at most `PROBE_SECONDS`."""
    outcome = [f"no answer within {PROBE_SECONDS} seconds"]

    def probe():
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS).close()
            outcome[0] = None
        except urllib.error.HTTPError:
            outcome[0] = None  # The host answered. The download finds out whether the files exist.
        except OSError as error:
            outcome[0] = str(getattr(error, "reason", error))

    # In a thread, since a name look-up has no time limit.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return outcome[0]


def status(data_dir=None):
    """Returns, for each TFDS set, `(name, its directory, whether it is prepared there)`."""
    check("auto", data_dir)
    builders = [(name, _builder(name, data_dir)) for name in TFDS_NAMES]
    return [(name, str(builder.data_dir), builder.is_prepared()) for name, builder in builders]


def prepare(name, splits, data_dir=None):
    """Prepares a set from arrays, in a directory that `tfds.load` reads.

    Args:
        name: "mnist", "fashion_mnist" or "kmnist".
        splits: what `idx.read_directory` returns.
        data_dir: where to prepare it; None means TFDS_DATA_DIR, else TFDS's default.

    Returns:
        `(directory, number of training images, number of test images)`.

    Raises:
        InputError: if the set's directory exists already; nothing is written.
        RunError: if the directory cannot be written to.
    """
    # TFDS costs a second to import.
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    if os.path.exists(builder.data_dir):
        raise InputError(f"{builder.data_dir} exists already; remove it to import {name} anew")
    try:
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=str(builder.version),
            features=builder.info.features,
            # Stored in order of index, as TFDS's own builder does, so that training and validation are split alike.
            split_datasets={
                split: tf.data.Dataset.from_tensor_slices({"image": images[..., None], "label": labels})
                for split, (images, labels) in splits.items()
            },
            data_dir=_root(builder),
            description=builder.info.description,
            homepage=builder.info.homepage,
            citation=builder.info.citation,
        )
    except (OSError, tf.errors.OpError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise RunError(
            f"{name} cannot be prepared in {builder.data_dir} ({lines[0][:160]}); name another --data-dir"
        ) from error
    return str(builder.data_dir), len(splits["train"][1]), len(splits["test"][1])
