"""Images of one's own: an .npz file with arrays as `keras.datasets` names them, or a folder of PNG files."""

import pathlib
import struct
import warnings
import zlib

import numpy as np
from PIL import Image

from tfgen import console, schema
from tfgen.data import SPLIT_SEED, Dataset, Split, hold_out, npz
from tfgen.errors import InputError

KIND = "an .npz file of images"
KEYS = ("x_train", "y_train", "x_test", "y_test")
# The networks are dense: to each pixel belong as many weights as the first layer has units.
LONGEST_SIDE = 64
# Folders of these names hold no classes.
SPLITS = ("train", "test", "val", "valid", "validation")
SCALING = "scale them, with Pillow for example: Image.open(old).resize((28, 28)).save(new)"


def load(path):
    """Returns the images of an .npz file or of a folder as a `Dataset`, and says what there is.

    An .npz file holds `x_train` and `x_test`, uint8 `(n, height, width)` or `(n, height, width, 1)`, and perhaps
    `y_train` and `y_test`, integers `(n,)` or `(n, 1)`.

    A folder holds PNG files, without labels; or a folder of PNG files for each class, whose labels follow the folders'
    names in order. Colours become shades of grey. Two folders `train` and `test`, each of them so, give these splits;
    otherwise a permutation with a fixed seed takes a seventh of the images for testing, as many as of MNIST's.

    Either way a sixth of the training images validates. The dataset has the name of the file or folder.

    Raises:
        InputError: if there are no such images, or they are damaged, of several sizes, larger than 64x64, or fewer than
            seven; if labels are not 0 to classes - 1, each with an image.
    """
    path = pathlib.Path(path)
    name = path.resolve().name + "/" * path.is_dir()
    if not schema.TEXT.allows(name):
        raise InputError(f"rename {path}: a name that results and model cards show must be {schema.TEXT.words}")
    try:
        train, test, names = _from_npz(path) if path.is_file() else _from_folder(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}); name an .npz file or a folder that can") from error
    image_shape, least = train[0].shape[1:], min(len(train[0]) // 6, len(test[0]))
    if not least:
        raise InputError(
            f"{path} has {len(train[0])} training and {len(test[0])} test images; at least 6 and 1 are needed, "
            "7 of a folder without train and test"
        )
    if test[0].shape[1:] != image_shape:
        raise InputError(
            f"{path}: images for training have {_size(image_shape)} pixels and those for testing "
            f"{_size(test[0].shape[1:])}; scale them to one size"
        )
    classes = None if train[1] is None else _classes(path, np.concatenate([train[1], test[1]]))
    test = Split(test[0].reshape(len(test[0]), -1), test[1])
    train, validation = hold_out(Split(train[0].reshape(len(train[0]), -1), train[1]))
    data = Dataset(name, train, validation, test, comparable=False, image_shape=image_shape, classes=classes)
    of_classes = (
        "without labels" if classes is None else f"in {classes} classes" + (f" ({_few(names)})" if names else "")
    )
    _say(
        f"{name}: {len(train):,} images train, {len(validation):,} validate and {len(test):,} test; "
        f"{_size(image_shape)} pixels, {of_classes}"
    )
    unseen = set() if classes is None else set(range(classes)).difference(train.labels.tolist())
    if unseen:
        _say(f"{name}: no image of class {_few(sorted(unseen))} trains; add images, or put some into train")
    known = {image.tobytes() for split in (train, validation) for image in split.images}
    again = sum(image.tobytes() in known for image in test.images)
    if again:
        _say(f"{name}: {again:,} of the test images also train or validate, which flatters the results")
    return data


def _say(text):
    """Prints a line. Names of folders may hold line breaks, or what moves the cursor."""
    print(console.line(text), flush=True)


def _size(shape):
    return "x".join(map(str, shape))


def _few(items):
    return ", ".join(map(str, items[:10])) + ", ..." * (len(items) > 10)


def _classes(path, labels):
    """Returns the number of classes."""
    found = np.unique(labels).tolist()
    if found != list(range(len(found))):
        raise InputError(
            f"{path}: labels must be 0 to the number of classes - 1, each with an image; got {_few(found)}"
        )
    return len(found)


# Of an .npz file.


def _from_npz(path):
    """Returns (images, labels) for training, those for testing, and no names of classes."""
    names = npz.names(path, KIND)
    for name in names:
        if name not in KEYS:
            raise InputError(f"{path} holds {name!r}; allowed are {', '.join(KEYS)}")
    for name in ("x_train", "x_test", *(("y_train", "y_test") if {"y_train", "y_test"} & set(names) else ())):
        if name not in names:
            raise InputError(
                f"{path} lacks {name}; it needs x_train and x_test, and either both or none of y_train and y_test"
            )
    arrays = npz.read(path, KIND, names, _check_header)
    splits = []
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays.get(f"y_{split}")
        if labels is not None:
            labels = labels.reshape(len(labels)).astype(np.int64)
            if len(labels) != len(images):
                raise InputError(f"{path}: x_{split} has {len(images)} images and y_{split} {len(labels)} labels")
        splits.append((images.reshape(images.shape[:3]), labels))
    return *splits, []


def _check_header(name, dtype, shape):
    """Raises `InputError` if a header announces other arrays than `load` takes."""
    column = shape[1:] == (1,)
    if name[0] == "y" and not (np.issubdtype(dtype, np.integer) and (len(shape) == 1 or column)):
        raise InputError(f"{name} must be integers of shape (n,), got {dtype} {shape}")
    if name[0] == "x":
        if dtype != np.uint8:
            scaled = "; of values in [0, 1] make np.uint8(np.round(255 * x))" if dtype.kind == "f" else ""
            raise InputError(f"{name} must be uint8, 0 to 255, got {dtype}{scaled}")
        if len(shape) not in (3, 4) or shape[3:] not in ((), (1,)):
            raise InputError(f"{name} must have the shape (n, height, width), in shades of grey; got {shape}")
        _check_size(name, shape[1:3])


def _check_size(what, shape):
    if not 1 <= min(shape) <= max(shape) <= LONGEST_SIDE:
        raise InputError(
            f"{what}: images may have 1x1 to {LONGEST_SIDE}x{LONGEST_SIDE} pixels, got {_size(shape)}; {SCALING}"
        )


# Of a folder.


def _from_folder(folder):
    """Returns (images, labels) for training, those for testing, and the names of the classes."""
    entries = [entry for entry in _entries(folder) if entry.is_dir() or entry.suffix.lower() == ".png"]
    # Where case does not tell names apart, nor does it here.
    parts = {entry.name.lower(): entry for entry in entries if entry.name.lower() in SPLITS and entry.is_dir()}
    if "train" in parts and len(parts) > 1:
        if len(entries) > 2 or "test" not in parts:
            raise InputError(
                f"{folder} holds {_few([entry.name for entry in entries])}; beside the folder train there may be test "
                "alone: images for validation are taken from train"
            )
        train, test = _class_files(parts["train"]), _class_files(parts["test"])
        if list(train) != list(test):
            got = ["files without classes" if None in files else _few(list(files)) for files in (train, test)]
            raise InputError(
                f"the classes in {folder} must be the same for training and testing; got {' and '.join(got)}"
            )
        names, splits = list(train), [_read(folder, files) for files in (train, test)]
    else:
        files = _class_files(folder)
        names, (images, labels) = list(files), _read(folder, files)
        order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
        test = len(images) // 7
        splits = [(images[rows], None if labels is None else labels[rows]) for rows in (order[test:], order[:test])]
    return *splits, [name for name in names if name is not None]


def _entries(folder):
    """Returns what lies in a folder, by name, but hidden files."""
    # By the name itself: paths of Windows come in another order, in which classes would have other labels.
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda path: path.name)


