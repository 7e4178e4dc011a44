import collections
import contextlib
import gzip
import http.server
import itertools
import shutil
import socket
import threading
import time

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
import tensorflow_datasets as tfds
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier
from tensorflow_datasets.core.download.checksums import UrlInfo

from tfgen import datasets, idx
from tfgen.distributions import Draw, stateless_seed
from tfgen.errors import InputError, RunError

SEED = stateless_seed(5, Draw.BINARIZE)
TRAIN, TEST = 120, 30
VERSION = "mnist/3.0.1"
# The published numbers of images of each digit.
LABEL_COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
REMEDIES = ("--data-dir", "data import --from", "--dataset digits")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """No name but the loopback's is found, and none asked for: no test reaches a network."""
    look_up = socket.getaddrinfo

    def loopback_only(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", loopback_only)
    monkeypatch.setenv("no_proxy", "*")


def small_splits():
    rng = np.random.default_rng(0)
    return {
        split: (rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n))
        for split, n in (("train", TRAIN), ("test", TEST))
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data directory with a small MNIST, not to be changed."""
    data_dir = tmp_path_factory.mktemp("prepared")
    datasets.prepare("mnist", small_splits(), data_dir)
    return data_dir


def examples(images, labels):
    """Returns a multiset of (label, pixels), which knows no order."""
    images = np.asarray(images)
    return collections.Counter(
        (int(label), image.tobytes()) for image, label in zip(images, np.asarray(labels), strict=True)
    )


def contents(directory):
    return {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}


# The embedded digits.


def test_digits_are_1797_images_of_28_by_28_bytes_in_three_splits():
    data = datasets.digits()
    for split, n in ((data.train, 1250), (data.validation, 250), (data.test, 297)):
        assert len(split) == n
        assert split.images.shape == (n, 784) and split.images.dtype == np.uint8
        assert split.labels.shape == (n,) and split.labels.dtype == np.int64
        assert set(split.labels) == set(range(10))
        assert split.images.min() == 0 and split.images.max() == 255
        images = split.images.reshape(-1, 28, 28)
        # MNIST's margin: four pixels on every side.
        assert images.sum(dtype=np.int64) == images[:, 4:24, 4:24].sum(dtype=np.int64)
    assert data.name == "digits" and not data.comparable


def test_digits_splits_are_disjoint_and_cover_the_set():
    data, original = datasets.digits(), sklearn.datasets.load_digits()
    splits = [{image.tobytes() for image in split.images} for split in (data.train, data.validation, data.test)]
    # As many different images as scikit-learn's, hence none is in two splits.
    assert len(set.union(*splits)) == len(np.unique(original.images, axis=0)) == sum(map(len, splits)) == 1797
    labels = np.concatenate([data.train.labels, data.validation.labels, data.test.labels])
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(original.target))


def test_digits_show_the_images_of_scikit_learn_the_right_way_up():
    data, original = datasets.digits(), sklearn.datasets.load_digits()
    images = np.concatenate([data.train.images, data.validation.images, data.test.images]).reshape(-1, 28, 28)
    # The mean images at 40x40, where 8x8 and 20x20 meet.
    ours = np.kron(images.mean(0)[4:24, 4:24] / 255, np.ones((2, 2)))
    theirs = np.kron(original.images.mean(0) / 16, np.ones((5, 5)))
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02)

    def correlation(image):
        return np.corrcoef(image.ravel(), theirs.ravel())[0, 1]

    assert correlation(ours) > 0.95
    assert max(correlation(turned) for turned in (ours.T, ours[::-1], ours[:, ::-1], ours[::-1, ::-1])) < 0.95


def test_digits_labels_name_what_the_images_show():
    data = datasets.digits()
    for labels, low, high in ((data.train.labels, 0.9, 1), (np.roll(data.train.labels, 1), 0, 0.3)):
        classifier = KNeighborsClassifier(3).fit(data.train.images / 255, labels)
        for split in (data.validation, data.test):
            assert low < classifier.score(split.images / 255, split.labels) <= high


def test_digits_are_the_same_every_time():
    once, again = datasets.digits(), datasets.load("digits")
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(once, split).images, getattr(again, split).images)
        np.testing.assert_array_equal(getattr(once, split).labels, getattr(again, split).labels)


# Pixels.


def test_scale_maps_bytes_to_the_unit_interval():
    pixels = datasets.scale(np.uint8([[0, 51, 128, 255]]))
    assert pixels.dtype == tf.float32
    np.testing.assert_allclose(pixels, [[0, 0.2, 128 / 255, 1]], rtol=1e-6)


def shades():
    """Returns 784 pixels that take every value."""
    return (np.arange(784) % 256).astype(np.uint8)


def follows_the_shades(x):
    """Whether each pixel's mean over images lies within five standard errors of its probability."""
    probability = shades() / 255
    error = np.sqrt(probability * (1 - probability) / len(x))
    return bool(np.all(np.abs(np.mean(x, axis=0) - probability) <= 5 * error + 1e-6))


def test_binarize_draws_bernoulli_pixels():
    images = np.tile(shades(), (4000, 1))
    x = datasets.binarize(images, SEED).numpy()
    assert x.dtype == np.float32 and set(np.unique(x)) == {0, 1}
    assert follows_the_shades(x)
    assert not follows_the_shades(images > 127)  # A threshold instead of a draw.
    assert not follows_the_shades(datasets.binarize(np.tile(255 - shades(), (4000, 1)), SEED))  # Ink for paper.


def test_binarize_draws_pixels_and_images_independently():
    n = 4000
    x = datasets.binarize(np.full((n, 784), 128, np.uint8), SEED).numpy()
    # With independent pixels the ink of an image is binomial, and so is that of a pixel over images.
    for total, trials in ((x.sum(1), 784), (x.sum(0), n)):
        variance = trials * 128 / 255 * 127 / 255
        # The standard error of a normal variable's variance.
        assert abs(total.var(ddof=1) / variance - 1) < 5 * np.sqrt(2 / len(total))


def test_binarize_is_a_function_of_the_seed():
    images = np.tile(shades(), (5, 1))
    np.testing.assert_array_equal(datasets.binarize(images, SEED), datasets.binarize(images, SEED))
    assert np.any(datasets.binarize(images, SEED) != datasets.binarize(images, SEED + 1))


def test_fixed_binarization_is_fixed_and_bernoulli():
    images = np.tile(shades(), (2000, 1))
    once = datasets.fixed_binarization(images).numpy()
    np.testing.assert_array_equal(once, datasets.fixed_binarization(images))
    assert set(np.unique(once)) == {0, 1} and follows_the_shades(once)


# Batches.


def numbered_images(n):
    """Returns images that show their index, at most 255, and labels that are a function of it."""
    return np.repeat(np.arange(n, dtype=np.uint8)[:, None], 784, axis=1), np.arange(n) * 7 % 10


def take(stream, count):
    return list(stream.take(count).as_numpy_iterator())


def indices(batches):
    """Returns the index that each image of some batches shows."""
    pixels = np.concatenate(batches)
    assert np.all(pixels == pixels[:, :1])
    return np.round(255 * pixels[:, 0]).astype(int)


def test_no_image_comes_twice_in_an_epoch_and_the_order_changes():
    images, _ = numbered_images(103)
    epochs = np.split(indices(take(datasets.training_batches(images, 10, seed=1), 60)), 6)
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == 100 and set(epoch) <= set(range(103))
    for before, after in itertools.pairwise(epochs):
        # Two random orders of 100 agree in one place on average.
        assert np.sum(before == after) < 8
    # Another three of the 103 sit out each time.
    assert len({frozenset(range(103)) - set(epoch) for epoch in epochs}) > 3


def test_an_epoch_that_the_batches_fill_is_a_permutation():
    images, _ = numbered_images(60)
    epoch = indices(take(datasets.training_batches(images, 20, seed=1), 3))
    assert sorted(epoch) == list(range(60)) and list(epoch) != sorted(epoch)


def test_every_image_comes_equally_often_at_every_place():
    n, epochs = 12, 1200
    images, _ = numbered_images(n)
    orders = indices(take(datasets.training_batches(images, n, seed=0), epochs)).reshape(epochs, n)
    counts = np.array([np.bincount(orders[:, place], minlength=n) for place in range(n)])

    def chi_square(counts):
        return np.sum((counts - epochs / n) ** 2 / (epochs / n))

    # Rows and columns of the table are given: (n - 1)^2 degrees of freedom.
    limit = stats.chi2((n - 1) ** 2).isf(1e-6)
    assert chi_square(counts) < limit
    # Even an order that returns once in twenty epochs would show.
    assert chi_square(0.95 * counts + 0.05 * epochs * np.eye(n)) > limit


def test_every_epoch_and_every_run_has_an_order_of_its_own():
    images, _ = numbered_images(100)

    def order(seed, epoch):
        return indices(take(datasets.training_batches(images, 100, seed, first_step=epoch), 1))

    np.testing.assert_array_equal(order(0, 0), order(0, 0))
    for seed, epoch in ((0, 1), (0, 256), (0, 65_536), (1, 0), (16, 0), (4096, 0)):
        assert np.sum(order(0, 0) == order(seed, epoch)) < 8


def test_the_orders_of_mnist_s_epochs_are_uncorrelated():
    n, batch_size, epochs = 50_000, 500, 5
    stream = datasets.training_batches(np.zeros((n, 784), np.uint8), batch_size, seed=0, labels=np.arange(n))
    orders = np.concatenate([y for _, y in take(stream, epochs * n // batch_size)]).reshape(epochs, n)
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(n), (epochs, 1)))
    # The correlation of two random orders has the standard error 1 / sqrt(n).
    correlations = np.corrcoef([np.arange(n), *orders])
    assert np.abs(correlations - np.eye(epochs + 1)).max() < 5 / np.sqrt(n)
    following = [np.corrcoef(order[1:], order[:-1])[0, 1] for order in orders]
    assert np.abs(following).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize("binarized", [False, True])
def test_a_stream_from_a_later_step_goes_on_as_the_one_from_zero(binarized):
    images, labels = numbered_images(50)

    def stream(first_step):
        return datasets.training_batches(images, 8, seed=3, labels=labels, binarized=binarized, first_step=first_step)

    whole = take(stream(0), 20)
    for first_step in (1, 6, 13):
        for (x, y), (resumed_x, resumed_y) in zip(whole[first_step:], take(stream(first_step), 20), strict=False):
            np.testing.assert_array_equal(x, resumed_x)
            np.testing.assert_array_equal(y, resumed_y)
    assert np.any(whole[0][0] != whole[1][0])


def test_labels_stay_with_their_images():
    images, labels = numbered_images(200)
    batches = take(datasets.training_batches(images, 30, seed=4, labels=labels), 14)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels[indices([x for x, _ in batches])])


def test_batches_know_their_shape():
    images, labels = numbered_images(20)
    x, y = datasets.training_batches(images, 6, seed=0, labels=labels).element_spec
    assert (x.shape, x.dtype, y.shape) == ((6, 784), tf.float32, (6,))


def test_binarized_batches_are_drawn_anew_for_every_batch():
    images = np.tile(shades(), (64, 1))
    batches = take(datasets.training_batches(images, 64, seed=2, binarized=True), 60)
    x = np.concatenate(batches)
    assert set(np.unique(x)) == {0, 1} and follows_the_shades(x)
    # One binarisation, kept for all epochs, would be no more than 64 images.
    assert not follows_the_shades(np.tile(batches[0], (60, 1)))
    assert len(np.unique(x, axis=0)) == len(x)


def test_a_set_smaller_than_a_batch_is_refused():
    images, _ = numbered_images(9)
    with pytest.raises(InputError, match=r"batch of 10 .* 9 training images"):
        datasets.training_batches(images, 10, seed=0)
    np.testing.assert_array_equal(np.sort(indices(take(datasets.training_batches(images, 9, seed=0), 1))), range(9))


# Prepared directories.


def test_tfds_reads_back_what_was_prepared(tmp_path):
    for name in ("mnist", "fashion_mnist"):
        directory, train, test = datasets.prepare(name, small_splits(), tmp_path)
        assert directory == str(tmp_path / name / "3.0.1") and (train, test) == (TRAIN, TEST)
        read, info = tfds.load(name, data_dir=tmp_path, batch_size=-1, with_info=True, download=False)
        for split, (images, labels) in small_splits().items():
            assert examples(read[split]["image"], read[split]["label"]) == examples(images, labels)
            assert info.splits[split].num_examples == len(labels)
    assert info.features["label"].names[1] == "Trouser"


def test_load_holds_out_a_sixth_for_validation_and_keeps_test_as_it_is(prepared):
    data = datasets.load("mnist", prepared)
    assert (len(data.train), len(data.validation), len(data.test)) == (TRAIN * 5 // 6, TRAIN // 6, TEST)
    held = [examples(split.images, split.labels) for split in (data.train, data.validation)]
    splits = small_splits()
    assert held[0] + held[1] == examples(*splits["train"])
    assert examples(data.test.images, data.test.labels) == examples(*splits["test"])
    assert data.train.images.shape == (100, 784) and data.train.images.dtype == np.uint8
    again = datasets.load("mnist", prepared)
    np.testing.assert_array_equal(data.validation.images, again.validation.images)


def test_mnist_is_known_by_its_labels_and_not_by_the_names_of_its_files():
    train, test = (np.repeat(np.arange(10), LABEL_COUNTS[split]) for split in ("train", "test"))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert datasets.is_mnist(train[::-1], test)
    # Fashion-MNIST and KMNIST have as many images of each class, under the same names of files.
    assert not datasets.is_mnist(np.repeat(np.arange(10), 6000), np.repeat(np.arange(10), 1000))
    assert not datasets.is_mnist(train[:-1], test) and not datasets.is_mnist(train, np.maximum(test, 1))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"images": np.zeros((20, 784), np.float32)}, "uint8 .* got float32"),
        ({"images": np.zeros((20, 28, 28), np.uint8)}, r"got uint8 \(20, 28, 28\)"),
        ({"labels": np.zeros(19, np.int64)}, r"shape \(20,\).* got \(19,\)"),
        ({"batch_size": 0}, "at least 1 .* got 0"),
        ({"seed": -1}, "at least 0.* -1"),
    ],
)
def test_the_stream_refuses_what_it_would_silently_train_on(wrong, message):
    arguments = {"images": np.zeros((20, 784), np.uint8), "batch_size": 5, "seed": 0, **wrong}
    with pytest.raises(ValueError, match=message):
        datasets.training_batches(**arguments)


