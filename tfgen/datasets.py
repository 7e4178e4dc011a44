"""MNIST and its relatives as uint8 arrays, their splits, and the batches that training reads.

TensorFlow Datasets is the source. `digits`, scikit-learn's UCI digits brought to 28x28, is the embedded set that needs
neither a network nor preparation.
"""

import dataclasses
import pathlib
import re
import threading
import urllib.error
import urllib.request

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import ParseError

from tfgen.checks import check_data
from tfgen.distributions import Draw, stateless_seed, stateless_uniform
from tfgen.errors import InputError, RunError
from tfgen.recipes import TFDS_NAMES

PIXELS = 784
CLASSES = 10
# How many images MNIST has of each digit. Other sets are loaded too, but never compared with published numbers.
MNIST_TRAIN_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_TEST_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
SPLIT_SEED = 2013
PROBE_SECONDS = 5
# What TFDS and TensorFlow raise on damaged files: TFDS asserts, and wraps some errors in RuntimeError.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    AssertionError,
    ParseError,
    tf.errors.OpError,
)


@dataclasses.dataclass(frozen=True)
class Split:
    """Images `(n, 784)` uint8, row by row, and labels `(n,)` int64 in 0..9."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset's three splits; `comparable` says whether published MNIST numbers may stand beside its results."""

    name: str
    train: Split
    validation: Split
    test: Split
    comparable: bool


def load(name="auto", data_dir=None):
    """Returns a dataset, downloading it through TFDS if it is not prepared and the network allows.

    Five sixths of the training images train and one sixth validates (50,000 and 10,000 of MNIST's 60,000), by index
    after a permutation with a fixed seed. Test is test.

    Args:
        name: "mnist", "fashion_mnist", "kmnist", "digits", or "auto": MNIST where it can be had, otherwise digits,
            which is announced.
        data_dir: the TFDS data directory; None means TFDS_DATA_DIR, else TFDS's default.

    Returns:
        A `Dataset`.

    Raises:
        InputError: for an unknown name, a `data_dir` that is no directory, or a prepared set that cannot be read.
        RunError: if the set is neither prepared nor to be had from the network.
    """
    check_data(name, data_dir)
    if name == "digits":
        return digits()
    if name != "auto":
        return _load_tfds(name, data_dir)
    try:
        return _load_tfds("mnist", data_dir)
    except RunError as error:
        print(
            "\n*** NOT MNIST: running on scikit-learn's 1,797 UCI digits instead. "
            "No result is comparable to the published numbers. ***\n"
            f"*** {error} ***\n",
            flush=True,
        )
        return digits()


def digits():
    """Returns scikit-learn's UCI digits: 1,797 images of 8x8 pixels, enlarged to 20x20 and centred in 28x28.

    The enlargement is a cubic spline, clipped; 20x20 in 28x28 is MNIST's own layout. 1,250 images train, 250 validate,
    297 test, by index after a permutation with a fixed seed.
    """
    from scipy import ndimage
    from sklearn.datasets import load_digits

    bunch = load_digits()
    large = ndimage.zoom(bunch.images / 16.0, (1, 2.5, 2.5), order=3, mode="nearest", grid_mode=True)
    images = np.pad(np.round(255 * np.clip(large, 0, 1)), ((0, 0), (4, 4), (4, 4))).astype(np.uint8)
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    images, labels = images.reshape(-1, PIXELS)[order], bunch.target.astype(np.int64)[order]
    return Dataset(
        "digits",
        Split(images[:1250], labels[:1250]),
        Split(images[1250:1500], labels[1250:1500]),
        Split(images[1500:], labels[1500:]),
        comparable=False,
    )


def _root(builder):
    """Returns the data directory that a builder's own `<root>/<name>/<version>` lies in."""
    return str(pathlib.Path(builder.data_dir).parent.parent)


def _builder(name, data_dir):
    """Returns TFDS's builder of a set, which reads what is prepared in its directory."""
    # TFDS costs a second to import and is not needed for digits.
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except UNREADABLE as error:
        raise _unreadable(name, data_dir, error) from error


