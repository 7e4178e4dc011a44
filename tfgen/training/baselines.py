"""Numbers that follow from the data alone: computed once, and kept for the other runs of a directory."""

import json

from tfgen import schema
from tfgen.errors import InputError
from tfgen.files import read_json, write_atomically

KEPT = {
    "identity": schema.OBJECT,
    "values": schema.names_of(
        lambda value: type(value) is bool or schema.NUMBER.allows(value), "an object of numbers by lower-case names"
    ),
}


def kept(path, identity, compute):
    """Returns the numbers in a file, if they are those asked for; else computes them and writes the file.

    Processes that compute the same at once do not disturb each other: each writes the whole file.

    Args:
        path: of the JSON file.
        identity: dict of all that decides the numbers; those in a file with another one are replaced.
        compute: function without arguments to a dict from lower-case names to numbers.
    """
    if path.exists():
        try:
            contents = read_json(path)
            schema.check(path, contents, KEPT)
        except InputError:
            print(f"{path} is damaged: computing it again", flush=True)
        else:
            if contents["identity"] == identity:
                return contents["values"]
    values = compute()
    write_atomically(path, json.dumps({"identity": identity, "values": values}, indent=1, allow_nan=False).encode())
    return values
