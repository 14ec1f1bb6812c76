"""What a file or folder is a model of, by its bytes. The name decides only where bytes cannot."""

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from headrace_functions.runtime.frameworks.mlmodel import FILE as MLMODEL
from headrace_functions.runtime.frameworks.model_files import (
    KERAS,
    LIGHTGBM,
    PICKLED,
    SAVED_MODEL,
    SKOPS,
    TORCH,
    XGBOOST,
)
from headrace_functions.runtime.frameworks.python_names import ENTRY

_FASTAI = re.compile(rb"cfast(?:ai|core)\.|fastai\.learner")
_KSERVE = re.compile(r"^\s*(?:from kserve\b|import kserve\b)", re.MULTILINE)
_HEAD = 4096
_SOURCES = 100  # Python files that are looked at
_FILES = 5000  # files of a folder that are looked at


class Kind(NamedTuple):
    framework: str
    path: Path


def kinds(artifact: Path) -> list[Kind]:
    """Every model in a folder, or the one that a file is. What belongs to a larger one (a file of an MLflow folder) is left out."""
    if artifact.is_file():
        found = _of_file(artifact)
        return [Kind(found, artifact)] if found else []
    for name, framework in ((MLMODEL, "mlflow"), (SAVED_MODEL, "tensorflow")):
        folders = sorted(p.parent for p in artifact.rglob(name))
        if folders:
            return [Kind(framework, folder) for folder in folders]
    entries = sorted(artifact.rglob(ENTRY), key=lambda p: len(p.parts))
    if entries:
        return [Kind("python", entries[0])]
    files = sorted(p for p in artifact.rglob("*") if p.is_file())[:_FILES]
    sources = [p for p in files if p.suffix == ".py"][:_SOURCES]
    predictors = [p for p in sources if _KSERVE.search(p.read_text("utf-8", "replace"))]
    if predictors:
        return [Kind("kserve", predictors[0])]
    return list(_models(files))


def _models(files: list[Path]) -> Iterator[Kind]:
    for file in files:
        framework = _of_file(file)
        if framework is not None and file.suffix != ".py":
            yield Kind(framework, file)


def _of_file(file: Path) -> str | None:
    if file.name == SAVED_MODEL:
        return "tensorflow"
    if file.name == ENTRY:
        return "python"
    tell = _BY_ENDING.get(file.suffix)
    if tell is None:
        return "kserve" if file.suffix == ".py" and _KSERVE.search(file.read_text("utf-8", "replace")) else None
    with file.open("rb") as opened:
        return tell(file, opened.read(_HEAD))


def _always(framework: str) -> Callable[[Path, bytes], str | None]:
    return lambda _file, _head: framework


def _pickle_or_learner(file: Path, head: bytes) -> str | None:
    del head
    if not zipfile.is_zipfile(file):
        return "sklearn"
    with zipfile.ZipFile(file) as archive:
        inside = next((n for n in archive.namelist() if n.endswith("data.pkl")), None)
        held = archive.read(inside) if inside else b""
    return "fastai" if _FASTAI.search(held) else "torch" if held else "sklearn"


def _booster(file: Path, head: bytes) -> str | None:
    """JSON and UBJSON are XGBoost's where they have its learner."""
    if file.suffix == ".ubj" or b'"learner"' in head or b"\x07learner" in head:
        return "xgboost"
    if file.suffix in (".bst", ".model"):
        return "lightgbm" if head.startswith(b"tree\n") else "xgboost" if head[:1] == b"{" else None
    return None


def _text(file: Path, head: bytes) -> str | None:
    del file
    return "lightgbm" if head.startswith(b"tree\n") else None


_BY_ENDING: dict[str, Callable[[Path, bytes], str | None]] = {
    **dict.fromkeys(TORCH, _always("torch")),
    **dict.fromkeys(KERAS, _always("keras")),
    **dict.fromkeys(SKOPS, _always("sklearn")),
    **dict.fromkeys((*PICKLED, ".fastai"), _pickle_or_learner),
    **dict.fromkeys(XGBOOST, _booster),
    **dict.fromkeys(LIGHTGBM, _text),
    ".onnx": _always("onnx"),
    ".ort": _always("onnx"),
}
