"""Tables of Python programs as requests, and answers as tables of the same kind: numpy, pandas, polars, lists of rows. Pure; neither library is imported unless it is given.

| given | sent as | comes back as |
|---|---|---|
| a pandas or polars data frame | its columns by the names of the inputs | a data frame of the outputs, with the index of the given one |
| a mapping of arrays or lists by input | the same | a dict of numpy arrays by output |
| a list of mappings by input | the same, one a row | a list of dicts by output |
| an array ``(n, inputs)``, or of one input | its columns in the order of the signature | a dict of numpy arrays by output |

Further columns of a frame are left out. A vector output is a column of lists in a frame.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.checks import check_inputs
from headrace_functions.protocol.codec import decode_response, encode_request
from headrace_functions.protocol.messages import EncodedBody
from headrace_functions.signature import Field, Signature, Tensors, dtype

ROWS = 10_000
"""Rows of one request at most."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by column, and what they came as."""

    columns: Mapping[str, np.ndarray[Any, Any]]
    given: Any

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))


def signature_of(metadata: Mapping[str, Any]) -> tuple[Signature, bool]:
    """The signature that ``GET /v2/models/<name>`` tells, and whether requests carry rows."""
    batch = all(t["shape"][:1] == [-1] for t in (*metadata["inputs"], *metadata["outputs"]))

    def fields(side: str) -> tuple[Field, ...]:
        return tuple(
            Field(t["name"], dtype(t["datatype"]), tuple(t["shape"][1:] if batch else t["shape"]))
            for t in metadata[side]
        )

    return Signature(fields("inputs"), fields("outputs")), batch


def table_of(data: Any, signature: Signature) -> Table:
    """The inputs in what was given. ``InvalidInput`` names the input that is missing, or says what is none of the forms."""
    names = [f.name for f in signature.inputs]
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        listed = [str(c) for c in data.columns]
        columns = {n: np.asarray(data[n].to_numpy()) for n in names if n in listed}
    elif isinstance(data, Mapping):
        columns = {n: np.asarray(data[n]) for n in names if n in data}
    elif isinstance(data, np.ndarray):
        columns = _of_array(data, signature)
    elif (
        isinstance(data, Sequence)
        and not isinstance(data, str | bytes)
        and data
        and all(isinstance(r, Mapping) for r in data)
    ):
        columns = {n: _column([row[n] for row in data]) for n in names if all(n in row for row in data)}
    else:
        raise InvalidInput(
            "data: it is not a table",
            field="data",
            expected="a pandas or polars data frame, a mapping of columns, a list of rows as mappings, or an array",
            got=type(data).__name__,
        )
    missing = next((n for n in names if n not in columns), None)
    if missing is not None:
        raise InvalidInput(f"data: the input {missing!r} is missing", field=missing, expected=", ".join(names))
    lengths = {n: len(np.atleast_1d(c)) for n, c in columns.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise InvalidInput(
            "data: the columns must have the same length, of at least 1",
            field="data",
            got=", ".join(f"{n}: {k}" for n, k in lengths.items()),
        )
    return Table({n: np.atleast_1d(c) for n, c in columns.items()}, data)


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    return np.asarray(values, object) if any(v is None or isinstance(v, str) for v in values) else np.asarray(values)


def _of_array(data: np.ndarray[Any, Any], signature: Signature) -> dict[str, np.ndarray[Any, Any]]:
    fields = signature.inputs
    if len(fields) == 1:
        return {fields[0].name: data}
    if data.ndim != 2 or data.shape[1] != len(fields) or not all(f.is_scalar for f in fields):
        raise InvalidInput(
            "data: the array does not have a column for each input",
            field="data",
            expected=f"[n, {len(fields)}]",
            got=str(list(data.shape)),
        )
    return {f.name: data[:, i] for i, f in enumerate(fields)}


def requests(table: Table, signature: Signature, *, batch: bool) -> Iterator[tuple[int, EncodedBody]]:
    """The requests for all rows in order, each with the number of its rows; ``InvalidInput`` or ``SignatureMismatch`` names what does not fit."""
    step = ROWS if batch else 1
    for start in range(0, table.rows, step):
        part = {f.name: _as_sent(table.columns[f.name][start : start + step], f) for f in signature.inputs}
        rows = len(next(iter(part.values())))
        tensors = part if batch else {n: a[0] for n, a in part.items()}
        yield rows, encode_request(check_inputs(tensors, signature, batch), signature, batch=batch)


def _as_sent(values: np.ndarray[Any, Any], field: Field) -> np.ndarray[Any, Any]:
    """Texts as objects with None where one is missing, numbers in the input's type where none changes."""
    if field.dtype.name == "string":
        return np.array([None if v is None or v != v else str(v) for v in values.tolist()], object)
    if values.dtype == object:
        values = np.asarray([np.nan if v is None else v for v in values.tolist()])
    if values.dtype.kind in "iuf" and field.dtype.is_number:
        cast = values.astype(field.dtype.numpy)
        same = field.dtype.numpy.kind == "f" or bool((cast == values).all())
        return cast if same else values
    return values


def answered(body: bytes, json_length: int | None, signature: Signature, *, batch: bool) -> Tensors:
    found = decode_response(body, json_length, signature, batch=batch)
    return found if batch else {n: np.asarray(a)[np.newaxis] for n, a in found.items()}


def as_given(parts: Sequence[Tensors], table: Table) -> Any:
    """The answers to all requests, as the kind of table that was given."""
    columns = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    data = table.given
    if isinstance(data, Sequence) and not isinstance(data, Mapping | np.ndarray) and not hasattr(data, "columns"):
        return [
            dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)
        ]
    if not hasattr(data, "columns"):
        return columns
    library = type(data).__module__.partition(".")[0]
    frame = importlib.import_module(library).DataFrame
    plain = {n: c if c.ndim == 1 else list(c) for n, c in columns.items()}
    return (
        frame(plain, index=data.index)
        if hasattr(data, "index")
        else frame({n: c if c.dtype != object else c.tolist() for n, c in columns.items()})
    )
