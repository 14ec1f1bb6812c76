"""Protocol v1, as TensorFlow Serving and KServe speak it: ``instances`` by row or ``inputs`` by column.

A row of ``instances`` is an object by input name; or, where all inputs are scalars, a list of values in signature order;
or, where there is one input, its plain value. All rows of a request have the same form. ``inputs`` is an object of
columns by input name, or the column itself where there is one input. With one output, ``predictions`` holds its
values; with several, an object a row. Bytes that are no text are ``{"b64": "…"}`` in both directions.
The wire declares no types, so values decide whether they fit (see ``values``).
"""

import base64
import binascii
import contextlib
from typing import Any

import numpy as np

from headrace_functions.errors import Malformed, SignatureMismatch
from headrace_functions.protocol.checks import check_inputs
from headrace_functions.protocol.jsontext import dump, parse
from headrace_functions.protocol.messages import EXPLAIN, EXPLANATIONS, JSON_TYPE, PLAIN, EncodedBody, RequestInfo
from headrace_functions.protocol.rows import Array, Plan, plan_of
from headrace_functions.protocol.v2 import not_utf8, unpack_rows
from headrace_functions.protocol.values import flatten, from_json
from headrace_functions.signature import Field, Signature, Tensors, check_shape


def decode_request(body: bytes, content_type: str, signature: Signature, batch: bool) -> tuple[Tensors, RequestInfo]:
    """Read a v1 request; see ``codec.decode_request``."""
    document = parse(body, content_type)
    plan = plan_of(signature)
    if "instances" in document:
        return _rows(document["instances"], plan, batch), _info(document)
    if "inputs" in document:
        return _columns(document["inputs"], plan, batch), _info(document)
    raise Malformed(
        "neither 'instances' nor 'inputs' is present",
        field="instances",
        expected='{"instances": […]} with rows or {"inputs": {…}} with columns',
        got=", ".join(document) or "an empty object",
    )


def _info(document: dict[str, Any]) -> RequestInfo:
    return RequestInfo(parameters={EXPLAIN: document[EXPLAIN]}) if EXPLAIN in document else PLAIN


def _rows(instances: Any, plan: Plan, batch: bool) -> Tensors:
    if type(instances) is not list or not instances:
        raise Malformed(
            "'instances' must be a list of rows", field="instances", expected="at least one row", got=_kind(instances)
        )
    if not batch and len(instances) != 1:
        raise SignatureMismatch(
            "this model takes one row a request", field="instances", expected="1 row", got=f"{len(instances)} rows"
        )
    kinds = set(map(type, instances))
    if kinds == {dict} and not (len(plan.names) == 1 and set(instances[0]) == {"b64"}):
        return _checked(_columns_of_objects(instances, plan), plan, batch)
    if plan.is_table and kinds == {list}:
        return _packed(instances, plan, batch)
    if len(plan.names) == 1:
        return _checked({plan.names[0]: instances}, plan, batch)
    raise Malformed(
        "the rows of 'instances' cannot be read",
        field="instances",
        expected=_row_forms(plan),
        got=", ".join(sorted(k.__name__ for k in kinds)),
    )


def _row_forms(plan: Plan) -> str:
    forms = ["objects with " + ", ".join(plan.names[:20])]
    if plan.is_table:
        forms.append(f"lists of {len(plan.names)} values")
    if len(plan.names) == 1:
        forms.append("plain values")
    return ", or ".join(forms)


def _columns_of_objects(instances: list[dict[str, Any]], plan: Plan) -> dict[str, list[Any]]:
    wanted = plan.inputs.keys()
    for at, row in enumerate(instances):
        if row.keys() != wanted:
            missing, unknown = sorted(wanted - row.keys()), sorted(row.keys() - wanted)
            name = (missing or unknown)[0]
            state = "is missing" if missing else "is not in the signature"
            raise SignatureMismatch(
                f"row {at}: input {name!r} {state}", field=name, expected=", ".join(plan.names[:20]), got=", ".join(row)
            )
    return {name: [row[name] for row in instances] for name in plan.names}


def _packed(instances: list[list[Any]], plan: Plan, batch: bool) -> Tensors:
    fields = len(plan.names)
    for at, row in enumerate(instances):
        if len(row) != fields:
            raise SignatureMismatch(
                f"row {at} has the wrong number of values",
                field="instances",
                expected=f"{fields} values",
                got=f"{len(row)} values",
            )
    if batch and plan.uniform is not None and plan.uniform.is_number:
        flat = flatten(instances, (len(instances), fields), "instances")
        with contextlib.suppress(SignatureMismatch):  # column by column, below, the error names its field
            matrix = from_json(flat, plan.uniform, "instances").reshape(-1, fields)
            return unpack_rows(matrix, plan, batch)
    return _checked({name: [row[i] for row in instances] for i, name in enumerate(plan.names)}, plan, batch)


