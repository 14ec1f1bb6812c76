"""What an artifact would do beyond answering, looked for before anything of it is loaded: imports of pickles, files that a graph touches, code in layers.

Builds ask here with the artifact unpacked and none of its libraries installed. What is unusual is refused by name; ``allow-unsafe`` of the definition
lists what its owner has looked at. ``usual_imports`` has the rule.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import mlmodel
from headrace_functions.runtime.frameworks.model_files import FASTAI, KERAS, SAVED_MODEL, SKOPS, only_file
from headrace_functions.runtime.frameworks.needs import model_file, refuse_pointers
from headrace_functions.runtime.frameworks.pickles import Form, UnreadablePickleError, imports
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.frameworks.usual_imports import CODE_BY_VALUE, Name, is_allowed, is_by_value, unusual

OPTION = "allow-unsafe"
"""Key of a version's options that keeps what its definition allows: some libraries ask for it again when they load."""
LAMBDA = Name("keras.layers", "Lambda")
_OPERATIONS = (
    "ReadFile",
    "WriteFile",
    "PyFunc",
    "EagerPyFunc",
    "PyFuncStateless",
    "MergeV2Checkpoints",
    "MatchingFiles",
)
"""Operations of a TensorFlow graph that touch files of whoever runs it, or call Python. Saving and restoring uses others."""
_RESTORES = {"MergeV2Checkpoints"}  # part of every SavedModel: how it saves itself
_SHOWN = 10  # names in a message


def check(framework: str, artifact: Path, options: Options, allowed: Sequence[str]) -> list[str]:
    """Notes for the build log. ``InvalidInput`` naming ``allow-unsafe`` for what is unusual and not allowed."""
    find = _FINDERS.get(framework)
    if find is None:
        return []
    own = frozenset(_own_modules(artifact))
    notes = []
    for file, names in find(artifact, options):
        strange = unusual(names)
        by_payload = [n for n in strange if n.module.partition(".")[0] in own]
        refused = [n for n in strange if n not in by_payload and not is_allowed(n, allowed)]
        if refused:
            raise _refusal(file, refused)
        let = [n for n in strange if n not in by_payload]
        if by_payload:
            notes.append(f"{file.name} imports from Python files of the payload: {_listed(by_payload)}")
        if let:
            notes.append(f"{file.name} imports what allow-unsafe lets it: {_listed(let)}")
        if names and not strange:
            notes.append(f"{file.name} imports nothing unusual")
    return notes


def _refusal(file: Path, refused: list[Name]) -> InvalidInput:
    if any(map(is_by_value, refused)):
        return InvalidInput(
            f"payload: {file.name} has code by value, which models usually do not import; nothing was loaded: {_listed(refused)}",
            field=OPTION,
            expected="classes and functions of libraries, or of Python files in the payload",
            got=_listed(refused),
            hint="put the class or function into a Python file of the payload and dump the model again; "
            f"or, if you know the code, add {CODE_BY_VALUE} to {OPTION} in the definition: {OPTION}: [{CODE_BY_VALUE}]",
        )
    return InvalidInput(
        f"payload: {file.name} would import {_listed(refused)}, which models usually do not import; nothing was loaded",
        field=OPTION,
        expected="classes of known model libraries, or of Python files in the payload",
        got=_listed(refused),
        hint=f"if you trust them, add to the definition: {OPTION}: [{', '.join(map(str, refused[:_SHOWN]))}]",
    )


