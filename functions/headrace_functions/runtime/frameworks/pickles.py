"""Reads what a pickle or joblib file is made of, without running it.

A pickle is a program; here its instructions build inert stand-ins instead of the objects they name, so nothing is
imported or called. Joblib writes the raw bytes of arrays between the instructions; they are skipped. Compressed files
(zlib, gzip, bz2, xz, lzma) are read as they come. Source of the format: the ``pickle`` documentation (PEP 307, 3154, 574).
"""

import ast
import bz2
import contextlib
import gzip
import io
import lzma
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np

from headrace_functions.runtime.frameworks.usual_imports import Name, modern

_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
_CHUNK = 1 << 20
LIBRARIES = {
    "sklearn": "scikit-learn",
    "joblib": "joblib",
    "pandas": "pandas",
    "scipy": "scipy",
    "xgboost": "xgboost-cpu",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "imblearn": "imbalanced-learn",
    "category_encoders": "category-encoders",
    "cloudpickle": "cloudpickle",
    "feature_engine": "feature-engine",
    "sktime": "sktime",
    "statsmodels": "statsmodels",
    "dill": "dill",
}
"""The module that a pickle names and the distribution that has it. ``xgboost-cpu`` is XGBoost without 400 MB of GPU libraries."""
_BY_NAME_LOADED = ("cloudpickle.cloudpickle.subimport", "cloudpickle.cloudpickle.dynamic_subimport")
"""Functions that import the module they are given, for code that is pickled by value."""


_XGBOOST = re.compile(rb"\x07version\[#L\x00{7}\x03(i.i.i.)", re.DOTALL)
"""The version in a booster that XGBoost wrote as UBJSON: a list of three small integers."""


Form = Literal["joblib", "pickle", "torch"]


class UnreadablePickleError(Exception):
    """The file is not a pickle, is cut short, or uses a form that is not known here; ``found`` is what was read before that."""

    def __init__(self, message: str, found: "list[Inert] | None" = None) -> None:
        super().__init__(message)
        self.found = found or []


_BY_ARGUMENT = ("builtins.getattr", "cloudpickle.cloudpickle._builtin_type")
"""Functions that are as harmless as what they are asked for by name: a method of an object, a type of ``types``."""


class Inert:
    """Stands for an object of the class, or the result of the function, called ``path``; keeps its state and does nothing.

    State is made in ``__new__``, because most instructions that make objects do not call ``__init__``.
    """

    path = ""
    origin = Name("", "")
    """Where what it stands for is imported from, or whose member it is."""
    found: list["Inert"]
    """Where every stand-in of one reading notes itself."""
    names: list[Name]
    """Where every import of one reading is noted."""
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any]
    raw_state: Any = None
    items: list[Any]

    def __new__(cls, *args: Any, **_kwargs: Any) -> "Inert":
        kind = cls if isinstance(cls, type) else type(cls)  # a class that is itself made by a call is a stand-in, too
        self: Inert = object.__new__(kind)
        self.state = {}
        if kind.path in _BY_NAME_LOADED and args and isinstance(args[0], str):
            self.path = args[0]
        self.items = []
        self.arguments = args
        if kind.path in _BY_ARGUMENT and args:
            self.origin = _asked_for(kind, args)
            self.names.append(self.origin)
        kind.found.append(self)
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what the real one would."""

    def __setstate__(self, state: Any) -> None:
        self.raw_state = state
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.state.update({str(k): v for k, v in part.items()})

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Any) -> None:
        self.items.extend(items)

    def add(self, item: Any) -> None:
        self.items.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append(value)

    def __call__(self, *args: Any, **kwargs: Any) -> "Inert":
        if type(self).path not in _BY_ARGUMENT:
            return type(self)(*args, **kwargs)
        gave: type[Inert] = type(
            "called", (Inert,), {"path": str(self.origin), "found": self.found, "names": self.names}
        )
        return gave(*args, **kwargs)

    def __hash__(self) -> int:
        return id(self)


def _asked_for(kind: type[Inert], args: tuple[Any, ...]) -> Name:
    """What a function of ``_BY_ARGUMENT`` gives; the function itself where its arguments do not tell."""
    if kind.path == _BY_ARGUMENT[1]:
        return Name("types", args[0]) if isinstance(args[0], str) else kind.origin
    of: Any = args[0]
    known = isinstance(of, Inert) or (isinstance(of, type) and issubclass(of, Inert))
    if len(args) < 2 or not known or not of.origin.name or not isinstance(args[1], str):
        return kind.origin
    return Name(of.origin.module, f"{of.origin.name}.{args[1]}")


class _Reader(pickle._Unpickler):  # noqa: SLF001 - the one in C cannot be told to skip arrays
    """Builds stand-ins, which note themselves in ``found``."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {**pickle._Unpickler.dispatch}  # noqa: SLF001

    def __init__(self, file: IO[bytes], found: list[Inert], names: list[Name], form: "Form") -> None:
        super().__init__(file)
        self.source = file
        self.found = found
        self.names = names
        self.form = form

    def find_class(self, module: str, name: str) -> Any:
        origin = modern(Name(module, name))
        path = str(origin)
        if path not in _BY_ARGUMENT:
            self.names.append(origin)
        if path == "numpy.dtype":
            return np.dtype
        if path == "builtins.bytearray":
            return bytearray  # bytes are data, whatever they mean
        members = {"path": path, "origin": origin, "found": self.found, "names": self.names}
        kind: type[Inert] = type(name, (Inert,), members)
        kind()  # a class that is named but not built counts, too
        return kind

    def persistent_load(self, pid: Any) -> Any:
        if self.form == "torch":  # where the bytes of a tensor are, which are data
            return self.find_class("torch.storage", "UntypedStorage")(pid)
        raise UnreadablePickleError(f"it refers to an object outside: {pid!r}")

    def load_build(self) -> None:
        super().load_build()  # type: ignore[misc]
        top = self.stack[-1]  # type: ignore[attr-defined]
        if self.form == "joblib" and isinstance(top, Inert) and top.path == _ARRAY:
            self._skip(top)

    dispatch[pickle.BUILD[0]] = load_build

    def _skip(self, wrapper: Inert) -> None:
        """Past the array behind its wrapper; one of objects is a pickle of its own, kept as the wrapper's item."""
        state = wrapper.state
        kind = state.get("dtype")
        if not isinstance(kind, np.dtype):
            raise UnreadablePickleError("an array without a type")
        if kind.hasobject:
            wrapper.items.append(_Reader(self.source, self.found, self.names, self.form).load())
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.source.read(self.source.read(1)[0])
        left = math.prod(state["shape"]) * kind.itemsize
        while left > 0:
            data = self.source.read(min(left, _CHUNK))
            if not data:
                raise UnreadablePickleError("the file ends within an array")
            left -= len(data)


