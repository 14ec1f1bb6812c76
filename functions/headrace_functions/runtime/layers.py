"""The libraries that a version needs beyond its runtime image: fetched when a pod starts, and first on ``sys.path``.

It runs before anything else of the function server is imported, because a layer may hold another numpy than the image. So
nothing here imports more than the client of the store, whose libraries no layer replaces.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from headrace_functions.errors import Malformed
from headrace_functions.runtime.prefetch import PodStore, open_store
from headrace_functions.startup import WORK, required

LAYER = "HEADRACE_LAYER"
"""Key of the layer's archive in the store; not set where the image holds all."""
LAYER_DIGEST = "HEADRACE_LAYER_DIGEST"
"""SHA-256 of the archive. What is fetched must have it."""
_SETTER = "the platform sets it in the pod it makes"

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
    work, digest = (required(environment, name, hint=_SETTER) for name in (WORK, LAYER_DIGEST))
    store = open_store(environment)
    folder = Path(work) / "layer"
    if not folder.is_dir():  # a container that starts anew in its pod finds it there
        _fetch(store, key, digest, folder)
    return folder


def _fetch(store: PodStore, key: str, digest: str, folder: Path) -> None:
    # Imported here alone: a function's environment on one machine has no client for object storage, its image has.
    from headrace_functions.storage import unpacking  # noqa: PLC0415

    archive = folder.with_suffix(".tar.zst")
    found = store.download(key, archive)
    if found != digest:
        raise Malformed(
            f"{key} differs from what was built: its SHA-256 does not match",
            field=LAYER,
            expected=digest,
            got=found,
            hint="the object was damaged or replaced: remove it and apply the model again",
        )
    unpacking.unpack(archive, folder, max_files=MAX_FILES)
    archive.unlink()
