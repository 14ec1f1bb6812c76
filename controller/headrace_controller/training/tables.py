"""Arrow tables to named columns and back, and files small enough to be read whole.

A column is an array ``(n,)`` of bool, integers or floats (missing: NaN), ``(n,)`` objects of text, or of true and false with gaps (missing: None),
``(n, k)`` numbers where each row holds k, or ``(n,)`` objects of arrays where rows differ in length.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_controller.training import memory
from headrace_controller.training.csvfile import CsvFile
from headrace_controller.training.summary import is_truth
from headrace_functions.errors import InvalidInput, NotFound, TooLarge
from headrace_functions.names import check_field_name
from headrace_functions.signature import DType
from headrace_functions.tabular import dialect, kinds, parquet

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]

MAX_VALUES = 400_000_000
"""Values of a Parquet file that is read whole, those in lists by themselves: a small file may be much once it is read."""
BYTES_A_VALUE = 36
"""Memory for a value of numbers and short text that is read whole, measured: as it is read, typed and written."""
BYTES_A_BYTE = 2.5
"""The same for a byte of CSV."""
MAX_COLUMNS = 5000
_INDEX = re.compile(r"__index_level_\d+__")
"""The name that pandas gives to the index in Parquet where it has none."""


def read(
    file: Path,
    *,
    field: str,
    declared: Mapping[str, DType] | None = None,
    missing: Sequence[str] | None = None,
) -> Columns:
    """All columns of a file, by its suffix ``.csv`` (with a header) or ``.parquet``, in the file's order; training data is ``data``'s.

    CSV columns whose type is ``declared`` are read as that, the others as what they look like; ``missing`` are their words of no value.

    Raises ``InvalidInput`` for what is not such a file, repeated or unusable column names and types that are none of ours.
    """
    table = _read(file, field, declared, missing)
    check_names(table.column_names, field)
    if not table.num_rows:
        raise InvalidInput(f"{field}: {file.name} has no rows", field=field)
    return to_columns(table, field)


def without_index(table: pa.Table) -> pa.Table:
    """A table without the columns in which pandas keeps the index of a frame that was filtered or shuffled."""
    return table.drop_columns([name for name in table.column_names if is_index(name)])


def is_index(name: str) -> bool:
    return _INDEX.fullmatch(name) is not None


def check_names(names: Sequence[str], field: str) -> None:
    """Raises ``TooLarge`` and ``InvalidInput`` for too many columns, and for repeated or unusable names."""
    dialect.check_named(names, field, field)
    if len(names) > MAX_COLUMNS:
        raise TooLarge(f"{field}: at most {MAX_COLUMNS} columns", field=field, got=str(len(names)))
    seen: set[str] = set()
    for name in names:
        check_field_name(name, field=f"{field}: column")
        if name in seen:
            raise InvalidInput(f"{field}: column {name!r} appears twice", field=name, hint="rename one of them")
        seen.add(name)


def to_columns(table: pa.Table, field: str) -> Columns:
    """The columns of an Arrow table; ``InvalidInput`` naming the column for a type that is none of ours, and for values that are damaged."""
    return {
        name: _readable(name, column, field) for name, column in zip(table.column_names, table.columns, strict=True)
    }


def to_table(columns: Mapping[str, Array], truth: Collection[str] = ()) -> pa.Table:
    """Columns as an Arrow table; rows of more than one dimension become lists of their elements in row-major order.

    Columns of ``truth`` hold true, false and gaps, even where a part of one has only gaps.
    """
    return pa.table(
        {
            name: pa.array(column.tolist(), pa.bool_()) if name in truth and column.ndim == 1 else _to_arrow(column)
            for name, column in columns.items()
        }
    )


def write(columns: Mapping[str, Array], file: Path) -> None:
    """Write columns as Parquet, see ``to_table``."""
    pq.write_table(to_table(columns), file, compression="zstd")


def read_parquet(data: bytes) -> Columns:
    """The columns of a Parquet file that ``write`` made."""
    return to_columns(pq.read_table(pa.BufferReader(data)), "parquet")


def _read(file: Path, field: str, declared: Mapping[str, DType] | None, missing: Sequence[str] | None) -> pa.Table:
    check_file(file, field)
    if file.suffix == ".csv":
        _check_memory(BYTES_A_BYTE * file.stat().st_size, field)
        return _read_csv(CsvFile(file, field, declared, missing), field)
    try:
        with pq.ParquetFile(file) as opened:
            _check_memory(BYTES_A_VALUE * values_of(opened, MAX_VALUES, field), field)
            return without_index(opened.read())
    except parquet.UNREADABLE as error:
        raise InvalidInput(f"{field}: {file.name} cannot be read: {error}", field=field) from error


def _read_csv(csv: CsvFile, field: str) -> pa.Table:
    check_names(csv.names, field)
    types = csv.types()
    schema = pa.schema([(name, types[name]) for name in csv.names])
    return pa.concat_tables([schema.empty_table(), *csv.tables(types)])


def check_file(file: Path, field: str) -> None:
    """Raises ``NotFound``, and ``InvalidInput`` for a file that is neither CSV nor Parquet; what is named CSV is for ``CsvFile`` to look at."""
    if not file.is_file():
        raise NotFound(
            f"{field}: {file} does not exist",
            field=field,
            hint="correct the path; it is relative to the folder of the definition",
        )
    where = f"{field}: {file.name}"
    if file.suffix not in kinds.TABLES:
        with file.open("rb") as opened:
            raise kinds.wrong_name(opened.read(kinds.HEAD), where, field, kinds.TABLES)
    if file.suffix == ".parquet":
        kinds.check(file, kinds.PARQUET, where, field, kinds.TABLES)


def names_of(file: Path, field: str) -> list[str]:
    """The names of the columns of a file; raises ``NotFound`` and ``InvalidInput`` as ``read`` does."""
    check_file(file, field)
    try:
        return CsvFile(file, field).names if file.suffix == ".csv" else pq.read_schema(file).names
    except parquet.UNREADABLE as error:
        raise InvalidInput(f"{field}: {file.name} cannot be read: {error}", field=field) from error


def values_of(file: pq.ParquetFile, most: int, field: str) -> int:
    """Values of a Parquet file, those in lists by themselves, before it is read; ``TooLarge`` for more than ``most``."""
    rows, values = file.metadata.num_rows, parquet.values_of(file)
    if values > most:
        raise TooLarge(
            f"{field}: {rows:,} rows have {values:,} values, more than {most:,}",
            field=field,
            got=str(values),
            hint=f"use a random sample of at most {rows * most // values:,} rows",
        )
    return values


def _check_memory(needed: float, field: str) -> None:
    """A read that runs out of memory would take the platform with it."""
    left = memory.left()
    if left is not None and needed > left:
        raise TooLarge(
            f"{field}: reading it takes about {needed / 1e9:.1f} GB of memory, and {left / 1e9:.1f} GB are left here",
            field=field,
            expected=f"at most {left:,} bytes of memory",
            got=f"about {needed:,.0f}",
            hint=f"use a random sample of at most {left / needed:.0%} of the rows, or give the controller more memory",
        )


def _readable(name: str, column: pa.ChunkedArray, field: str) -> Array:
    try:
        return _to_numpy(name, column, field)
    except parquet.UNREADABLE as error:
        raise InvalidInput(f"{field}: column {name!r} cannot be read: {error}", field=name) from error


def _to_numpy(name: str, column: pa.ChunkedArray, field: str) -> Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _to_numpy(name, column.cast(kind.value_type), field)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(kind) and column.null_count:
        return np.asarray(column.to_numpy(zero_copy_only=False), object)
    if pa.types.is_decimal(kind):  # by its text: a cast divides by a power of ten and is not always the nearest number
        return _to_numpy(name, pc.cast(pc.cast(column, pa.string()), pa.float64()), field)
    if pa.types.is_integer(kind) and column.null_count:
        return _whole_with_gaps(name, column, field)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.asarray(column.to_numpy())
    if pa.types.is_temporal(kind):
        return _to_numpy(name, pc.cast(column, pa.string()), field)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False), object)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _rows(name, column, field)
    raise InvalidInput(
        f"{field}: column {name!r} has the type {kind}",
        field=name,
        expected="numbers, booleans, text, times, or lists of numbers",
    )


def _whole_with_gaps(name: str, column: pa.ChunkedArray, field: str) -> Array:
    """Whole numbers of which some are missing, as floats; ``InvalidInput`` for one that a float would change."""
    try:
        return np.asarray(pc.cast(column, pa.float64()).to_numpy())
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            f"{field}: column {name!r} has gaps and whole numbers beyond 2**53, which would lose precision",
            field=name,
            expected="numbers up to 9,007,199,254,740,992 if some are missing, or text",
            hint="declare the column as type: string if it holds identifiers",
        ) from error


def _rows(name: str, column: pa.ChunkedArray, field: str) -> Array:
    element = column.type.value_type
    if not (pa.types.is_integer(element) or pa.types.is_floating(element)) or column.null_count:
        raise InvalidInput(
            f"{field}: column {name!r} holds {column.type}", field=name, expected="lists of numbers in every row"
        )
    lengths = np.asarray(pc.list_value_length(column).to_numpy())
    flat = np.asarray(pc.list_flatten(column).to_numpy())
    if (lengths == lengths[0]).all():
        return flat.reshape(len(column), int(lengths[0]))
    rows = np.empty(len(column), object)
    rows[:] = np.split(flat, np.cumsum(lengths)[:-1])
    return rows


def _to_arrow(column: Array) -> pa.Array:
    if column.ndim > 1:
        flat = np.ascontiguousarray(column).reshape(len(column), -1)
        values = _flat_to_arrow(flat.reshape(-1))
        return pa.FixedSizeListArray.from_arrays(values, flat.shape[1]).cast(pa.list_(values.type))
    if column.dtype == object and any(isinstance(v, np.ndarray) for v in column[:1]):
        return pa.array([np.asarray(v).reshape(-1) for v in column])
    return _flat_to_arrow(column)


def _flat_to_arrow(values: Array) -> pa.Array:
    if values.dtype == object and is_truth(values):
        return pa.array(values.tolist(), pa.bool_())
    if values.dtype.kind in "OSU":
        return pa.array(
            [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.tolist()], pa.string()
        )
    return pa.array(values.astype(np.float32) if values.dtype == np.float16 else values)
