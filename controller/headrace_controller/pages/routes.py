"""The routes of the pages, of their JSON twins and parts, and of the few forms that change something."""

import gzip
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import flask
import orjson
from markupsafe import Markup, escape
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.api import events
from headrace_controller.api.application import answer_error
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.permissions import (
    Access,
    Requirement,
    everywhere,
    named,
    of_incident,
    of_job,
    of_replay,
    of_report,
    on,
    somewhere,
    version_in,
)
from headrace_controller.pages import (
    accesspages,
    comparison,
    incidentpages,
    login,
    model,
    overview,
    reporting,
    request_detail,
    request_list,
    rules,
    segments,
    sequence,
    sequence_edit,
    settings_page,
    streams,
)
from headrace_controller.pages.actions import actions
from headrace_controller.pages.figures import chance, figure, short_time
from headrace_controller.pages.frame import Frame
from headrace_controller.pages.healthsource import DrawnBuckets
from headrace_controller.service.platform import Platform
from headrace_functions.errors import HeadraceError, InvalidInput, NotFound, Unauthenticated
from headrace_functions.names import VersionId, natural
from headrace_functions.protocol.problems import status_of

POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
PART_SECONDS = 1.0
"""For so long the parts of one page are kept, so that many viewers of it cost as one."""
_SMALLEST = 1400  # bytes; less fits a packet and is not compressed
_STATIC = Path(__file__).parent / "static"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its path, template, the place in the main navigation, and what makes its content."""

    path: str
    template: str
    section: str
    content: Callable[..., Json]
    access: Requirement

    @property
    def twin(self) -> str:
        return "/index.json" if self.path == "/" else f"{self.path}.json"


def blueprint(platform: Platform) -> DeclaredRoutes:
    """Every page of a platform, each with its twin ``.json`` and, by ``?parts=``, its live parts; forms; and ``/events``."""
    pages = DeclaredRoutes(
        "pages", __name__, template_folder="templates", static_folder=str(_STATIC), static_url_path="/static"
    )
    frame = Frame(platform)
    views = _Views(frame)
    drawn = DrawnBuckets(platform.health, announce=platform.changes.announce)
    for page in _table(platform, drawn):
        name = page.template.removesuffix(".html") + page.path.replace("/", "_").replace("<", "").replace(
            ">", ""
        ).replace(":", "")
        pages.serve(page.twin, f"{name}_twin", views.twin(page), page.access)
        pages.serve(page.path, name, views.page(page), page.access)
    pages.serve("/requests.csv", "export_csv", lambda: _export(platform), version_in("read", "version"))
    pages.serve("/find", "find", lambda: _find(platform), somewhere("view"))
    pages.serve("/events", "events", lambda: events.follow_events(platform), somewhere("view"))
    login.routes(pages, platform, lambda template, shown: views.rendered(template, "", shown, "/index.json"))
    actions(pages, platform, drawn, lambda template, shown: views.rendered(template, "Overview", shown, "/index.json"))
    accesspages.actions(
        pages, platform, lambda template, shown: views.rendered(template, "Settings", shown, "/access.json")
    )
    pages.register_error_handler(HeadraceError, views.error)
    pages.app_errorhandler(404)(views.unknown)
    pages.after_request(_compressed)
    pages.app_template_filter("short_time")(short_time)
    pages.app_template_filter("figure")(figure)
    pages.app_template_filter("chance")(chance)
    pages.app_template_filter("span")(_span)
    pages.app_template_filter("coded")(_coded)
    pages.app_template_filter("query")(
        lambda members: urlencode({k: v for k, v in members.items() if v not in (None, "")})
    )
    pages.app_template_global("asset")(_asset)
    return pages


def _table(platform: Platform, drawn: DrawnBuckets) -> tuple[Page, ...]:
    def now() -> datetime:
        return datetime.now(UTC)

    def arguments() -> Mapping[str, str]:
        return flask.request.args

    def one_request(name: str, number: int, request_id: str) -> Json:
        text = arguments().get("row", "0")
        row = natural(text)
        if row is None:
            raise InvalidInput(f"row: {text[:80]!r} is not a row number", field="row", expected="0, 1, 2 …")
        at = clock.parse(arguments()["at"], field="at") if arguments().get("at") else None
        return request_detail.content(platform, VersionId(name, number), request_id, row, at)

    return (
        Page("/", "overview.html", "Overview", lambda: overview.content(platform, drawn, arguments(), now()), somewhere("view")),
        Page("/models/<name>", "model.html", "Overview", lambda name: model.content(platform, drawn, name, arguments(), now()), named("view", "name")),
        Page("/sequences/<name>", "sequence.html", "Overview", lambda name: sequence.content(platform, drawn, name, arguments(), now()), named("view", "name")),
        Page("/sequences/<name>/edit", "sequence_edit.html", "Overview", lambda name: sequence_edit.content(platform, name, sequence_edit.of_sequence(platform, name)), named("operate", "name")),
        Page("/requests", "requests.html", "Requests", lambda: request_list.content(platform, arguments(), now()), version_in("read", "version")),
        Page("/requests/<name>/<int:number>/<path:request_id>", "request.html", "Requests", one_request, named("read", "name")),
        Page("/incidents", "incidents.html", "Incidents", lambda: incidentpages.listing(platform, arguments()), somewhere("view")),
        Page("/incidents/<int:number>", "incident.html", "Incidents", lambda number: incidentpages.one(platform, number), on("view", "each model of the incident", of_incident)),
        Page("/rules", "rules.html", "Rules", lambda: rules.content(platform), somewhere("view")),
        Page("/reports", "reports.html", "Reports", lambda: reporting.reports(platform, arguments()), version_in("view", "version")),
        Page("/reports/<name>/<int:number>/<kind>/<report>", "report.html", "Reports", lambda name, number, kind, report: reporting.report(platform, VersionId(name, number), kind, report), of_report("name")),
        Page("/compare", "compare.html", "Overview", lambda: comparison.content(platform, arguments(), now()), (version_in("read", "first", "second"), Access("optional", "read", "both models of `replay`", _replayed))),
        Page("/segments", "segments.html", "Requests", lambda: segments.content(platform, arguments(), now()), version_in("read", "version")),
        Page("/runs", "runs.html", "Runs", lambda: reporting.runs(platform, arguments()), somewhere("view")),
        Page("/streams", "streams.html", "Runs", lambda: streams.content(platform), somewhere("view")),
        Page("/runs/<job>", "run.html", "Runs", lambda job: reporting.run(platform, job), on("view", "the model of the run", of_job)),
        Page("/access", "access.html", "Settings", lambda: accesspages.keys_and_grants(platform), everywhere("administer")),
        Page("/audit", "audit.html", "Settings", lambda: accesspages.entries(platform, arguments()), everywhere("administer")),
        Page("/settings", "settings.html", "Settings", lambda: settings_page.content(platform), somewhere("view")),
    )  # fmt: skip


def _replayed(platform: Platform, _arguments: Mapping[str, Any]) -> list[str]:
    replay = flask.request.args.get("replay")
    return of_replay(platform, {"id": replay}) if replay else []


class _Views:
    """Flask's views of pages: whole, as JSON, or the parts that a script asks for."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._kept: dict[Any, tuple[float, bytes]] = {}

    def page(self, page: Page) -> Callable[..., Response]:
        def view(**path: Any) -> Response:
            asked = flask.request.args.get("parts")
            if asked is not None:
                return self._parts(page, asked.split(","), path)
            return self.rendered(page.template, page.section, page.content(**path), self._twin_url(page))

        return view

    def twin(self, page: Page) -> Callable[..., Response]:
        def view(**path: Any) -> Response:
            body = orjson.dumps(page.content(**path), default=str)
            return Response(body, content_type="application/json", headers={"cache-control": "no-store"})

        return view

    def rendered(self, template: str, section: str, shown: Json, twin: str) -> Response:
        text = flask.render_template(template, **shown, frame=self._frame.shown(), section=section, twin=twin)
        headers = {"content-security-policy": POLICY, "cache-control": "no-store", "referrer-policy": "same-origin"}
        return Response(text, content_type="text/html; charset=utf-8", headers=headers)

    def error(self, error: HeadraceError) -> Response:
        if flask.request.path.endswith(".json") or "parts" in flask.request.args:
            return answer_error(error)
        flask.g.refused = error.message
        if isinstance(error, Unauthenticated) and flask.request.path != login.PATH:
            return login.ask()
        if isinstance(error, NotFound) and not current.may("view"):
            error.hint = None  # it may name what there is and this caller may not see
        shown = {"message": error.message, "hint": error.hint, "expected": error.expected, "status": status_of(error), "again": _asked(), "request_id": flask.g.get("request_id", "")}  # fmt: skip
        response = self.rendered("error.html", "", shown, "/index.json")
        response.status_code = status_of(error)
        return response

    def unknown(self, error: Exception) -> Response:
        """A browser that asks for a path that nothing is at gets a page with ways on; programs get a problem document."""
        accepted = flask.request.accept_mimetypes
        if accepted.quality("text/html") <= accepted.quality("application/json"):
            return answer_error(error)
        return self.error(NotFound(f"there is no page {flask.request.path}"))

    def _twin_url(self, page: Page) -> str:
        return _asked("/index.json" if page.path == "/" else f"{flask.request.path}.json")

    def _parts(self, page: Page, names: list[str], path: Mapping[str, Any]) -> Response:
        """The named blocks of a page as JSON, made at most once in ``PART_SECONDS`` whoever asks."""
        key, now = (flask.request.full_path, current.rights()), time.monotonic()
        held = self._kept.get(key)
        if held is None or now - held[0] > PART_SECONDS:
            if len(self._kept) > 500:
                self._kept.clear()
            held = self._kept[key] = (now, self._rendered_parts(page, names, path))
        return Response(held[1], content_type="application/json", headers={"cache-control": "no-store"})

    def _rendered_parts(self, page: Page, names: list[str], path: Mapping[str, Any]) -> bytes:
        environment = flask.current_app.jinja_env
        template = environment.get_template(page.template)
        context = {**page.content(**path), "frame": self._frame.shown(), "section": page.section, "twin": ""}
        flask.current_app.update_template_context(context)
        bound = template.new_context({**context, "ui": environment.get_template("macros.html").make_module(context)})
        found = {}
        for name in names:
            block = template.blocks.get(name) or template.blocks.get(f"{name}_list")
            if block is not None:
                found[name] = "".join(block(bound))
        return orjson.dumps(found)


