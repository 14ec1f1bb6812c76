"""``reference-data`` of a definition: rows that the model has not learnt from, kept with their labels and the version's own answers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from headrace_controller.child_processes import Log
from headrace_controller.definitions import ModelDefinition
from headrace_controller.training import tables
from headrace_controller.training.data import open_training
from headrace_controller.training.tables import Columns
from headrace_functions.errors import InvalidInput
from headrace_functions.profile import spread_rows
from headrace_functions.protection import protect
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

KEY = "reference-data"
ROWS = 100_000
"""Rows that the version is asked about; of more, as many as ``spread_rows`` chooses."""


def keep_reference_data(
    objects: ObjectStore,
    version: Version,
    definition: ModelDefinition,
    file: Path,
    answers: Callable[[Columns], Mapping[str, Any]],
    log: Log,
    *,
    key: bytes = b"",
) -> None:
    """One Parquet file of inputs, targets and answers (``out.<column>``). ``answers`` asks the version; ``key`` hashes sensitive fields.

    Raises ``InvalidInput`` for a file that lacks an input or a target, or has one as another type.
    """
    inputs = version.signature.inputs
    data = open_training(file, file.parent, field=KEY, declared=inputs, missing=definition.missing_values)
    for name in [*(f.name for f in inputs), *version.target]:
        if name not in data.columns:
            raise InvalidInput(
                f"{KEY}: {file.name} has no column {name!r}",
                field=KEY,
                expected="a column for each input and target",
                hint="use rows like those of training-data that the model was not trained on",
            )
    whole = file.parent / "reference-data-typed.parquet"
    rows = data.keep(inputs, version.target, whole, str(version.id), limit=ROWS).rows
    labels = pq.read_table(whole, columns=list(version.target)).take(spread_rows(data.source.rows, _count(rows)))
    outputs = version.signature.outputs
    told = protect(outputs, answers(rows), key)
    answered = {f"out.{f.column}": told[f.name] for f in outputs}
    table = tables.to_table({**protect(inputs, rows, key), **answered})
    for name in version.target:
        table = table.append_column(name, labels[name])
    kept = file.parent / "reference-data-answered.parquet"
    pq.write_table(table, kept, compression="zstd")
    objects.put(layout.reference_data(version.id), kept)
    log(f"reference data: {data.source.rows} rows, the answers on {_count(rows)} of them")


def _count(rows: Mapping[str, Any]) -> int:
    return len(next(iter(rows.values()), np.empty(0)))