def contents(path: Path) -> list[Inert]:
    """Every class and function that the pickle names and every object it builds, as stand-ins. ``UnreadablePickleError`` if it is none."""
    found: list[Inert] = []
    try:
        with _opened(path) as file:
            _read(file, found, [], "joblib")
    except UnreadablePickleError:
        raise
    except Exception as error:  # damaged compression
        raise UnreadablePickleError(f"{type(error).__name__}: {error}", found) from error
    return found


def imports(path: Path, form: "Form" = "joblib") -> list[Name]:
    """What loading the file would import, in order and with repeats. ``UnreadablePickleError`` where that cannot be told.

    ``form`` is by what the file is loaded: ``joblib`` (which keeps arrays between the instructions), plain ``pickle``, or ``torch``, whose archives
    hold pickles. A function that gets others by name (``getattr``) counts as what it gets; handed on as a value, as itself.
    """
    names: list[Name] = []
    found: list[Inert] = []
    if form == "torch":
        _of_archive(path, found, names)
    else:
        with _opened(path) if form == "joblib" else path.open("rb") as file:
            _read(file, found, names, form)
    return names + _handed_on(found)


def _of_archive(path: Path, found: list[Inert], names: list[Name]) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".pkl"):
                    with archive.open(member) as file:
                        _read(file, found, names, "torch")
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise UnreadablePickleError(f"{type(error).__name__}: {error}", found) from error


def _read(file: IO[bytes], found: list[Inert], names: list[Name], form: "Form") -> None:
    try:
        _Reader(file, found, names, form).load()
    except UnreadablePickleError:
        raise
    except Exception as error:  # any instruction of a damaged program may fail in any way
        raise UnreadablePickleError(f"{type(error).__name__}: {error}", found) from error


def _handed_on(found: list[Inert]) -> list[Name]:
    """Functions of ``_BY_ARGUMENT`` that are values somewhere: who calls them with what is not told."""
    pending: list[Any] = [(o.arguments, o.raw_state, o.items) for o in found]
    seen: set[int] = set()
    handed: list[Name] = []
    while pending:
        value = pending.pop()
        if isinstance(value, type) and issubclass(value, Inert):
            handed += [value.origin] if value.path in _BY_ARGUMENT else []
        elif isinstance(value, tuple | list | set | frozenset | dict) and id(value) not in seen:
            seen.add(id(value))
            pending += [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return handed


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        start = raw.read(6)
        raw.seek(0)
        for magic, opener in _OPENERS:
            if start.startswith(magic):
                with opener(raw) as file:
                    yield io.BufferedReader(file, _CHUNK)
                return
        yield raw


def _zlib(raw: IO[bytes]) -> IO[bytes]:
    return io.BytesIO(zlib.decompress(raw.read()))


_OPENERS: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ", lzma.open),
    (b"\x5d\x00", lzma.open),
    (b"\x78", _zlib),
)


def libraries(found: list[Inert]) -> list[str]:
    """Requirements that the contents of a pickle show, e.g. ``scikit-learn==1.5.2``; versions where the objects tell theirs.

    An array that NumPy 2 wrote loads nowhere else, so it asks for that.
    """
    roots = {o.path.partition(".")[0] for o in found}
    pins = _pins(found)
    wanted = [name + pins.get(name, "") for root, name in LIBRARIES.items() if root in roots]
    if any(o.path.startswith("numpy._core.") for o in found):
        wanted.append("numpy>=2")
    return sorted(wanted)


def of_sources(texts: Iterable[str]) -> list[str]:
    """Distributions of the known libraries that Python files import, as far as they can be parsed."""
    roots: set[str] = set()
    for text in texts:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue  # importing it will say what is wrong
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                roots |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.partition(".")[0])
    return sorted(name for root, name in LIBRARIES.items() if root in roots)


def _pins(found: list[Inert]) -> dict[str, str]:
    """The versions that the objects tell, by distribution."""
    pins: dict[str, str] = {}
    versions = [str(o.state["_sklearn_version"]) for o in found if "_sklearn_version" in o.state]
    if versions:
        newest = max(versions, key=_numbers)
        pins["scikit-learn"] = f"=={newest}"
    boosters = [v for o in found for v in o.state.values() if isinstance(v, bytes | bytearray)]
    told = next((m for m in map(_XGBOOST.search, boosters) if m), None)
    if told is not None:
        pins["xgboost-cpu"] = "==" + ".".join(str(part) for part in told.groups()[0][1::2])
    return pins


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)]
