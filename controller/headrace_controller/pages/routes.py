"""The routes of the pages and of their JSON twins."""

from typing import Any

import flask
import orjson
from werkzeug.wrappers import Response

from headrace_controller.api import events
from headrace_controller.pages import content
from headrace_controller.service.platform import Platform
from headrace_functions.errors import HeadraceError
from headrace_functions.protocol.problems import status_of

_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"


def blueprint(platform: Platform) -> flask.Blueprint:
    """Pages of a platform: ``/``, ``/models/<m>``, ``/sequences/<s>``, each with ``.json``; and ``/events``."""
    pages = flask.Blueprint(
        "pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
    )

    def overview() -> Response:
        return _page("overview.html", content.overview(platform))

    def overview_twin() -> Response:
        return _twin(content.overview(platform))

    def model(name: str) -> Response:
        return _page("model.html", content.model(platform, name, _number()))

    def model_twin(name: str) -> Response:
        return _twin(content.model(platform, name, _number()))

    def sequence(name: str) -> Response:
        return _page("sequence.html", content.sequence(platform, name))

    def sequence_twin(name: str) -> Response:
        return _twin(content.sequence(platform, name))

    for rule, view in (
        ("/", overview),
        ("/index.json", overview_twin),
        ("/models/<name>.json", model_twin),
        ("/models/<name>", model),
        ("/sequences/<name>.json", sequence_twin),
        ("/sequences/<name>", sequence),
    ):
        pages.add_url_rule(rule, view.__name__, view)
    pages.add_url_rule("/events", "events", lambda: events.follow_events(platform))
    pages.register_error_handler(HeadraceError, _answer_error)
    pages.app_template_filter("short_time")(_short_time)
    return pages


def _number() -> int | None:
    return flask.request.args.get("version", type=int)


def _page(template: str, shown: content.Content) -> Response:
    text = flask.render_template(template, **shown)
    return Response(
        text,
        content_type="text/html; charset=utf-8",
        headers={"content-security-policy": _POLICY, "cache-control": "no-store"},
    )


def _twin(shown: content.Content) -> Response:
    return Response(
        orjson.dumps(shown, default=str), content_type="application/json", headers={"cache-control": "no-store"}
    )


def _answer_error(error: HeadraceError) -> Response:
    if flask.request.path.endswith(".json"):
        raise error  # the application answers with a problem document
    response = _page("error.html", {"error": error, "hint": error.hint})
    response.status_code = status_of(error)
    return response


def _short_time(text: Any) -> str:
    """``2026-11-22T09:30:00.125Z`` as people read it: ``2026-11-22 09:30:00``; the page's title says UTC."""
    return str(text)[:19].replace("T", " ") if text else ""
