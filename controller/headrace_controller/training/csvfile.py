"""CSV files in blocks of whole lines: first the types that hold for every line, then a table of each block.

A column becomes numbers or truth values only where nothing of its text is lost by that: post codes such as ``01067``, phone numbers and
long identifiers stay text unless the contract declares numbers. Dates and times stay the text that they are. Values in quotes may
span lines. Memory depends on ``BLOCK`` and the longest line, not on the file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from headrace_functions.errors import InvalidInput, TooLarge
from headrace_functions.signature import DType
from headrace_functions.tabular import dialect, kinds
from headrace_functions.tabular.missing import MISSING_WORDS

BLOCK = 8 * 1024**2  # bytes that are read at a time
MAX_QUOTED = 16 * 1024**2
"""Bytes after which quotes that do not close count as parts of values, such as inches: lines end where a line ends."""
MAX_LINE = 64 * 1024**2  # bytes
MAX_HEADER = 1024**2

LADDER: tuple[pa.DataType, ...] = (pa.null(), pa.int64(), pa.bool_(), pa.float64(), pa.string())
"""Types in the order in which they are tried."""

LOOKS_LIKE_TEXT = r"^\s*(?:\+|-?0\d|-?\d{16,}$)|^\s*-?\d+[eE]\d+\s*$|^\s*-?0[xX]"
"""Numbers that another system would not write so: leading zeros, a plus sign, 16 digits and more, exponents of whole numbers, hexadecimals."""
LOOKS_LIKE_NUMBER = r"^\s*[01]\s*$"
"""What is no truth value beside ``true`` and ``false``: a column of both is text."""
_TEXTUAL = {pa.int64(): LOOKS_LIKE_TEXT, pa.float64(): LOOKS_LIKE_TEXT, pa.bool_(): LOOKS_LIKE_NUMBER}
_ROW = re.compile(r"Row #(\d+)")
_COLUMNS = re.compile(r"Expected (\d+) columns, got (\d+)")


class CsvFile:
    """A CSV file with a header. Raises ``InvalidInput`` naming row and column for what cannot be read; blank lines are no rows."""

    def __init__(
        self,
        file: Path,
        field: str,
        declared: Mapping[str, DType] | None = None,
        missing: Sequence[str] | None = None,
        taken: Sequence[str] = kinds.TABLES,
    ) -> None:
        """``field`` is what errors call the file; ``declared`` types come before any guess; ``missing`` are the words of no value.

        ``taken`` are the suffixes of other files that the caller reads, for a file that is one of these in truth.
        """
        self._file = file
        self._field = field
        self._where = f"{field}: {file.name}"
        self._taken = taken
        self._declared = declared or {}
        self._missing = MISSING_WORDS if missing is None else ["", *missing]
        header = self._header()
        self._start = len(header)
        try:
            self.names: list[str] = pyarrow.csv.read_csv(pa.BufferReader(header.rstrip() + b"\n")).schema.names
        except pa.ArrowInvalid as error:
            raise self._unreadable(str(error)) from error
        self._of_contract = {name: _arrow(kind) for name, kind in self._declared.items() if name in self.names}

    def types(self) -> dict[str, pa.DataType]:
        """The type of each column, ``null`` where it has no value. Reads the file once, and again where blocks disagree."""
        found: dict[str, set[pa.DataType]] = {name: set() for name in self.names}
        texts = {name: kind for name, kind in self._of_contract.items() if kind == pa.string()}
        for table in self.tables(texts):
            for name, kind in zip(table.column_names, table.schema.types, strict=True):
                found[name].add(kind if kind in LADDER else pa.string())
        types = {name: max(kinds, key=LADDER.index, default=pa.null()) for name, kinds in found.items()}
        doubtful = [name for name, kinds in found.items() if len(kinds - {pa.null()}) > 1]
        types |= self._settled({name: types[name] for name in doubtful})
        types |= self._text_after_all({n: kind for n, kind in types.items() if kind in _TEXTUAL})
        whole = {n: k for n, k in self._of_contract.items() if k in (pa.int64(), pa.uint64())}
        fractions = {n: pa.float64() for n, k in whole.items() if types[n] == pa.float64()}
        exact = {n for n in fractions if all(self._reads(block, n, whole[n]) for block in self._blocks())}
        return {**types, **self._of_contract, **{n: k for n, k in fractions.items() if n not in exact}}

    def tables(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
        """A table of each block, its columns of the given ``types``, else of those that the block itself shows."""
        rows = 0
        for block in self._blocks():
            table = self._table(block, types, rows)
            rows += table.num_rows
            yield table

    def _settled(self, types: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
        """The first types from ``types`` on that every block can be read as."""
        names, before = tuple(types), dict[str, pa.DataType]()
        while before != types:
            before = dict(types)
            for block in self._blocks():
                for name in names:
                    while types[name] != LADDER[-1] and not self._reads(block, name, types[name]):
                        types[name] = LADDER[LADDER.index(types[name]) + 1]
        return types

    def _text_after_all(self, types: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
        """The columns of numbers and truth values that are written as these are not, and that the contract does not declare."""
        open_names = [n for n in types if n not in self._of_contract]
        texts: dict[str, pa.DataType] = {}
        for block in self._blocks() if open_names else ():
            if not open_names:
                break
            raw = self._parsed(block, dict.fromkeys(open_names, pa.string()), open_names, threads=True)
            texts |= {
                n: pa.string()
                for n in open_names
                if pc.any(pc.match_substring_regex(raw[n], _TEXTUAL[types[n]])).as_py()
            }
            open_names = [n for n in open_names if n not in texts]
        return texts

    def _reads(self, block: bytes, name: str, kind: pa.DataType) -> bool:
        try:
            self._parsed(block, {name: kind}, [name], threads=False)
        except pa.ArrowInvalid:
            return False
        return True

    def _table(self, block: bytes, types: Mapping[str, pa.DataType], rows: int) -> pa.Table:
        try:
            return self._parsed(block, types, self.names, threads=True)
        except pa.ArrowInvalid:
            pass
        try:  # again in one thread, which counts rows
            return self._parsed(block, types, self.names, threads=False)
        except pa.ArrowInvalid as error:
            if not _COLUMNS.search(str(error)):
                self._refuse_value(block, types, rows)
            raise self._unreadable(_ROW.sub(lambda m: f"row {int(m[1]) + rows:,}", str(error)), error) from error

    def _refuse_value(self, block: bytes, types: Mapping[str, pa.DataType], rows: int) -> None:
        """Raises ``InvalidInput`` for the first value of ``block`` that is not of its column's type, if that is what is wrong."""
        for name, kind in types.items():
            if self._reads(block, name, kind):
                continue
            raw = self._parsed(block, {name: pa.binary()}, [name], threads=False)[name].to_pylist()
            at = self._first_wrong(raw, kind)
            if at is not None:
                raise dialect.wrong_value(self._where, name, rows + at + 1, raw[at], kind)

    def _first_wrong(self, raw: list[bytes | None], kind: pa.DataType) -> int | None:
        """The place of the first value that ``kind`` does not take, by halves: every value before it is fine."""
        low, high = 0, len(raw)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._takes(raw[low:middle], kind) else (low, middle)
        return low if raw and not self._takes(raw[low:high], kind) else None

    def _takes(self, values: list[bytes | None], kind: pa.DataType) -> bool:
        block = b"".join(b'"' + (v or b"").replace(b'"', b'""') + b'"\n' for v in values)
        options = pa.csv.ConvertOptions(
            column_types={"value": kind}, strings_can_be_null=True, null_values=self._missing
        )
        try:
            read = pa.csv.ReadOptions(column_names=["value"], block_size=len(block) + 1)
            pyarrow.csv.read_csv(pa.BufferReader(block), read, pa.csv.ParseOptions(newlines_in_values=True), options)
        except pa.ArrowInvalid:
            return False
        return True

    def _parsed(
        self, block: bytes, types: Mapping[str, pa.DataType], columns: Sequence[str], *, threads: bool
    ) -> pa.Table:
        return pyarrow.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(column_names=self.names, block_size=len(block) + 1, use_threads=threads),
            pa.csv.ParseOptions(newlines_in_values=True),
            pa.csv.ConvertOptions(
                strings_can_be_null=True, column_types=types, include_columns=columns, null_values=self._missing
            ),
        )

    def _header(self) -> bytes:
        """Everything up to the end of the first line that is not blank."""
        kinds.check(self._file, kinds.CSV, self._where, self._field, self._taken)
        with self._file.open("rb") as source:
            head = source.read(MAX_HEADER + 1)
        found = dialect.first_record(head)
        if len(found) > MAX_HEADER:
            raise TooLarge(f"{self._where}: the header has more than {MAX_HEADER} bytes")
        dialect.check(head, self._where, self._field)
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
                        f"{self._where} has a line of more than {MAX_LINE} bytes",
                        field=self._field,
                        hint="check that the file is CSV, and that every quote that is opened is closed",
                    )
                if block[:cut].strip(b"\r\n"):
                    yield block[:cut]
                rest = block[cut:]
            if rest.strip(b"\r\n"):
                yield rest

    def _unreadable(self, why: str, error: Exception | None = None) -> InvalidInput:
        shifted = _COLUMNS.search(str(error)) if error is not None else None
        hint = (
            "put a value that contains a comma in double quotes"
            if shifted and int(shifted[2]) > int(shifted[1])
            else None
        )
        return InvalidInput(f"{self._where} cannot be read: {why}", field=self._field, hint=hint)


def _arrow(kind: DType) -> pa.DataType:
    """What a column of a declared type is read as; whole numbers may have gaps and be written as 3.0, so the contract checks them later."""
    if kind.name == "string":
        return pa.string()
    if kind.name == "bool":
        return pa.bool_()
    return pa.uint64() if kind.name == "uint64" else pa.float64() if kind.numpy.kind == "f" else pa.int64()


def _cut(block: bytes) -> int:
    """How much of ``block`` is whole lines: up to the last line end outside of quotes, 0 where there is none yet.

    Quotes within values and values of several lines cannot be told apart by counting; a file that has both may be refused.
    """
    end = dialect.line_end(block)
    last = cut = block.rfind(end) + 1
    quotes = block.count(b'"', 0, cut)
    while cut and quotes % 2:
        before = block.rfind(end, 0, cut - 1) + 1
        quotes -= block.count(b'"', before, cut)
        cut = before
    return cut if cut or len(block) < MAX_QUOTED else last
