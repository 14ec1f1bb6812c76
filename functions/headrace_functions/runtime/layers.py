"""The libraries that a version needs beyond its runtime image: fetched when a pod starts, and first on ``sys.path``.

It runs before anything else of the function server is imported, because a layer may hold another numpy than the image. So
nothing here imports more than the client of the store, whose libraries no layer replaces.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from headrace_functions.errors import InvalidInput, Malformed

LAYER = "HEADRACE_LAYER"
"""Key of the layer's archive in the store; not set where the image holds all."""
LAYER_DIGEST = "HEADRACE_LAYER_DIGEST"
"""SHA-256 of the archive. What is fetched must have it."""
STORAGE = "HEADRACE_STORAGE"
"""URL of the store, e.g. ``s3://bucket/prefix``; credentials are its own variables, ``AWS_…``."""
WORK = "HEADRACE_WORK"
"""Folder for all that is fetched, and for records on their way; all else may be read-only."""

MAX_FILES = 200_000
"""Files of a layer; large frameworks have tens of thousands."""
PINNED = ("obstore", "zstandard")
"""Distributions of the image that no layer replaces: they are loaded before the layer is."""


def activate(environment: MutableMapping[str, str]) -> None:
    """Put the layer that the environment names in front, for this process and its children. Without one nothing happens."""
    folder = fetched(environment)
    if folder is None:
        return
    sys.path.insert(0, str(folder))
    environment["PYTHONPATH"] = search_path(folder, environment)


def search_path(folder: Path, environment: Mapping[str, str]) -> str:
    """``PYTHONPATH`` with the layer first."""
    return os.pathsep.join(filter(None, (str(folder), environment.get("PYTHONPATH", ""))))


def fetched(environment: Mapping[str, str]) -> Path | None:
    """The unpacked layer; None where the environment names none.

    ``InvalidInput`` for a variable that is missing, ``NotFound`` and ``StorageFailed`` of the store, ``Malformed`` where what
    came is not what was built.
    """
    key = environment.get(LAYER, "")
    if not key:
        return None
    for name in (STORAGE, WORK, LAYER_DIGEST):
        if not environment.get(name):
            raise InvalidInput(
                f"the variable {name} is not set", field=name, hint="the platform sets it in the pod it makes"
            )
    folder = Path(environment[WORK]) / "layer"
    if not folder.is_dir():  # a container that starts anew in its pod finds it there
        _fetch(environment[STORAGE], key, environment[LAYER_DIGEST], folder)
    return folder


def _fetch(storage: str, key: str, digest: str, folder: Path) -> None:
    # Imported here alone: a function's environment on one machine has no client for object storage, its image has.
    from headrace_functions.storage import unpacking  # noqa: PLC0415
    from headrace_functions.storage.objects import ObjectStore  # noqa: PLC0415

    archive = folder.with_suffix(".tar.zst")
    found = ObjectStore(storage).download(key, archive)
    if found != digest:
        raise Malformed(
            f"{key} is not what was built: its SHA-256 differs",
            field=LAYER,
            expected=digest,
            got=found,
            hint="the object was damaged or replaced: remove it and apply the model again",
        )
    unpacking.unpack(archive, folder, max_files=MAX_FILES)
    archive.unlink()
