"""What an MLflow model folder says of itself in its ``MLmodel``: flavour, signature, requirements, input example. Needs PyYAML, nothing of MLflow.

A flavour whose own file a loader here reads is served by that loader, without MLflow in the environment; every other model through ``pyfunc``.
"""

import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import check_field_name
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.signature import Field, dtype

FILE = "MLmodel"
PICKLES = (".pkl", ".pickle", ".joblib", ".pth", ".pt", ".cloudpickle")
PYFUNC = "python_function"
_LIMIT = 4 * 1024 * 1024  # bytes of an MLmodel
_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
}
_WITHOUT = re.compile(r"(?i)^(mlflow|mlflow-skinny|mlflow-tracing)\b(?P<version>[^;\[]*)")


@dataclass(frozen=True, slots=True)
class MlModel:
    folder: Path
    """Where the ``MLmodel`` lies."""
    document: Mapping[str, Any]
    framework: str | None
    """The loader for its flavour, or None: then it is loaded by MLflow."""
    part: Path
    """The folder that this loader gets."""
    options: Options
    inputs: tuple[Field, ...] | None
    outputs: tuple[Field, ...] | None
    unclear: tuple[str, ...] = field(default=())
    """What of its signature has no counterpart here."""

    @property
    def flavours(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document.get("flavors", {})
        return found

    def requirements(self) -> list[str]:
        """The lines of its ``requirements.txt``; MLflow itself without its server."""
        file = self.folder / "requirements.txt"
        lines = file.read_text("utf-8", "replace").splitlines() if file.is_file() else []
        kept = [line.split("#")[0].strip() for line in lines]
        listed = [line for line in kept if line and not line.startswith("-") and not _WITHOUT.match(line)]
        if self.framework is not None:
            return listed
        told = next((m["version"].strip() for m in map(_WITHOUT.match, kept) if m), "")
        version = told or (f"=={self.document['mlflow_version']}" if self.document.get("mlflow_version") else "")
        return [*listed, f"mlflow-skinny{version}"]

    def example(self) -> dict[str, list[Any]] | None:
        """The rows of its input example by column; None where there is none, or it is no table."""
        info = self.document.get("saved_input_example_info") or {}
        name = str(info.get("artifact_path", ""))
        file = (self.folder / name).resolve()
        if not name or not file.is_relative_to(self.folder.resolve()) or not file.is_file() or file.suffix != ".json":
            return None
        told = json.loads(file.read_bytes())
        if not isinstance(told, dict) or not {"columns", "data"} <= told.keys():
            return None
        return {
            str(n): list(column) for n, column in zip(told["columns"], zip(*told["data"], strict=True), strict=True)
        }


def find_folder(artifact: Path) -> Path | None:
    """The folder of the one ``MLmodel`` of an artifact."""
    found = sorted(artifact.rglob(FILE), key=lambda p: len(p.parts))
    return found[0].parent if found else None


def read(artifact: Path, options: Options) -> MlModel:
    """The model of a folder. ``InvalidInput`` where there is none, it cannot be read, or it has no flavour that can be served."""
    folder = find_folder(artifact)
    if folder is None:
        have = ", ".join(sorted(p.name for p in artifact.iterdir())[:20]) if artifact.is_dir() else "no folder"
        raise InvalidInput(
            "payload: it is not an MLflow model",
            field="payload",
            expected=f"a folder with a file {FILE}",
            got=have or "nothing",
        )
    document = _document(folder / FILE)
    flavours = document["flavors"]
    wanted = options.get("flavour")
    if wanted is not None and wanted not in flavours:
        raise InvalidInput(
            f"the MLflow model has no flavour {wanted!r}",
            field="options",
            expected=", ".join(map(str, flavours)),
            got=str(wanted),
        )
    framework, part, more = _own_loader(folder, {wanted: flavours[wanted]} if wanted else flavours)
    if framework is None and PYFUNC not in flavours:
        raise InvalidInput(
            "payload: the MLflow model has no python_function flavour and none that is supported here",
            field="payload",
            expected=f"{PYFUNC}, or one of {', '.join(_LOADERS)}",
            got=", ".join(map(str, flavours)) or "no flavour",
        )
    unclear: list[str] = []
    signature = document.get("signature") or {}
    return MlModel(
        folder,
        document,
        framework,
        part,
        {**{k: v for k, v in options.items() if k != "flavour"}, **more},
        _fields(signature.get("inputs"), "input", unclear),
        _fields(signature.get("outputs"), "prediction", unclear),
        tuple(unclear),
    )


def _document(file: Path) -> Mapping[str, Any]:
    yaml: Any = importlib.import_module("yaml")
    try:
        document = yaml.safe_load(file.read_bytes()[:_LIMIT])
    except yaml.YAMLError as error:
        raise InvalidInput(
            f"payload: {FILE} is not YAML: {' '.join(str(error).split())[:200]}", field="payload"
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("flavors"), dict):
        raise InvalidInput(
            f"payload: {FILE} lists no flavors", field="payload", expected="what mlflow.*.save_model wrote"
        )
    return document


Loader = Callable[[Path, Mapping[str, Any]], tuple[str, str] | None]
"""From the folder and a flavour's own entry to the loader here and its file; None where MLflow itself has to load it."""


def _estimator(folder: Path, entry: Mapping[str, Any]) -> tuple[str, str] | None:
    del folder
    return "sklearn", str(entry.get("pickled_model", ""))


def _booster(framework: str) -> Loader:
    def loader(folder: Path, entry: Mapping[str, Any]) -> tuple[str, str] | None:
        del folder
        name = str(entry.get("data", ""))
        return ("sklearn" if name.endswith(PICKLES) else framework), name

    return loader


def _graph(folder: Path, entry: Mapping[str, Any]) -> tuple[str, str] | None:
    del folder
    return "onnx", str(entry.get("data", ""))


def _by_ending(framework: str, *endings: str) -> Loader:
    def loader(folder: Path, entry: Mapping[str, Any]) -> tuple[str, str] | None:
        del entry
        found = sorted(p for p in folder.rglob("*") if p.suffix in endings)
        return (framework, found[0].relative_to(folder).as_posix()) if len(found) == 1 else None

    return loader


_LOADERS: dict[str, Loader] = {
    "sklearn": _estimator,
    "xgboost": _booster("xgboost"),
    "lightgbm": _booster("lightgbm"),
    "onnx": _graph,
    "keras": _by_ending("keras", ".keras"),
    "tensorflow": _by_ending("keras", ".keras"),
    "pytorch": _by_ending("torch", ".pt2"),
    "fastai": _by_ending("fastai", ".fastai"),
}


def _own_loader(folder: Path, flavours: Mapping[str, Any]) -> tuple[str | None, Path, Options]:
    for name, loader in _LOADERS.items():
        entry = flavours.get(name)
        found = loader(folder, entry) if isinstance(entry, dict) else None
        if found is not None and (folder / found[1]).is_file():
            return found[0], folder, {"file": found[1]}
    return None, folder, {}


def _fields(side: Any, unnamed: str, unclear: list[str]) -> tuple[Field, ...] | None:
    """The fields of one side of a signature; None where it has none, or one that has no counterpart here."""
    if not side:
        return None
    try:
        columns = json.loads(side) if isinstance(side, str) else side
        return tuple(_field(c, unnamed if len(columns) == 1 else f"{unnamed}_{i}") for i, c in enumerate(columns))
    except (HeadraceError, ValueError, KeyError, TypeError, AttributeError) as error:
        unclear.append(f"its {unnamed}s: {error}")
        return None


def _field(column: Mapping[str, Any], unnamed: str) -> Field:
    name = check_field_name(str(column.get("name") or unnamed))
    kind = column["type"]
    if kind == "tensor":
        told = column["tensor-spec"]
        shape = tuple(told["shape"][1:])
        number = dtype({"object": "string", "str": "string"}.get(told["dtype"], told["dtype"]))
        return Field(name, number, shape, "numerical" if number.is_number and len(shape) < 2 else "none")
    if kind not in _TYPES:
        raise InvalidInput(f"{name!r} is of type {kind!r}", field=name, expected=", ".join(_TYPES))
    found = dtype(_TYPES[kind])
    return Field(name, found, (), "numerical" if found.is_number else "categorical")