def _asked(path: str = "") -> str:
    """What was asked for as a link, or another path with the same query."""
    query = flask.request.query_string.decode(errors="replace")
    return quote(path or flask.request.path) + (f"?{query}" if query else "")


def _export(platform: Platform) -> Response:
    rows = request_list.export(platform, flask.request.args, datetime.now(UTC))
    name = flask.request.args.get("version", "requests").replace(":", "-v")
    return Response(rows, content_type="text/csv; charset=utf-8", headers={"content-disposition": f'attachment; filename="{name}.csv"', "cache-control": "no-store"})  # fmt: skip


def _find(platform: Platform) -> Response:
    """Go to what was typed: an incident's number, a version, a model, a sequence; else the overview filtered by it."""
    text = flask.request.args.get("q", "").strip()
    if text.isascii() and text.isdigit():
        return flask.redirect(f"/incidents/{text}")
    name, _, number = text.partition(":")
    if name in platform.catalog.models() and current.may("view", name):
        return flask.redirect(f"/models/{name}" + (f"?version={number}" if number.isdigit() else ""))
    if text in platform.catalog.sequences.names() and current.may("view", text):
        return flask.redirect(f"/sequences/{text}")
    return flask.redirect(f"/?{urlencode({'q': text})}")


@cache
def _asset(name: str) -> str:
    """The URL of a static file with the digest of its content, so that it may be kept for good."""
    digest = hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def _compressed(response: flask.Response) -> flask.Response:
    if flask.request.path.startswith("/static/") and "v" in flask.request.args:
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
    kind = response.content_type or ""
    wanted = "gzip" in flask.request.headers.get("accept-encoding", "") and "content-encoding" not in response.headers
    text = kind.startswith(
        ("text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg")
    )
    if not wanted or not text or response.status_code != 200:
        return response
    response.direct_passthrough = False
    data = response.get_data()
    if len(data) > _SMALLEST:
        response.set_data(gzip.compress(data, 5, mtime=0))
        response.headers["content-encoding"] = "gzip"
        response.headers["vary"] = "accept-encoding"
    return response


def _coded(text: Any) -> Markup:
    """Text with `names` in backticks as code; everything is escaped."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else _timed(p) for n, p in enumerate(parts))


def _timed(text: str) -> Markup:
    """Escaped text in which ``14:05 UTC`` is marked, so that the script may show it in the reader's zone."""
    return Markup(re.sub(r"\b(\d\d:\d\d UTC)\b", r'<span class="utc">\1</span>', str(escape(text))))  # noqa: S704 - escaped before


def _span(seconds: float) -> str:
    """``120`` as ``2 min``."""
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} s"
