"""Rows of a CSV file as requests of the Open Inference Protocol, read as training data is and sent in pieces."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace_controller.projects.example_requests import Json, request_of
from headrace_controller.training.csvfile import CsvFile
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.signature import dtype
from headrace_functions.tabular import dialect

ROWS = 10_000
"""Rows of one request at most, and ..."""
VALUES = 1_000_000
"""... its values."""
TAKEN = (".csv", ".json")
"""Suffixes of files of rows that ``headrace predict`` takes."""


def requests_of(file: Path, metadata: Mapping[str, Any]) -> Iterator[tuple[int, Json]]:
    """Requests for all rows of the file, in order, each with the number of its rows; one row each for a model that takes no batch.

    ``metadata`` is the answer of ``GET /v2/models/<name>``. Columns that are no inputs are left out; an empty cell is null. A model of one
    vector input takes all columns in order. Raises ``InvalidInput`` naming row and column for what cannot be read.
    """
    if not file.is_file():
        raise NotFound(f"{file} cannot be read: no such file", field="file")
    inputs = metadata["inputs"]
    batched = all(t["shape"][:1] == [-1] for t in inputs)
    csv, vector = _opened(file, inputs, rank=2 if batched else 1)
    types = csv.types()
    if vector is None:
        for tensor in inputs:
            if tensor["name"] not in csv.names:
                raise InvalidInput(
                    f"{file.name} has no column for the input {tensor['name']!r}",
                    field=tensor["name"],
                    expected=", ".join(t["name"] for t in inputs),
                    got=", ".join(csv.names[:20]),
                )
    step = max(1, min(ROWS, VALUES // len(csv.names))) if batched else 1
    rows = 0
    for table in csv.tables(types):
        for start in range(0, table.num_rows, step):
            part = table.slice(start, step)
            rows += part.num_rows
            yield part.num_rows, request_of(inputs, _columns(part, inputs, csv.names, vector), batched=batched)
    if not rows:
        raise InvalidInput(
            f"{file.name} has no rows", field="file", expected="a header with the names of the inputs, then rows"
        )


def _opened(file: Path, inputs: Sequence[Mapping[str, Any]], rank: int) -> tuple[CsvFile, Mapping[str, Any] | None]:
    """The file, its inputs' columns declared; and the vector input that takes all of them, if there is one."""
    csv = CsvFile(
        file, "file", {t["name"]: dtype(t["datatype"]) for t in inputs if len(t["shape"]) < rank}, taken=TAKEN
    )
    alone = inputs[0] if len(inputs) == 1 and len(inputs[0]["shape"]) == rank else None
    if alone is None or alone["name"] in csv.names:
        return csv, None
    dialect.check_named(csv.names, f"file: {file.name}", "file")
    return CsvFile(file, "file", dict.fromkeys(csv.names, dtype(alone["datatype"])), taken=TAKEN), alone


def _columns(
    part: pa.Table, inputs: Sequence[Mapping[str, Any]], names: Sequence[str], vector: Mapping[str, Any] | None
) -> dict[str, list[Any]]:
    if vector is not None:
        columns = [_values(part[name]) for name in names]
        return {vector["name"]: [list(row) for row in zip(*columns, strict=True)]}
    return {t["name"]: _values(part[t["name"]]) for t in inputs}


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if not pa.types.is_floating(column.type):
        return values
    return [
        v if v is None or math.isfinite(v) else None if v != v else "Infinity" if v > 0 else "-Infinity" for v in values
    ]
