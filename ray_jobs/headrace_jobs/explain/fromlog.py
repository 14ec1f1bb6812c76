"""Rows of the log with another answer than the one that is explained: their answers stand beside them, so nobody is asked."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.attribution.features import features_of, matrix
from headrace_functions.logtable import input_column, output_column
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.explain.answer_equality import Same

ROWS = 10_000
"""Of the newest answered rows that are looked at."""
KEPT = 1000
"""Of those with another answer, the newest."""


def rows_with_another_answer(objects: ObjectStore, version: Version, same: Same) -> Array:
    """Features ``(n, d)`` of objects, whole rows alone: one that lacks a value is no row that could be sent."""
    empty = np.empty((0, len(features_of(version.signature))), object)
    table = inputs.open_log(objects, version.id)
    found, looked = [empty], 0
    for key in inputs.newest_first(table, version.id) if table is not None else ():
        if looked >= ROWS or sum(map(len, found)) >= KEPT:
            break
        rows, count = _of_file(objects, key, version, same, ROWS - looked)
        looked += count
        found.append(rows)
    return np.concatenate(found)[:KEPT]


def _of_file(objects: ObjectStore, key: str, version: Version, same: Same, most: int) -> tuple[Array, int]:
    """Rows of one file, and how many answered ones were looked at."""
    file = inputs.open_parquet(objects, key)
    names = [input_column(f) for f in version.signature.inputs]
    answer = output_column(same.field)
    if not {*names, answer} <= set(file.schema_arrow.names):
        return np.empty((0, len(features_of(version.signature))), object), 0
    read: Any = file.read(columns=[*names, answer, "outcome"], use_threads=False)
    whole = pc.equal(read["outcome"], "ok")
    for name in (*names, answer):
        whole = pc.and_(whole, pc.is_valid(read[name]))
    table = read.filter(pc.fill_null(whole, False))
    table = table.slice(max(0, table.num_rows - most))
    if not table.num_rows:
        return np.empty((0, len(features_of(version.signature))), object), 0
    answers = table[answer].to_pylist()
    given = np.array(answers, object if same.field.dtype.name == "string" else None)
    places = pa.array(np.flatnonzero(~same.of({same.field.name: given})))
    columns = {f.name: table[input_column(f)].take(places).to_pylist() for f in version.signature.inputs}
    return matrix(version.signature, columns), table.num_rows