def _load_tfds(name, data_dir):
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        _download(builder, name)
    splits = {}
    for split in ("train", "test"):
        try:
            arrays = builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)
            images, labels = arrays["image"].numpy(), arrays["label"].numpy()
        except UNREADABLE as error:
            raise _unreadable(name, builder.data_dir, error) from error
        expected = builder.info.splits[split].num_examples
        if len(labels) != expected:
            raise _unreadable(name, builder.data_dir, f"{len(labels)} of {expected} {split} examples")
        splits[split] = Split(images.reshape(-1, PIXELS), labels.astype(np.int64))

    train, test = splits["train"], splits["test"]
    order = np.random.RandomState(SPLIT_SEED).permutation(len(train))
    held_out = len(train) // 6
    kept, validation = order[: len(train) - held_out], order[len(train) - held_out :]
    return Dataset(
        name,
        Split(train.images[kept], train.labels[kept]),
        Split(train.images[validation], train.labels[validation]),
        test,
        comparable=name == "mnist" and is_mnist(train.labels, test.labels),
    )


def is_mnist(train_labels, test_labels):
    """Returns whether labels are those of MNIST's 60,000 training and 10,000 test images, by how many each digit has.

    A file's name does not say what is in it: Fashion-MNIST has files of the same names and the same counts.
    """
    counts = [tuple(np.bincount(labels, minlength=CLASSES)) for labels in (train_labels, test_labels)]
    return counts == [MNIST_TRAIN_COUNTS, MNIST_TEST_COUNTS]


def _unreadable(name, directory, reason):
    # TensorFlow's messages begin with the name of the operation in double braces.
    lines = re.sub(r"\{\{.*?\}\}\s*", "", str(reason)).strip().splitlines() or [type(reason).__name__]
    return InputError(
        f"the prepared {name} in {str(directory or 'the TFDS data directory')!r} cannot be read ({lines[0][:160]}); "
        "prepare it again, or name another directory with --data-dir"
    )


def _download(builder, name):
    """Downloads and prepares a set through TFDS, or fails within seconds.

    Without the probe TFDS retries each of four addresses ten times: minutes of noise before its error.
    """
    import tensorflow_datasets as tfds

    where = _root(builder)
    remedies = (
        "prepare it elsewhere and point --data-dir (or TFDS_DATA_DIR) at it; or run 'tfgen data import --from DIR' "
        "with its IDX files; or choose --dataset digits"
    )
    problem = _unreachable(builder.URL)
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


def _unreachable(url):
    """Returns None if the host answers, else why not, after at most `PROBE_SECONDS`."""
    outcome = [f"no answer within {PROBE_SECONDS} seconds"]

    def probe():
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS).close()
            outcome[0] = None
        except urllib.error.HTTPError:
            outcome[0] = None  # The host answered; whether the files are there is the download's business.
        except OSError as error:
            outcome[0] = str(getattr(error, "reason", error))

    # A thread, since a name look-up knows no time limit of its own.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return outcome[0]


def status(data_dir=None):
    """Returns, for each TFDS set, `(name, its directory, whether it is prepared there)`."""
    check_data("auto", data_dir)
    builders = [(name, _builder(name, data_dir)) for name in TFDS_NAMES]
    return [(name, str(builder.data_dir), builder.is_prepared()) for name, builder in builders]


def prepare(name, splits, data_dir=None):
    """Prepares a genuine TFDS directory, which `tfds.load` reads, from arrays.

    Args:
        name: "mnist", "fashion_mnist" or "kmnist".
        splits: what `idx.read_directory` returns.
        data_dir: where to prepare it; None means TFDS_DATA_DIR, else TFDS's default.

    Returns:
        `(directory, number of training images, number of test images)`.

    Raises:
        InputError: if the set's directory exists already. Nothing is written then.
    """
    # TFDS costs a second to import.
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    if pathlib.Path(builder.data_dir).exists():
        raise InputError(f"{builder.data_dir} exists already; remove it to import {name} anew")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=str(builder.version),
        features=builder.info.features,
        # Stored by index, as TFDS's own builder does: the order, and hence our split, is the same either way.
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices({"image": images[..., None], "label": labels})
            for split, (images, labels) in splits.items()
        },
        data_dir=_root(builder),
        description=builder.info.description,
        homepage=builder.info.homepage,
        citation=builder.info.citation,
    )
    return str(builder.data_dir), len(splits["train"][1]), len(splits["test"][1])