def _listed(names: Sequence[Name]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more


def _own_modules(artifact: Path) -> Iterator[str]:
    """Top-level modules that the payload brings as source; where they lie is put on ``sys.path``."""
    for file in artifact.rglob("*.py"):
        yield file.stem
        yield from file.relative_to(artifact).parts[:-1]


Found = Iterator[tuple[Path, list[Name]]]


def _sklearn(artifact: Path, options: Options) -> Found:
    yield _estimator(model_file(artifact, options))


def _estimator(file: Path) -> tuple[Path, list[Name]]:
    return file, skops_types(file) if file.suffix in SKOPS else _imports(file, "joblib")


def _fastai(artifact: Path, options: Options) -> Found:
    file = only_file(artifact, options, FASTAI)
    yield file, _imports(file, "torch")


def _imports(file: Path, form: Form) -> list[Name]:
    refuse_pointers(file)
    try:
        return imports(file, form)
    except UnreadablePickleError as error:
        raise InvalidInput(
            f"payload: {file.name} is truncated or not a valid model file, so its imports cannot be determined: {error}",
            field="payload",
            got=str(error),
        ) from error


def skops_types(file: Path) -> list[Name]:
    """The types that a skops file names; ``InvalidInput`` for a file that is none."""
    try:
        with zipfile.ZipFile(file) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InvalidInput(
            f"payload: {file.name} is not a skops file: {type(error).__name__}: {error}",
            field="payload",
            expected="a file written by skops.io.dump",
        ) from error
    return list(_named(schema))


def _named(node: Any) -> Iterator[Name]:
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if isinstance(part.get("__module__"), str) and isinstance(part.get("__class__"), str):
                yield Name(part["__module__"], part["__class__"])
            if part.get("__loader__") == "FunctionNode" and isinstance(part.get("content"), dict):
                told = part["content"]
                yield Name(str(told.get("module_path", "")), str(told.get("function", "")))
            pending += part.values()
        elif isinstance(part, list):
            pending += part


def _keras(artifact: Path, options: Options) -> Found:
    file = only_file(artifact, options, KERAS)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            held = archive.read("config.json") if "config.json" in archive.namelist() else b""
    else:
        held = file.read_bytes()
    yield file, [LAMBDA] if b'"class_name": "Lambda"' in held else []


def _tensorflow(artifact: Path, options: Options) -> Found:
    del options
    for file in sorted(artifact.rglob(SAVED_MODEL)):
        held = file.read_bytes()
        # In the protocol buffer of a graph's node, its operation is field 2: tag, length, name.
        told = [o for o in _OPERATIONS if b"\x12" + bytes([len(o)]) + o.encode() in held]
        yield file, [Name("tensorflow", o) for o in told if o not in _RESTORES]


def _mlflow(artifact: Path, options: Options) -> Found:
    """The files of the flavour that will be loaded; of pyfunc every pickle in the folder, for its loader may read any."""
    model = mlmodel.read(artifact, options)
    if model.framework is not None and model.framework != "sklearn" and model.framework in _FINDERS:
        yield from _FINDERS[model.framework](model.part, model.options)
    elif model.framework == "sklearn":
        yield _estimator(model_file(model.part, model.options))
    elif model.framework is None:
        for file in sorted(p for p in model.folder.rglob("*") if p.suffix in mlmodel.PICKLES):
            yield (
                file,
                _imports(
                    file, "torch" if zipfile.is_zipfile(file) else "joblib" if file.suffix == ".joblib" else "pickle"
                ),
            )


_FINDERS: dict[str, Callable[[Path, Options], Found]] = {
    "sklearn": _sklearn,
    "fastai": _fastai,
    "keras": _keras,
    "tensorflow": _tensorflow,
    "mlflow": _mlflow,
}
"""Frameworks that are not here load no program: their own files are data, or (torch) are read as data alone."""


def allows(options: Options, name: Name) -> bool:
    """Whether a version's definition allowed a name."""
    listed: Iterable[str] = options.get(OPTION, ())
    return is_allowed(name, listed)


def refused_types(file: Path, options: Options) -> list[str]:
    """Types of a skops file that are neither usual nor allowed; the loader asks again, so that a file is trusted by name alone."""
    own = frozenset(_own_modules(file.parent))
    listed: Iterable[str] = options.get(OPTION, ())
    return [str(n) for n in unusual(skops_types(file), listed) if n.module.partition(".")[0] not in own]
