"""``GET /v2/models/<m>/openapi.json``: how one model is asked, as OpenAPI 3.1, from its signature. Pure.

Two operations: rows as objects (``/v1``), which typed clients are generated from, and tensors (``/v2``). Examples are of the first category, the middle of the range, else zero.
"""

import math
from collections.abc import Sequence
from typing import Any

from headrace_functions.signature import Field, Signature

_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def document(name: str, version: str, signature: Signature, *, batch: bool = True) -> dict[str, Any]:
    """The description of ``name``; ``version`` is what answers now, such as ``3`` or a sequence's revision."""
    answers = {
        "404": "there is no such model",
        "422": "the rows do not fit the signature",
        "429": "a queue is full",
        "503": "it cannot be started",
    }
    problems = {status: _problem(text) for status, text in answers.items()}
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1}
    rows |= {} if batch else {"maxItems": 1}
    wanted = {"type": "object", "required": ["instances"], "properties": {"instances": rows}}
    answered = {"type": "object", "required": ["predictions"], "properties": {"predictions": _predictions(signature)}}
    tensors = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": {"type": "string"}, "inputs": _tensors(signature.inputs, batch=batch)},
    }
    found = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": _tensors(signature.outputs, batch=batch),
        },
    }
    example = {f.name: _example(f) for f in signature.inputs}
    sent = [
        {"name": f.name, "shape": [*([1] if batch else []), *_sizes(f)], "datatype": f.dtype.wire, "data": _flat(f)}
        for f in signature.inputs
    ]
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version, "description": f"The model {name}, served by Headrace."},
        "paths": {
            f"/v1/models/{name}:predict": {
                "post": _operation(
                    "predict", "Rows in, predictions out", wanted, answered, {"instances": [example]}, problems
                )
            },
            f"/v2/models/{name}/infer": {
                "post": _operation("infer", "Tensors in, tensors out", tensors, found, {"inputs": sent}, problems)
            },
        },
        "components": {
            "schemas": {"Row": _row(signature.inputs), "Prediction": _row(signature.outputs), "Problem": _PROBLEM}
        },
    }


_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        k: {"type": "string"}
        for k in ("type", "title", "detail", "code", "error", "request_id", "field", "expected", "got", "hint")
    }
    | {"status": {"type": "integer"}},
}


def _problem(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _operation(
    name: str,
    summary: str,
    wanted: dict[str, Any],
    answered: dict[str, Any],
    example: dict[str, Any],
    problems: dict[str, Any],
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            {
                "name": "x-request-id",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 128},
                "description": "kept in the log",
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": wanted, "example": example}}},
        "responses": {
            "200": {"description": "answered", "content": {"application/json": {"schema": answered}}},
            **problems,
        },
    }


def _predictions(signature: Signature) -> dict[str, Any]:
    """v1 answers with plain values where there is one output, with objects where there are several."""
    one = _value(signature.outputs[0]) if len(signature.outputs) == 1 else {"$ref": "#/components/schemas/Prediction"}
    return {"type": "array", "items": one}


def _row(fields: Sequence[Field]) -> dict[str, Any]:
    return {"type": "object", "required": [f.name for f in fields], "properties": {f.name: _value(f) for f in fields}}


def _value(field: Field) -> dict[str, Any]:
    """The schema of one row's value; lists as deep as its shape."""
    found: dict[str, Any] = _element(field)
    for size in reversed(field.shape):
        found = {"type": "array", "items": found} | ({} if size == -1 else {"minItems": size, "maxItems": size})
    return found


def _element(field: Field) -> dict[str, Any]:
    kind = field.dtype.name
    if kind == "bool":
        return {"type": "boolean"}
    if kind == "string":
        found: dict[str, Any] = {"type": "string"}
    elif kind in _INTEGERS:
        found = {"type": "integer"} | ({"format": kind} if kind in ("int32", "int64") else {})
    else:
        found = {"type": "number"} | (
            {"format": {"float32": "float", "float64": "double"}[kind]} if kind != "float16" else {}
        )
    if field.strict and field.categories:
        found["enum"] = list(field.categories)
    if field.strict and field.range is not None:
        found |= {"minimum": field.range[0], "maximum": field.range[1]}
    return found


def _tensors(fields: Sequence[Field], *, batch: bool) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"oneOf": [_tensor(f, batch=batch) for f in fields]}
        if len(fields) > 1
        else _tensor(fields[0], batch=batch),
    }


def _tensor(field: Field, *, batch: bool) -> dict[str, Any]:
    rank = len(field.shape) + batch
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string", "const": field.name},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": rank, "maxItems": rank},
            "datatype": {"type": "string", "const": field.dtype.wire},
            "data": {"type": "array", "items": {}},
        },
    }


def _sizes(field: Field) -> list[int]:
    return [1 if n == -1 else n for n in field.shape]


def _flat(field: Field) -> list[Any]:
    return [_one(field)] * math.prod(_sizes(field))


def _example(field: Field) -> Any:
    value: Any = _one(field)
    for size in reversed(_sizes(field)):
        value = [value] * size
    return value


def _one(field: Field) -> Any:
    if field.categories:
        return field.categories[0]
    kind = field.dtype.name
    if kind in ("string", "bool"):
        return "text" if kind == "string" else False
    middle = sum(field.range) / 2 if field.range is not None else 0
    return round(middle) if kind in _INTEGERS else float(f"{middle:.4g}")
