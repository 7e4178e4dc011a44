"""The datasets that need no TensorFlow: the embedded digits, what a dataset knows of its images, names and places."""

import dataclasses

import numpy as np
import pytest
import sklearn.datasets
from sklearn.neighbors import KNeighborsClassifier

from tfgen import data
from tfgen.errors import InputError


def test_digits_are_1797_images_of_28_by_28_bytes_in_three_splits(digits):
    for split, n in ((digits.train, 1250), (digits.validation, 250), (digits.test, 297)):
        assert len(split) == n
        assert split.images.shape == (n, 784) and split.images.dtype == np.uint8
        assert split.labels.shape == (n,) and split.labels.dtype == np.int64
        assert set(split.labels) == set(range(10))
        assert split.images.min() == 0 and split.images.max() == 255
        images = split.images.reshape(-1, 28, 28)
        # MNIST's margin: four pixels on every side.
        assert images.sum(dtype=np.int64) == images[:, 4:24, 4:24].sum(dtype=np.int64)
    assert digits.name == "digits" and not digits.comparable


def test_digits_splits_are_disjoint_and_cover_the_set(digits):
    original = sklearn.datasets.load_digits()
    splits = [{image.tobytes() for image in split.images} for split in (digits.train, digits.validation, digits.test)]
    # As many different images as scikit-learn's, hence none is in two splits.
    assert len(set.union(*splits)) == len(np.unique(original.images, axis=0)) == sum(map(len, splits)) == 1797
    labels = np.concatenate([digits.train.labels, digits.validation.labels, digits.test.labels])
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(original.target))


def test_digits_show_the_images_of_scikit_learn_the_right_way_up(digits):
    original = sklearn.datasets.load_digits()
    images = np.concatenate([digits.train.images, digits.validation.images, digits.test.images]).reshape(-1, 28, 28)
    # The mean images at 40x40, where 8x8 and 20x20 meet.
    ours = np.kron(images.mean(0)[4:24, 4:24] / 255, np.ones((2, 2)))
    theirs = np.kron(original.images.mean(0) / 16, np.ones((5, 5)))
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02)

    def correlation(image):
        return np.corrcoef(image.ravel(), theirs.ravel())[0, 1]

    assert correlation(ours) > 0.95
    assert max(correlation(turned) for turned in (ours.T, ours[::-1], ours[:, ::-1], ours[::-1, ::-1])) < 0.95


def test_digits_labels_name_what_the_images_show(digits):
    for labels, low, high in ((digits.train.labels, 0.9, 1), (np.roll(digits.train.labels, 1), 0, 0.3)):
        classifier = KNeighborsClassifier(3).fit(digits.train.images / 255, labels)
        for split in (digits.validation, digits.test):
            assert low < classifier.score(split.images / 255, split.labels) <= high


def test_digits_are_the_same_every_time(digits):
    again = data.load("digits")
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(digits, split).images, getattr(again, split).images)
        np.testing.assert_array_equal(getattr(digits, split).labels, getattr(again, split).labels)


@pytest.mark.parametrize("name", ["cifar10", "", "MNIST"])
def test_unknown_dataset_is_refused(name):
    with pytest.raises(InputError, match=rf"'{name}'.* auto, mnist, .*, digits, or name an .npz file"):
        data.load(name)


@pytest.mark.parametrize("dataset", ["mnist", "auto", "digits"])
@pytest.mark.parametrize("place", ["file", "missing"])
def test_data_dir_that_is_no_directory_is_refused(tmp_path, dataset, place):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=rf"{place}' is not a directory"):
        data.load(dataset, tmp_path / place)
    assert not (tmp_path / "missing").exists()


def test_the_directory_that_the_environment_names_may_be_missing_but_no_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "missing"))
    assert data.load("digits").name == "digits" and not (tmp_path / "missing").exists()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="file' cannot be read"):
        data.load("digits")
    # A directory that is named goes before that of the environment.
    assert data.load("digits", tmp_path).name == "digits"


def test_pictures_are_the_rows_of_pixels_in_height_and_width(digits):
    np.testing.assert_array_equal(digits.pictures(digits.test.images[:3])[1, 5], digits.test.images[1, 5 * 28 : 6 * 28])
    one = data.Split(np.zeros((1, 6), np.uint8), np.zeros(1, np.int64))
    wide = data.Dataset("wide", one, one, one, comparable=False, image_shape=(2, 3))
    assert wide.pixels == 6
    pictures = wide.pictures(np.arange(12).reshape(2, 6))
    np.testing.assert_array_equal(pictures[1], [[6, 7, 8], [9, 10, 11]])
    with pytest.raises(ValueError, match="cannot reshape"):
        wide.pictures(np.zeros((1, 7)))


def test_a_split_is_as_long_as_its_labels(digits):
    assert len(digits.test) == len(digits.test.labels) == len(digits.test.images)


def test_the_checksum_of_a_dataset_is_the_same_every_time(digits):
    assert digits.sha256 == data.digits().sha256
    assert len(digits.sha256) == 64 and int(digits.sha256, 16)
    # Neither names nor how the arrays lie in memory are computed with.
    renamed = dataclasses.replace(
        digits, name="other", test=data.Split(np.asfortranarray(digits.test.images), digits.test.labels)
    )
    assert renamed.sha256 == digits.sha256


