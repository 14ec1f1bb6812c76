"""Requests of the Open Inference Protocol from what people have: rows of a CSV or JSON file, or a signature alone."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from headrace_functions.errors import InvalidInput, Malformed

Json = dict[str, Any]
MAX_ROWS = 100_000  # of one request; send larger sets in parts

_TRUE = ("true", "1", "yes")
_FALSE = ("false", "0", "no")


def of_csv(text: str, metadata: Mapping[str, Any]) -> Json:
    """A request from CSV with a header of input names; ``metadata`` is the answer of ``GET /v2/models/<name>``.

    Columns that are no inputs are left out. An empty cell is null. A model of one vector input takes all columns in order.
    """
    reader = csv.DictReader(io.StringIO(text))
    rows = list(reader)
    names = list(reader.fieldnames or ())
    if not rows:
        raise InvalidInput(
            "the CSV has no rows", field="file", expected="a header with the names of the inputs, then rows"
        )
    inputs = metadata["inputs"]
    if len(inputs) == 1 and len(inputs[0]["shape"]) == 2 and inputs[0]["name"] not in names:
        kind = inputs[0]["datatype"]
        return _request(inputs, {inputs[0]["name"]: [[_cell(row[n], kind, n) for n in names] for row in rows]})
    return of_rows(
        [
            {t["name"]: _cell(row[t["name"]], t["datatype"], t["name"]) for t in inputs if t["name"] in row}
            for row in rows
        ],
        metadata,
    )


def of_json(text: str, metadata: Mapping[str, Any]) -> Json:
    """A request from JSON: one that is a request already, ``{"instances": rows}``, a list of rows, or one row."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise Malformed(f"not JSON: {error}", field="file") from error
    if isinstance(given, dict) and "inputs" in given:
        return given
    if isinstance(given, dict):
        given = given.get("instances", [given])
    if not isinstance(given, list) or not given:
        raise InvalidInput(
            "no rows", field="file", expected="a list of objects by input name, or a request with 'inputs'"
        )
    return of_rows(given, metadata)


def of_rows(rows: Sequence[Any], metadata: Mapping[str, Any]) -> Json:
    """A request from rows: objects by input name, or plain values where there is one input."""
    if len(rows) > MAX_ROWS:
        raise InvalidInput(f"at most {MAX_ROWS} rows a request", field="file", got=str(len(rows)))
    inputs = metadata["inputs"]
    columns: dict[str, list[Any]] = {t["name"]: [] for t in inputs}
    for number, row in enumerate(rows, 1):
        values = row if isinstance(row, Mapping) else {inputs[0]["name"]: row} if len(inputs) == 1 else None
        for name, column in columns.items():
            if values is None or name not in values:
                raise InvalidInput(
                    f"row {number}: the input {name!r} is missing", field=name, expected=", ".join(columns)
                )
            column.append(values[name])
    return _request(inputs, columns)


def of_signature(signature: Mapping[str, Any]) -> Json:
    """An example of one row that the signature accepts: first categories, middles of ranges, else zeros."""
    wire = {"string": "BYTES", "bool": "BOOL"}
    tensors = []
    for field in signature["inputs"]:
        kind = field["type"]
        datatype = wire.get(kind) or kind.upper().replace("FLOAT", "FP")
        shape = [1 if n == -1 else n for n in field["shape"]]
        tensors.append(
            {
                "name": field["name"],
                "shape": [1, *shape],
                "datatype": datatype,
                "data": [_example(field)] * math.prod(shape),
            }
        )
    return {"inputs": tensors}


def table_of(answer: Mapping[str, Any]) -> list[Json]:
    """The answer's rows by output name; an output of several elements a row is a list."""
    rows: list[Json] = []
    for tensor in answer.get("outputs", ()):
        count = tensor["shape"][0] if tensor["shape"] else 1
        flat = _flat(tensor["data"])
        width = len(flat) // count if count else 0
        rows = rows or [{} for _ in range(count)]
        for i, row in enumerate(rows):
            part = flat[i * width : (i + 1) * width]
            row[tensor["name"]] = part[0] if len(tensor["shape"]) <= 1 else part
    return rows


def _request(inputs: Sequence[Mapping[str, Any]], columns: Mapping[str, list[Any]]) -> Json:
    tensors = []
    for tensor in inputs:
        data = columns[tensor["name"]]
        tensors.append(
            {
                "name": tensor["name"],
                "shape": _shape(data, len(tensor["shape"])),
                "datatype": tensor["datatype"],
                "data": data,
            }
        )
    return {"inputs": tensors}


def _shape(data: Any, rank: int) -> list[int]:
    shape: list[int] = []
    while len(shape) < rank and isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return shape


def _cell(text: str | None, datatype: str, name: str) -> Any:
    if text is None or text == "":
        return None
    try:
        if datatype == "BOOL":
            return {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}[text.strip().lower()]
        if datatype.startswith(("INT", "UINT")):
            return int(text)
        if datatype.startswith("FP"):
            return float(text) if math.isfinite(float(text)) else text
    except (ValueError, KeyError) as error:
        raise InvalidInput(
            f"column {name!r}: {text!r} is not of type {datatype}", field=name, expected=datatype, got=repr(text)
        ) from error
    return text


def _example(field: Mapping[str, Any]) -> Any:
    if field.get("categories"):
        return field["categories"][0]
    if field["type"] == "string":
        return "text"
    if field["type"] == "bool":
        return False
    low, high = field.get("range") or (0, 0)
    middle = (low + high) / 2
    return float(f"{middle:.4g}") if field["type"].startswith("float") else round(middle)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [value for item in data for value in _flat(item)] if any(isinstance(i, list) for i in data) else data
