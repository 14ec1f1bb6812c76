"""Records of one version to rows of its log table. Pure: no files, no clock."""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from headrace_controller.requestlog.plain_types import STORED_UINT64
from headrace_functions import logtable
from headrace_functions.errors import HeadraceError
from headrace_functions.profile import Profile
from headrace_functions.protocol.codec import decode_request, decode_response
from headrace_functions.record import Record
from headrace_functions.signature import Field, Tensors
from headrace_functions.sources import Source, accepted_at
from headrace_functions.version import Version

_ANSWERED = ("ok", "cancelled", "aborted", "failed")
"""Outcomes with outputs: of a stream that did not come to its end, those that were sent."""
_STREAMED = r"^kafka:.*:\d{20}$"
MAX_RAW = 64 * 1024
"""Characters of a request that could not be read into rows that the log keeps."""

_TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "decimal(20,0)": STORED_UINT64,
    **{f"int{n}": getattr(pa, f"int{n}")() for n in (8, 16, 32, 64)},
    **{f"float{n}": getattr(pa, f"float{n}")() for n in (32, 64)},
}


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a name in ``logtable``."""
    if name.startswith("list<"):
        return pa.list_(_TYPES[name.removeprefix("list<").removesuffix(">")])
    return _TYPES[name]


def schema(version: Version) -> pa.Schema:
    return pa.schema([(name, arrow_type(kind)) for name, kind in logtable.columns(version.signature).items()])


@dataclass(slots=True)
class _Entry:
    """One exchange: its tensors where they could be read, each with the row in front."""

    record: Record
    inputs: Tensors | None
    outputs: Tensors | None
    rows: int


def to_table(version: Version, records: Iterable[Record], profile: Profile | None) -> pa.Table:
    """One line a row of every exchange, in the order given."""
    entries = [_entry(version, record) for record in records]
    counts = np.array([e.rows for e in entries], dtype=np.int64)
    owner = pa.array(np.repeat(np.arange(len(entries)), counts))
    columns: dict[str, pa.Array] = {}
    for name, of in _EXCHANGE.items():
        values = pa.array([of(e) for e in entries], type=arrow_type(logtable.EXCHANGE_COLUMNS[name]))
        columns[name] = values.take(owner)
    columns["row"] = pa.array(np.concatenate([np.arange(n) for n in counts]) if entries else [], type=pa.int32())
    if any(_stream_of(e.record) for e in entries):
        columns["request_id"], columns["row"] = _of_messages(entries, columns["request_id"], columns["row"], counts)
    columns["checks"] = _checks(version, entries, profile, counts)
    for field in version.signature.inputs:
        columns[logtable.input_column(field)] = _column(field, [e.inputs for e in entries], counts)
    for field in version.signature.outputs:
        columns[logtable.output_column(field)] = _column(field, [e.outputs for e in entries], counts)
    wanted = schema(version)
    return pa.table([columns[name] for name in wanted.names], schema=wanted)


def received(record: Record) -> int:
    """Microseconds at which a request was received: of one that was answered later, when it was accepted."""
    at = accepted_at(record.header.source)
    return (record.header.received if at is None else at) // 1000


def _stream_of(record: Record) -> Source | None:
    source = record.header.source
    return Source.parse(source) if source and accepted_at(source) is None else None


def of_stream(rows: pa.Table) -> pa.BooleanArray:
    """Which rows come from messages of a stream, by their request id."""
    return pc.match_substring_regex(rows["request_id"], _STREAMED)


def _of_messages(
    entries: Sequence[_Entry], ids: pa.Array, rows: pa.Array, counts: np.ndarray[Any, Any]
) -> tuple[pa.Array, pa.Array]:
    """Request ids and row numbers by message where an exchange says which messages its rows come from."""
    named, numbered = ids.to_pylist(), rows.to_pylist()
    at = 0
    for entry, count in zip(entries, counts, strict=True):
        source = _stream_of(entry.record)
        if source is not None and source.rows == count:
            pairs = list(source.ids())
            named[at : at + count] = [p[0] for p in pairs]
            numbered[at : at + count] = [p[1] for p in pairs]
        elif source is not None:  # it could not be read into rows, so one line stands for its message
            named[at] = next(source.ids())[0]
        at += int(count)
    return pa.array(named, ids.type), pa.array(numbered, rows.type)


def _entry(version: Version, record: Record) -> _Entry:
    inputs = _read(version, record, _inputs)
    outputs = _read(version, record, _outputs) if record.header.outcome in _ANSWERED else None
    rows = len(next(iter(inputs.values()))) if inputs else 1
    if outputs is not None and any(len(a) != rows for a in outputs.values()):
        outputs = None
    return _Entry(record, inputs, outputs, rows)


def _read(version: Version, record: Record, side: Callable[[Version, Record], Tensors]) -> Tensors | None:
    try:
        tensors = side(version, record)
    except HeadraceError:
        return None  # the row says so by its empty columns, its error and the raw request
    return tensors if version.batch else {name: array[np.newaxis] for name, array in tensors.items()}


def _inputs(version: Version, record: Record) -> Tensors:
    h = record.header
    tensors, _ = decode_request(
        record.request, h.request_type, h.request_json, version.signature, protocol=h.protocol, batch=version.batch
    )
    return tensors


def _outputs(version: Version, record: Record) -> Tensors:
    h = record.header
    return decode_response(
        record.response, h.response_json, version.signature, protocol=h.protocol, batch=version.batch
    )


def _column(field: Field, sides: Sequence[Tensors | None], counts: np.ndarray[Any, Any]) -> pa.Array:
    """The field's values in row order, null where an exchange has none."""
    kind = arrow_type(logtable.column_type(field))
    present = [side[field.name] if side is not None and field.name in side else None for side in sides]
    arrays = [a for a in present if a is not None]
    if not arrays:
        return pa.nulls(int(counts.sum()), kind)
    values = _scalars(field, arrays, kind) if field.is_scalar else _lists(arrays, kind)
    if len(arrays) == len(present):
        return values
    has_value = np.repeat([a is not None for a in present], counts)
    positions = np.cumsum(has_value) - 1
    return values.take(pa.array(positions, mask=~has_value))


