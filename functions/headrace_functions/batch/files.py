"""Tables in files: CSV, Parquet and lines of JSON, read in parts of a number of rows and written whole."""

import codecs
import csv
import glob
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from headrace_functions.batch import encodings
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.tabular import dialect, kinds

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson")
_BLOCK = 8 * 1024 * 1024
_SHORT = 64 * 1024
_DEEPEST = 50
"""Lists and structures in one another that a column may have; a few more, and Arrow cannot keep it."""
_STRING, _BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"'), re.compile(rb"[\[\]{}]")
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
        raise NotFound(f"--in {pattern}: no such file", field="in", hint="name a file, a folder or a pattern")
    for file in found:
        _check_name(file)
    if len({f.name for f in found}) < len(found):
        raise Conflict("two of the files have the same name, and so would their outputs", field="in")
    return found


def _check_name(file: Path) -> None:
    if file.is_file() and not readable(str(file)):
        with file.open("rb") as opened:
            raise kinds.wrong_name(opened.read(kinds.HEAD), str(file), "in", SUFFIXES)
    check_suffix(str(file))


def readable(place: str) -> bool:
    """Whether a path or URL ends as a format that is read here."""
    return place.endswith(SUFFIXES)


def check_suffix(place: str) -> None:
    """``InvalidInput`` where a path or URL ends otherwise."""
    if not readable(place):
        suffix = Path(place).suffix
        raise InvalidInput(
            f"{place}: {suffix or 'no suffix'} is not a supported format",
            field="in",
            expected=", ".join(SUFFIXES),
            got=suffix,
        )


def fingerprint(file: Path) -> dict[str, int]:
    """What tells that a file has changed. ``InvalidInput`` for one that cannot be looked at."""
    try:
        found = file.stat()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror or error}", field="in") from error
    return {"size": found.st_size, "modified": found.st_mtime_ns}


def parts(file: Path, rows: int, place: str = "") -> Iterator[pa.Table]:
    """The table in parts of ``rows`` rows, the last one shorter; of a file without rows one part that has its columns alone.

    ``InvalidInput``, naming ``place``, where it cannot be read; text that is not UTF-8 is found before the first part.
    """
    place = place or str(file)
    held: list[pa.RecordBatch] = []
    count, empty, some = 0, pa.table({}), False
    try:
        _check_kind(file, place)
        for batch in _batches(file, rows):
            at, some = 0, some or batch.num_rows > 0
            _check_depth(batch.schema)
            empty = pa.Table.from_batches([], batch.schema)
            while at < batch.num_rows:
                piece = batch.slice(at, rows - count)
                held.append(piece)
                count += piece.num_rows
                at += piece.num_rows
                if count == rows:
                    yield pa.Table.from_batches(held)
                    held, count = [], 0
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{place} cannot be read: {error}", field="in", expected=f"a {file.suffix} file") from error
    if held:
        yield pa.Table.from_batches(held)
    elif not some:
        yield empty


def _check_kind(file: Path, place: str) -> None:
    """``InvalidInput`` for a file that is not what its name says, for text that is not UTF-8, and for CSV of another dialect."""
    kinds.check(file, kinds.FORMATS[file.suffix], place, "in", SUFFIXES)
    if file.suffix != ".parquet":
        encodings.check_utf8(file, place)
    if file.suffix == ".csv":
        with file.open("rb") as opened:
            dialect.check(opened.read(_BLOCK), place, "in")


def _batches(file: Path, rows: int) -> Iterator[pa.RecordBatch]:
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as opened:
            yield _no_rows(opened.schema_arrow)
            for batch in opened.iter_batches(batch_size=rows):
                batch.validate(full=True)  # text that is not UTF-8 would be found by whoever looks at it
                yield batch
    elif file.suffix == ".csv":
        reader = _csv_reader(file)
        yield _no_rows(reader.schema)
        yield from reader
    else:
        yield from _lines(file, rows)


