"""``GET /v2/models/<m>/openapi.json``: how one model is asked, as OpenAPI 3.1, from its signature. Pure.

Two operations: rows as objects (``/v1``), which typed clients are generated from, and tensors (``/v2``). Examples are of the first category, the middle of the range, else zero.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from headrace_functions.signature import Field, Signature

_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def document(
    name: str, version: str, signature: Signature, *, batch: bool = True, number: int | None = None
) -> dict[str, Any]:
    """The description of ``name``, or of its version ``number``; ``version`` is what answers now, such as ``3`` or a sequence's revision.

    Everything that is an object is a component with a name of its own, which generators make the names of types of.
    """
    inputs, outputs = (
        _tensors(signature.inputs, "Input", batch=batch),
        _tensors(signature.outputs, "Output", batch=batch),
    )
    example = {f.name: _example(f) for f in signature.inputs}
    sent = [
        {"name": f.name, "shape": [*([1] if batch else []), *_sizes(f)], "datatype": f.dtype.wire, "data": _flat(f)}
        for f in signature.inputs
    ]
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version, "description": f"The model {name}, served by Headrace."},
        # Only a platform that asks its callers who they are wants one of them.
        "security": [{}, {"key": []}, {"bearer": []}],
        "paths": {
            f"/v1/models/{name if number is None else f'{name}:{number}'}:predict": {
                "post": _operation("Predict", "Rows in, predictions out", {"instances": [example]})
            },
            f"/v2/models/{name if number is None else f'{name}/versions/{number}'}/infer": {
                "post": _operation("Infer", "Tensors in, tensors out", {"inputs": sent})
            },
        },
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {
                "Row": _row(signature.inputs),
                "Prediction": _row(signature.outputs),
                "PredictRequest": _object(["instances"], instances=_rows(batch=batch)),
                "PredictResponse": _object(["predictions"], predictions=_predictions(signature)),
                "InferRequest": _object(["inputs"], id={"type": "string"}, inputs=_one_of(inputs)),
                "InferResponse": _object(
                    ["model_name", "outputs"],
                    model_name={"type": "string"},
                    model_version={"type": "string"},
                    id={"type": "string"},
                    outputs=_one_of(outputs),
                ),
                **inputs,
                **outputs,
                "Problem": _PROBLEM,
            },
        },
    }


_PROBLEMS = {
    "400": "the body cannot be read",
    "401": "authentication is required",
    "403": "who asks may not ask this model",
    "404": "there is no such model",
    "413": "the body is too large",
    "422": "the rows do not fit the signature",
    "429": "a queue is full",
    "500": "the function failed",
    "502": "the function went away",
    "503": "it cannot be started",
    "504": "the deadline has passed",
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
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }


def _operation(name: str, summary: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name.lower(),
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
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(f"{name}Request"), "example": example}},
        },
        "responses": {
            "200": {"description": "answered", "content": {"application/json": {"schema": _ref(f"{name}Response")}}},
            **{status: _problem(text) for status, text in _PROBLEMS.items()},
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _rows(*, batch: bool) -> dict[str, Any]:
    return {"type": "array", "items": _ref("Row"), "minItems": 1} | ({} if batch else {"maxItems": 1})


def _predictions(signature: Signature) -> dict[str, Any]:
    """v1 answers with plain values where there is one output, with objects where there are several."""
    one = _value(signature.outputs[0]) if len(signature.outputs) == 1 else _ref("Prediction")
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


def _tensors(fields: Sequence[Field], side: str, *, batch: bool) -> dict[str, dict[str, Any]]:
    """The schema of each tensor by the name of its component, e.g. ``SepalLengthInput``."""
    found: dict[str, dict[str, Any]] = {}
    for field in fields:
        words = re.findall(r"[A-Za-z0-9]+", field.name)
        name = "".join(w[:1].upper() + w[1:] for w in words) + side
        found[name if name not in found else f"{name}{len(found)}"] = _tensor(field, batch=batch)
    return found


def _one_of(tensors: Mapping[str, Any]) -> dict[str, Any]:
    items = [_ref(name) for name in tensors]
    return {"type": "array", "items": {"oneOf": items} if len(items) > 1 else items[0]}


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
