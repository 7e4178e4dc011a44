"""MNIST as TFDS prepares it: read back, prepared from files, damaged, or not to be had. No test reaches a network."""

import collections
import contextlib
import gzip
import http.server
import itertools
import pathlib
import shutil
import socket
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets
from helpers import contents
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.utils import Size

from tfgen import data
from tfgen.data import idx, tfds
from tfgen.data.batches import binarize, fixed_binarization
from tfgen.errors import InputError, RunError

TRAIN, TEST = 120, 30
VERSION = "mnist/3.0.1"
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
    tfds.prepare("mnist", small_splits(), data_dir)
    return data_dir


def examples(images, labels):
    """Returns a multiset of (label, pixels), which knows no order."""
    images = np.asarray(images)
    return collections.Counter(
        (int(label), image.tobytes()) for image, label in zip(images, np.asarray(labels), strict=True)
    )


# Prepared directories.


def test_tfds_reads_back_what_was_prepared(tmp_path):
    for name in ("mnist", "fashion_mnist"):
        directory, train, test = tfds.prepare(name, small_splits(), tmp_path)
        assert directory == str(tmp_path / name / "3.0.1") and (train, test) == (TRAIN, TEST)
        read, info = tensorflow_datasets.load(name, data_dir=tmp_path, batch_size=-1, with_info=True, download=False)
        for split, (images, labels) in small_splits().items():
            assert examples(read[split]["image"], read[split]["label"]) == examples(images, labels)
            assert info.splits[split].num_examples == len(labels)
    assert info.features["label"].names[1] == "Trouser"


@pytest.mark.parametrize(("name", "classes", "first"), [("letters", 26, 1), ("balanced", 47, 0), ("digits", 10, 0)])
def test_emnist_is_turned_upright_and_its_labels_begin_with_0(tmp_path, name, classes, first):
    """Stored as the builder of TFDS does, which leaves the images as EMNIST's files have them: transposed."""
    builder = tensorflow_datasets.builder(f"emnist/{name}", data_dir=tmp_path)
    upright = {split: (images, labels % classes) for split, (images, labels) in small_splits().items()}
    upright["train"][1][0] = classes - 1
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="emnist",
        config=name,
        version=str(builder.version),
        features=builder.info.features,
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(
                {"image": images.transpose(0, 2, 1)[..., None], "label": labels + first}
            )
            for split, (images, labels) in upright.items()
        },
        data_dir=tmp_path,
    )
    dataset = data.load(f"emnist/{name}", tmp_path)
    assert (dataset.image_shape, dataset.classes, dataset.comparable) == ((28, 28), classes, False)
    assert examples(dataset.test.images, dataset.test.labels) == examples(*upright["test"])
    both = [
        np.concatenate([getattr(split, part) for split in (dataset.train, dataset.validation)])
        for part in ("images", "labels")
    ]
    assert examples(*both) == examples(*upright["train"])


def prepare_binarized(directory, levels=2):
    """Prepares a small set as TFDS's builder of Larochelle's does: three splits of pixels 0 and 1, without labels."""
    rng = np.random.default_rng(0)
    builder = tensorflow_datasets.builder("binarized_mnist", data_dir=directory)
    images = {
        split: rng.integers(levels, size=(n, 28, 28, 1)).astype(np.uint8)
        for split, n in (("train", 12), ("validation", 5), ("test", 7))
    }
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="binarized_mnist",
        version=str(builder.version),
        features=builder.info.features,
        split_datasets={split: tf.data.Dataset.from_tensor_slices({"image": x}) for split, x in images.items()},
        data_dir=directory,
    )
    return images


