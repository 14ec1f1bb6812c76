"""The table of operations: what Flask serves and what the OpenAPI document says are made from the same entries."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import flask
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.wrappers import Response

from headrace_controller.api import permissions
from headrace_controller.api.permissions import Requirement
from headrace_controller.api.schemas import Answer
from headrace_controller.definitions.fields import Document
from headrace_controller.definitions.validation_errors import explain
from headrace_controller.service.platform import Platform
from headrace_functions.errors import Malformed

PREFIX = "/api/v1"
JSON_BODY = 1024 * 1024
"""Bytes of a JSON body; uploads of versions have a limit of their own."""

Handler = Callable[..., Answer | Response | None]
Registered = TypeVar("Registered", bound=Handler)


class Query(Document):
    """Query parameters, kebab-case; unknown ones are refused with the nearest known one."""


class Body(Document):
    """A JSON body, snake_case as the answers; unknown members are refused with the nearest known one."""

    model_config = ConfigDict(alias_generator=None)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path below ``PREFIX``; the handler's docstring is its documentation."""

    method: str
    path: str
    handler: Handler
    access: Requirement
    """What it asks of its caller; there is no default."""
    answer: type[Answer] | None = None
    """None: no content (204), or a body of another type that ``produces`` names."""
    status: int = 200
    query: type[Query] | None = None
    body: type[BaseModel] | None = None
    produces: str = "application/json"

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip().splitlines()[0]


@dataclass(slots=True)
class Resource:
    """The operations of one group, gathered by decorators."""

    tag: str
    operations: list[Operation] = field(default_factory=list)

    def route(self, method: str, path: str, *, access: Requirement, **more: Any) -> Callable[[Registered], Registered]:
        def register(handler: Registered) -> Registered:
            self.operations.append(Operation(method, path, handler, access, **more))
            return handler

        return register

    def mount(self, app: flask.Flask, platform: Platform) -> None:
        for operation in self.operations:
            view = partial(serve, platform, operation)
            app.add_url_rule(
                PREFIX + operation.path,
                endpoint=f"{self.tag}.{operation.name}",
                view_func=view,
                methods=[operation.method],
            )

    def accesses(self) -> dict[str, Requirement]:
        """What each endpoint asks of its caller."""
        return {f"{self.tag}.{o.name}": o.access for o in self.operations}


def serve(platform: Platform, operation: Operation, **path: Any) -> Response:
    """One request: query and body checked, the handler called, its answer written."""
    arguments = dict(path)
    if operation.query is not None:
        arguments["query"] = _checked(operation.query, _query_of(operation.query))
    if operation.body is not None:
        arguments["body"] = _checked(operation.body, _json_body())
    permissions.check(operation.access, platform, arguments, late=True)
    answer = operation.handler(platform, **arguments)
    if isinstance(answer, Response):
        return answer
    if answer is None:
        return Response(status=204)
    return Response(orjson.dumps(answer.model_dump()), status=operation.status, content_type="application/json")


def _query_of(model: type[Query]) -> dict[str, Any]:
    """Parameters by name; those that may be repeated as lists."""
    repeated = {f.alias for f in model.model_fields.values() if f.annotation == list[str]}
    args = flask.request.args
    return {name: args.getlist(name) if name in repeated else args[name] for name in args}


def _json_body() -> Any:
    flask.request.max_content_length = JSON_BODY
    return read_json(flask.request.get_data() or b"{}", field="body")


def read_json(text: bytes | str, *, field: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"{field}: not JSON: {error}", field=field) from error


def _checked(model: type[BaseModel], data: Any) -> BaseModel:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise explain(error) from error
