"""Finds the SavedModel of a run or of a published model."""

import pathlib

from tfgen.errors import InputError
from tfgen.recipes import RECIPES
from tfgen.serving import config

# Where names are looked up: here, and in the checkout that tfgen runs from, if it does.
PLACES = (pathlib.Path("saved_models"), pathlib.Path(__file__).parents[2] / "saved_models")


def find(model):
    """Returns the SavedModel directory that is meant: of that path, of a run, or a model's newest version.

    Args:
        model: a SavedModel directory, a run's directory, a directory of versions, or the name of a model in one of
            `PLACES`. A path that has a SavedModel wins over a name, and an earlier place over a later one.

    Raises:
        InputError: if there is none.
    """
    known = {place: config.models(place) for place in PLACES if config.is_directory(place)}
    for directory in (pathlib.Path(model), *(place / model for place, names in known.items() if model in names)):
        found = _newest(directory)
        if found is not None:
            return found
    names, places = sorted({name for names in known.values() for name in names}), dict.fromkeys((PLACES[0], *known))
    recipe = model if model in RECIPES else "gan"
    raise InputError(
        f"there is no model {model!r}: no directory with saved_model.pb, or with versions that have it, and no "
        f"published model of that name in {' or '.join(map(str, places))} (there: {', '.join(names) or 'none'}); "
        f"tfgen run {recipe} makes runs/{recipe}/saved_model, and a checkout of tfgen has models in saved_models"
    )


def _newest(directory):
    """Returns the first that is a SavedModel: the directory, that of a run, the highest version; or None."""
    versions = reversed(config.versions(directory)) if config.is_directory(directory) else ()
    for candidate in (directory, directory / "saved_model", *(directory / str(version) for version in versions)):
        if (candidate / "saved_model.pb").is_file():
            return candidate
    return None
