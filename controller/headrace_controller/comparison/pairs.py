"""Rows that two versions have both answered: the same request, row, sequence and stage in their logs, with metrics and labels."""

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_controller.comparison.paired import Pair
from headrace_controller.requestlog.reader import LogReader
from headrace_functions.logtable import output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Field
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

Key = tuple[str, int]


def common_outputs(first: Version, second: Version) -> list[Field]:
    """Outputs of one name, type and shape."""
    found = []
    for field in first.signature.outputs:
        other = second.signature.output(field.name)
        if other is not None and (other.dtype, other.shape) == (field.dtype, field.shape):
            found.append(field)
    return found


def paired_rows(
    logs: LogReader,
    first: VersionId,
    second: VersionId,
    outputs: Sequence[Field],
    window: tuple[datetime | None, datetime | None],
) -> list[Pair]:
    """The newest pairs of a window, at most ``MAX_ROWS``."""
    columns = ["latency_ms", *(output_column(f) for f in outputs)]
    return [
        Pair(
            row["request_id"],
            row["row"],
            {c: row[f"a.{c}"] for c in columns},
            {c: row[f"b.{c}"] for c in columns},
        )
        for row in logs.paired(first, second, columns, *window)
    ]


def health_by_row(values: LogReader, version: VersionId, since: datetime | None) -> dict[Key, dict[str, bool]]:
    """What the metrics of a version said of its rows from a moment on, those without a value left out."""
    found: dict[Key, dict[str, bool]] = {}
    for batch in values.batches(version, ("request_id", "row", "metric", "healthy"), since):
        for request_id, row, metric, healthy in zip(*(batch.column(i).to_pylist() for i in range(4)), strict=True):
            if healthy is not None:
                found.setdefault((request_id, row), {})[metric] = healthy
    return found


def labels_by_row(objects: ObjectStore, version: Version) -> Mapping[Key, Any]:
    """The labels of a version's target; of several of a row the last one pushed counts. Files that cannot be read are left out."""
    if not version.target:
        return {}
    target = version.target[0]
    found: dict[Key, Any] = {}
    for key in sorted(info.key for info in objects.walk(layout.labels(version.id)) if info.key.endswith(".parquet")):
        for request_id, row, label in _labels(objects.get(key), target):
            found[request_id, row] = label
    return found


def _labels(body: bytes, target: str) -> Iterator[tuple[str, int, Any]]:
    try:
        table = pq.read_table(io.BytesIO(body))
    except (pa.ArrowException, OSError):
        return
    if {"request_id", "row", target} <= set(table.column_names):
        yield from zip(*(table[c].to_pylist() for c in ("request_id", "row", target)), strict=True)
