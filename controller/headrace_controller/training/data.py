"""Training data that was looked through once: what its columns are, some of its rows, and all of them in batches.

First pass: what is known of each column, and the rows that the function is tried on. Second pass, once the signature is known: the typed
copy of all rows, their profile, and the rows whose answers are kept. No pass keeps more than a batch and what it has found.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace_controller.training import inference, tables
from headrace_controller.training.source import ParquetSink, Source, open_source
from headrace_controller.training.summary import Summary
from headrace_controller.training.tables import Array, Columns
from headrace_functions.profile import Profile, spread_rows
from headrace_functions.protection import protect
from headrace_functions.signature import Field
from headrace_functions.statistics.table import profile_batches

SAMPLE_ROWS = 100
"""Rows that the probe answers to find the signature."""
REFERENCE_ROWS = 10_000
"""Training rows whose answers are kept, as the reference of drift in what the model says; of long rows ..."""
REFERENCE_VALUES = 10_000_000
"""... as many as have so many values together."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The columns of a file by name, and ``sample``: rows of it as ``spread_rows`` chooses them, of columns as they are."""

    source: Source
    columns: Mapping[str, Summary]
    sample: Columns

    def typed_sample(self, fields: Iterable[Field]) -> Columns:
        """The sample's columns of some fields, as these say."""
        return self._typed(fields, self.sample, 0)

    def keep(
        self,
        fields: Sequence[Field],
        others: Sequence[str],
        file: Path,
        seed: str,
        *,
        limit: int = REFERENCE_ROWS,
        key: bytes = b"",
    ) -> "Kept":
        """Write the columns of ``fields`` as these say, and the ``others`` as they are, to a Parquet file.

        Of sensitive fields it is what the log keeps of them, by ``key``; the rows that are given back are as they came.
        ``seed`` names the data for its profile, ``limit`` says how many rows are given back at most. Raises ``InvalidInput`` naming field and row for values that do not fit their field.
        """
        picked = Picked(spread_rows(self.source.rows, self._reference_rows(limit)))
        with ParquetSink(file) as sink:
            profile = profile_batches(self._passed(fields, others, sink, picked, key), fields, seed)
        return Kept(profile, picked.columns())

    def _passed(
        self, fields: Sequence[Field], others: Sequence[str], sink: ParquetSink, picked: "Picked", key: bytes
    ) -> Iterator[Columns]:
        """Typed batches of the fields, on their way into the file."""
        names = list(dict.fromkeys((*(f.name for f in fields if f.name in self.columns), *others)))
        truth = {f.name for f in fields if f.dtype.name == "bool"}
        truth |= {name for name in others if self.columns[name].dtype == np.bool_}
        before = 0
        for batch in batches(self.source, self.columns, names):
            typed = self._typed(fields, batch, before)
            picked.see(typed)
            typed = protect(fields, typed, key)
            sink.write(tables.to_table({**typed, **{name: batch[name] for name in others}}, truth))
            before += len(next(iter(batch.values())))
            yield typed

    def _typed(self, fields: Iterable[Field], batch: Columns, before: int) -> Columns:
        return {
            f.name: inference.as_declared(f, batch[f.name], gaps=self.columns[f.name].gaps, before=before)
            for f in fields
            if f.name in batch
        }

    def _reference_rows(self, limit: int) -> int:
        a_row = max(1, self.source.values // self.source.rows)
        return min(limit, max(1, REFERENCE_VALUES // a_row))


@dataclass(frozen=True, slots=True)
class Kept:
    """The profile of the typed rows, and some of these: at most so many as were asked for, as ``spread_rows`` chooses them."""

    profile: Profile
    rows: Columns


def open_training(
    file: Path, folder: Path, *, field: str, declared: Sequence[Field] = (), missing: Sequence[str] | None = None
) -> TrainingData:
    """Look through a CSV or Parquet file, see ``open_source``; ``InvalidInput`` naming the column for a type that is none of ours."""
    types = {f.name: f.dtype for f in declared if f.is_scalar}
    source = open_source(file, folder, field=field, declared=types, missing=missing)
    picked = Picked(spread_rows(source.rows, SAMPLE_ROWS))
    found: dict[str, Summary] = {}
    for table in source.batches():
        columns = tables.to_columns(table, field)
        for name, column in columns.items():
            one = Summary.of(column)
            found[name] = found[name].merge(one) if name in found else one
        picked.see(columns)
    sample = picked.columns({name: one.whole for name, one in found.items()})
    return TrainingData(source, found, sample)


def batches(source: Source, columns: Mapping[str, Summary], names: Sequence[str]) -> Iterator[Columns]:
    """Batches of some columns, each as it would be in the whole."""
    for table in source.batches(names):
        read = tables.to_columns(table, source.field)
        yield {name: columns[name].whole(column) for name, column in read.items()}


class Picked:
    """Rows at some places of batches that pass by in order."""

    def __init__(self, places: Array) -> None:
        """``places`` are ascending."""
        self._places = places
        self._passed = 0
        self._parts: list[Columns] = []

    def see(self, batch: Columns) -> None:
        rows = len(next(iter(batch.values()), ()))
        first, last = np.searchsorted(self._places, (self._passed, self._passed + rows))
        chosen = self._places[first:last] - self._passed
        if len(chosen):
            self._parts.append({name: column[chosen] for name, column in batch.items()})
        self._passed += rows

    def columns(self, whole: Mapping[str, Any] | None = None) -> Columns:
        """The rows that were met; ``whole`` makes the parts of a column alike."""
        names = self._parts[0] if self._parts else ()
        alike = whole or {}
        return {n: np.concatenate([alike[n](p[n]) if n in alike else p[n] for p in self._parts]) for n in names}
