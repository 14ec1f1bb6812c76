"""The baseline of a version's training data, kept in the store: a version never changes, so it is counted once.

The key holds a digest of what was asked for and of the code that counts, so another release counts for itself. Kept are numbers,
text and arrays of numbers (npz without pickle), so that what is read cannot be code.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import orjson

from headrace_functions import profile, views
from headrace_functions.errors import NotFound
from headrace_functions.profile import CategoryProfile, NumberProfile
from headrace_functions.statistics import sample
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import baseline, columns, content, importance, scan
from headrace_jobs.baseline import Baseline
from headrace_jobs.detectors.base import Rows
from headrace_jobs.scan import Reference
from headrace_jobs.statistics import categories, identity, numbers, repeats
from headrace_jobs.statistics.categories import CategoryReference
from headrace_jobs.statistics.numbers import NumberReference
from headrace_jobs.statistics.repeats import RowCounts

DAMAGED = (zipfile.BadZipFile, EOFError, ValueError, KeyError)
"""What reading a file that was cut short raises; it is only a copy, and is made again."""
ARRAYS = ("grid", "below", "upto", "sum_below", "cuts", "sample")
SCALARS = ("rows", "missing", "count", "finite", "infinite_low")
COUNTING = (
    baseline,
    columns,
    content,
    importance,
    scan,
    categories,
    identity,
    numbers,
    repeats,
    sample,
    profile,
    views,
)
"""Modules that decide what a baseline holds."""


def from_training(
    objects: ObjectStore,
    version: Version,
    raw: int,
    together: int,
    grouping: str | None = None,
    where: str = "",
) -> Baseline:
    """As ``baseline.from_training``, counted in the first run alone. What ranks the fields may come later and is asked each time.

    Only rows that satisfy ``where`` count, if it is a condition over inputs alone, and these are not kept: it is asked once or twice. Else
    all rows do, and a note says so.
    """
    only = baseline.satisfying(objects, version, where) if where else None
    if only is not None:
        found = baseline.counted(objects, version, raw, together, grouping, only)
    else:
        found = _counted(objects, version, raw, together, grouping)
        found = replace(found, notes=(*found.notes, baseline.WHOLE_TRAINING)) if where else found
    return baseline.ranked(objects, version, found)


def _counted(objects: ObjectStore, version: Version, raw: int, together: int, grouping: str | None) -> Baseline:
    key = layout.baseline(version.id, digest(COUNTING, raw, together, grouping))
    with suppress(NotFound, *DAMAGED):
        return decoded(version, objects.get(key))
    found = baseline.counted(objects, version, raw, together, grouping)
    objects.put(key, encoded(found))  # who else does so at once writes the same
    return found


def encoded(found: Baseline) -> bytes:
    """A baseline as an npz file: arrays by number, and ``told``, JSON that says what they are."""
    arrays: list[Array] = []

    def place(array: Array) -> int:
        arrays.append(array)
        return len(arrays) - 1

    told = {
        "rows": found.rows,
        "notes": found.notes,
        "importance": found.importance,
        "ranking": found.ranking,
        "references": {key: _told(one, place) for key, one in found.references.items()},
        "inputs": {key: _row(column, place) for key, column in found.sample.inputs.items()},
        "outputs": {key: _row(column, place) for key, column in found.sample.outputs.items()},
        "contents": {key: place(column) for key, column in found.sample.contents.items()},
        "groups": {key: _row(column, place) for key, column in found.sample.groups.items()},
        "told_by": found.told_by,
        "repeats": _repeats(found.repeats, place),
    }
    file = io.BytesIO()
    np.savez(file, np.frombuffer(orjson.dumps(told), np.uint8), *arrays)
    return file.getvalue()


def decoded(version: Version, body: bytes) -> Baseline:
    """What ``encoded`` made of a version's baseline."""
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        told = orjson.loads(file["arr_0"].tobytes())

        def at(place: int) -> Array:
            return np.asarray(file[f"arr_{place + 1}"])

        references = {key: _reference(one, at) for key, one in told["references"].items()}
        sides = (
            {k: _column(one, at) for k, one in told["inputs"].items()},
            {k: _column(one, at) for k, one in told["outputs"].items()},
            {k: at(one) for k, one in told["contents"].items()},
            {k: _column(one, at) for k, one in told["groups"].items()},
        )
        counted = told["repeats"] and RowCounts(
            told["repeats"]["rows"], np.uint64(at(told["repeats"]["limit"])[0]), *map(at, told["repeats"]["arrays"])
        )
    known = {c.key(v): (c, v) for c in columns.columns_of(version.signature) for v in views.names(c.field)}
    notes = tuple((name, reason) for name, reason in told["notes"])
    seen = {key: known[key] for key in references}
    ranks = told["importance"], told["ranking"]
    return Baseline(told["rows"], references, seen, notes, Rows(*sides), *ranks, tuple(told["told_by"]), counted)


def digest(modules: Iterable[ModuleType], *asked: int | str | None) -> str:
    """Of a question and of the code that answers it."""
    found = hashlib.sha256(orjson.dumps(asked))
    for module in modules:
        found.update(Path(str(module.__file__)).read_bytes())
    return found.hexdigest()[:16]


def _repeats(found: RowCounts | None, place: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    arrays = [place(found.keys), place(found.counts)]
    return {"rows": found.rows, "limit": place(np.array([found.limit], np.uint64)), "arrays": arrays}


def _told(one: Reference, place: Any) -> dict[str, Any]:
    if isinstance(one, NumberReference):
        scalars = {name: int(getattr(one, name)) for name in SCALARS}
        return {**scalars, "profile": asdict(one.profile), "arrays": [place(getattr(one, name)) for name in ARRAYS]}
    counted = {"counts": list(one.counts.items()), "other": one.other, "singletons": one.singletons}
    return {"rows": one.rows, "missing": one.missing, **counted, "profile": asdict(one.profile), "sample": one.sample}


def _reference(told: Mapping[str, Any], at: Any) -> Reference:
    kept = told["profile"]
    if "arrays" in told:
        arrays = dict(zip(ARRAYS, map(at, told["arrays"]), strict=True))
        found = replace(NumberProfile(**kept), histogram=tuple(kept["histogram"]))
        return NumberReference(**{name: told[name] for name in SCALARS}, **arrays, profile=found)
    values = tuple((value, count) for value, count in kept["values"])
    named = CategoryProfile(values, kept["distinct"], kept["other"])
    counts = dict(told["counts"])
    rare = (told["other"], told["singletons"])
    return CategoryReference(told["rows"], told["missing"], counts, *rare, named, tuple(told["sample"]))


def _row(column: Array, place: Any) -> Any:
    """Numbers as an array, categories as a list."""
    return {"values": column.tolist()} if column.dtype == object else {"array": place(column)}


def _column(told: Mapping[str, Any], at: Any) -> Array:
    if "array" in told:
        return np.asarray(at(told["array"]))
    found = np.empty(len(told["values"]), object)
    found[:] = told["values"]
    return found
