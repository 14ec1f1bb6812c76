"""Files of exchanges that happened elsewhere: JSON lines, Arrow streams and Parquet, as rows for ``service.exchanges``."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_functions.errors import InvalidInput, Malformed
from headrace_functions.logtable import INPUT, OUTPUT
from headrace_functions.tabular import parquet

LINES = ("application/x-ndjson", "application/jsonl", "application/json", "text/plain")
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
_PARQUET_MAGIC = b"PAR1"
MAX_TABLE_BYTES = 1024**3
"""Bytes that a table may have once it is read; a small file may hold a big one."""


def read_exchanges(body: bytes, content_type: str) -> list[Any]:
    """One item an exchange; what an item may hold is checked by who takes it.

    Of Arrow and Parquet the columns are ``request_id``, ``received``, ``latency_ms``, ``outcome``, ``error``, and ``in.NAME`` and ``out.NAME`` of
    the fields. Raises ``Malformed`` for a body that is none of these, naming the line.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if body[:4] == _PARQUET_MAGIC or kind == PARQUET:
        return _rows(body, _parquet, "a Parquet file")
    if kind == ARROW:
        return _rows(body, _arrow, "an Arrow stream")
    if kind in LINES or not kind:
        return _lines(body)
    raise InvalidInput(
        f"content-type: {kind!r} is not supported",
        field="content-type",
        expected=f"application/x-ndjson (JSON lines), {ARROW} or {PARQUET}",
    )


def _lines(body: bytes) -> list[Any]:
    found = []
    for number, line in enumerate(body.splitlines(), 1):
        if line.strip():
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise Malformed(f"body: line {number} is not JSON: {error}", field="body") from error
    return found


def _parquet(body: bytes) -> pa.Table:
    with pq.ParquetFile(BytesIO(body)) as file:
        return _whole(file)


def _whole(file: pq.ParquetFile) -> pa.Table:
    batches, size = [], 0
    for batch in file.iter_batches():
        size += batch.nbytes
        _refuse_big(size)
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _arrow(body: bytes) -> pa.Table:
    with pa.ipc.open_stream(body) as reader:
        table = reader.read_all()
    _refuse_big(table.nbytes)
    return table


def _refuse_big(size: int) -> None:
    if size > MAX_TABLE_BYTES:
        raise InvalidInput(f"body: a table of {size} bytes", field="body", expected=f"at most {MAX_TABLE_BYTES}")


def _rows(body: bytes, read: Callable[[bytes], pa.Table], what: str) -> list[Any]:
    try:
        return [_exchange(row) for row in read(body).to_pylist()]
    except parquet.UNREADABLE as error:
        raise Malformed(f"body: it is not {what}: {error}", field="body") from error


def _exchange(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row by the members that a JSON line has; a column that is missing there is one that the row does not have."""
    found: dict[str, Any] = {"inputs": {}, "outputs": {}}
    for name, value in row.items():
        if name.startswith(INPUT):
            found["inputs"][name.removeprefix(INPUT)] = value
        elif name.startswith(OUTPUT):
            found["outputs"][name.removeprefix(OUTPUT)] = value
        elif value is not None:
            found[name] = value
    return found
