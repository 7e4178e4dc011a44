"""Images of one's own: what is read is what was written, and each mistake is told in a line."""

import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tfgen import data
from tfgen.data import npz
from tfgen.errors import InputError

RNG = np.random.default_rng(0)


def arrays(n=12, m=3, shape=(5, 4), classes=2):
    """Images each of which is another one, with labels, as `keras.datasets` names them."""
    return {
        "x_train": RNG.integers(0, 256, (n, *shape), np.uint8),
        "y_train": np.arange(n) % classes,
        "x_test": RNG.integers(0, 256, (m, *shape), np.uint8),
        "y_test": np.arange(m) % classes,
    }


def saved(directory, **contents):
    np.savez_compressed(directory / "mine.npz", **contents)
    return str(directory / "mine.npz")


def drawn(path, image, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).convert(mode).save(path)


def folder(directory, counts, prefix=""):
    """A folder of PNG files for each class; returns the images by class."""
    images = {name: RNG.integers(0, 256, (n, 6, 5), np.uint8) for name, n in counts.items()}
    for name, pictures in images.items():
        for i, picture in enumerate(pictures):
            drawn(directory / prefix / name / f"{i}.png", picture)
    return images


def in_all(dataset):
    """Returns each image's bytes with its label, of the three splits together."""
    return sorted(
        (image.tobytes(), int(label))
        for split in (dataset.train, dataset.validation, dataset.test)
        for image, label in zip(split.images, split.labels, strict=True)
    )


def refused(path, *words):
    with pytest.raises(InputError) as caught:
        data.load(str(path))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert re.search(rf"(?<![\d-]){re.escape(str(word))}(?!\d)", message), (word, message)


# .npz files.


def test_arrays_are_read_as_written(tmp_path, capsys):
    mine = arrays()
    dataset = data.load(saved(tmp_path, **mine))
    assert (dataset.name, dataset.image_shape, dataset.classes, dataset.comparable) == ("mine.npz", (5, 4), 2, False)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [10, 2, 3]
    np.testing.assert_array_equal(dataset.test.images, mine["x_test"].reshape(3, 20))
    np.testing.assert_array_equal(dataset.test.labels, mine["y_test"])
    wanted = [
        (image.tobytes(), label)
        for split in ("train", "test")
        for image, label in zip(mine[f"x_{split}"], mine[f"y_{split}"].tolist(), strict=True)
    ]
    assert in_all(dataset) == sorted(wanted)
    said = "mine.npz: 10 images train, 2 validate and 3 test; 5x4 pixels, in 2 classes\n"
    assert capsys.readouterr().out == said


def test_a_channel_and_labels_in_a_column_are_those_without(tmp_path):
    mine = arrays()
    plain = data.load(saved(tmp_path, **mine)).sha256
    columns = {key: array[..., None].astype(array.dtype.newbyteorder(">")) for key, array in mine.items()}
    assert data.load(saved(tmp_path, **columns)).sha256 == plain
    mine["x_test"][0, 0, 0] ^= 1
    assert data.load(saved(tmp_path, **mine)).sha256 != plain


