"""Counts of several stretches of time, as arrays: what is kept in the table, and what merges. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from headrace_controller.health import latency

Array = np.ndarray[Any, Any]
Tally = Mapping[str, int]
"""Counts by what is counted: ``ok`` an outcome's requests, ``amount:below-min`` rows that fail a check, ``drift#rows`` and
``drift#unhealthy`` of a metric, ``flow/1#requests`` of a stage of a sequence – each in a group of its own: ``outcomes``, ``checks``,
``metrics`` and ``stages``."""

SCHEMA = pa.schema(
    [
        ("start", pa.timestamp("us", tz="UTC")),
        ("date", pa.string()),
        ("step", pa.int32()),
        ("rows", pa.int64()),
        ("tallies", pa.string()),
        ("latency", pa.list_(pa.int64())),
        ("counts", pa.list_(pa.int64())),
        ("sums", pa.list_(pa.float64())),
        ("lows", pa.list_(pa.float64())),
        ("highs", pa.list_(pa.float64())),
    ]
)
"""``step`` is the length in seconds; a start may have several lines, which add up. ``sums``, ``lows`` and ``highs`` have an entry a
series: of its finite numbers, 0, infinity and minus infinity where it has none."""


_MATRICES = ("latency", "counts", "sums", "lows", "highs")
_ARRAYS = ("starts", "steps", "rows", *_MATRICES)


@dataclass(frozen=True)
class Frame:
    """A line a stretch of time; ``starts`` are seconds since the epoch."""

    starts: Array
    steps: Array
    rows: Array
    tallies: tuple[Mapping[str, Tally], ...]
    latency: Array
    counts: Array
    sums: Array
    lows: Array
    highs: Array

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return int(sum(getattr(self, name).nbytes for name in _ARRAYS)) + 500 * len(self)

    @classmethod
    def empty(cls, width: int, series: int, starts: Sequence[int] = (), step: int = 60) -> "Frame":
        """Nothing counted yet from each of ``starts`` on."""
        n = len(starts)
        return cls(
            np.asarray(starts, np.int64),
            np.full(n, step, np.int64),
            np.zeros(n, np.int64),
            ({},) * n,
            np.zeros((n, latency.BINS), np.int64),
            np.zeros((n, width), np.int64),
            np.zeros((n, series)),
            np.full((n, series), np.inf),
            np.full((n, series), -np.inf),
        )

    def at(self, starts: Sequence[int], step: int) -> "Frame":
        """The lines that begin within ``step`` seconds from one of ``starts``, which are whole steps."""
        chosen = np.isin(self.starts - self.starts % step, starts)
        return self if chosen.all() else self._taken(np.flatnonzero(chosen))

    def by(self, step: int | Array) -> "Frame":
        """The same counts by stretches of ``step`` seconds (or as many for each line), in order and one line each. Longer stretches
        stay as they are."""
        if not len(self):
            return self
        steps = np.maximum(self.steps, step)
        starts = self.starts - self.starts % steps
        order = np.lexsort((steps, starts))
        starts, steps = starts[order], steps[order]
        first = np.flatnonzero(np.r_[True, (starts[1:] != starts[:-1]) | (steps[1:] != steps[:-1])])
        tallies = [self.tallies[i] for i in order]
        ends = [*first[1:].tolist(), len(order)]
        return Frame(
            starts[first],
            steps[first],
            np.add.reduceat(self.rows[order], first),
            tuple(_added(tallies[a:b]) for a, b in zip(first.tolist(), ends, strict=True)),
            np.add.reduceat(self.latency[order], first, axis=0),
            np.add.reduceat(self.counts[order], first, axis=0),
            np.add.reduceat(self.sums[order], first, axis=0),
            np.minimum.reduceat(self.lows[order], first, axis=0),
            np.maximum.reduceat(self.highs[order], first, axis=0),
        )

    def to_table(self) -> pa.Table:
        starts = pa.array(self.starts * 1_000_000, pa.timestamp("us", tz="UTC"))
        days = self.starts.astype("datetime64[s]").astype("datetime64[D]")
        columns = [
            starts,
            pa.array([str(d) for d in days], pa.string()),
            pa.array(self.steps, pa.int32()),
            pa.array(self.rows),
            pa.array([orjson.dumps(t, option=orjson.OPT_SORT_KEYS).decode() for t in self.tallies], pa.string()),
            *(_lists(getattr(self, name)) for name in _MATRICES),
        ]
        return pa.table(columns, schema=SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Frame":
        table = table.combine_chunks()
        n = table.num_rows
        return cls(
            table["start"].cast(pa.timestamp("s", tz="UTC")).cast(pa.int64()).to_numpy(),
            table["step"].to_numpy().astype(np.int64),
            table["rows"].to_numpy(),
            tuple(orjson.loads(t) for t in table["tallies"].to_pylist()),
            *(_matrix(table[name], n) for name in _MATRICES),
        )

    def _taken(self, places: Array) -> "Frame":
        tallies = tuple(self.tallies[i] for i in places)
        return Frame(tallies=tallies, **{name: getattr(self, name)[places] for name in _ARRAYS})


def joined(frames: Iterable[Frame], empty: Frame) -> Frame:
    """All lines of all frames; ``empty`` where there are none."""
    found = [f for f in frames if len(f)]
    if not found:
        return empty
    if len(found) == 1:
        return found[0]
    tallies = tuple(t for f in found for t in f.tallies)
    return Frame(tallies=tallies, **{name: np.concatenate([getattr(f, name) for f in found]) for name in _ARRAYS})


def merge(a: Frame, b: Frame, step: int = 60) -> Frame:
    """What two frames say together."""
    return joined((a, b), a).by(step)


def _added(tallies: Sequence[Mapping[str, Tally]]) -> Mapping[str, Tally]:
    if len(tallies) == 1:
        return tallies[0]
    total: dict[str, Counter[str]] = {}
    for group, counts in _groups(tallies):
        total.setdefault(group, Counter()).update(counts)
    return total


def _groups(tallies: Sequence[Mapping[str, Tally]]) -> Iterator[tuple[str, Tally]]:
    for tally in tallies:
        yield from tally.items()


def _lists(matrix: Array) -> pa.ListArray:
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(matrix).reshape(-1)))


def _matrix(column: pa.ChunkedArray, rows: int) -> Array:
    values = column.combine_chunks().flatten() if rows else pa.array([], column.type.value_type)
    flat: Array = values.to_numpy(zero_copy_only=False)
    return flat.reshape(rows, -1) if rows else flat.reshape(0, 0)
