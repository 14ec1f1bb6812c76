"""Requests of the Open Inference Protocol from what people have: rows as JSON, or a signature alone; ``csv_rows`` has CSV."""

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace_functions.errors import InvalidInput, Malformed
from headrace_functions.protocol.messages import EXPLAIN, EXPLANATIONS

Json = dict[str, Any]
ROWS = 10_000  # of one request; more are sent in several
_NAMED = "if the rows are CSV, name the file *.csv"
_EMPTY = "if it comes from another command, look at the error of that command"
_LINES = "write the rows as one list, or use headrace batch, which reads JSON lines"


_SHIFT = re.compile(r"(?P<sign>[x+-])(?P<size>\d+(\.\d+)?)(?P<unit>sd)?")


def of_json(text: str, metadata: Mapping[str, Any]) -> Iterator[tuple[int, Json]]:
    """Requests from JSON, each with the number of its rows: one that is a request already, ``{"instances": rows}``, a list of rows, or one row."""
    if not text.strip():
        raise Malformed("the input is empty", field="file", expected="rows or a request in JSON", hint=_EMPTY)
    try:
        given = json.loads(text)
    except ValueError as error:
        hint = _LINES if str(error).startswith("Extra data") else _NAMED
        raise Malformed(f"not JSON: {error}", field="file", hint=hint) from error
    if isinstance(given, dict) and "inputs" in given:
        yield 0, given
        return
    if isinstance(given, dict):
        given = given.get("instances", [given])
    if not isinstance(given, list) or not given:
        raise InvalidInput(
            "no rows", field="file", expected="a list of objects by input name, or a request with 'inputs'"
        )
    yield from of_rows(given, metadata)


def of_rows(rows: Sequence[Any], metadata: Mapping[str, Any]) -> Iterator[tuple[int, Json]]:
    """Requests from rows: objects by input name, or plain values where there is one input."""
    inputs = metadata["inputs"]
    batched = all(t["shape"][:1] == [-1] for t in inputs)
    step = ROWS if batched else 1
    for start in range(0, len(rows), step):
        columns: dict[str, list[Any]] = {t["name"]: [] for t in inputs}
        part = rows[start : start + step]
        for number, row in enumerate(part, start + 1):
            values = row if isinstance(row, Mapping) else {inputs[0]["name"]: row} if len(inputs) == 1 else None
            for name, column in columns.items():
                if values is None or name not in values:
                    raise InvalidInput(
                        f"row {number:,}: the input {name!r} is missing", field=name, expected=", ".join(columns)
                    )
                column.append(values[name])
        yield len(part), request_of(inputs, columns, batched=batched)


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
    for row, told in zip(rows, explanations_of(answer), strict=False):
        row["because"] = because(told)
    return rows


def request_of(inputs: Sequence[Mapping[str, Any]], columns: Mapping[str, list[Any]], *, batched: bool = True) -> Json:
    """A request with a value a row in each column; of a model that takes no batch, with the one value itself."""
    tensors = []
    for tensor in inputs:
        held = columns[tensor["name"]]
        data = held if batched else held[0]
        shape = _shape(data, len(tensor["shape"]))
        if not batched and not isinstance(data, list):
            data = [data]
        tensors.append({"name": tensor["name"], "shape": shape, "datatype": tensor["datatype"], "data": data})
    return {"inputs": tensors}


def joined(answers: Sequence[Json]) -> Json:
    """The answers to the pieces of one file as one answer."""
    if len(answers) == 1:
        return answers[0]
    whole = {**answers[0], "outputs": []}
    for place, tensor in enumerate(answers[0]["outputs"]):
        parts = [answer["outputs"][place] for answer in answers]
        rows = [part["shape"][0] if part["shape"] else 1 for part in parts]
        data = [value for part in parts for value in _flat(part["data"])]
        whole["outputs"].append({**tensor, "shape": [sum(rows), *tensor["shape"][1:]], "data": data})
    told = [e for answer in answers for e in explanations_of(answer)]
    if told:
        whole["parameters"] = {**whole.get("parameters", {}), EXPLANATIONS: told}
    return whole


def explanations_of(answer: Mapping[str, Any]) -> list[Json]:
    """Why each row has its answer, where the request asked for it."""
    found: list[Json] = (answer.get("parameters") or {}).get(EXPLANATIONS, [])
    return found


def asking_why(request: Json) -> Json:
    """The request, which also asks why each row has its answer."""
    return {**request, "parameters": {**request.get("parameters", {}), EXPLAIN: True}}


def because(explanation: Json, most: int = 3) -> str:
    """The features that an answer depends on most, each with its Shapley value."""
    told = [f"{name} {value:+.3g}" for name, value in explanation["values"].items() if value]
    return ", ".join(told[:most])


def _shape(data: Any, rank: int) -> list[int]:
    shape: list[int] = []
    while len(shape) < rank and isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return shape


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


def shifted(rows: Sequence[Json], shifts: Sequence[str]) -> list[Json]:
    """Rows with some numbers moved, for practice: ``amount=x100`` times, ``age=+5`` more, ``age=-2sd`` by standard deviations of these rows.

    Raises ``InvalidInput`` for a field that is no number of the rows, or a shift that does not parse.
    """
    changed = [dict(row) for row in rows]
    steps = {"+": 1.0, "-": -1.0}
    for text in shifts:
        name, _, how = text.partition("=")
        values: list[float] = [
            float(v) for v in (row.get(name) for row in rows) if isinstance(v, int | float) and not isinstance(v, bool)
        ]
        match = _SHIFT.fullmatch(how)
        if match is None:
            raise InvalidInput(
                f"shift: {text!r} cannot be parsed", field="shift", expected="FIELD=x1.5, FIELD=+10 or FIELD=-2sd"
            )
        if not values:
            known = ", ".join(n for n, v in (rows[0] if rows else {}).items() if isinstance(v, int | float))
            raise InvalidInput(
                f"shift: {name!r} is not a number of these rows", field="shift", expected=f"one of {known}"
            )
        size = float(match["size"])
        deviation = statistics.pstdev(values) if match["unit"] else 1.0
        for row in changed:
            old: Any = row.get(name)
            if isinstance(old, int | float) and not isinstance(old, bool):
                new = float(old) * size if match["sign"] == "x" else old + steps[match["sign"]] * size * deviation
                row[name] = round(new) if isinstance(old, int) else new
    return changed
