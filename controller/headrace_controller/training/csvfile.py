"""CSV files in blocks of whole lines: first the types that hold for every line, then a table of each block.

Types are those that pyarrow infers for a whole file: the first of ``LADDER`` that every value can be read as. Values in quotes may
span lines. Memory depends on ``BLOCK`` and the longest line, not on the file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from headrace_functions.errors import InvalidInput, TooLarge

BLOCK = 8 * 1024**2  # bytes that are read at a time
MAX_QUOTED = 16 * 1024**2
"""Bytes after which quotes that do not close count as parts of values, such as inches: lines end where a line ends."""
MAX_LINE = 64 * 1024**2  # bytes
MAX_HEADER = 1024**2

LADDER: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
    pa.binary(),
)
"""Types in the order in which they are tried."""

_ROW = re.compile(r"Row #(\d+)")


class CsvFile:
    """A CSV file with a header. Raises ``InvalidInput`` naming the row for what cannot be read; blank lines are no rows."""

    def __init__(self, file: Path, field: str) -> None:
        """``field`` is what errors call the file."""
        self._file = file
        self._field = field
        header = self._header()
        self._start = len(header)
        try:
            self.names: list[str] = pyarrow.csv.read_csv(pa.BufferReader(header.rstrip() + b"\n")).schema.names
        except pa.ArrowInvalid as error:
            raise self._unreadable(str(error)) from error

    def types(self) -> dict[str, pa.DataType]:
        """The type of each column, ``null`` where it has no value. Reads the file once, and again where blocks disagree."""
        found: dict[str, set[pa.DataType]] = {name: set() for name in self.names}
        for table in self.tables({}):
            for name, kind in zip(table.column_names, table.schema.types, strict=True):
                found[name].add(kind)
        types = {name: max(kinds, key=LADDER.index, default=pa.null()) for name, kinds in found.items()}
        doubtful = [name for name, kinds in found.items() if len(kinds - {pa.null()}) > 1]
        return {**types, **self._settled({name: types[name] for name in doubtful})}

    def tables(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        """A table of each block, its columns of the given ``types``, else of those that the block itself shows."""
        rows = 0
        for block in self._blocks():
            table = self._table(block, types, self.names, rows)
            rows += table.num_rows
            yield table

    def _settled(self, types: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
        """The first types from ``types`` on that every block can be read as."""
        names, before = tuple(types), dict[str, pa.DataType]()
        while before != types:
            before = dict(types)
            for block in self._blocks():
                for name in names:
                    while not self._reads(block, name, types[name]):
                        types[name] = LADDER[LADDER.index(types[name]) + 1]
        return types

    def _reads(self, block: bytes, name: str, kind: pa.DataType) -> bool:
        try:
            self._parsed(block, {name: kind}, [name], threads=False)
        except pa.ArrowInvalid:
            return False
        return True

    def _table(self, block: bytes, types: Mapping[str, pa.DataType], columns: Sequence[str], rows: int) -> pa.Table:
        try:
            return self._parsed(block, types, columns, threads=True)
        except pa.ArrowInvalid:
            pass
        try:  # again in one thread, which counts rows
            return self._parsed(block, types, columns, threads=False)
        except pa.ArrowInvalid as error:
            raise self._unreadable(_ROW.sub(lambda m: f"row {int(m[1]) + rows:,}", str(error))) from error

    def _parsed(
        self, block: bytes, types: Mapping[str, pa.DataType], columns: Sequence[str], *, threads: bool
    ) -> pa.Table:
        return pyarrow.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(column_names=self.names, block_size=len(block) + 1, use_threads=threads),
            pa.csv.ParseOptions(newlines_in_values=True),
            pa.csv.ConvertOptions(strings_can_be_null=True, column_types=types, include_columns=columns),
        )

    def _header(self) -> bytes:
        """Everything up to the end of the first line that is not blank."""
        with self._file.open("rb") as source:
            head = source.read(MAX_HEADER + 1)
        end = _line_end(head)
        at = head.find(end) + 1
        while at and (head.count(b'"', 0, at) % 2 or not head[:at].strip()):
            at = head.find(end, at) + 1
        found = head[:at] if at else head
        if len(found) > MAX_HEADER:
            raise TooLarge(f"{self._field}: the header of {self._file.name} has more than {MAX_HEADER} bytes")
        return found

    def _blocks(self) -> Iterator[bytes]:
        """The lines after the header, some whole ones at a time."""
        with self._file.open("rb") as source:
            source.seek(self._start)
            rest = b""
            while chunk := source.read(BLOCK):
                block = rest + chunk
                cut = _cut(block)
                if not cut and len(block) > MAX_LINE:
                    raise TooLarge(
                        f"{self._field}: {self._file.name} has a line of more than {MAX_LINE} bytes",
                        field=self._field,
                        hint="is it CSV? a quote that is opened must be closed",
                    )
                if block[:cut].strip(b"\r\n"):
                    yield block[:cut]
                rest = block[cut:]
            if rest.strip(b"\r\n"):
                yield rest

    def _unreadable(self, why: str) -> InvalidInput:
        return InvalidInput(f"{self._field}: {self._file.name} cannot be read: {why}", field=self._field)


def _line_end(text: bytes) -> bytes:
    return b"\n" if b"\n" in text else b"\r"


def _cut(block: bytes) -> int:
    """How much of ``block`` is whole lines: up to the last line end outside of quotes, 0 where there is none yet.

    Quotes within values and values of several lines cannot be told apart by counting; a file that has both may be refused.
    """
    end = _line_end(block)
    last = cut = block.rfind(end) + 1
    quotes = block.count(b'"', 0, cut)
    while cut and quotes % 2:
        before = block.rfind(end, 0, cut - 1) + 1
        quotes -= block.count(b'"', before, cut)
        cut = before
    return cut if cut or len(block) < MAX_QUOTED else last
