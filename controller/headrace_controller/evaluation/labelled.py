"""A labelled file: rows of a version's inputs with a column of what is right, read as training data is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_controller.training import label_values, tables
from headrace_controller.training.csvfile import CsvFile
from headrace_functions.errors import InvalidInput, TooLarge
from headrace_functions.signature import DType, Field, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.tabular import dialect, parquet
from headrace_functions.version import Version

MAX_ROWS = 100_000
MAX_FILE = 64 * 1024**2  # bytes
FIELD = "data"
"""What errors call the file."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """``rows`` have the inputs by name, lists where an input is a vector. ``labels`` are texts of classes or numbers."""

    name: str
    rows: pa.Table
    labels: Sequence[str | float]
    classes: Sequence[str]
    """In their order, the positive one of two second; empty where labels are numbers or nothing says which there are."""
    target: str = ""
    """The column of labels."""


def target_of(version: Version, given: str | None) -> str:
    """The column of labels: the one that was named, else the version's own."""
    if given:
        if version.signature.input(given) is not None:
            raise InvalidInput(
                f"target: {given!r} is an input of {version.id}", field="target", expected="the label column"
            )
        return given
    if len(version.target) != 1:
        has = f"has the targets {', '.join(version.target)}" if version.target else "has no target"
        raise InvalidInput(
            f"{version.id} {has}", field="target", hint="name the label column of the file with --target COLUMN"
        )
    return version.target[0]


def check_column(file: Path, target: str) -> None:
    """``InvalidInput`` where a file, of which the names of columns alone are read, has no column of labels."""
    names = tables.names_of(file, FIELD)
    if target not in names:
        raise _lacking(file, target, "the label column", names)


def read(
    file: Path, version: Version, target: str, objects: ObjectStore, missing: Sequence[str] | None = None
) -> Labelled:
    """The rows and labels of a file, of CSV with the words of no value that are ``missing``, else the usual ones.

    Raises ``InvalidInput`` naming column and row for what cannot be read, ``TooLarge`` past the limits."""
    tables.check_file(file, FIELD)
    table = _csv(file, version, target, missing) if file.suffix == ".csv" else _parquet(file)
    if not 0 < table.num_rows <= MAX_ROWS:
        wrong = TooLarge if table.num_rows else InvalidInput
        raise wrong(f"{FIELD}: {file.name} has {table.num_rows:,} rows", field=FIELD, expected=f"1 to {MAX_ROWS:,}")
    if target not in table.column_names:
        raise _lacking(file, target, "the label column", table.column_names)
    return _labelled(file, version, target, table, objects)


def _labelled(file: Path, version: Version, target: str, table: pa.Table, objects: ObjectStore) -> Labelled:
    label = table[target].combine_chunks()
    if label.null_count:
        at = label.is_null().to_pylist().index(True)
        raise InvalidInput(
            f"{FIELD}: row {at + 1:,} of {file.name}: {target!r} is empty", field=target, hint="leave the row out"
        )
    columns = tables.to_columns(pa.table({target: label}), FIELD)
    kind = label_values.kinds(objects, version)[target] if target in version.target else ""
    labels = label_values.spelled(target, columns[target], kind).tolist()
    rows = pa.table({f.name: _input(file, f, version, target, table) for f in version.signature.inputs})
    return Labelled(file.name, rows, labels, kind if isinstance(kind, tuple) else (), target)


def _input(file: Path, field: Field, version: Version, target: str, table: pa.Table) -> pa.ChunkedArray:
    if field.name in table.column_names:
        return table[field.name]
    names = _spread(version, table.column_names, target)
    if not names:
        raise _lacking(file, field.name, "the input", table.column_names)
    if field.size not in (None, len(names)):
        raise InvalidInput(
            f"{FIELD}: {file.name} has {len(names)} columns beside {target!r}, and {field.name!r} has {field.size} elements",
            field=field.name,
            expected=f"{field.size} columns in the order of the elements",
            got=", ".join(names[:20]),
        )
    return pa.chunked_array([pa.array([list(row) for row in zip(*(table[n].to_pylist() for n in names), strict=True)])])


def _spread(version: Version, names: Sequence[str], target: str) -> list[str]:
    """The columns that are the elements of a version's only input, where it is a vector and none of them has its name."""
    inputs = version.signature.inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 1 or inputs[0].name in names:
        return []
    return [n for n in names if n != target]


def _csv(file: Path, version: Version, target: str, missing: Sequence[str] | None) -> pa.Table:
    found = CsvFile(file, FIELD, _declared(version.signature.inputs, target), missing)
    if target not in found.names:
        raise _lacking(file, target, "the label column", found.names)
    names = _spread(version, found.names, target)
    if names:
        dialect.check_named(found.names, f"{FIELD}: {file.name}", FIELD)
        kind = version.signature.inputs[0].dtype
        found = CsvFile(file, FIELD, {**dict.fromkeys(names, kind), target: dtype("string")}, missing)
    blocks, types, rows = [], found.types(), 0
    for table in found.tables(types):
        rows += table.num_rows
        blocks.append(table)
        if rows > MAX_ROWS:
            break
    if not blocks:
        raise InvalidInput(f"{FIELD}: {file.name} has no rows", field=FIELD, expected="a header, then rows")
    return pa.concat_tables(blocks)


def _declared(inputs: Sequence[Field], target: str) -> Mapping[str, DType]:
    return {**{f.name: f.dtype for f in inputs if f.is_scalar}, target: dtype("string")}


def _parquet(file: Path) -> pa.Table:
    try:
        opened = pq.ParquetFile(file)
        tables.values_of(opened, tables.MAX_VALUES, FIELD)
        if opened.metadata.num_rows > MAX_ROWS:
            raise TooLarge(
                f"{FIELD}: {file.name} has {opened.metadata.num_rows:,} rows",
                field=FIELD,
                expected=f"1 to {MAX_ROWS:,}",
            )
        found = tables.without_index(opened.read())
        found.validate(full=True)  # text that is not UTF-8 would be found by whoever looks at it
    except parquet.UNREADABLE as error:
        raise InvalidInput(f"{FIELD}: {file.name} cannot be read: {error}", field=FIELD) from error
    tables.check_names(found.column_names, FIELD)
    return found


def _lacking(file: Path, name: str, what: str, columns: Sequence[str]) -> InvalidInput:
    return InvalidInput(
        f"{FIELD}: {file.name} has no column {name!r}, {what}", field=name, got=", ".join(map(str, columns[:20]))
    )
