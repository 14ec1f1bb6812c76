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
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
_CHUNK = 1 << 20
_LIBRARIES = {
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


class UnreadablePickleError(Exception):
    """The file is not a pickle, is cut short, or uses a form that is not known here; ``found`` is what was read before that."""

    def __init__(self, message: str, found: "list[Inert] | None" = None) -> None:
        super().__init__(message)
        self.found = found or []


class Inert:
    """Stands for an object of the class, or the result of the function, called ``path``; keeps its state and does nothing.

    State is made in ``__new__``, because most instructions that make objects do not call ``__init__``.
    """

    path = ""
    found: list["Inert"]
    """Where every stand-in of one reading notes itself."""
    state: dict[str, Any]
    items: list[Any]

    def __new__(cls, *args: Any, **_kwargs: Any) -> "Inert":
        kind = cls if isinstance(cls, type) else type(cls)  # a class that is itself made by a call is a stand-in, too
        self: Inert = object.__new__(kind)
        self.state = {}
        if kind.path in _BY_NAME_LOADED and args and isinstance(args[0], str):
            self.path = args[0]
        self.items = []
        kind.found.append(self)
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what the real one would."""

    def __setstate__(self, state: Any) -> None:
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
        return type(self)(*args, **kwargs)

    def __hash__(self) -> int:
        return id(self)


class _Reader(pickle._Unpickler):  # noqa: SLF001 - the one in C cannot be told to skip arrays
    """Builds stand-ins, which note themselves in ``found``."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {**pickle._Unpickler.dispatch}  # noqa: SLF001

    def __init__(self, file: IO[bytes], found: list[Inert]) -> None:
        super().__init__(file)
        self.source = file
        self.found = found

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        if path == "numpy.dtype":
            return np.dtype
        if path == "builtins.bytearray":
            return bytearray  # bytes are data, whatever they mean
        kind: type[Inert] = type(name, (Inert,), {"path": path, "found": self.found})
        kind()  # a class that is named but not built counts, too
        return kind

    def persistent_load(self, pid: Any) -> Any:
        raise UnreadablePickleError(f"it refers to an object outside: {pid!r}")

    def load_build(self) -> None:
        super().load_build()  # type: ignore[misc]
        top = self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(top, Inert) and top.path == _ARRAY:
            self._skip(top.state)

    dispatch[pickle.BUILD[0]] = load_build

    def _skip(self, state: dict[str, Any]) -> None:
        kind = state.get("dtype")
        if not isinstance(kind, np.dtype):
            raise UnreadablePickleError("an array without a type")
        if kind.hasobject:
            _Reader(self.source, self.found).load()
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
            _Reader(file, found).load()
    except UnreadablePickleError:
        raise
    except Exception as error:  # any instruction of a damaged program may fail in any way
        raise UnreadablePickleError(f"{type(error).__name__}: {error}", found) from error
    return found


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
    wanted = [name + pins.get(name, "") for root, name in _LIBRARIES.items() if root in roots]
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
    return sorted(name for root, name in _LIBRARIES.items() if root in roots)


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