def _class_files(folder):
    """Returns a dict from the name of each class to its PNG files; from None, where there are no classes.

    Says how many other files are left out.
    """
    folders = [entry for entry in _entries(folder) if entry.is_dir()]
    files, others = {}, 0
    for name, within in [(None, folder), *((entry.name, entry) for entry in folders)]:
        entries = [entry for entry in _entries(within) if name is not None or not entry.is_dir()]
        files[name] = [entry for entry in entries if entry.suffix.lower() == ".png" and entry.is_file()]
        others += len(entries) - len(files[name])
        if name is not None and not files[name]:
            raise InputError(f"{within} holds no .png file{_but(entries)}; fill it or take it away")
    if folders and files[None]:
        raise InputError(
            f"{folder} holds PNG files beside folders ({_few([entry.name for entry in folders])}); put each into the "
            "folder of its class, or take the folders away"
        )
    if not folders and not files[None]:
        others = [entry for entry in _entries(folder) if not entry.is_dir()]
        raise InputError(
            f"{folder} holds no .png file{_but(others)}, nor a folder of some for each class; convert other pictures, "
            "with Pillow for example: Image.open(old).save(new)"
        )
    if others:
        _say(f"{folder}: {others:,} that {'are' if others > 1 else 'is'} no PNG file left out")
    return {name: paths for name, paths in files.items() if paths}


def _but(entries):
    """Returns the words for the files that are there instead."""
    return f" but {_few([entry.name for entry in entries])}" if entries else ""


def _read(folder, files):
    """Returns images `(n, height, width)` uint8 and labels `(n,)` int64 or None, of what `_class_files` returns."""
    pictures = []
    for path in (path for paths in files.values() for path in paths):
        picture = _read_png(path)
        if pictures and picture.shape != pictures[0].shape:
            raise InputError(
                f"{path} has {_size(picture.shape)} pixels and the first image of {folder} {_size(pictures[0].shape)}; "
                f"all must have one size; {SCALING}"
            )
        pictures.append(picture)
    images = np.stack(pictures)
    if None in files:
        return images, None
    return images, np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])


def _read_png(path):
    """Returns a PNG file's shades of grey, `(height, width)` uint8."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of pictures that take much memory.
            with Image.open(path, formats=("PNG",)) as picture:
                _check_size(path, picture.size[::-1])
                # Pillow cuts 16 bits to 8, each kind of picture in its own way.
                wide = any("16" in str(tile[3]) for tile in picture.tile)
                colours = picture.convert("RGBA")
    except InputError:
        raise
    # What Pillow raises for damaged files.
    except (
        OSError,
        ValueError,
        SyntaxError,
        LookupError,
        AssertionError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
        Warning,
    ) as error:
        raise InputError(f"{path} is no PNG file that can be read ({error}); take it away or save it anew") from error
    if wide:
        raise InputError(f"{path} has 16 bits a pixel; save it with 8")
    if colours.getchannel("A").getextrema()[0] < 255:
        raise InputError(f"{path} has transparent pixels; put it on a background, black for example, and save it anew")
    return np.asarray(colours.convert("L"))
