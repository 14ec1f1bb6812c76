"""The page of streams: state and lag of each, and the forms that pause and resume one."""

from typing import Any

import flask
from werkzeug.wrappers import Response

from headrace_controller.api import views
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.permissions import of_stream, on
from headrace_controller.service.platform import Platform

Json = dict[str, Any]

_HEALTH = {"running": "ok", "failed": "severe", "stopped": "severe", "waiting": "medium"}


def content(platform: Platform) -> Json:
    shown = [views.stream(s).model_dump() for s in platform.streams.select()]
    return {"streams": [{**s, "health": _HEALTH.get(s["state"], s["state"])} for s in shown]}


def actions(pages: DeclaredRoutes, platform: Platform) -> None:
    """Add the forms that pause and resume a stream."""

    def pause(name: str) -> Response:
        platform.streams.pause(name, paused=True)
        return flask.redirect("/streams", 303)

    def resume(name: str) -> Response:
        platform.streams.pause(name, paused=False)
        return flask.redirect("/streams", 303)

    access = on("operate", "the model of the stream", of_stream)
    pages.serve("/streams/<name>/pause", "pause_stream", pause, access, ["POST"])
    pages.serve("/streams/<name>/resume", "resume_stream", resume, access, ["POST"])