def test_the_two_fixed_binarisations_are_independent_draws_of_the_same_pixels():
    images = np.full((50, 784), 51, np.uint8)
    a, b = (datasets.fixed_binarization(images, number).numpy() for number in (0, 1))
    np.testing.assert_array_equal(a, datasets.fixed_binarization(images).numpy())
    # 39,200 pixels lit with p = 0.2: each set's share, and the share lit in both, within five standard errors.
    for share, p in ((a.mean(), 0.2), (b.mean(), 0.2), ((a * b).mean(), 0.04)):
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / a.size)


def test_only_the_whole_of_mnist_is_comparable(prepared, tmp_path, monkeypatch):
    assert not datasets.load("mnist", prepared).comparable
    datasets.prepare("kmnist", small_splits(), tmp_path)
    counts = [tuple(np.bincount(labels, minlength=10)) for _, labels in small_splits().values()]
    monkeypatch.setattr(datasets, "MNIST_TRAIN_COUNTS", counts[0])
    monkeypatch.setattr(datasets, "MNIST_TEST_COUNTS", counts[1])
    assert datasets.load("mnist", prepared).comparable
    assert not datasets.load("kmnist", tmp_path).comparable
    assert not datasets.digits().comparable


def test_prepare_stores_in_the_order_of_tfds_own_builder(prepared, tmp_path):
    splits = small_splits()

    class Mnist(tfds.builder_cls("mnist"), skip_registration=True):
        def _split_generators(self, dl_manager):
            for split, (images, labels) in splits.items():
                # The builder skips the headers unread.
                (tmp_path / f"{split}-images").write_bytes(bytes(16) + images.tobytes())
                (tmp_path / f"{split}-labels").write_bytes(bytes(8) + labels.astype(np.uint8).tobytes())
            return {
                split: self._generate_examples(
                    len(labels), str(tmp_path / f"{split}-images"), str(tmp_path / f"{split}-labels")
                )
                for split, (_, labels) in splits.items()
            }

    builder = Mnist(data_dir=tmp_path)
    builder.download_and_prepare()
    theirs = builder.as_dataset(batch_size=-1)
    ours = tfds.load("mnist", data_dir=prepared, batch_size=-1, download=False)
    for split, (images, _) in splits.items():
        np.testing.assert_array_equal(ours[split]["image"], theirs[split]["image"])
        np.testing.assert_array_equal(ours[split]["label"], theirs[split]["label"])
        # It is an order of its own, which storing the arrays as they come would miss.
        assert np.any(theirs[split]["image"][..., 0] != images)


