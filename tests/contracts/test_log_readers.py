"""Logs and exports open, value for value, in the programs that people read them with."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace_controller.collector.rows import to_table
from headrace_controller.collector.tables import LogTables
from headrace_controller.requestlog.reader import LogQuery, LogReader
from headrace_controller.requestlog.tail import LogTail, Position
from headrace_functions.protocol.codec import encode_request, encode_response
from headrace_functions.protocol.messages import RequestInfo
from headrace_functions.record import Record, RecordHeader
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.inputs import column, open_parquet
from support.versions import number, version

AT = int(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp() * 1e9)
IT = version(
    inputs=(number("key", "uint64"), Field("word", dtype("string"), (), "text"), number("pair", "uint64", (2,))),
    outputs=(number("y"),),
)
KEYS = [2**64 - 1, 2**53 + 1, 0]
EXPECTED = {
    "in.key": KEYS,
    "in.word": ["01067", "ä, b", ""],
    "in.pair": [[1, 2**64 - 1], [3, 4], [5, 6]],
    "out.y": [0.1, -2.5, 1e300],
    "outcome": ["ok"] * 3,
    "row": [0, 1, 2],
}


def exchange(request_id: str = "r1") -> Record:
    inputs = {
        "key": np.array(KEYS, np.uint64),
        "word": np.array(EXPECTED["in.word"], object),
        "pair": np.array(EXPECTED["in.pair"], np.uint64),
    }
    asked = encode_request(inputs, IT.signature, binary=True)
    answered = encode_response(
        {"y": np.array(EXPECTED["out.y"])}, IT.signature, RequestInfo(binary=True), model=IT.id.model, version=1
    )
    header = RecordHeader(
        request_id,
        IT.id.model,
        1,
        AT,
        1.5,
        "ok",
        200,
        "v2",
        asked.content_type,
        asked.json_length,
        answered.json_length,
    )
    return Record(header, asked.body, answered.body)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """A store with a log of one request of three rows."""
    objects = ObjectStore(str(tmp_path / "store"))
    LogTables(objects).append(IT.id, to_table(IT, [exchange()], None), {"spool": 0})
    return objects


def in_order(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    rows = sorted(rows, key=lambda r: int(r["row"]))
    return {name: [_plain(r[name]) for r in rows] for name in EXPECTED}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | float) else int(value)


def by_duckdb(relation: Any) -> list[dict[str, Any]]:
    found = relation.fetchall()
    return [dict(zip(relation.columns, row, strict=True)) for row in found]


TABLES: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "pandas": lambda url: DeltaTable(url).to_pandas().to_dict("records"),
    "polars": lambda url: polars.read_delta(url).to_dicts(),
    "duckdb": lambda url: by_duckdb(duckdb.from_arrow(DeltaTable(url).to_pyarrow_dataset())),
}
FILES: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "pandas": lambda file: pandas.read_parquet(file).to_dict("records"),
    "polars": lambda file: polars.read_parquet(file).to_dicts(),
    "duckdb": lambda file: by_duckdb(duckdb.read_parquet(file)),
    "pyarrow": lambda file: pq.read_table(file).to_pylist(),
}


@pytest.mark.parametrize("reader", TABLES)
def test_a_log_table_opens_with_every_value_as_it_was_sent(store: ObjectStore, reader: str) -> None:
    assert EXPECTED == in_order(TABLES[reader](store.table_url(layout.log_table(IT.id))))


@pytest.mark.parametrize("reader", FILES)
def test_an_export_opens_with_every_value_as_it_was_sent(store: ObjectStore, tmp_path: Path, reader: str) -> None:
    LogReader(store).export(IT.id, LogQuery(), tmp_path / "export.parquet")
    assert EXPECTED == in_order(FILES[reader](str(tmp_path / "export.parquet")))


def test_queries_conditions_and_the_tail_give_whole_numbers_of_64_bits(store: ObjectStore) -> None:
    reader = LogReader(store)
    assert EXPECTED == in_order(reader.query(IT.id, LogQuery()))
    assert [2**64 - 1] == [r["in.key"] for r in reader.query(IT.id, LogQuery(where=f"in.key > {2**63}"))]
    tail = LogTail(store, reader)
    assert EXPECTED == in_order(tail.follow(IT.id, Position(-1, 0)).rows)
    assert [2**64 - 1] == [r["in.key"] for r in tail.follow(IT.id, Position(-1, 0), f"in.key > {2**63}").rows]


def test_analyses_read_whole_numbers_of_64_bits(store: ObjectStore) -> None:
    (uri,) = DeltaTable(store.table_url(layout.log_table(IT.id))).file_uris()
    file = open_parquet(store, layout.log_table(IT.id) + uri.partition(layout.log_table(IT.id))[2])
    assert KEYS == column(file, "in.key").to_pylist()  # type: ignore[union-attr]
    assert EXPECTED["in.pair"] == column(file, "in.pair").to_pylist()  # type: ignore[union-attr]


def test_a_table_that_an_earlier_release_began_with_floats_takes_more_rows(tmp_path: Path) -> None:
    objects = ObjectStore(str(tmp_path / "store"))
    rows = to_table(IT, [exchange("old")], None)
    for name, kind in (("in.key", pa.float64()), ("in.pair", pa.list_(pa.float64()))):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(kind))
    write_deltalake(objects.table_url(layout.log_table(IT.id)), rows, partition_by=["date"])
    tables = LogTables(objects)
    tables.committed(IT.id, "spool")
    tables.append(IT.id, to_table(IT, [exchange("new")], None), {"spool": 0})
    found = LogReader(objects).query(IT.id, LogQuery(columns=("request_id", "in.key")))
    assert {("old", 0.0), ("new", 0.0), ("old", 2.0**64), ("new", 2.0**64), ("old", 2.0**53), ("new", 2.0**53)} == {
        (r["request_id"], r["in.key"]) for r in found
    }