# Batches.


def scale(images):
    """Returns uint8 pixels as float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def binarize(images, seed):
    """Returns x ~ Bernoulli(pixel / 255), independently for each pixel.

    Args:
        images: `(n, 784)` uint8.
        seed: `(2,)` integer tensor.

    Returns:
        `(n, 784)` float32, each 0 or 1.
    """
    images = scale(images)
    return tf.cast(stateless_uniform(tf.shape(images), seed) < images, tf.float32)


def fixed_binarization(images, number=0):
    """Returns a set binarised once, the same for every run: what evaluations on binary pixels use.

    Args:
        images: `(n, 784)` uint8.
        number: which of the independent binarisations; that of the test images is 0, of the validation images 1.
    """
    return binarize(images, stateless_seed(0, Draw.FIXED_BINARIZATION, number))


def training_batches(images, batch_size, seed, labels=None, binarized=False, first_step=0):
    """Returns an endless stream of shuffled batches; the set stays in memory as uint8.

    Batch t is a function of (seed, t) alone: epoch t // (n // batch_size) has its own permutation of the set, and with
    `binarized` each batch is binarised anew. A resumed run passes `first_step` and goes on where it stopped. The
    n mod batch_size images that the permutation puts last sit that epoch out.

    Args:
        images: `(n, 784)` uint8.
        batch_size: at most n.
        seed: int >= 0, the seed of the run.
        labels: `(n,)` integers, or None.
        binarized: whether pixels are drawn as Bernoulli(pixel) or scaled to [0, 1].
        first_step: number of batches already consumed.

    Returns:
        `tf.data.Dataset` of `(batch_size, 784)` float32, or of pairs with `(batch_size,)` labels.

    Raises:
        ValueError: for images, labels, a batch size or a seed of another kind.
        InputError: if the set is smaller than a batch.
    """
    if np.ndim(images) != 2 or images.dtype != np.uint8:
        raise ValueError(
            f"`images` must be uint8 (n, {PIXELS}), got {images.dtype} {np.shape(images)}; the stream scales them."
        )
    if labels is not None and np.shape(labels) != (len(images),):
        raise ValueError(f"`labels` must have shape ({len(images)},), one an image, got {np.shape(labels)}.")
    if batch_size < 1 or seed < 0:
        raise ValueError(f"`batch_size` must be at least 1 and `seed` at least 0, got {batch_size} and {seed}.")
    n = len(images)
    if n < batch_size:
        raise InputError(f"a batch of {batch_size} cannot be drawn from {n} training images; use a larger dataset")
    steps_per_epoch = n // batch_size
    images = tf.constant(images)
    labels = None if labels is None else tf.constant(labels)

    def batches_of_indices(epoch):
        # Not index_shuffle, though it needs no sorting: its orders repeat after 256 epochs and are correlated.
        order = tf.random.experimental.stateless_shuffle(
            tf.range(n), stateless_seed(seed, Draw.SHUFFLE, epoch), alg="philox"
        )
        order = tf.reshape(order[: steps_per_epoch * batch_size], (steps_per_epoch, batch_size))
        return tf.data.Dataset.from_tensor_slices(order)

    def batch(step, indices):
        x = tf.gather(images, indices)
        x = binarize(x, stateless_seed(seed, Draw.BINARIZE, step)) if binarized else scale(x)
        return x if labels is None else (x, tf.gather(labels, indices))

    epochs = tf.data.Dataset.range(first_step // steps_per_epoch, np.iinfo(np.int64).max)
    indices = epochs.flat_map(batches_of_indices).skip(first_step % steps_per_epoch)
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return untuned(tf.data.Dataset.zip(steps, indices).map(batch).prefetch(4))


def untuned(dataset):
    """Returns a `tf.data.Dataset` without TensorFlow's tuning of its buffers.

    An iterator that is tuned ends only when the tuner next wakes, and that sleeps for twice as long each time: `fit`
    would return as much as twice as late as it could.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