def test_preparing_twice_is_refused_and_leaves_the_first_as_it_is(prepared):
    before = contents(prepared)
    other = {split: (255 - images, labels) for split, (images, labels) in small_splits().items()}
    with pytest.raises(InputError, match=r"mnist.3\.0\.1 exists already; remove it"):
        datasets.prepare("mnist", other, prepared)
    assert contents(prepared) == before


def test_status_tells_what_is_prepared_and_where(prepared):
    assert datasets.status(prepared) == [
        ("mnist", str(prepared / VERSION), True),
        ("fashion_mnist", str(prepared / "fashion_mnist" / "3.0.1"), False),
        ("kmnist", str(prepared / "kmnist" / "3.0.1"), False),
    ]


# What cannot be loaded.


@pytest.mark.parametrize("name", ["cifar10", "", "MNIST"])
def test_unknown_dataset_is_refused(name):
    with pytest.raises(InputError, match=rf"'{name}'.* auto, mnist, fashion_mnist, kmnist, digits"):
        datasets.load(name)


@pytest.mark.parametrize("dataset", ["mnist", "auto", "digits"])
@pytest.mark.parametrize("place", ["file", "missing"])
def test_data_dir_that_is_no_directory_is_refused(tmp_path, dataset, place):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=rf"{place}' is not a directory"):
        datasets.load(dataset, tmp_path / place)
    assert not (tmp_path / "missing").exists()