def _columns(inputs: Any, plan: Plan, batch: bool) -> Tensors:
    if len(plan.names) == 1 and type(inputs) is not dict:
        inputs = {plan.names[0]: inputs}
    if type(inputs) is not dict:
        raise Malformed(
            "'inputs' must be an object of columns",
            field="inputs",
            expected=", ".join(plan.names[:20]),
            got=_kind(inputs),
        )
    if batch:
        for name, column in inputs.items():
            if type(column) is not list:
                raise Malformed(
                    f"column {name!r} is not a list",
                    field=name,
                    expected="a list of values, one per row",
                    got=_kind(column),
                )
        return _checked(inputs, plan, batch)
    return _checked({name: [value] for name, value in inputs.items()}, plan, batch)


def _checked(columns: dict[str, list[Any]], plan: Plan, batch: bool) -> Tensors:
    """Columns of row values as checked tensors; without ``batch`` each column holds one value."""
    tensors: Tensors = {}
    for name, column in columns.items():
        field = plan.inputs.get(name)
        if field is None:
            raise SignatureMismatch(
                f"input {name!r} is not in the signature", field=name, expected=", ".join(plan.names[:20]), got=name
            )
        array = _tensor(column, field)
        tensors[name] = array if batch else array[0, ...]
    return check_inputs(tensors, plan.signature, batch)


def _tensor(column: list[Any], field: Field) -> Array:
    if field.dtype.name == "string":
        column = _with_bytes(column, field)
    shape: list[int] = []
    first: Any = column
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    try:
        flat = flatten(column, tuple(shape), field.name)
    except Malformed as error:
        raise SignatureMismatch(
            error.message, field=field.name, expected=f"rows of shape {list(field.shape)}", got=error.got
        ) from error
    if len(shape) != 1 + len(field.shape) and not (field.is_scalar and shape[1:] == [1]):
        check_shape(field, tuple(shape), batched=True)
    return from_json(flat, field.dtype, field.name).reshape(shape)


def _with_bytes(value: Any, field: Field) -> Any:
    if isinstance(value, list):
        return [_with_bytes(v, field) for v in value]
    if isinstance(value, dict) and value.keys() == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise Malformed(
                f"{field.name!r}: 'b64' is not base64",
                field=field.name,
                expected="base64 text",
                got=_kind(value["b64"]),
            ) from error
    return value


def encode_response(tensors: Tensors, signature: Signature, info: RequestInfo, batch: bool) -> EncodedBody:
    """Write a v1 response; see ``codec.encode_response``."""
    columns = {f.name: _values(tensors[f.name], f, batch) for f in signature.outputs}
    rows: list[Any]
    if len(columns) == 1:
        rows = next(iter(columns.values()))
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    try:
        more = {} if info.explanations is None else {EXPLANATIONS: info.explanations}
        return EncodedBody(JSON_TYPE, None, dump({"predictions": rows, **more}))
    except TypeError as error:
        raise not_utf8() from error


def _values(array: Array, field: Field, batch: bool) -> list[Any]:
    values = array.tolist() if batch else [array.tolist()]
    return [_text(v) for v in values] if field.dtype.name == "string" else values


def plain(array: Any) -> Any:
    """One row of a tensor as JSON has it: a value, or nested lists of them."""
    if array is None or isinstance(array, str | bytes):
        return _text(array)
    held = np.asarray(array)
    return _text(held.tolist()) if held.dtype.kind in "OSU" else held.tolist()


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(v) for v in value]
    if not isinstance(value, bytes):
        return value if value is None else str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def decode_response(body: bytes, signature: Signature, batch: bool) -> Tensors:
    """Read a v1 response; see ``codec.decode_response``."""
    rows = parse(body).get("predictions")
    if type(rows) is not list or not rows:
        raise Malformed(
            "'predictions' must be a list of rows", field="predictions", expected="at least one row", got=_kind(rows)
        )
    outputs = signature.outputs
    if len(outputs) == 1:
        columns = {outputs[0].name: rows}
    elif all(type(r) is dict for r in rows):
        columns = {f.name: [r[f.name] for r in rows] for f in outputs if all(f.name in r for r in rows)}
    else:
        raise Malformed(
            "'predictions' must hold objects",
            field="predictions",
            expected=", ".join(f.name for f in outputs),
            got="other values",
        )
    tensors: Tensors = {}
    for field in outputs:
        if field.name in columns:
            array = _tensor(columns[field.name], field)
            tensors[field.name] = array if batch else array[0, ...]
    return tensors


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
