"""Rows that stand for what is not known: of the training data, always the same ones."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_functions.attribution.features import matrix
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field
from headrace_functions.statistics.sample import lowest, priorities
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array, categories, numbers
from headrace_jobs import inputs

BACKGROUND = 1000
"""Rows that may be used at most."""
MORE, MORE_VALUES = 10_000, 2_000_000
"""Rows, and values of them, that a rule may be measured on besides."""


def read_background(objects: ObjectStore, version: Version) -> Array:
    """At most ``BACKGROUND`` rows of the training data as features ``(b, d)``, always the same ones, without missing fields."""
    training = inputs.read_training(objects, version)
    if training is None:
        raise InvalidInput(
            f"{version.id} has no training data to explain against",
            field="training-data",
            hint="add training-data to its definition and apply it again",
        )
    missing = [f.name for f in version.signature.inputs if f.name not in training.schema_arrow.names]
    if missing:
        raise InvalidInput(f"{missing[0]}: the training data has no such column", field=missing[0])
    rows = np.sort(lowest(priorities(str(version.id), training.metadata.num_rows), BACKGROUND))
    if not len(rows):
        raise InvalidInput(f"{version.id}: the training data has no rows", field="training-data")
    return _in_no_order(matrix(version.signature, _columns(training, version, rows)))


def read_more(objects: ObjectStore, version: Version) -> Array:
    """Rows of the training data besides the background: ``MORE``, of many features as many as have ``MORE_VALUES``."""
    training = inputs.read_training(objects, version)
    names = {f.name for f in version.signature.inputs}
    width = sum(f.size or 1 for f in version.signature.inputs)
    if training is None or not names <= set(training.schema_arrow.names):
        return np.empty((0, width), object)
    order = priorities(str(version.id), training.metadata.num_rows)
    wanted = min(MORE, MORE_VALUES // max(width, 1))
    rows = np.setdiff1d(lowest(order, BACKGROUND + wanted), lowest(order, BACKGROUND))
    if not len(rows):
        return np.empty((0, width), object)
    return _in_no_order(matrix(version.signature, _columns(training, version, rows)))


def _columns(training: pq.ParquetFile, version: Version, rows: Array) -> dict[str, list[Any]]:
    columns = {}
    for field in version.signature.inputs:
        column = training.read(columns=[field.name], use_threads=False).column(0)
        columns[field.name] = typed(field, column.take(pa.array(rows)))
    return columns


def _in_no_order(rows: Array) -> Array:
    """The rows, always in the same random order."""
    return np.asarray(rows[np.argsort(priorities("order", len(rows)), kind="stable")])


def typed(field: Field, column: Any) -> list[Any]:
    """Values as the field's type; a missing number of a type without NaN is the median of the others."""
    if not field.is_scalar:
        return list(column.to_pylist())
    values = np.array([*column.to_pylist(), None], object)[:-1]
    if not field.dtype.is_number:
        present = categories(values).tolist()
        return [value if value is not None else "" for value in present] if field.dtype.name == "string" else present
    found = numbers(values)
    if field.dtype.numpy.kind != "f":
        known = found[np.isfinite(found)]
        found = np.where(np.isfinite(found), found, np.median(known) if len(known) else 0).round()
        return [int(v) for v in found]
    return list(found.tolist())
