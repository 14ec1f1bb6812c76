"""Late labels: what was pushed for a version, and its join with rows of the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.classes import spellings
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.execution import Executor
from headrace_jobs.inputs import LogFile
from headrace_jobs.plan import ROOT, tree
from headrace_jobs.window import Window

KEYS = ("request_id", "row")
EXACT = 2**53
"""Whole numbers up to which float64 holds each."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one target, one a row of a request: the last that was pushed."""

    table: pa.Table
    """``request_id``, ``row`` and ``label``; ``file`` and ``at`` say which answer has the label where there are several."""
    repeated: int = 0
    """Answers of the window that are without their label, because a newer answer of the same row has it."""
    unreadable: int = 0
    """Files of labels that were set aside."""


def read_labels(objects: ObjectStore, version: VersionId, target: str) -> Labels | None:
    """What was pushed of ``target``, whatever types the files have; None without any."""
    names = sorted(n for n in objects.names(layout.labels(version)) if n.endswith(".parquet"))
    tables, unreadable = [], 0
    for name in names:
        try:
            tables.append(_read(objects, layout.labels(version) + name, target))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError):
            unreadable += 1
    found = [table for table in tables if table is not None]
    if not found:
        return None
    labels = _alike([table["label"] for table in found])
    keys = {
        key: pa.chunked_array([c for table in found for c in table[key].chunks], found[0][key].type) for key in KEYS
    }
    whole = pa.table({**keys, "label": labels})
    numbered = whole.select(list(KEYS)).append_column("place", pa.array(np.arange(len(whole))))
    last = numbered.group_by(list(KEYS)).aggregate([("place", "max")])
    chosen = whole.take(pa.array(np.sort(last["place_max"].to_numpy())))
    anywhere = {"file": pa.nulls(len(chosen), pa.string()), "at": pa.nulls(len(chosen), pa.int64())}
    return Labels(pa.table({**{name: chosen[name] for name in chosen.column_names}, **anywhere}), 0, unreadable)


def of_newest(labels: Labels, files: Sequence[LogFile], window: Window, executor: Executor) -> Labels:
    """The labels where of several answers of a row the newest has the label: a request that was sent again is one request."""
    if len(files) == 0 or not len(labels.table):
        return labels
    leaves = [(_answers, file, place, window, labels.table) for place, file in enumerate(files)]
    found: _Newest = executor.run(tree(leaves, _newest), ROOT, lambda _: None)
    several = found.count > 1
    if not several.any():
        return labels
    place = pa.array(np.where(several, found.file, 0), mask=~several)
    file = pa.array([f.key for f in files], pa.string()).take(place)
    at = pa.array(np.where(several, found.at, 0), pa.int64(), mask=~several)
    table = labels.table.select([*KEYS, "label"]).append_column("file", file).append_column("at", at)
    return Labels(table, int((found.count[several] - 1).sum()), labels.unreadable)


def join(request_ids: Any, rows: Any, labels: pa.Table, file: str) -> tuple[Array, Any]:
    """Places of the rows of a file that have a label, ascending, and their labels as an Arrow column."""
    found = _logged(request_ids, rows).join(labels, keys=list(KEYS), join_type="inner").sort_by("place")
    here = pc.and_(pc.equal(found["file"], file), pc.equal(found["at"], found["place"]))
    found = found.filter(pc.fill_null(here, True))
    return found["place"].to_numpy(), found["label"]


def _read(objects: ObjectStore, key: str, target: str) -> pa.Table | None:
    """The keys and the label of one file, without rows that lack one; None where the file is of other targets."""
    file = inputs.open_parquet(objects, key)
    if target not in file.schema_arrow.names:
        return None
    found = file.read(columns=[name for name in (*KEYS, target) if name in file.schema_arrow.names])
    label = _plain(found[target])
    request = _plain(found[KEYS[0]]).cast(pa.string())
    row = found[KEYS[1]].cast(pa.int32()) if KEYS[1] in found.column_names else pa.array(np.zeros(len(found), np.int32))
    whole = pa.table({KEYS[0]: request, KEYS[1]: row, "label": label})
    return whole.filter(pc.and_(pc.is_valid(whole["label"]), pc.is_valid(whole[KEYS[0]])))


def _plain(column: Any) -> Any:
    """A column as truth values, numbers or text; ``TypeError`` for what is none of these."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_temporal(kind):
        return column.cast(pa.string())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    raise TypeError(f"labels of {kind}")


def _alike(columns: Sequence[Any]) -> Any:
    """Columns of several types one after the other: as numbers where all are, else as text; ``codes`` reads both alike."""
    if all(not pa.types.is_string(c.type) and _largest(c) <= EXACT for c in columns):
        kind = pa.float64() if any(pa.types.is_floating(c.type) for c in columns) else pa.int64()
        return pa.chunked_array([chunk.cast(kind) for c in columns for chunk in _widened(c).chunks], kind)
    return pa.chunked_array([_text(c) for c in columns], pa.string())


def _widened(column: Any) -> Any:
    return column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column


def _largest(column: Any) -> float:
    if pa.types.is_boolean(column.type) or not len(column):
        return 1.0
    ends = pc.min_max(column).as_py()
    return max(abs(v) for v in ends.values()) if pa.types.is_integer(column.type) and ends["min"] is not None else 0.0


def _text(column: Any) -> Any:
    """As text, whole numbers without a point; each value is written once."""
    if pa.types.is_string(column.type):
        return column.combine_chunks()
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    written = [_written(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(written, pa.string()).take(encoded.indices)


def _written(value: Any) -> str:
    return spellings(value)[1] if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True, slots=True)
class _Newest:
    """By label: answers that it may be of, and of the newest one when it was received, its file and its place there."""

    count: Array
    received: Array
    file: Array
    at: Array


def _answers(file: LogFile, place: int, window: Window, labels: pa.Table) -> _Newest:
    """What one file says of the labels."""
    count, at = np.zeros(len(labels), np.int64), np.full(len(labels), -1)
    received = np.full(len(labels), np.iinfo(np.int64).min)
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), window)
    requests, rows = (answered.column(key) for key in KEYS)
    if answered.rows and requests is not None and rows is not None:
        numbered = labels.select(list(KEYS)).append_column("label", pa.array(np.arange(len(labels))))
        met = _logged(requests, rows).join(numbered, keys=list(KEYS), join_type="inner")
        label, there = met["label"].to_numpy(), met["place"].to_numpy()
        moment = answered.received.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()[there]
        order = np.lexsort((there, moment))  # of a label's answers the last one that is written stays: the newest
        at[label[order]], received[label[order]] = there[order], moment[order]
        count = np.bincount(label, minlength=len(labels))
    return _Newest(count, received, np.full(len(labels), place), at)


def _newest(*parts: _Newest) -> _Newest:
    """Of several files; of answers received at the same moment that of the last file is the newest."""
    total = parts[0]
    for part in parts[1:]:
        newer = part.received >= total.received
        total = _Newest(
            total.count + part.count,
            np.where(newer, part.received, total.received),
            np.where(newer, part.file, total.file),
            np.where(newer, part.at, total.at),
        )
    return total


def _logged(request_ids: Any, rows: Any) -> pa.Table:
    places = pa.array(np.arange(len(rows)))
    return pa.table({KEYS[0]: request_ids.cast(pa.string()), KEYS[1]: rows.cast(pa.int32()), "place": places})
