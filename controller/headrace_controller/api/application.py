"""The Flask application: resources mounted, errors as problem documents, limits, request ids."""

import logging

import flask
import orjson
from werkzeug import exceptions as routing_errors
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from headrace_controller.access import current
from headrace_controller.api import (
    access,
    analysis,
    audit,
    comparisons,
    erasures,
    evaluations,
    events,
    exchanges,
    health,
    incidents,
    manifests,
    metrics,
    models,
    notifications,
    openapi,
    retention,
    rules,
    running,
    sequences,
    streams,
)
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.identity import Gate, is_ours
from headrace_controller.api.permissions import PUBLIC, somewhere
from headrace_controller.api.routing import PREFIX, Resource
from headrace_controller.service import gauges
from headrace_controller.service.platform import Platform
from headrace_functions.errors import HeadraceError, NotFound
from headrace_functions.names import usable_request_id
from headrace_functions.protocol.problems import PROBLEM_TYPE, problem

RESOURCES: tuple[Resource, ...] = (
    models.resource,
    sequences.resource,
    streams.resource,
    running.resource,
    manifests.resource,
    analysis.resource,
    exchanges.resource,
    comparisons.resource,
    evaluations.resource,
    metrics.resource,
    health.resource,
    incidents.resource,
    rules.resource,
    notifications.resource,
    events.resource,
    access.resource,
    retention.resource,
    erasures.resource,
    audit.resource,
)
MAX_BODY = 16 * 1024 * 1024  # bytes of any body that has no limit of its own

_log = logging.getLogger(__name__)


def create_app(platform: Platform, *pages: flask.Blueprint) -> flask.Flask:
    """The WSGI application of a platform, with the given pages beside the API. It starts nothing, ``platform.open()`` does."""
    app = flask.Flask("headrace_controller", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    gate = Gate(platform)
    app.before_request(_begin)
    gate.install(app)
    app.extensions["headrace-gate"] = gate
    app.after_request(_finish)
    app.register_error_handler(Exception, answer_error)
    for resource in RESOURCES:
        resource.mount(app, platform)
        gate.declare(resource.accesses())
    gate.declare({"openapi": PUBLIC, "metrics": somewhere("view")})
    description = orjson.dumps(openapi.document(RESOURCES))
    app.add_url_rule(
        f"{PREFIX}/openapi.json", "openapi", lambda: Response(description, content_type="application/json")
    )
    app.add_url_rule("/metrics", "metrics", lambda: Response(platform.gauges.text(), content_type=gauges.CONTENT_TYPE))
    for page in pages:
        app.register_blueprint(page)
        if isinstance(page, DeclaredRoutes):
            gate.declare(page.accesses())
    return app


def _begin() -> None:
    flask.g.request_id = usable_request_id(flask.request.headers.get("x-request-id"))
    origin = flask.request.headers.get("origin")
    if flask.request.method not in ("GET", "HEAD", "OPTIONS") and origin and not is_ours(origin):
        # A page of another site may make a browser send forms to this machine; nothing of ours does so.
        flask.abort(403, description=f"requests that change something are not taken from pages of {origin}")


def _finish(response: flask.Response) -> flask.Response:
    response.headers["x-request-id"] = flask.g.get("request_id", "")
    response.headers.setdefault("x-content-type-options", "nosniff")
    return response


def answer_error(error: Exception) -> Response:
    """An error as a problem document."""
    request_id = flask.g.get("request_id", "")
    if isinstance(error, HTTPException):
        return _http_problem(error, request_id)
    if isinstance(error, NotFound) and not current.may("view"):
        error.hint = None  # it may name what there is and this caller may not see
    if isinstance(error, HeadraceError):
        flask.g.refused = error.message
    found = problem(error, request_id, instance=flask.request.path)
    if found.code == "internal":
        _log.error("request %s failed", request_id, exc_info=error)
    return Response(found.body, status=found.status, headers=dict(found.headers))


def _detail(error: HTTPException) -> str | None:
    """What was refused; for a path that there is not, the path and not advice for people in browsers."""
    missing = error.description == routing_errors.NotFound.description
    return f"there is nothing at {flask.request.path}" if missing else error.description


def _http_problem(error: HTTPException, request_id: str) -> Response:
    """What the HTTP layer itself refuses: no such route, wrong method, body too large."""
    status = error.code or 500
    title = error.name
    code = title.lower().replace(" ", "-")
    body = {
        "type": f"urn:headrace:problem:{code}",
        "title": title,
        "status": status,
        "detail": _detail(error),
        "code": code,
        "request_id": request_id,
    }
    kept = {
        name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "content-length")
    }
    return Response(orjson.dumps(body), status=status, headers={**kept, "content-type": PROBLEM_TYPE})