def _scalars(field: Field, arrays: list[np.ndarray[Any, Any]], kind: pa.DataType) -> pa.Array:
    values = np.concatenate([a.reshape(len(a)) for a in arrays])
    if field.dtype.name != "string":
        return pa.array(values).cast(kind)
    return pa.array(_text(values), kind)


def _text(values: np.ndarray[Any, Any]) -> list[str | None]:
    return [_written(v) if isinstance(v, bytes) else None if v is None else str(v) for v in values.tolist()]


def _written(value: bytes) -> str:
    """Bytes as text; what is no UTF-8, such as a picture, as v1 has it on the wire, so that nothing of it is lost."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return orjson.dumps({"b64": base64.b64encode(value).decode()}).decode()


def _lists(arrays: list[np.ndarray[Any, Any]], kind: pa.ListType) -> pa.Array:
    sizes = np.concatenate([np.full(len(a), a[0].size if len(a) else 0) for a in arrays])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    values = np.concatenate([a.ravel() for a in arrays])
    if values.dtype == object:
        items = pa.array(_text(values), kind.value_type)
    else:
        items = pa.array(values).cast(kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, type=pa.int32()), items)


def _checks(version: Version, entries: list[_Entry], profile: Profile | None, counts: np.ndarray[Any, Any]) -> pa.Array:
    """The failed checks of each row as ``field:check``; null where the inputs could not be read."""
    kind = arrow_type(logtable.EXCHANGE_COLUMNS["checks"])
    rows = int(counts.sum())
    if profile is None:
        return pa.nulls(rows, kind)
    unread = np.repeat([e.inputs is None for e in entries], counts).astype(bool)
    read = np.flatnonzero(~unread)
    readable = [e.inputs for e in entries if e.inputs is not None]
    names: list[str] = []
    failed: list[np.ndarray[Any, Any]] = []  # by name, the rows that fail it
    for field in version.signature.inputs:
        arrays = [inputs[field.name] for inputs in readable if field.name in inputs]
        if len(arrays) != len(readable) or not arrays or len({a.shape[1:] for a in arrays}) > 1:
            continue  # free sizes: there is no one array to look at
        for name, mask in profile.failures(field, np.concatenate(arrays)).items():
            names.append(f"{field.name}:{name}")
            failed.append(read[np.flatnonzero(mask)])
    found = np.concatenate(failed) if failed else np.zeros(0, dtype=np.int64)
    owner = np.repeat(np.arange(len(names)), [len(f) for f in failed])
    order = np.argsort(found, kind="stable")  # by row, and of one row in the order of the fields
    values = pa.array(names, kind.value_type).take(pa.array(owner[order], pa.int32()))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(found, minlength=rows))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind, mask=pa.array(unread))


def _microseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else nanoseconds // 1000


def _day(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%d")


_EXCHANGE: dict[str, Callable[[_Entry], Any]] = {
    "request_id": lambda e: e.record.header.request_id,
    "received": lambda e: received(e.record),
    "date": lambda e: _day(received(e.record) * 1000),
    "latency_ms": lambda e: e.record.header.latency_ms,
    "outcome": lambda e: e.record.header.outcome,
    "status": lambda e: e.record.header.status,
    "error": lambda e: e.record.header.error or None,
    "protocol": lambda e: e.record.header.protocol,
    "sequence": lambda e: e.record.header.sequence or None,
    "stage": lambda e: e.record.header.stage if e.record.header.stage >= 0 else None,
    "variant": lambda e: e.record.header.variant or None,
    "shadow": lambda e: e.record.header.shadow,
    "caller_time": lambda e: _microseconds(e.record.header.caller_time),
    "traceparent": lambda e: e.record.header.traceparent or None,
    "replica": lambda e: e.record.header.replica or None,
    "caller": lambda e: e.record.header.caller or None,
    "raw": lambda e: e.record.request[: 4 * MAX_RAW].decode(errors="replace")[:MAX_RAW] if e.inputs is None else None,
}