def test_the_checksum_of_a_dataset_knows_every_pixel_label_order_split_and_shape(digits):
    def changed(split, images=lambda x: x, labels=lambda x: x):
        given = getattr(digits, split)
        return dataclasses.replace(
            digits, **{split: data.Split(images(given.images.copy()), labels(given.labels.copy()))}
        )

    def other_pixel(images):
        images[-1, 400] ^= 1
        return images

    def other_label(labels):
        labels[-1] = (labels[-1] + 1) % 10
        return labels

    splits = ("train", "validation", "test")
    others = [
        *(changed(split, images=other_pixel) for split in splits),
        *(changed(split, labels=other_label) for split in splits),
        *(changed(split, images=lambda x: x[::-1]) for split in splits),
        *(changed(split, images=lambda x: x[:-1], labels=lambda x: x[:-1]) for split in splits),
        dataclasses.replace(digits, validation=digits.test, test=digits.validation),
        dataclasses.replace(digits, image_shape=(14, 56)),
        dataclasses.replace(digits, classes=11),
    ]
    checksums = {dataset.sha256 for dataset in (digits, *others)}
    assert len(checksums) == 1 + len(others)


# Sets of a user's own.

IMAGES, LABELS = np.zeros((3, 6), np.uint8), np.array([0, 1, 1])
WRONG_SPLITS = {
    "images of float": (IMAGES / 255, LABELS, ["images", "uint8", "float64 (3, 6)"]),
    "pictures": (IMAGES.reshape(3, 2, 3), LABELS, ["images", "(n, pixels)", "uint8 (3, 2, 3)"]),
    "a list of images": (IMAGES.tolist(), LABELS, ["images", "NumPy array", "got list"]),
    "no images": (None, LABELS, ["images", "NumPy array", "got NoneType"]),
    "labels of float": (IMAGES, LABELS / 1, ["labels", "int64", "float64 (3,)"]),
    "labels of bytes": (IMAGES, LABELS.astype(np.uint8), ["labels", "int64", "uint8 (3,)"]),
    "labels one-hot": (IMAGES, np.eye(3, 2, dtype=np.int64), ["labels", "(n,)", "int64 (3, 2)"]),
    "a label of one number": (IMAGES, np.int64(3), ["labels", "(n,)", "int64 ()"]),
    "a label too few": (IMAGES, LABELS[:2], ["each image", "3 images and 2 labels"]),
    "empty": (IMAGES[:0], LABELS[:0], ["needs an image", "(0, 6)"]),
    "no pixels": (IMAGES[:, :0], LABELS, ["at least one pixel", "(3, 0)"]),
}


@pytest.mark.parametrize("case", WRONG_SPLITS)
def test_a_split_of_other_arrays_is_refused(case):
    images, labels, words = WRONG_SPLITS[case]
    with pytest.raises(InputError) as caught:
        data.Split(images, labels)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def own_set(**changes):
    split = data.Split(IMAGES, LABELS)
    given = {"name": "own", "train": split, "validation": split, "test": split, "comparable": False}
    return data.Dataset(**(given | {"image_shape": (2, 3), "classes": 2} | changes))


WRONG_DATASETS = {
    "image_shape of other images": ({"image_shape": (2, 4)}, ["train", "6 pixels", "(2, 4)", "8"]),
    "a split of other images": (
        {"test": data.Split(IMAGES[:, :4], LABELS)},
        ["test has images of 4 pixels", "(2, 3)", "6"],
    ),
    "a label too large": ({"classes": 1}, ["labels of train", "0 to 1", "0 to 0", "1 classes"]),
    "a label below 0": ({"validation": data.Split(IMAGES, LABELS - 1)}, ["labels of validation", "-1 to 0", "0 to 1"]),
    "no split": ({"test": (IMAGES, LABELS)}, ["test", "tfgen.data.Split", "tuple"]),
    "no shape": ({"image_shape": 6}, ["image_shape", "(height, width)", "6"]),
    "a shape with channels": ({"image_shape": (2, 3, 1)}, ["image_shape", "(2, 3, 1)"]),
    "a shape of nothing": ({"image_shape": (0, 3)}, ["image_shape", "at least 1", "(0, 3)"]),
    "a shape of fractions": ({"image_shape": (2.0, 3.0)}, ["image_shape", "(2.0, 3.0)"]),
    "no classes": ({"classes": 0}, ["classes", "at least 1", "0"]),
    "half a class": ({"classes": 2.5}, ["classes", "whole number", "2.5"]),
    "no name": ({"name": ""}, ["name", "''"]),
    "a name that is no text": ({"name": None}, ["name", "None"]),
    # They would be in results.json, which is then refused.
    "a name of two lines": ({"name": "own\n# Title"}, ["name", "one line", r"'own\n# Title'"]),
    "a name that a terminal obeys": ({"name": "\x1b[2J"}, ["name", "printable", r"'\x1b[2J'"]),
    "a name that is an address": ({"name": "http://own"}, ["name", "address", "'http://own'"]),
}


@pytest.mark.parametrize("case", WRONG_DATASETS)
def test_a_dataset_that_does_not_fit_together_is_refused(case):
    changes, words = WRONG_DATASETS[case]
    with pytest.raises(InputError) as caught:
        own_set(**changes)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_a_dataset_of_ones_own_is_kept_as_it_is():
    own = own_set()
    assert own.train.images is IMAGES and own.train.labels is LABELS
    assert (own.pixels, own.classes, own.image_shape) == (6, 2, (2, 3))


def test_a_data_dir_with_a_name_too_long_is_refused():
    with pytest.raises(InputError, match="is not a directory"):
        data.load("digits", "n" * 300)
