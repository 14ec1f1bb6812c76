"""Forms of pages that change something. Each is a POST that ends in a redirect to the page it came from.

A browser says where a form comes from (``Origin`` or ``Sec-Fetch-Site``); one of another site, or of nobody knows where, is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import flask
import httpx
import orjson
from werkzeug.wrappers import Response

from headrace_controller.access import current
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.identity import SAFE, from_our_pages
from headrace_controller.api.permissions import Access, named, of_job, on, version_in
from headrace_controller.pages import comparison, incidentpages, links, rules, sequence, sequence_edit, streams
from headrace_controller.pages.healthsource import DrawnBuckets
from headrace_controller.service.explanations import ExplanationRequest
from headrace_controller.service.jobs import JobRequest, Kind
from headrace_controller.service.platform import Platform
from headrace_functions.access.authentication import CALLER
from headrace_functions.errors import Conflict, HeadraceError, InvalidInput, Unreachable
from headrace_functions.names import Reference, VersionId, natural
from headrace_functions.platform_secret import PROOF

TRY_SECONDS = 60.0
RUN_KINDS = ("drift", "performance", "quality", "outliers", "profile")
WINDOW = "24h"

Render = Callable[[str, dict[str, Any]], Response]


def actions(pages: DeclaredRoutes, platform: Platform, drawn: DrawnBuckets, render: Render) -> None:
    """Add the forms' routes. ``render`` draws a page from its template and content."""
    pages.before_request(_from_our_pages)
    forms = _Forms(platform, drawn, render)
    of_its_stages = Access("optional", "call", "each model of its stages", sequence_edit.posted_models)
    for rule, view, access in (
        ("/runs", forms.start_run, version_in("analyze", "version")),
        ("/runs/<job>/cancel", forms.cancel_run, on("analyze", "the model of the run", of_job)),
        ("/explanations", forms.explain, (version_in("analyze", "version"), version_in("read", "version"))),
        ("/sequences/<name>/rollback", forms.roll_back, named("operate", "name")),
        ("/models/<name>/aliases/<alias>", forms.move_alias, named("operate", "name")),
        ("/sequences/<name>/edit", forms.edit_sequence, (named("operate", "name"), of_its_stages)),
        ("/sequences/<name>/edit/check", forms.check_sequence, (named("operate", "name"), of_its_stages)),
        ("/sequences/<name>/try", forms.try_sequence, (named("view", "name"), named("call", "name"))),
    ):
        pages.serve(rule, view.__name__, view, access, ["POST"])
    incidentpages.actions(pages, platform, field)
    rules.actions(pages, platform)
    streams.actions(pages, platform)
    comparison.actions(pages, platform)


class _Forms:
    def __init__(self, platform: Platform, drawn: DrawnBuckets, render: Render) -> None:
        self._platform = platform
        self._drawn = drawn
        self._render = render

    def start_run(self) -> Response:
        kind, version = field("kind"), VersionId.parse(field("version"))
        if kind not in RUN_KINDS:
            raise InvalidInput(
                f"kind: {kind!r} is not a kind of run", field="kind", expected=f"one of {', '.join(RUN_KINDS)}"
            )
        self._platform.catalog.get(version)
        job = self._platform.jobs.start(JobRequest(cast(Kind, kind), version, "native", {"window": WINDOW}))
        return flask.redirect(f"/runs/{job.id}", 303)

    def cancel_run(self, job: str) -> Response:
        self._platform.jobs.cancel(job)
        return flask.redirect(f"/runs/{job}", 303)

    def explain(self) -> Response:
        version, request_id, row = VersionId.parse(field("version")), field("request_id"), number("row")
        asked = ExplanationRequest(Reference.parse(str(version)), request_id, row, method=field("method"))
        self._platform.explanations.start(asked)
        return flask.redirect(links.request(version, request_id, row), 303)

    def roll_back(self, name: str) -> Response:
        self._platform.sequences.rollback(name, number("to"))
        return flask.redirect(f"/sequences/{name}", 303)

    def edit_sequence(self, name: str) -> Response:
        draft = sequence_edit.of_form(flask.request.form)
        try:
            definition = sequence_edit.definition(self._platform, name, draft)
            self._platform.sequences.apply(definition, since=draft.revision)
        except (InvalidInput, Conflict) as error:
            return self._edited(name, draft, error)
        return flask.redirect(f"/sequences/{name}", 303)

    def check_sequence(self, name: str) -> Response:
        """The form again: with one more stage, or with what the change would mean. Nothing is kept."""
        draft = sequence_edit.of_form(flask.request.form)
        before = flask.request.form.get("insert")
        if before is None:
            return self._edited(name, draft)
        return self._edited(
            name, sequence_edit.with_stage(draft, min(number("insert"), len(draft.stages))), check=False
        )

    def _edited(
        self, name: str, draft: sequence_edit.Draft, problem: HeadraceError | None = None, *, check: bool = True
    ) -> Response:
        if isinstance(problem, Conflict):  # who saves once more does so knowing of the other change
            draft = replace(draft, revision=self._platform.sequences.get(name).number)
        shown = sequence_edit.content(self._platform, name, draft, check=check, problem=problem)
        response = self._render("sequence_edit.html", shown)
        if problem is not None:
            response.status_code = 409 if isinstance(problem, Conflict) else 422
        return response

    def move_alias(self, name: str, alias: str) -> Response:
        self._platform.aliases.move(name, alias, number("to"))
        return flask.redirect(f"/models/{name}", 303)

    def try_sequence(self, name: str) -> Response:
        shown = sequence.content(self._platform, self._drawn, name, {}, incidentpages.now())
        trust = self._platform.trust
        vouched = {PROOF.decode(): trust.secret.value, CALLER.decode(): current.caller().subject}
        url = f"{self._platform.endpoint}/v2/models/{name}/infer"
        tried = _tried(url, field("body"), vouched if trust.required else {})
        return self._render("sequence.html", {**shown, "tried": tried})


def _from_our_pages() -> None:
    if flask.request.method not in SAFE and not from_our_pages():
        flask.abort(403, description="forms are taken from this platform's own pages alone; programs use /api/v1")


def field(name: str) -> str:
    """A member of the posted form; ``InvalidInput`` where it is missing."""
    value = flask.request.form.get(name)
    if value is None:
        raise InvalidInput(f"{name}: it is missing from the form", field=name)
    return value


def number(name: str) -> int:
    text = field(name)
    found = natural(text)
    if found is None:
        raise InvalidInput(f"{name}: {text[:80]!r} is not a number", field=name, expected="0, 1, 2 …")
    return found


def _tried(url: str, body: str, vouched: Mapping[str, str]) -> dict[str, Any]:
    """Send a request as anybody could; ``vouched`` are headers by which the gateway believes who asks."""
    try:
        reply = httpx.post(
            url, content=body.encode(), headers={"content-type": "application/json", **vouched}, timeout=TRY_SECONDS
        )
    except httpx.HTTPError as error:
        raise Unreachable(f"the gateway at {url} did not answer: {error}") from error
    try:
        answer = orjson.dumps(orjson.loads(reply.content), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        answer = reply.text
    return {
        "body": body,
        "status": reply.status_code,
        "ms": reply.elapsed.total_seconds() * 1000,
        "answer": answer[:100_000],
    }