def overwrite(content):
    return lambda path: path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


INFO, TRAIN_FILE, TEST_FILE = (
    "dataset_info.json",
    "mnist-train.tfrecord-00000-of-00001",
    "mnist-test.tfrecord-00000-of-00001",
)
CORRUPT_INFO = {
    "info that is no JSON": (INFO, overwrite(b"garbage")),
    "info that is no text": (INFO, overwrite(b"\xff\xfe\x00")),
    "info cut to nothing": (INFO, overwrite(b"")),
    "info of nothing": (INFO, overwrite(b"{}")),
}
CORRUPT_RECORDS = {
    "records cut short": (TRAIN_FILE, cut),
    "no records in the file": (TEST_FILE, overwrite(b"")),
    "record damaged": (TRAIN_FILE, flip_a_byte),
    "record file missing": (TEST_FILE, lambda path: path.unlink()),
}


def corrupt_copy(prepared, directory, case):
    shutil.copytree(prepared, directory, dirs_exist_ok=True)
    file, damage = (CORRUPT_INFO | CORRUPT_RECORDS)[case]
    damage(directory / VERSION / file)


# "auto" too: digits stand in for a set that is absent, not for one that is broken.
@pytest.mark.parametrize("dataset", ["mnist", "auto"])
@pytest.mark.parametrize("case", CORRUPT_INFO | CORRUPT_RECORDS)
def test_corrupt_prepared_set_is_refused(prepared, tmp_path, dataset, case):
    corrupt_copy(prepared, tmp_path, case)
    with pytest.raises(InputError) as caught:
        datasets.load(dataset, tmp_path)
    message = str(caught.value)
    assert "mnist" in message and str(tmp_path) in message and "prepare it again" in message and "\n" not in message