def test_without_labels_there_are_no_classes(tmp_path, capsys):
    mine = {key: array for key, array in arrays().items() if key[0] == "x"}
    dataset = data.load(saved(tmp_path, **mine))
    assert dataset.classes is None
    assert dataset.train.labels is dataset.validation.labels is dataset.test.labels is None
    assert "without labels" in capsys.readouterr().out
    assert len({image.tobytes() for split in (dataset.train, dataset.validation) for image in split.images}) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_test": None}, ("lacks x_test",)),
        ({"y_test": None}, ("lacks y_test", "both or none")),
        ({"x_train": np.zeros((12, 5, 4))}, ("x_train", "uint8", "float64", "255 * x")),
        ({"x_train": np.zeros((12, 5, 4), np.int64)}, ("x_train", "uint8", "int64")),
        ({"x_train": np.zeros((12, 20), np.uint8)}, ("x_train", "(n, height, width)", "(12, 20)")),
        ({"x_train": np.zeros((12, 5, 4, 3), np.uint8)}, ("x_train", "grey", "(12, 5, 4, 3)")),
        ({"x_train": np.zeros((12, 65, 4), np.uint8)}, ("x_train", "64x64", "65x4")),
        ({"x_train": np.zeros((12, 0, 4), np.uint8)}, ("x_train", "1x1", "0x4")),
        ({"x_test": np.zeros((3, 4, 5), np.uint8)}, ("5x4", "4x5", "one size")),
        ({"x_train": np.zeros((5, 5, 4), np.uint8), "y_train": np.arange(5) % 2}, ("5 training", "at least 6")),
        ({"x_test": np.zeros((0, 5, 4), np.uint8), "y_test": np.zeros(0, int)}, ("0 test", "at least 6 and 1")),
        ({"y_train": np.zeros(12)}, ("y_train", "integers", "float64")),
        ({"y_train": np.zeros((12, 2), int)}, ("y_train", "(n,)", "(12, 2)")),
        ({"y_train": np.zeros(11, int)}, ("12 images", "11 labels")),
        ({"y_train": np.arange(12) % 2 + 1, "y_test": np.ones(3, int)}, ("0 to the number of classes - 1", "1, 2")),
        ({"y_train": np.arange(12) % 2 * -1}, ("-1, 0",)),
        ({"y_train": np.arange(12) % 2 * 2, "y_test": np.zeros(3, int)}, ("0, 2",)),
        ({"x_val": np.zeros(3)}, ("'x_val'", "x_train, y_train, x_test, y_test")),
    ],
)
def test_other_arrays_are_refused(tmp_path, change, words):
    mine = {key: array for key, array in {**arrays(), **change}.items() if array is not None}
    refused(saved(tmp_path, **mine), *words)


def test_a_file_that_is_no_archive_or_a_missing_one_is_told(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"nothing")
    refused(tmp_path / "mine.npz", "mine.npz is not an .npz file of images")
    refused(tmp_path / "other.npz", "no file")


def test_nothing_is_unpickled_and_no_more_read_than_allowed(tmp_path, monkeypatch):
    refused(saved(tmp_path, **{**arrays(), "y_train": np.array([print] * 12)}), "instead of numbers")
    path = saved(tmp_path, **arrays(n=50))
    monkeypatch.setattr(npz, "MOST_BYTES", 50 * 20 - 1)
    refused(path, "1,000", "at most 999")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../x.npy", b"")
    refused(path, "'../x'")


# Folders.


def test_a_folder_for_each_class_is_read_and_a_seventh_tests(tmp_path, capsys):
    images = folder(tmp_path / "mine", {"cats": 20, "ants": 15, "dogs": 7})
    dataset = data.load(str(tmp_path / "mine"))
    assert (dataset.name, dataset.image_shape, dataset.classes) == ("mine/", (6, 5), 3)
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [30, 6, 6]
    wanted = [(image.tobytes(), i) for i, name in enumerate(sorted(images)) for image in images[name]]
    assert in_all(dataset) == sorted(wanted)
    assert "6x5 pixels, in 3 classes (ants, cats, dogs)" in capsys.readouterr().out
    # The same again, and from another place.
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert data.load(tmp_path / "moved").sha256 == dataset.sha256


def test_train_and_test_may_be_folders_of_their_own(tmp_path):
    train = folder(tmp_path, {"a": 10, "b": 8}, "train")
    test = folder(tmp_path, {"a": 2, "b": 3}, "test")
    dataset = data.load(str(tmp_path))
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [15, 3, 5]
    np.testing.assert_array_equal(dataset.test.images, np.concatenate([test["a"], test["b"]]).reshape(5, 30))
    np.testing.assert_array_equal(dataset.test.labels, [0, 0, 1, 1, 1])
    wanted = [*train["a"], *train["b"], *test["a"], *test["b"]]
    assert sorted(image for image, _ in in_all(dataset)) == sorted(image.tobytes() for image in wanted)
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    refused(tmp_path, "a, b", "a, c", "same")


