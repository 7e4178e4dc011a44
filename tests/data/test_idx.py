import gc
import gzip
import io
import pickle
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgen.data import npz as npz_module
from tfgen.data.idx import read_directory
from tfgen.errors import InputError

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def small_set():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 28, 28), np.uint8),
        "y_train": np.arange(12, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (5, 28, 28), np.uint8),
        "y_test": np.uint8([9, 0, 3, 3, 1]),
    }


def idx(array, magic=None):
    """Returns an IDX file's bytes: 0, 0, 8 (unsigned byte), number of dimensions, the sizes, the values."""
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(directory, arrays, spell=str, compress=False):
    for key, array in arrays.items():
        content = idx(array)
        path = directory / (spell(NAMES[key]) + (".gz" if compress else ""))
        path.write_bytes(gzip.compress(content) if compress else content)


def assert_read(directory, arrays):
    splits = read_directory(directory)
    assert set(splits) == {"train", "test"}
    for split, (images, labels) in splits.items():
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        np.testing.assert_array_equal(images, arrays[f"x_{split}"])
        np.testing.assert_array_equal(labels, arrays[f"y_{split}"])


def assert_refused(directory, *words):
    with pytest.raises(InputError) as caught:
        read_directory(directory)
    for word in words:
        assert re.search(rf"(?<!\d){re.escape(str(word))}(?!\d)", str(caught.value)), (word, str(caught.value))
    assert "\n" not in str(caught.value)


def dotted(name):
    return name.replace("-idx", ".idx")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("spell", [str, dotted])
def test_idx_files_are_read_as_written(tmp_path, spell, compress):
    write(tmp_path, small_set(), spell, compress)
    assert_read(tmp_path, small_set())


def test_npz_is_read_as_written(tmp_path):
    np.savez_compressed(tmp_path / "mnist.npz", **small_set())
    assert_read(str(tmp_path), small_set())


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(("key", "header"), [("x_train", 16), ("y_test", 8)])
def test_truncated_idx_file_is_refused(tmp_path, key, header, compress):
    write(tmp_path, small_set())
    path = tmp_path / NAMES[key]
    content = path.read_bytes()
    if compress:
        path.unlink()
        path = path.with_name(path.name + ".gz")
    # Within the values, just behind the header, within the header, nothing at all.
    for length in (len(content) - 1, header, header - 1, 0):
        path.write_bytes(gzip.compress(content[:length]) if compress else content[:length])
        assert_refused(tmp_path, path, "truncated", length, len(content) if length >= header else header)


def test_idx_file_with_bytes_to_spare_is_refused(tmp_path):
    write(tmp_path, small_set())
    path = tmp_path / NAMES["y_train"]
    path.write_bytes(path.read_bytes() + b"\0")
    assert_refused(tmp_path, path, 8 + 12 + 1, 8 + 12)


@pytest.mark.parametrize(
    ("key", "magic", "allowed"),
    [
        ("x_train", bytes([0, 0, 8, 1]), 2051),
        ("y_train", bytes([0, 0, 8, 3]), 2049),
        ("x_test", bytes([0, 0, 13, 3]), 2051),  # Values of type float.
        ("y_test", bytes([1, 8, 0, 0]), 2049),  # Little-endian.
    ],
)
def test_wrong_magic_number_is_refused(tmp_path, key, magic, allowed):
    write(tmp_path, small_set())
    (tmp_path / NAMES[key]).write_bytes(idx(small_set()[key], magic))
    assert_refused(tmp_path, tmp_path / NAMES[key], int.from_bytes(magic, "big"), allowed)


@pytest.mark.parametrize("key", NAMES)
def test_missing_idx_file_is_named(tmp_path, key):
    write(tmp_path, small_set())
    (tmp_path / NAMES[key]).unlink()
    assert_refused(tmp_path, tmp_path, NAMES[key], "all four")


def test_gzip_file_cut_short_is_refused(tmp_path):
    write(tmp_path, small_set(), compress=True)
    path = tmp_path / (NAMES["x_test"] + ".gz")
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(tmp_path, path, "fetch it again")


