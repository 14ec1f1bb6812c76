"""Tables in files: CSV, Parquet and lines of JSON, read in parts of a number of rows and written whole."""

import glob
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from headrace_functions.batch import encodings
from headrace_functions.errors import Conflict, InvalidInput, NotFound

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")
_BLOCK = 8 * 1024 * 1024
_SHORT = 64 * 1024
_NEEDS_QUOTES = r'^$|^\s|\s$|[",\r\n]'
_GROUP_ROWS, _GROUP_BYTES = 64 * 1024, 32 * 1024 * 1024
"""Of a Parquet file, what is gathered before it is written: groups of a few thousand rows are larger and take twice as long."""


def inputs(pattern: str) -> list[Path]:
    """The files of a path, a folder or a pattern, sorted by name. ``NotFound`` for none, ``InvalidInput`` for one that cannot be read."""
    path = Path(pattern)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES)
    else:
        found = sorted(Path(p) for p in glob.glob(pattern))  # noqa: PTH207 -- a pattern may be absolute
    if not found:
        raise NotFound(f"--in {pattern}: there is no such file", field="in", hint="name a file, a folder or a pattern")
    for file in found:
        check_suffix(str(file))
    if len({f.name for f in found}) < len(found):
        raise Conflict("two of the files have one name, and so would their answers", field="in")
    return found


def readable(place: str) -> bool:
    """Whether a path or URL ends as a format that is read here."""
    return place.endswith(SUFFIXES)


def check_suffix(place: str) -> None:
    """``InvalidInput`` where a path or URL ends otherwise."""
    if not readable(place):
        suffix = Path(place).suffix
        raise InvalidInput(
            f"{place}: {suffix or 'no suffix'} is not a format that is read here",
            field="in",
            expected=", ".join(SUFFIXES),
            got=suffix,
        )


def fingerprint(file: Path) -> dict[str, int]:
    """What tells that a file has changed."""
    found = file.stat()
    return {"size": found.st_size, "modified": found.st_mtime_ns}


def parts(file: Path, rows: int, place: str = "") -> Iterator[pa.Table]:
    """The table in parts of ``rows`` rows, the last one shorter; of a file without rows one part that has its columns alone.

    ``InvalidInput``, naming ``place``, where it cannot be read; text that is not UTF-8 is found before the first part.
    """
    place = place or str(file)
    held: list[pa.RecordBatch] = []
    count, empty, some = 0, pa.table({}), False
    try:
        if file.suffix != ".parquet":
            encodings.check_utf8(file, place)
        for batch in _batches(file, rows):
            at, some = 0, some or batch.num_rows > 0
            empty = pa.Table.from_batches([], batch.schema)
            while at < batch.num_rows:
                piece = batch.slice(at, rows - count)
                held.append(piece)
                count += piece.num_rows
                at += piece.num_rows
                if count == rows:
                    yield pa.Table.from_batches(held)
                    held, count = [], 0
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"{place} cannot be read: {error}", field="in", expected=f"a {file.suffix} file") from error
    if held:
        yield pa.Table.from_batches(held)
    elif not some:
        yield empty


def _batches(file: Path, rows: int) -> Iterator[pa.RecordBatch]:
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as opened:
            yield _no_rows(opened.schema_arrow)
            yield from opened.iter_batches(batch_size=rows)
    elif file.suffix == ".csv":
        if file.stat().st_size == 0:
            raise ValueError("it is empty, without even a header")
        reader = pacsv.open_csv(
            _csv_text(file), read_options=pacsv.ReadOptions(block_size=_BLOCK), convert_options=_as_text(file)
        )
        yield _no_rows(reader.schema)
        yield from reader
    else:
        yield from _lines(file, rows)


def _as_text(file: Path) -> pacsv.ConvertOptions:
    """Every column as the text that it is: what an input makes of it is known where it is sent, and the file is to stay what it was."""
    with pacsv.open_csv(_csv_text(file), read_options=pacsv.ReadOptions(block_size=_BLOCK)) as reader:
        names = reader.schema.names
    types = dict.fromkeys(names, pa.string())
    return pacsv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)