def test_the_two_folders_are_known_whatever_the_case_and_bear_nothing_beside_them(tmp_path):
    train = folder(tmp_path / "mine", {"Train": 12, "TEST": 3})["Train"]
    dataset = data.load(str(tmp_path / "mine"))
    assert dataset.classes is None and [len(split) for split in (dataset.train, dataset.test)] == [10, 3]
    assert {image.tobytes() for image in dataset.train.images} < {image.tobytes() for image in train}
    drawn(tmp_path / "mine" / "1.png", train[0])
    refused(tmp_path / "mine", "1.png", "beside the folder train")
    for name in ("val", "Validation"):
        folder(tmp_path / name, {"train": 8, name: 8})
        refused(tmp_path / name, name, "taken from train")
    folder(tmp_path / "vehicles", {"train": 8, "car": 8})
    assert data.load(str(tmp_path / "vehicles")).classes == 2
    folder(tmp_path / "half", {"a": 8}, "train")
    folder(tmp_path / "half", {"test": 8})
    refused(tmp_path / "half", "got a and files without classes")


def test_classes_follow_the_names_where_paths_are_ordered_otherwise(tmp_path, monkeypatch, capsys):
    folder(tmp_path, {"Zebras": 8, "ants": 8})
    # As Windows orders them.
    monkeypatch.setattr(type(tmp_path), "__lt__", lambda a, b: str(a).lower() < str(b).lower())
    data.load(str(tmp_path))
    assert "(Zebras, ants)" in capsys.readouterr().out


def test_a_name_of_a_folder_moves_no_cursor(tmp_path, capsys):
    folder(tmp_path, {"a\n\x1b[2J": 8, os.fsdecode(b"\xff"): 8})
    data.load(str(tmp_path))
    assert r"(a\n\x1b[2J, \udcff)" in capsys.readouterr().out


def test_classes_that_no_image_trains_are_told(tmp_path, capsys):
    mine = {**arrays(), "y_test": np.array([0, 2, 3])}
    data.load(saved(tmp_path, **mine))
    assert "mine.npz: no image of class 2, 3 trains" in capsys.readouterr().out


def test_the_ending_of_a_file_may_be_in_capitals(tmp_path):
    path = saved(tmp_path, **arrays())
    os.rename(path, tmp_path / "MINE.NPZ")
    assert data.load(str(tmp_path / "MINE.NPZ")).name == "MINE.NPZ"


def test_a_name_that_results_cannot_show_is_to_be_changed(tmp_path):
    refused(saved(tmp_path, **arrays()).replace("mine", "no"), "there is no file")
    (tmp_path / "mine.npz").rename(tmp_path / "me@home.npz")
    refused(tmp_path / "me@home.npz", "rename", "without an address")


def test_what_cannot_be_opened_is_told(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    folder(tmp_path, {"a": 8})
    monkeypatch.setattr(type(tmp_path), "iterdir", denied)
    refused(tmp_path, "cannot be read", "Permission denied")


def test_test_images_that_also_train_are_counted(tmp_path, capsys):
    mine = arrays()
    mine["x_test"][1] = mine["x_train"][0]
    data.load(saved(tmp_path, **mine))
    assert "mine.npz: 1 of the test images also train or validate" in capsys.readouterr().out


def test_files_without_folders_have_no_labels_and_others_are_counted(tmp_path, capsys):
    for i in range(7):
        drawn(tmp_path / f"{i}.PNG", RNG.integers(0, 256, (6, 5), np.uint8))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".hidden").write_text("not counted")
    dataset = data.load(str(tmp_path))
    assert dataset.classes is None
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [5, 1, 1]
    assert f"{tmp_path}: 1 that is no PNG file left out" in capsys.readouterr().out


def test_colours_become_grey_and_two_colours_black_and_white(tmp_path):
    red = np.zeros((6, 5, 3), np.uint8)
    red[..., 0] = 255
    for i in range(6):
        drawn(tmp_path / f"{i}.png", red, "RGBA" if i % 2 else "RGB")
    drawn(tmp_path / "6.png", np.full((6, 5), 255, np.uint8), "1")
    dataset = data.load(str(tmp_path))
    values = {
        int(value) for split in (dataset.train, dataset.validation, dataset.test) for value in np.unique(split.images)
    }
    # The luma of red, 0.299 (ITU-R BT.601).
    assert values == {76, 255}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:40]), ("no PNG file that can be read",)),
        (lambda path: path.write_bytes(b"GIF89a"), ("no PNG file that can be read",)),
        (lambda path: path.write_bytes(b""), ("no PNG file that can be read",)),
        (lambda path: drawn(path, np.zeros((6, 4), np.uint8)), ("6x4", "6x5", "one size")),
        (lambda path: drawn(path, np.zeros((65, 5), np.uint8)), ("64x64", "65x5", "scale them")),
        (lambda path: Image.fromarray(np.zeros((6, 5), np.uint16)).save(path), ("16 bits",)),
        (lambda path: Image.new("LA", (5, 6), (3, 254)).save(path), ("transparent",)),
    ],
)
def test_a_picture_that_cannot_be_taken_is_named(tmp_path, broken, words):
    folder(tmp_path, {"a": 4, "b": 4})
    broken(tmp_path / "b" / "1.png")
    refused(tmp_path, tmp_path / "b" / "1.png", *words)


