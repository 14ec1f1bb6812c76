"""Statistics of a version's training data, batch by batch: neither it nor the statistics of its batches have to fit into memory."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import pyarrow as pa

from headrace_functions.errors import InvalidInput
from headrace_functions.statistics.sample import priorities
from headrace_functions.statistics.series import SeriesProfile
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.columns import Column, columns_of
from headrace_jobs.profiles.field_series import looks, matrix
from headrace_jobs.profiles.partial import Directions, Profiled, of_series

BATCH = 131_072
"""Rows that are in memory at a time, and ..."""
CELLS = 4_000_000
"""... values of scalar fields: of a wide table there are fewer rows."""


def profile_training(objects: ObjectStore, version: Version, sides: tuple[str, ...] = ("input", "output")) -> Profiled:
    """The training data (``input``) and the answers that were kept on it (``output``), merged as they are read."""
    return reduce(Profiled.merge, (part for side in sides for part in _parts(objects, version, side)), Profiled())


def profiled(rows: int, failed: int, read: Iterator[tuple[Column, Any]], priority: Array) -> Profiled:
    """The statistics of some rows, from Arrow columns; None is a column that is not there."""
    found: dict[str, SeriesProfile] = {}
    sides: dict[str, str] = {}
    directions: dict[str, Directions] = {}
    problems: dict[str, str] = {}
    for column, values in read:
        if values is None:
            continue
        try:
            seen = looks(column.field, values)
        except InvalidInput as error:
            problems[column.field.name] = error.message
            continue
        for name, one in seen.items():
            found[name] = of_series(one, priority)
            sides[name] = column.side
        block = matrix(column.field, values)
        if block is not None:
            directions[column.field.name] = Directions.of(block)
    return Profiled(rows, failed, found, sides, directions, problems)


def _parts(objects: ObjectStore, version: Version, side: str) -> Iterator[Profiled]:
    file = inputs.read_training(objects, version) if side == "input" else inputs.read_answers(objects, version.id)
    if file is None:
        return
    columns = [c for c in columns_of(version.signature) if c.side == side]
    named = {(c.field.name if side == "input" else c.name): c for c in columns}
    known = [name for name in named if name in file.schema_arrow.names]
    size = min(BATCH, max(1, CELLS // max(1, len(known))))
    for i, batch in enumerate(file.iter_batches(size, columns=known, use_threads=False)):
        read = ((named[name], pa.chunked_array([batch.column(name)])) for name in known)
        rows = batch.num_rows if side == "input" else 0
        yield profiled(rows, 0, read, priorities(f"{version.id} {side} {i}", batch.num_rows))
