"""Rows that are at hand, asked by the SQL that log filters have: for as long as it takes they are a table on this machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

POSITION = "position"
"""Column with the place of each row, from 0."""


@contextmanager
def local_table(rows: pa.Table) -> Iterator[DeltaTable]:
    """A Delta table of ``rows`` with their ``POSITION``; the engine reads no other kind."""
    numbered = rows.append_column(POSITION, pa.array(range(rows.num_rows), pa.int64()))
    with tempfile.TemporaryDirectory(prefix="rows-") as folder:
        write_deltalake(folder, numbered)
        yield DeltaTable(folder)