def test_a_palette_whose_colours_are_all_opaque_is_read(tmp_path):
    folder(tmp_path, {"": 6})
    picture = Image.fromarray(np.full((6, 5), 1, np.uint8))
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / "6.png", transparency=bytes([255, 255]))
    dataset = data.load(str(tmp_path))
    read = np.concatenate([split.images for split in (dataset.train, dataset.validation, dataset.test)])
    assert (read == 76).all(axis=1).sum() == 1
    picture.save(tmp_path / "6.png", transparency=bytes([255, 254]))
    refused(tmp_path, "6.png", "transparent")


def test_an_empty_chunk_that_pillow_stumbles_over_is_told(tmp_path):
    folder(tmp_path, {"": 7})
    path = tmp_path / "1.png"
    content = path.read_bytes()
    chunk = bytes(4) + b"iCCP" + zlib.crc32(b"iCCP").to_bytes(4, "big")
    path.write_bytes(content[:-12] + chunk + content[-12:])  # Before the last chunk, IEND.
    refused(tmp_path, path, "no PNG file that can be read")


def test_files_that_are_no_png_files_are_named_with_the_remedy(tmp_path):
    for place in (tmp_path, tmp_path / "a"):
        place.mkdir(exist_ok=True)
        (place / "photo.jpg").write_bytes(b"")
        refused(place, "no .png file but photo.jpg", "Image.open(old).save(new)")
    refused(tmp_path, tmp_path / "a", "no .png file but photo.jpg")
    refused(tmp_path / "photo.jpg", "neither an .npz file nor a folder")


def test_what_is_wrong_with_pictures_is_found_without_tensorflow(tmp_path):
    drawn(tmp_path / "pictures" / "1.png", np.zeros((65, 5), np.uint8))
    program = (
        "import sys\n"
        "from tfgen.cli import main\n"
        "code = main(['run', 'vae', '--dataset', 'pictures'])\n"
        "sys.exit(100 if 'tensorflow' in sys.modules else code)"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert "64x64 pixels, got 65x5" in process.stderr and process.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_pictures_of_16_bits_of_every_kind_are_refused(tmp_path, colour_type, channels):
    """Written by hand, since Pillow writes grey ones only. Source: PNG specification, sections 11.2.2 and 10."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    header = struct.pack(">IIBBBBB", 5, 6, 16, colour_type, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * 2 * channels * 5) * 6)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    folder(tmp_path, {"a": 7})
    (tmp_path / "a" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    refused(tmp_path, tmp_path / "a" / "1.png", "16 bits")


def test_folders_that_hold_something_else_are_refused(tmp_path):
    refused(tmp_path, "holds no .png file")
    folder(tmp_path, {"a": 3, "b": 3})
    refused(tmp_path, "6 training and 0 test")
    (tmp_path / "c").mkdir()
    refused(tmp_path, tmp_path / "c", "holds no .png file")
    (tmp_path / "c").rmdir()
    drawn(tmp_path / "one.png", np.zeros((6, 5), np.uint8))
    refused(tmp_path, "beside folders (a, b)")


def test_a_picture_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    folder(tmp_path, {"a": 8})
    path = tmp_path / "a" / "1.png"
    content = bytearray(path.read_bytes())
    # Width and height of the header, then its checksum.
    content[16:24] = (50_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    refused(tmp_path, path)


# Names.


def test_a_name_of_a_set_wins_and_a_path_to_a_folder_of_that_name_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "digits", {"a": 8, "b": 8})
    assert data.load("digits").name == "digits"
    assert data.load("./digits").name == "digits/"
    with pytest.raises(InputError, match=r"unknown dataset 'no_folder'; choose one of auto.* or a folder of PNG files"):
        data.load("no_folder")
