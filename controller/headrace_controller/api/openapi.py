"""The OpenAPI 3.1 document, from the table of operations and the pydantic models."""

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from headrace_controller.api import schemas
from headrace_controller.api.routing import PREFIX, Operation, Resource
from headrace_controller.definitions import ModelDefinition

_PARAMETER = re.compile(r"<(?:(?P<type>int|path):)?(?P<name>\w+)>")
_PROBLEM = "application/problem+json"


def document(resources: Iterable[Resource]) -> dict[str, Any]:
    """Every operation of the resources, with parameters, bodies, answers and the problem document of errors."""
    operations = [(r.tag, o) for r in resources for o in r.operations]
    used: list[type[BaseModel]] = [schemas.Problem, ModelDefinition]
    used += [m for _, o in operations for m in (o.answer, o.body) if m is not None]
    _, defined = models_json_schema(
        [(m, "validation") for m in dict.fromkeys(used)], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for tag, operation in operations:
        path = PREFIX + _PARAMETER.sub(lambda m: "{" + m["name"] + "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(tag, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace management API", "version": metadata.version("headrace")},
        "paths": paths,
        "components": {"schemas": defined["$defs"]},
    }


def _operation(tag: str, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {
            str(_status(operation)): _success(operation),
            "default": {"description": "a problem", "content": {_PROBLEM: _ref(schemas.Problem)}},
        },
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": _ref(operation.body)}}
    form = _FORMS.get(operation.name)
    if form is not None:
        found["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return found


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": m["name"],
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if m["type"] == "int" else "string"},
        }
        for m in _PARAMETER.finditer(operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    properties = operation.query.model_json_schema(by_alias=True)["properties"]
    return [
        {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}
        for name, schema in properties.items()
    ]


def _status(operation: Operation) -> int:
    return (
        204
        if operation.answer is None and operation.produces == "application/json" and operation.method == "DELETE"
        else operation.status
    )


def _success(operation: Operation) -> dict[str, Any]:
    if operation.answer is not None:
        return {"description": operation.summary, "content": {"application/json": _ref(operation.answer)}}
    if _status(operation) == 204:
        return {"description": "done"}
    return {"description": operation.summary, "content": {operation.produces: _contents(operation.produces)}}


def _contents(kind: str) -> dict[str, Any]:
    if kind.startswith("text/"):
        return {"schema": {"type": "string"}}
    return {} if kind == "application/json" else {"schema": {"type": "string", "format": "binary"}}


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}


def _form(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): schema for name, schema in properties.items()}
    return {"type": "object", "required": required, "properties": named}


_FILE = {"type": "string", "format": "binary"}
_FORMS = {
    "push_labels": _form(["labels"], labels=_FILE),
    "create_version": _form(
        ["definition", "payload"],
        definition=_ref(ModelDefinition)["schema"],
        payload=_FILE,
        training_data=_FILE,
        sample=_FILE,
        reference_data=_FILE,
    ),
    "start_evaluation": _form(
        ["data"],
        data=_FILE,
        require={"type": "array", "items": {"type": "string"}},
        baseline={"type": "string"},
        target={"type": "string"},
    ),
}
"""The multipart bodies, by the name of their operation."""