def test_gzip_file_with_a_damaged_byte_is_refused(tmp_path):
    write(tmp_path, small_set(), compress=True)
    path = tmp_path / (NAMES["x_test"] + ".gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert_refused(tmp_path, path, "fetch it again")


def test_uncompressed_file_named_gz_is_refused(tmp_path):
    write(tmp_path, small_set(), compress=True)
    path = tmp_path / (NAMES["y_train"] + ".gz")
    path.write_bytes(idx(small_set()["y_train"]))
    assert_refused(tmp_path, path, "fetch it again")


@pytest.mark.parametrize("source", ["nowhere", "file", "n" * 300])
def test_source_that_is_no_directory_is_refused(tmp_path, source):
    (tmp_path / "file").write_bytes(b"")
    assert_refused(tmp_path / source, tmp_path / source, "directory")


UNFIT = {
    "label too large": ({"y_train": np.uint8([*range(9), 10, 0, 1])}, ["train", 10, "0 to 9"]),
    "one label too few": ({"y_test": np.uint8([1, 2, 3, 4])}, ["test", "5 images", "4 labels", "one label"]),
    "one image too few": ({"x_train": np.zeros((11, 28, 28), np.uint8)}, ["train", "11 images", "12 labels"]),
    "empty": ({"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, np.uint8)}, ["test", "no images"]),
    "wrong size": ({"x_train": np.zeros((12, 28, 27), np.uint8)}, ["train", "(12, 28, 27)", "(n, 28, 28)"]),
}
UNFIT_NPZ = {
    "label negative": ({"y_test": np.array([-1, 0, 1, 2, 3])}, ["test", "-1", "0 to 9"]),
    "labels not integers": ({"y_train": np.arange(12) / 2}, ["train", "float64", "integers"]),
    "labels one-hot": ({"y_test": np.eye(5, dtype=np.uint8)}, ["test", "(5, 5)", "(n,)"]),
    "images not bytes": ({"x_test": np.zeros((5, 28, 28))}, ["test", "float64", "uint8"]),
    "images flat": ({"x_train": np.zeros((12, 784), np.uint8)}, ["train", "(12, 784)", "(n, 28, 28)"]),
}


@pytest.mark.parametrize("case", UNFIT)
def test_unfit_idx_set_is_refused(tmp_path, case):
    change, words = UNFIT[case]
    write(tmp_path, small_set() | change)
    assert_refused(tmp_path, tmp_path, *words)


@pytest.mark.parametrize("case", UNFIT | UNFIT_NPZ)
def test_unfit_npz_set_is_refused(tmp_path, case):
    change, words = (UNFIT | UNFIT_NPZ)[case]
    np.savez(tmp_path / "mnist.npz", **(small_set() | change))
    assert_refused(tmp_path, tmp_path, *words)


def test_npz_with_a_missing_array_is_refused(tmp_path):
    arrays = small_set()
    del arrays["y_test"]
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert_refused(tmp_path, tmp_path / "mnist.npz", "y_test")


class Intruder:
    """What unpickling it would execute leaves a trace."""

    executed = False

    def __reduce__(self):
        return setattr, (Intruder, "executed", True)


def test_npz_with_pickled_objects_is_refused_and_nothing_of_it_executed(tmp_path):
    payload = np.array([Intruder()], dtype=object)
    np.savez(tmp_path / "mnist.npz", **(small_set() | {"y_train": payload}))
    assert_refused(tmp_path, tmp_path / "mnist.npz", "y_train.npy", "'|O'", "numbers")
    assert not Intruder.executed
    np.load(tmp_path / "mnist.npz", allow_pickle=True)["y_train"]
    assert Intruder.executed


def npz(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zip_of(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def fortran_order(arrays):
    return {key: np.asfortranarray(array) for key, array in arrays.items()}


def other_integers(arrays):
    return {key: array.astype(">i8") if key.startswith("y_") else array for key, array in arrays.items()}


@pytest.mark.parametrize("saved", [fortran_order, other_integers])
def test_npz_of_other_layouts_is_read_as_written(tmp_path, saved):
    (tmp_path / "mnist.npz").write_bytes(npz(saved(small_set())))
    assert_read(tmp_path, small_set())


def damaged_npz():
    content = bytearray(npz(small_set()))
    content[len(content) // 3] ^= 0xFF
    return bytes(content)


CORRUPT_NPZ = {
    "empty": lambda: b"",
    "garbage": lambda: b"not an archive",
    "cut short": lambda: npz(small_set())[:-500],
    "damaged byte": damaged_npz,
    "pickle": lambda: pickle.dumps(small_set()),
    "single array": lambda: npy(np.zeros(3)),
    "members with a damaged header": lambda: zip_of({f"{key}.npy": npy(np.zeros(3))[:20] for key in NAMES}),
}


@pytest.mark.parametrize("case", CORRUPT_NPZ)
def test_corrupt_npz_is_refused(tmp_path, case):
    (tmp_path / "mnist.npz").write_bytes(CORRUPT_NPZ[case]())
    assert_refused(tmp_path, tmp_path / "mnist.npz", "x_train, y_train, x_test and y_test")
    gc.collect()  # A file left open would warn now, and warnings are errors.


def test_npz_whose_members_are_no_arrays_is_refused(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(zip_of({f"{key}.npy": b"no array" for key in NAMES}))
    assert_refused(tmp_path, tmp_path, "train")


def test_npz_that_is_a_directory_is_refused(tmp_path):
    (tmp_path / "mnist.npz").mkdir()
    assert_refused(tmp_path, tmp_path / "mnist.npz", "x_train, y_train, x_test and y_test")


# Files that promise much, and files that hold more than they promise.

ZEROS = bytes(64_000_000)


def peak_of_refusal(directory, *words):
    """Returns the bytes that were taken at most while a set was refused."""
    tracemalloc.start()
    try:
        assert_refused(directory, *words)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_promises(tmp_path):
    """A header of 12 images, and 64 MB of zeros behind it, in 63 kB."""
    write(tmp_path, small_set(), compress=True)
    path = tmp_path / (NAMES["x_train"] + ".gz")
    path.write_bytes(gzip.compress(idx(small_set()["x_train"])[:16] + ZEROS))
    promised = 16 + 12 * 784
    assert peak_of_refusal(tmp_path, path, promised + 1, promised, "or more") < 2_000_000


def test_a_header_that_promises_too_much_is_refused_before_anything_is_unpacked(tmp_path):
    """765,307 images have 600,000,688 bytes."""
    write(tmp_path, small_set(), compress=True)
    path = tmp_path / (NAMES["x_test"] + ".gz")
    for images, promised in ((765_307, "600,000,688"), (2**32 - 1, "3,367,254,359,280")):
        path.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", images, 28, 28) + ZEROS[:1_000_000]))
        assert peak_of_refusal(tmp_path, path, promised, "at most 600,000,000") < 2_000_000


def test_a_header_that_promises_as_much_as_allowed_takes_no_room_for_what_is_not_there(tmp_path):
    write(tmp_path, small_set())
    path = tmp_path / NAMES["x_test"]
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 765_306, 28, 28) + bytes(100))
    assert peak_of_refusal(tmp_path, path, "truncated", 116, 16 + 765_306 * 784) < 2_000_000


def zip_bomb(header, file_size=None):
    """Returns an mnist.npz whose x_train has 64 MB of zeros behind its header, and says that it is of another size."""
    members = {f"{key}.npy": npy(array) for key, array in small_set().items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, header + ZEROS if name == "x_train.npy" else content)
        if file_size is not None:
            archive.getinfo("x_train.npy").file_size = file_size
    return file.getvalue()


def npy_header(shape):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


@pytest.mark.parametrize(
    ("shape", "file_size", "words"),
    [
        ((12, 28, 28), None, ["9409", "9408"]),
        ((12, 28, 28), 128 + 12 * 784, ["x_train.npy"]),
        ((80_000, 28, 28), 1000, ["x_train.npy"]),
        ((765_307, 28, 28), None, ["600,000,688", "at most 600,000,000"]),
        ((10**17, 28, 28), 1000, ["x_train.npy"]),
        ((12, 28, 28 * 10**16), None, ["(n, 28, 28)"]),
    ],
)
def test_a_zip_bomb_is_unpacked_no_further_than_its_header_promises(tmp_path, shape, file_size, words):
    (tmp_path / "mnist.npz").write_bytes(zip_bomb(npy_header(shape), file_size))
    assert peak_of_refusal(tmp_path, tmp_path / "mnist.npz", *words) < 2_000_000


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_methods_that_unpack_without_measure_is_refused(tmp_path, compression):
    with zipfile.ZipFile(tmp_path / "mnist.npz", "w", compression) as archive:
        for key, array in small_set().items():
            archive.writestr(f"{key}.npy", npy(array))
    assert_refused(tmp_path, tmp_path / "mnist.npz", "x_train.npy", "compressed in another way")


def test_the_most_that_is_read_is_read(tmp_path, monkeypatch):
    """The limit counts the values alone, and admits as many."""
    write(tmp_path, small_set(), compress=True)
    monkeypatch.setattr(npz_module, "MOST_BYTES", 12 * 784)
    assert_read(tmp_path, small_set())
    monkeypatch.setattr(npz_module, "MOST_BYTES", 12 * 784 - 1)
    assert_refused(tmp_path, "9,408", "at most 9,407")


# Any bytes at all.


@st.composite
def damaged(draw, content):
    """Bytes that a file has after some are changed, cut off at the end, or added there."""
    content = bytearray(content)
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[at] = value
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content) + draw(st.binary(max_size=20) | st.just(b""))


HEADERS = st.builds(
    lambda magic, sizes, values: magic + struct.pack(f">{len(sizes)}I", *sizes) + values,
    st.sampled_from([bytes([0, 0, 8, 1]), bytes([0, 0, 8, 3])]),
    st.lists(st.sampled_from([0, 1, 5, 28, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1), max_size=4),
    st.binary(max_size=40),
)
NPY_HEADERS = st.builds(
    lambda text, values: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values,
    st.binary(max_size=60)
    | st.text("{}':(,)[]- 0123456789udescrfotan_shpTFl<|\n", max_size=80).map(str.encode)
    | st.sampled_from([b"-" * 3000 + b"1", b"(" * 3000, b"{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }"]),
    st.binary(max_size=20),
)
READ = {
    f"{key}{end}": (key, idx(array) if end == "" else gzip.compress(idx(array), mtime=0))
    for key, array in small_set().items()
    for end in ("", ".gz")
}


def read_or_refused(directory):
    """Returns what is read, or None where it is refused in one line. Nothing else may come of any file."""
    try:
        return read_directory(directory)
    except InputError as error:
        assert str(directory) in str(error) and "\n" not in str(error)
        return None


@pytest.mark.parametrize("file", READ)
def test_an_idx_file_of_any_bytes_is_read_as_it_says_or_refused(tmp_path_factory, file):
    key, content = READ[file]
    directory = tmp_path_factory.mktemp("idx")
    write(directory, {other: array for other, array in small_set().items() if other != key})
    path = directory / (NAMES[key] + ".gz" * file.endswith(".gz"))

    @settings(max_examples=60, deadline=None)
    @given(damaged(content) | HEADERS | st.binary(max_size=60) | st.binary(max_size=60).map(gzip.compress))
    def check(given_bytes):
        path.write_bytes(given_bytes)
        splits = read_or_refused(directory)
        if splits is None:
            return
        split = key.removeprefix("x_").removeprefix("y_")
        read = splits[split][key.startswith("y_")]
        # Without a checksum the values are those that the file has now; gzip has one.
        values = gzip.decompress(given_bytes) if path.suffix else given_bytes
        assert read.astype(np.uint8).tobytes() == values[len(values) - read.size :]
        assert read.shape == small_set()[key].shape and len(values) == len(idx(small_set()[key]))

    check()


@settings(max_examples=200, deadline=None)
@given(
    content=damaged(npz(small_set()))
    | damaged(zip_of({"x_train.npy": b"", "y_train.npy": b""}))
    | st.binary(max_size=60)
)
def test_an_npz_of_any_bytes_is_read_as_it_was_written_or_refused(tmp_path_factory, content):
    directory = tmp_path_factory.mktemp("npz")
    (directory / "mnist.npz").write_bytes(content)
    splits = read_or_refused(directory)
    if splits is not None:
        assert_read(directory, small_set())


@settings(max_examples=150, deadline=None)
@given(member=NPY_HEADERS | st.binary(max_size=60) | damaged(npy(small_set()["y_test"])))
def test_an_npz_with_a_member_of_any_bytes_is_read_as_it_says_or_refused(tmp_path_factory, member):
    directory = tmp_path_factory.mktemp("npz")
    others = {f"{key}.npy": npy(array) for key, array in small_set().items()}
    (directory / "mnist.npz").write_bytes(zip_of(others | {"y_test.npy": member}))
    splits = read_or_refused(directory)
    if splits is not None:
        # NumPy reads the same.
        np.testing.assert_array_equal(splits["test"][1], np.load(io.BytesIO(member)))