def test_the_binarised_mnist_comes_in_its_own_splits_and_stays_as_it_is_when_it_is_binarised(tmp_path):
    assert not data.is_prepared("binarized_mnist", tmp_path)
    images = prepare_binarized(tmp_path)
    assert data.is_prepared("binarized_mnist", tmp_path) and not data.is_prepared("mnist", tmp_path)
    loaded = data.load("binarized_mnist", tmp_path)
    assert (loaded.name, loaded.classes, loaded.comparable) == ("binarized_mnist", None, False)
    for split, expected in images.items():
        held = getattr(loaded, split).images
        assert sorted(map(bytes, held // 255)) == sorted(x.tobytes() for x in expected)
        binary = held / np.float32(255)
        np.testing.assert_array_equal(fixed_binarization(held, number=3), binary)
        np.testing.assert_array_equal(binarize(held, (1, 2)), binary)


def test_a_binarised_mnist_with_other_pixels_is_refused(tmp_path):
    prepare_binarized(tmp_path, levels=3)
    with pytest.raises(InputError, match="a pixel of 2, where only 0 and 1 may be"):
        data.load("binarized_mnist", tmp_path)


def test_the_real_binarised_mnist_is_comparable():
    if not data.is_prepared("binarized_mnist"):
        pytest.skip("NOT TESTED: binarized_mnist is not prepared")
    loaded = data.load("binarized_mnist")
    assert loaded.comparable and [len(s) for s in (loaded.train, loaded.validation, loaded.test)] == [
        50_000,
        10_000,
        10_000,
    ]


def test_emnist_that_is_not_prepared_ends_in_the_remedies_that_it_has(tmp_path):
    with pytest.raises(
        RunError, match=r"emnist/letters is not prepared in .* --data-dir .* --dataset digits"
    ) as caught:
        data.load("emnist/letters", tmp_path)
    assert f"in {tmp_path} and" in str(caught.value) and "data import" not in str(caught.value)


def test_load_holds_out_a_sixth_for_validation_and_keeps_test_as_it_is(prepared):
    loaded = data.load("mnist", prepared)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (TRAIN * 5 // 6, TRAIN // 6, TEST)
    held = [examples(split.images, split.labels) for split in (loaded.train, loaded.validation)]
    splits = small_splits()
    assert held[0] + held[1] == examples(*splits["train"])
    assert examples(loaded.test.images, loaded.test.labels) == examples(*splits["test"])
    assert loaded.train.images.shape == (100, 784) and loaded.train.images.dtype == np.uint8
    again = data.load("mnist", prepared)
    np.testing.assert_array_equal(loaded.validation.images, again.validation.images)


def changed_pixel(splits):
    splits["test"][0][3, 2, 1] ^= 1


def swapped_labels(splits):
    labels = splits["train"][1]
    other = np.flatnonzero(labels != labels[0])[0]
    labels[[0, other]] = labels[[other, 0]]


def a_pair_in_the_other_split(splits):
    """The last training image and its label become test data: each split keeps its other images."""
    (images, labels), (test_images, test_labels) = splits["train"], splits["test"]
    splits["train"] = images[:-1], labels[:-1]
    splits["test"] = np.append(test_images, images[-1:], axis=0), np.append(test_labels, labels[-1:])


@pytest.mark.parametrize("change", [changed_pixel, swapped_labels, a_pair_in_the_other_split])
def test_the_checksum_of_a_set_knows_every_pixel_and_label(change):
    splits = small_splits()
    change(splits)
    assert tfds.checksum(splits) != tfds.checksum(small_splits())


def test_the_checksum_of_a_set_knows_no_order():
    rng = np.random.default_rng(1)
    shuffled = {
        split: (images[order], labels[order])
        for split, (images, labels) in small_splits().items()
        for order in [rng.permutation(len(labels))]
    }
    assert tfds.checksum(shuffled) == tfds.checksum(small_splits())
    assert not np.array_equal(shuffled["train"][0], small_splits()["train"][0])


@pytest.mark.parametrize("change", [changed_pixel, swapped_labels])
def test_a_set_with_the_counts_of_mnist_is_not_comparable_unless_it_is_mnist(prepared, tmp_path, monkeypatch, change):
    """The set in `prepared` stands for MNIST. The changed ones have as many images of each digit."""
    monkeypatch.setattr(tfds, "MNIST_CHECKSUM", tfds.checksum(small_splits()))
    assert data.load("mnist", prepared).comparable
    splits = small_splits()
    change(splits)
    tfds.prepare("mnist", splits, tmp_path)
    assert not data.load("mnist", tmp_path).comparable


def test_only_the_whole_of_mnist_is_comparable(prepared, tmp_path, monkeypatch):
    assert not data.load("mnist", prepared).comparable
    tfds.prepare("kmnist", small_splits(), tmp_path)
    monkeypatch.setattr(tfds, "MNIST_CHECKSUM", tfds.checksum(small_splits()))
    assert not data.load("kmnist", tmp_path).comparable
    assert not data.digits().comparable


def test_the_real_mnist_is_comparable_and_with_one_pixel_changed_it_is_not():
    prepared = {name: done for name, _, done in tfds.status()}
    if not prepared["mnist"]:
        pytest.skip("MNIST is not prepared here")
    real = data.load("mnist")
    assert real.comparable
    splits = {
        "train": (
            np.concatenate([real.validation.images, real.train.images]),
            np.concatenate([real.validation.labels, real.train.labels]),
        ),
        "test": (real.test.images.copy(), real.test.labels),
    }
    assert tfds.checksum(splits) == tfds.MNIST_CHECKSUM
    splits["test"][0][9_999, 400] ^= 1
    assert tfds.checksum(splits) != tfds.MNIST_CHECKSUM


def test_prepare_stores_in_the_order_of_tfds_own_builder(prepared, tmp_path):
    splits = small_splits()

    class Mnist(tensorflow_datasets.builder_cls("mnist"), skip_registration=True):
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
    ours = tensorflow_datasets.load("mnist", data_dir=prepared, batch_size=-1, download=False)
    for split, (images, _) in splits.items():
        np.testing.assert_array_equal(ours[split]["image"], theirs[split]["image"])
        np.testing.assert_array_equal(ours[split]["label"], theirs[split]["label"])
        # It is an order of its own, which storing the arrays as they come would miss.
        assert np.any(theirs[split]["image"][..., 0] != images)


def test_preparing_twice_is_refused_and_leaves_the_first_as_it_is(prepared):
    before = contents(prepared)
    other = {split: (255 - images, labels) for split, (images, labels) in small_splits().items()}
    with pytest.raises(InputError, match=r"mnist.3\.0\.1 exists already; remove it"):
        tfds.prepare("mnist", other, prepared)
    assert contents(prepared) == before


@pytest.mark.parametrize("place", ["file/in it", "n" * 300])
def test_a_directory_that_cannot_be_made_is_told_with_the_remedy(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"mnist cannot be prepared in .*; name another --data-dir") as caught:
        tfds.prepare("mnist", small_splits(), tmp_path / place)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {pathlib.Path("file"): b""}


def test_status_tells_what_is_prepared_and_where(prepared):
    assert tfds.status(prepared) == [
        ("mnist", str(prepared / VERSION), True),
        ("fashion_mnist", str(prepared / "fashion_mnist" / "3.0.1"), False),
        ("kmnist", str(prepared / "kmnist" / "3.0.1"), False),
        *(
            (f"emnist/{name}", str(prepared / "emnist" / name / "3.1.0"), False)
            for name in ("balanced", "letters", "digits")
        ),
        ("binarized_mnist", str(prepared / "binarized_mnist" / "1.0.0"), False),
    ]


# What cannot be loaded.


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
        data.load(dataset, tmp_path)
    message = str(caught.value)
    assert "mnist" in message and str(tmp_path) in message and "prepare it again" in message and "\n" not in message


@pytest.mark.parametrize("case", CORRUPT_INFO)
def test_corrupt_prepared_set_is_neither_listed_nor_prepared_over(prepared, tmp_path, case):
    corrupt_copy(prepared, tmp_path, case)
    before = contents(tmp_path)
    for call in (lambda: tfds.status(tmp_path), lambda: tfds.prepare("mnist", small_splits(), tmp_path)):
        with pytest.raises(InputError, match="mnist") as caught:
            call()
        assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.fixture
def source(monkeypatch):
    """Returns a function that sets where TFDS would download MNIST from."""
    return lambda address: monkeypatch.setattr(tensorflow_datasets.builder_cls("mnist"), "URL", f"http://{address}/")


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
        data.load("mnist", data_dir)
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


def test_binarized_mnist_that_cannot_be_downloaded_ends_in_the_remedies_that_it_has(tmp_path, monkeypatch):
    module = sys.modules[tensorflow_datasets.builder_cls("binarized_mnist").__module__]
    monkeypatch.setattr(module, "_URL", f"http://{closed_port()}/")
    with pytest.raises(RunError, match=r"binarized_mnist is not prepared in .*refused.*--data-dir") as caught:
        data.load("binarized_mnist", tmp_path)
    assert "digits" not in str(caught.value) and "import" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", data.TFDS_NAMES)
def test_every_set_has_an_address(name, tmp_path):
    assert tfds._url(tensorflow_datasets.builder(name, data_dir=tmp_path)).startswith("http")


def test_unknown_host_ends_in_the_remedies(tmp_path, source):
    source("host.invalid")
    assert_run_error_with_remedies(tmp_path, "not known")


def test_host_that_never_answers_ends_in_the_remedies(tmp_path, source, monkeypatch):
    assert tfds.PROBE_SECONDS <= 5
    monkeypatch.setattr(tfds, "PROBE_SECONDS", 1)
    with listening_socket() as address:
        source(address)
        assert_run_error_with_remedies(tmp_path, "")


def test_name_look_up_that_never_ends_ends_in_the_remedies(tmp_path, source, monkeypatch):
    over = threading.Event()

    def hang(*args, **kwargs):
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(tfds, "PROBE_SECONDS", 1)
    source("host.invalid")
    assert_run_error_with_remedies(tmp_path, "no answer within 1 seconds")
    over.set()


@pytest.mark.parametrize("body", [None, b"not an archive"], ids=["not found", "no archive"])
def test_failed_download_ends_in_the_remedies(tmp_path, source, body):
    with web_server(body) as address:
        source(address)
        assert_run_error_with_remedies(tmp_path, "127.0.0.1")
    assert not tfds.status(tmp_path)[0][2]


def test_download_of_something_else_ends_in_the_remedies(tmp_path, source, monkeypatch):
    with web_server(gzip.compress(b"something else")) as address:
        source(address)
        files = [f"{images}.gz" for images in itertools.chain(*idx.FILES.values())]
        expected = {
            f"http://{address}/{file}": UrlInfo(size=Size(1), checksum="0" * 64, filename=file) for file in files
        }
        monkeypatch.setattr(tensorflow_datasets.builder_cls("mnist"), "url_infos", expected)
        assert_run_error_with_remedies(tmp_path, "hecksum")
    assert not tfds.status(tmp_path)[0][2]


def test_auto_runs_on_digits_where_mnist_cannot_be_had_and_says_so(tmp_path, source, capsys):
    source(closed_port())
    loaded = data.load("auto", tmp_path)
    assert loaded.name == "digits" and len(loaded.train) == 1250
    printed = capsys.readouterr().out
    assert "NOT MNIST" in printed and "No result is comparable" in printed and "refused" in printed
    assert all(remedy in printed for remedy in REMEDIES)


def test_auto_is_mnist_where_it_is_prepared(prepared, capsys):
    loaded = data.load("auto", prepared)
    assert loaded.name == "mnist" and len(loaded.test) == TEST
    assert "NOT MNIST" not in capsys.readouterr().out