@pytest.mark.parametrize("case", CORRUPT_INFO)
def test_corrupt_prepared_set_is_neither_listed_nor_prepared_over(prepared, tmp_path, case):
    corrupt_copy(prepared, tmp_path, case)
    before = contents(tmp_path)
    for call in (lambda: datasets.status(tmp_path), lambda: datasets.prepare("mnist", small_splits(), tmp_path)):
        with pytest.raises(InputError, match="mnist") as caught:
            call()
        assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.fixture
def source(monkeypatch):
    """Returns a function that sets where TFDS would download MNIST from."""
    return lambda address: monkeypatch.setattr(tfds.builder_cls("mnist"), "URL", f"http://{address}/")


@contextlib.contextmanager
def listening_socket():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def web_server(body):
    """A web server that answers every request with some bytes, or with 404 if they are None."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def assert_run_error_with_remedies(data_dir, reason):
    started = time.monotonic()
    with pytest.raises(RunError) as caught:
        datasets.load("mnist", data_dir)
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert "mnist" in message and str(data_dir) in message and reason in message
    for remedy in REMEDIES:
        assert remedy in message


def closed_port():
    with listening_socket() as address:
        return address


def test_refused_connection_ends_in_the_remedies(tmp_path, source):
    source(closed_port())
    assert_run_error_with_remedies(tmp_path, "refused")
    assert list(tmp_path.iterdir()) == []


def test_unknown_host_ends_in_the_remedies(tmp_path, source):
    source("host.invalid")
    assert_run_error_with_remedies(tmp_path, "not known")


def test_host_that_never_answers_ends_in_the_remedies(tmp_path, source):
    with listening_socket() as address:
        source(address)
        assert_run_error_with_remedies(tmp_path, "")


def test_name_look_up_that_never_ends_ends_in_the_remedies(tmp_path, source, monkeypatch):
    over = threading.Event()

    def hang(*args, **kwargs):
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 1)
    source("host.invalid")
    assert_run_error_with_remedies(tmp_path, "no answer within 1 seconds")
    over.set()


@pytest.mark.parametrize("body", [None, b"not an archive"], ids=["not found", "no archive"])
def test_failed_download_ends_in_the_remedies(tmp_path, source, body):
    with web_server(body) as address:
        source(address)
        assert_run_error_with_remedies(tmp_path, "127.0.0.1")
    assert not datasets.status(tmp_path)[0][2]


def test_download_of_something_else_ends_in_the_remedies(tmp_path, source, monkeypatch):
    with web_server(gzip.compress(b"something else")) as address:
        source(address)
        files = [f"{images}.gz" for images in itertools.chain(*idx.FILES.values())]
        expected = {
            f"http://{address}/{file}": UrlInfo(size=tfds.core.utils.Size(1), checksum="0" * 64, filename=file)
            for file in files
        }
        monkeypatch.setattr(tfds.builder_cls("mnist"), "url_infos", expected)
        assert_run_error_with_remedies(tmp_path, "hecksum")
    assert not datasets.status(tmp_path)[0][2]


def test_auto_runs_on_digits_where_mnist_cannot_be_had_and_says_so(tmp_path, source, capsys):
    source(closed_port())
    data = datasets.load("auto", tmp_path)
    assert data.name == "digits" and len(data.train) == 1250
    printed = capsys.readouterr().out
    assert "NOT MNIST" in printed and "No result is comparable" in printed and "refused" in printed
    assert all(remedy in printed for remedy in REMEDIES)


def test_auto_is_mnist_where_it_is_prepared(prepared, capsys):
    data = datasets.load("auto", prepared)
    assert data.name == "mnist" and len(data.test) == TEST
    assert "NOT MNIST" not in capsys.readouterr().out
