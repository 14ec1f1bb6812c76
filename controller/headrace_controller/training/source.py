"""Training data as a Parquet file that is read in batches, a CSV file turned into one first; and a Parquet file written in batches.

How much is in memory depends on the columns and on the longest row, never on the number of rows.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_controller.training import tables
from headrace_controller.training.csvfile import CsvFile
from headrace_functions.errors import InvalidInput, StorageFailed, TooLarge
from headrace_functions.signature import DType
from headrace_functions.tabular import parquet

MAX_BYTES = 16 * 1024**3  # of a file with training data or a sample
MAX_VALUES = 4_000_000_000
"""Values of a file, those in lists by themselves: a build of so many takes an hour, and a small Parquet file may hold more."""
BATCH = 65_536
"""Rows of a batch at most, and ..."""
CELLS = 2_000_000
"""... its values, and ..."""
BATCH_BYTES = 32 * 1024**2
"""... its bytes as Arrow keeps them, as far as the rows before tell."""
GROUP_BYTES = 64 * 1024**2
"""Bytes of a row group that is written; the footer has an entry for each of its columns."""
FREE_SHARE = 2.0
"""Disk that a build wants free beside a file, in sizes of the file: for its Parquet and for the typed copy."""
_FIRST = 64  # rows that tell how long a row is


class ParquetSink:
    """A Parquet file that grows by tables of the first one's schema. A context manager: it is whole once that ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._kept: list[pa.Table] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _room():
            if error is None:
                self._flush()
            if self._writer is not None:
                self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Add rows; they are kept until they fill a row group."""
        self._kept.append(table)
        if sum(t.nbytes for t in self._kept) >= GROUP_BYTES:
            with _room():
                self._flush()

    def _flush(self) -> None:
        if not self._kept:
            return
        table = pa.concat_tables(self._kept)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._kept.clear()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise StorageFailed(
            "the disk has too little free space for the training data", hint="free some disk space in the home"
        ) from error


@dataclass(frozen=True, slots=True)
class Source:
    """A Parquet file with ``rows`` rows of the columns ``names``; errors call it ``field``."""

    file: Path
    field: str
    rows: int
    names: tuple[str, ...]
    values: int
    """Values of all rows together, those in lists by themselves."""

    def batches(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows in order, of some columns or all."""
        wanted = list(self.names if names is None else names)
        size = max(1, min(BATCH, CELLS * self.rows // max(1, self.values)))
        try:
            with pq.ParquetFile(self.file, memory_map=True, pre_buffer=False) as file:
                yield from _fitting(file, size, wanted)
        except parquet.UNREADABLE as error:
            raise InvalidInput(f"{self.field}: {self.file.name} cannot be read: {error}", field=self.field) from error


def open_source(
    file: Path,
    folder: Path,
    *,
    field: str,
    declared: Mapping[str, DType] | None = None,
    missing: Sequence[str] | None = None,
) -> Source:
    """The source of a file named ``*.csv`` (with a header) or ``*.parquet``; what it needs on disk is left in ``folder``.

    Columns of a CSV file whose type is ``declared`` are read as that, the others as what they look like; ``missing`` are its words of
    no value.

    Raises ``InvalidInput`` for what is not such a file, and for repeated or unusable column names; ``TooLarge`` for what exceeds
    the limits; ``StorageFailed`` where the disk has no room.
    """
    tables.check_file(file, field)
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise TooLarge(f"{field}: at most {MAX_BYTES} bytes", field=field, got=str(size))
    free = shutil.disk_usage(folder).free
    if size * FREE_SHARE > free:
        raise StorageFailed(
            f"{field}: a build of {size / 1e9:.1f} GB needs {size * FREE_SHARE / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free",
            hint="free some disk space in the home, or use a random sample of the rows",
        )
    name = file.name
    if file.suffix == ".csv":
        file = _converted(CsvFile(file, field, declared, missing), folder / f"{field}.columns.parquet", name, field)
    return _opened(file, field, name)


def _converted(csv: CsvFile, target: Path, name: str, field: str) -> Path:
    tables.check_names(csv.names, field)
    types = csv.types()
    rows = 0
    with ParquetSink(target) as sink:
        for table in csv.tables(types):
            sink.write(table)
            rows += table.num_rows
    if not rows:
        raise _empty(name, field)
    return target


def _opened(file: Path, field: str, name: str) -> Source:
    try:
        with pq.ParquetFile(file) as opened:
            rows = opened.metadata.num_rows
            names = [name for name in opened.schema_arrow.names if not tables.is_index(name)]
            values = tables.values_of(opened, MAX_VALUES, field)
    except parquet.UNREADABLE as error:
        raise InvalidInput(f"{field}: {name} cannot be read: {error}", field=field) from error
    tables.check_names(names, field)
    if not rows:
        raise _empty(name, field)
    return Source(file, field, rows, tuple(names), values)


def _empty(name: str, field: str) -> InvalidInput:
    return InvalidInput(f"{field}: {name} has no rows", field=field)


def _fitting(file: pq.ParquetFile, size: int, names: list[str]) -> Iterator[Any]:
    """Tables of at most ``size`` rows, and of fewer where rows are long."""
    first = next(file.iter_batches(min(_FIRST, size), columns=names, use_threads=False), None)
    if first is None:
        return
    longest = max(1, first.nbytes // max(1, first.num_rows))
    for batch in file.iter_batches(max(1, min(size, BATCH_BYTES // longest)), columns=names, use_threads=False):
        table = pa.Table.from_batches([batch]).select(names)  # a name with a dot selects others too
        step = max(1, table.num_rows * BATCH_BYTES // max(table.nbytes, BATCH_BYTES))
        for start in range(0, table.num_rows, step):
            yield table.slice(start, step)
