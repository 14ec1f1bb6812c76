"""Which rows of a log file, or of the training data, satisfy a condition (``--where``), by the SQL that log queries have."""

import tempfile
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError

from headrace_functions.errors import InvalidInput
from headrace_functions.log_conditions import boolean_expression, not_boolean, of_engine
from headrace_functions.logtable import EXCHANGE_COLUMNS, PARTITION, input_column
from headrace_functions.signature import Signature

_PLACE = "place of the row"
_EVERY_ROW = 2**62


def satisfied(file: pq.ParquetFile, where: str) -> pa.BooleanArray:
    """A mask ``(rows,)`` without nulls; a row for which the condition gives nothing does not satisfy it.

    Raises ``InvalidInput`` for what is not one boolean expression over the log's columns.
    """
    there = set(file.schema_arrow.names)
    younger = [name for name in EXCHANGE_COLUMNS if name not in there and name != PARTITION]
    known = [*file.schema_arrow.names, PARTITION, *younger]
    condition = boolean_expression(where, known)
    named = _named(condition, known)
    rows = file.read(columns=[name for name in named if name in there], use_threads=False)
    for name in (n for n in named if n in younger):  # a release before this one wrote the file
        rows = rows.append_column(name, pa.nulls(file.metadata.num_rows, pa.string()))
    if PARTITION in named:
        received = file.read(columns=["received"], use_threads=False).column(0)
        rows = rows.append_column(PARTITION, pc.strftime(received, format="%Y-%m-%d"))
    return _mask(rows, condition, file.metadata.num_rows)


def satisfied_in_training(file: pq.ParquetFile, signature: Signature, where: str) -> pa.BooleanArray | None:
    """As ``satisfied``, of training data; None for a condition over what they do not have, such as ``latency_ms`` or an output."""
    columns = {input_column(f): f.name for f in signature.inputs if f.name in file.schema_arrow.names}
    condition = boolean_expression(where, list(columns))
    named = _named(condition, columns)
    rows = file.read(columns=[columns[name] for name in named], use_threads=False)
    try:
        return _mask(rows.select([columns[n] for n in named]).rename_columns(named), condition, file.metadata.num_rows)
    except InvalidInput:
        return None  # the log has been asked before: what is wrong with the condition itself was said then


def _named(condition: str, columns: Iterable[str]) -> list[str]:
    return [name for name in columns if f'"{name}"' in condition]


def _mask(rows: pa.Table, condition: str, count: int) -> pa.BooleanArray:
    """The engine reads tables alone, so the columns that a condition names become one for as long as it takes."""
    places = pa.array(range(count), pa.int64())
    # Not beside the scan: pushed down to the file, a condition loses rows with NaN (the reader of log queries has the story).
    sql = f'SELECT "{_PLACE}" FROM (SELECT * FROM log LIMIT {_EVERY_ROW}) AS rows WHERE ({condition})'  # noqa: S608 - one checked expression
    with tempfile.TemporaryDirectory(prefix="where-") as folder:
        write_deltalake(folder, rows.append_column(_PLACE, places))
        try:
            found = pa.RecordBatchReader.from_stream(QueryBuilder().register("log", DeltaTable(folder)).execute(sql))
            chosen = found.read_all().column(0)
        except (DeltaError, ValueError, RuntimeError, pa.ArrowException) as error:
            raise not_boolean(of_engine(str(error), sql, condition)) from error
    return pc.is_in(places, value_set=chosen.combine_chunks())