def _csv_reader(file: Path) -> pacsv.CSVStreamingReader:
    """All columns as the text that they are, so that what is copied stays as it is; what is sent is read by the types of the model."""
    options = pacsv.ReadOptions(block_size=_BLOCK)
    with pacsv.open_csv(_csv_text(file), read_options=options) as header:
        types = dict.fromkeys(header.schema.names, pa.string())
    # An empty cell is a missing value, as in training data.
    convert = pacsv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    return pacsv.open_csv(_csv_text(file), read_options=options, convert_options=convert)


def _csv_text(file: Path) -> Path | io.BytesIO:
    """The file, or the text of one that is short, with the end that a header alone may lack."""
    return io.BytesIO(file.read_bytes() + b"\n") if file.stat().st_size < _SHORT else file


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _lines(file: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Lines of JSON in the types of the first of them; a member that a line does not have is null, as writers that leave nulls out mean it."""
    schema: pa.Schema | None = None
    read = 0
    with file.open("rb") as opened:
        while lines := [line for _, line in zip(range(rows), opened, strict=False)]:
            if not read:
                lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
            _check_objects(lines, read)
            read += len(lines)
            try:
                table = _of_lines(b"".join(lines), schema)
                schema = schema or table.schema
            except pa.ArrowInvalid:
                table = _of_mixed_types(lines, schema.names if schema is not None else ())
            yield from table.combine_chunks().to_batches()


def _check_objects(lines: Sequence[bytes], before: int) -> None:
    """``ValueError`` for a line that is no object or is nested too deeply: Arrow takes some of them for rows, and ends the process at others."""
    for number, line in enumerate(lines, start=before + 1):
        text = line.strip()
        if text and not (text.startswith(b"{") and text.endswith(b"}")):
            raise ValueError(f"line {number} is no JSON object")
        if text.count(b"[") + text.count(b"{") > _DEEPEST and _nesting(text) > _DEEPEST:
            raise ValueError(f"line {number} is nested more than {_DEEPEST} levels deep")


def _nesting(text: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _of_lines(data: bytes, schema: pa.Schema | None) -> pa.Table:
    """Rows in the types of the schema, as far as it has their members; text that looks like a time stays the text that it is."""
    options = pajson.ParseOptions(explicit_schema=schema) if schema is not None else None
    table = pajson.read_json(io.BytesIO(data), parse_options=options)
    plain = pa.schema([f.with_type(_without_times(f.type)) for f in table.schema])
    if plain.equals(table.schema):
        return table
    return pajson.read_json(io.BytesIO(data), parse_options=pajson.ParseOptions(explicit_schema=plain))


def _without_times(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_without_times(f.type)) for f in kind])
    return kind


def _check_depth(schema: pa.Schema) -> None:
    for column in schema:
        if _depth(column.type) > _DEEPEST:
            raise ValueError(f"column {column.name!r} is nested more than {_DEEPEST} levels deep")


def _depth(kind: pa.DataType) -> int:
    return 1 + max((_depth(kind.field(i).type) for i in range(kind.num_fields)), default=0)


def _of_mixed_types(lines: Sequence[bytes], known: Sequence[str]) -> pa.Table:
    """Rows whose values of one member are not of one type: such a column is text, each value as JSON has it. ``ValueError`` for no JSON.

    Members that are ``known`` from earlier lines are columns even where none of these lines has them.
    """
    rows = [json.loads(line) for line in lines if line.strip()]
    columns = {}
    for name in dict.fromkeys([*known, *(name for row in rows for name in row)]):
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
            self._sink = self._young.open("w", encoding="utf-8", newline="")
            csv.writer(self._sink, lineterminator="\n").writerow(self._schema.names)
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
            csv.writer(self._sink, lineterminator="\n").writerows(zip(*map(_texts, whole.columns), strict=True))
        else:
            for batch in whole.to_batches():
                for row in batch.to_pylist():
                    self._sink.write(line_of(row) + "\n")

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


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """The values as CSV has them: lists, of which it can hold no more, as JSON."""
    if pa.types.is_nested(column.type):
        return [None if v is None else line_of(v) for v in column.to_pylist()]
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts


def line_of(value: Any) -> str:
    """A value as JSON, which has no NaN and no infinities: they are null, as in answers over HTTP."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