def _csv_text(file: Path) -> Path | io.BytesIO:
    """The file, or the text of one that is short, with the end that a header alone may lack."""
    return io.BytesIO(file.read_bytes() + b"\n") if file.stat().st_size < _SHORT else file


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _lines(file: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Lines of JSON in the types of the first of them."""
    schema: pa.Schema | None = None
    with file.open("rb") as opened:
        while lines := [line for _, line in zip(range(rows), opened, strict=False)]:
            options = pajson.ParseOptions(explicit_schema=schema) if schema is not None else None
            try:
                table = pajson.read_json(io.BytesIO(b"".join(lines)), parse_options=options)
                schema = schema or table.schema
            except pa.ArrowInvalid:
                table = _of_mixed_types(lines)
            yield from table.combine_chunks().to_batches()


def _of_mixed_types(lines: Sequence[bytes]) -> pa.Table:
    """Rows whose values of one member are not of one type: such a column is text, each value as JSON has it. ``ValueError`` for no JSON."""
    rows = [json.loads(line) for line in lines if line.strip()]
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            columns[name] = pa.array(
                [v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string()
            )
    return pa.table(columns)


class Writer:
    """Writes one file in the format of its suffix, table by table; it appears under its name when all of it is there."""

    def __init__(self, file: Path, schemas: Sequence[pa.Schema]) -> None:
        """``schemas`` are those of the tables that will come, in any order."""
        self._file = file
        self._young = file.with_name(f".{file.name}.new")
        self._schema = pa.unify_schemas(_alike(schemas), promote_options="permissive")
        self._sink: Any = None
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> "Writer":
        if self._file.suffix == ".parquet":
            self._sink = pq.ParquetWriter(self._young, self._schema)
        elif self._file.suffix == ".csv":
            self._sink = self._young.open("wb")
            self._sink.write(_csv_header(self._schema.names))
        else:
            self._sink = self._young.open("w", encoding="utf-8")
        return self

    def write(self, table: pa.Table) -> None:
        whole = _as(table, self._schema)
        if self._file.suffix == ".parquet":
            self._held.append(whole)
            self._rows += whole.num_rows
            self._bytes += whole.nbytes
            if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
                self._write_group()
        elif self._file.suffix == ".csv":
            self._sink.write(_csv_lines(_flat(whole)))
        else:
            for batch in whole.to_batches():
                for row in batch.to_pylist():
                    self._sink.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

    def _write_group(self) -> None:
        if self._held:
            self._sink.write_table(pa.concat_tables(self._held))
            self._held = []
            self._rows = self._bytes = 0

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._write_group()
        except BaseException:
            self._young.unlink(missing_ok=True)
            raise
        finally:
            self._sink.close()
        if kind is None:
            self._young.replace(self._file)
        else:
            self._young.unlink(missing_ok=True)


def _csv_header(names: Sequence[str]) -> bytes:
    return (",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n").encode()


def _csv_lines(table: pa.Table) -> bytes:
    """Rows as CSV: text in quotes only where it needs them, so that numbers read as text are written as they were."""
    if not table.num_rows:
        return b""
    cells = [_csv_cells(column.combine_chunks()) for column in table.columns]
    lines = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
    return ("\n".join(lines.to_pylist()) + "\n").encode()


def _csv_cells(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    if text.type == column.type:
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        text = pc.if_else(pc.match_substring_regex(text, _NEEDS_QUOTES), quoted, text)
    return text


def _alike(schemas: Sequence[pa.Schema]) -> list[pa.Schema]:
    """The schemas with columns that are text in one of them as text in all: a bad value makes its part text."""
    text = {f.name for schema in schemas for f in schema if pa.types.is_string(f.type)}
    return [
        pa.schema([f.with_type(pa.string()) if f.name in text and _becomes_text(f.type) else f for f in s])
        for s in schemas
    ]


def _becomes_text(kind: pa.DataType) -> bool:
    return not pa.types.is_string(kind) and not pa.types.is_nested(kind)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with the columns of a schema, in its order and types; columns that it lacks are empty."""
    if table.schema.equals(schema):
        return table
    columns = [
        table.column(f.name).cast(f.type) if f.name in table.column_names else pa.nulls(table.num_rows, f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def _flat(table: pa.Table) -> pa.Table:
    """Lists as JSON text, which is all that CSV can hold of them."""
    for place, column in enumerate(table.schema):
        if pa.types.is_nested(column.type):
            texts = [None if v is None else json.dumps(v, default=str) for v in table.column(place).to_pylist()]
            table = table.set_column(place, column.name, pa.array(texts, pa.string()))
    return table
