"""What a label of a version may be: one of its classes, a number, or any text where nothing says more."""

import tempfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_controller.training.tables import Array
from headrace_functions.classes import class_of, spellings
from headrace_functions.errors import InvalidInput
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.tabular.dialect import number_hint
from headrace_functions.version import Version

MAX_CLASSES = 1000
"""Different values of a target that are taken for its classes; of more, any text is a label."""
NUMBER = "number"
SHOWN = 10

Kind = tuple[str, ...] | str
"""Names of classes, ``NUMBER``, or empty text where any text is a label."""


def kinds(objects: ObjectStore, version: Version) -> Mapping[str, Kind]:
    """What the labels of each target of a version are, by its outputs and its training data."""
    named = next(
        (tuple(f.columns) for f in version.signature.outputs if f.columns and f.size == len(f.columns) > 1), ()
    )
    if named and len(version.target) == 1:
        return {version.target[0]: named}
    if version.training is None:
        return dict.fromkeys(version.target, "")
    with tempfile.TemporaryDirectory() as folder:
        file = _training(objects, version.training, Path(folder))
        known = file.schema_arrow.names
        return {name: _kind(file, name) if name in known else "" for name in version.target}


def spelled(name: str, column: Array, kind: Kind) -> Array:
    """Labels as they are kept: classes by their names, numbers as float64, else text. ``InvalidInput`` names row and value."""
    encoded = pa.array(column).dictionary_encode()
    places = encoded.indices.to_numpy()
    first = _first(places, len(encoded.dictionary))
    found = [
        _one(value, str(column[at]), kind) for value, at in zip(encoded.dictionary.to_pylist(), first, strict=True)
    ]
    if None in found:
        at = int(np.flatnonzero(np.isin(places, [i for i, one in enumerate(found) if one is None]))[0])
        raise _refused(name, at, column[at], kind)
    kept: list[Any] = [found[place] for place in places.tolist()]
    return np.array(kept, np.float64) if kind == NUMBER else np.array(kept, object)


def _one(value: Any, text: str, kind: Kind) -> str | float | None:
    if kind == NUMBER:
        return _number(value)
    if isinstance(kind, tuple):
        place = class_of(value, kind)
        place = class_of(text, kind) if place < 0 else place  # 0.1 as a float32 is spelled 0.1
        return kind[place] if place >= 0 else None
    return spellings(value)[1] if isinstance(value, float) and value.is_integer() else text


def _number(value: Any) -> float | None:
    if isinstance(value, str) and "_" in value:
        return None
    try:
        found = float(value)
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(str(value).strip().lower())
    return found if np.isfinite(found) else None


def _refused(name: str, at: int, value: Any, kind: Kind) -> InvalidInput:
    if isinstance(kind, str):
        return InvalidInput(
            f"labels: row {at + 1:,}: {name!r} is {str(value)!r}, which is not a number",
            field=name,
            expected="finite numbers, as in the training data",
            hint=number_hint(str(value)) or None,
            got=str(value),
        )
    listed = ", ".join(kind[:SHOWN]) + (f" and {len(kind) - SHOWN} more" if len(kind) > SHOWN else "")
    return InvalidInput(
        f"labels: row {at + 1:,}: {name!r} is {str(value)!r}, which is not a class of this version",
        field=name,
        expected=f"one of {listed}",
        got=str(value),
        hint="correct the row or leave it out; a new class requires a version that was trained with it",
    )


def _first(places: Array, count: int) -> list[int]:
    found = np.zeros(count, np.int64)
    found[places[::-1]] = np.arange(len(places))[::-1]
    return [int(at) for at in found]


def _training(objects: ObjectStore, key: str, folder: Path) -> pq.ParquetFile:
    if objects.directory is not None:
        return pq.ParquetFile(objects.directory / key, memory_map=True)
    objects.download(key, folder / "training.parquet")
    return pq.ParquetFile(folder / "training.parquet", memory_map=True)


def _kind(file: pq.ParquetFile, name: str) -> Kind:
    """Two whole numbers, truth values and text are classes; other numbers are numbers."""
    found: set[Any] = set()
    kind = file.schema_arrow.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    for batch in file.iter_batches(columns=[name]):
        column = batch.column(0)
        column = column.cast(kind) if pa.types.is_dictionary(column.type) else column
        found.update(v for v in pc.unique(column).to_pylist() if v is not None and v == v)
        if len(found) > MAX_CLASSES:
            break
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if number and (len(found) != 2 or not all(Decimal(v) == int(v) for v in found)):
        return NUMBER
    return tuple(str(v) for v in sorted(found)) if 0 < len(found) <= MAX_CLASSES else ""
