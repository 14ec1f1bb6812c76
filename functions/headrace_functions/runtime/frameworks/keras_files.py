"""What a Keras file says before Keras is there: whether it is one, and which version wrote it. Imports no library."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from headrace_functions.errors import InvalidInput

BACKENDS = ("tensorflow", "torch", "jax")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_VERSION = re.compile(rb"keras_version.{0,400}?(\d+\.\d+\.\d+)", re.DOTALL)
_CONFIG = re.compile(rb'\{"(?:module|class_name)": .*?"class_name"', re.DOTALL)


def check_file(path: Path) -> None:
    """``InvalidInput`` for a file that is no Keras model."""
    if path.suffix == ".keras":
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if {"config.json", "metadata.json"} <= set(archive.namelist()):
                    return
        expected = "an archive with config.json and weights, as model.save('model.keras') writes it"
    else:
        with path.open("rb") as file:
            if file.read(len(_HDF5)) == _HDF5:
                return
        expected = "an HDF5 file, as model.save('model.h5') writes it"
    raise InvalidInput(
        f"payload: {path.name} is truncated or not a valid Keras model",
        field="payload",
        expected=expected,
        got=path.name,
    )


def written_by(path: Path) -> str:
    """The version of Keras that wrote the file; empty where it does not tell."""
    if path.suffix == ".keras":
        return str(metadata(path).get("keras_version", ""))
    found = _VERSION.search(path.read_bytes())
    return found[1].decode() if found else ""


def metadata(path: Path) -> dict[str, Any]:
    return _member(path, "metadata.json")


def config(path: Path) -> dict[str, Any]:
    """The model's layers as Keras wrote them; empty where the file does not tell."""
    return _member(path, "config.json") if path.suffix == ".keras" else _in_hdf5(path)


def _member(path: Path, name: str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(archive.read(name))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _in_hdf5(path: Path) -> dict[str, Any]:
    """The attribute ``model_config``: HDF5 keeps a text of that size in one piece."""
    held = path.read_bytes()
    decoder = json.JSONDecoder()
    for start in _CONFIG.finditer(held):
        try:
            found, _ = decoder.raw_decode(held[start.start() :].split(b"\0", 1)[0].decode("utf-8", "replace"))
        except ValueError:
            continue
        if isinstance(found, dict) and "config" in found:
            return found
    return {}
