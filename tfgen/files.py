"""Files that appear whole or not at all."""

import os
import pathlib
import uuid


def write_atomically(path, content):
    """Writes bytes to `path` through a temporary file beside it and a rename; makes the parent directories."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
