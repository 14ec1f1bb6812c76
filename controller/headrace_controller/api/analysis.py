"""Reports, jobs, schedules and explanations."""

import re
from datetime import UTC, datetime
from typing import Literal

import orjson
from pydantic import Field
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.api import schemas, views
from headrace_controller.api.models import PageQuery
from headrace_controller.api.permissions import (
    body_and_schedule,
    body_model,
    everywhere,
    of_job,
    of_report,
    of_schedule,
    on,
    somewhere,
)
from headrace_controller.api.routing import Body, Query, Resource
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.definitions.monitoring import RuleDefinition
from headrace_controller.environments.named import Engine
from headrace_controller.service import paging
from headrace_controller.service.explanations import ExplanationRequest
from headrace_controller.service.gauges import CONTENT_TYPE
from headrace_controller.service.jobs import DEFAULT_TIMEOUT, JobRequest, Kind
from headrace_controller.service.metricfunctions import keep_function
from headrace_controller.service.platform import Platform
from headrace_controller.service.schedules import Schedule
from headrace_functions import quality_rules
from headrace_functions.errors import InvalidInput
from headrace_functions.names import Reference, VersionId

resource = Resource("analysis")

DRIFT_OPTIONS = ("against", "chunks", "method", "detector", "settings")
ROWS = re.compile(r"[1-9]\d{0,8}rows")
OWN_OPTIONS = {
    "rate": "outliers",
    "group": "fairness",
    "positive": "fairness",
    **dict.fromkeys(("rows", "count", "budget"), "attribution"),
    **dict.fromkeys(("files", "to", "part_rows", "parallel", "log", "restart"), "batch"),
    **dict.fromkeys(("layout", "dimensions", "points", "request_id", "row"), "projection"),
}
"""Options of one kind of job."""
_REPORT = "/reports/<model>/<int:number>/<kind>/<name>"


class ReportQuery(PageQuery):
    model: str | None = Field(default=None, description="MODEL or MODEL:NUMBER")
    kind: str | None = Field(default=None, description="as headrace report list --kind: drift, performance, explain, …")


class JobQuery(Query):
    limit: int = Field(default=paging.DEFAULT_LIMIT, description=f"items of a page, 1 to {paging.MAX_LIMIT}")
    page_token: str | None = Field(default=None, description="'next' of the page before")
    kind: str | None = None
    model: str | None = Field(default=None, description="MODEL:NUMBER")
    status: str | None = Field(default=None, description="queued, running, done or failed")


class JobBody(Body):
    """What to analyse."""

    kind: Kind = "drift"
    model: str = Field(description="MODEL, MODEL:NUMBER or MODEL@ALIAS")
    engine: Engine = "native"
    window: str | None = Field(
        default=None, description="back from 'until': a duration, e.g. 24h, or rows, e.g. 10000rows"
    )
    against: str | None = Field(default=None, description="drift: training, previous or START/END in RFC 3339")
    chunks: str | None = Field(default=None, description="drift: length of pieces judged by themselves too, e.g. 1h")
    method: str | None = Field(default=None, description="drift: tests of fields, e.g. age=cvm,categorical=g")
    detector: str | None = Field(
        default=None, description="drift: tests of all fields together, e.g. joint,mmd, or none"
    )
    settings: str | None = Field(
        default=None,
        description="drift: settings of this run in place of the version's, a line each, e.g. monitoring.alpha=0.01",
    )
    until: str | None = Field(default=None, description="RFC 3339 time; now by default")
    where: str | None = Field(
        default=None,
        description="only rows of the log that satisfy this condition, e.g. in.age > 30 AND outcome = 'ok'",
    )
    time: str | None = Field(
        default=None,
        description="when a row happened: received, caller_time, or an input or output; by default the definition's",
    )
    output: str | None = Field(
        default=None, description="performance, fairness: the output that predicts; attribution: the one explained"
    )
    rows: Literal["sample", "outliers", "drifted", "training"] | None = Field(
        default=None, description="attribution: which rows of the window are explained"
    )
    count: int | None = Field(default=None, description="attribution: rows that are explained, up to 10,000")
    budget: int | None = Field(default=None, description="attribution: questions to the endpoint, together")
    metric_file: str | None = Field(
        default=None, description="performance: Python with a metric of one's own, at most 64 KiB; see docs/reports.md"
    )
    metric: str | None = Field(default=None, description="performance: the function in metric_file")
    rate: float | None = Field(default=None, description="outliers: wanted share of false alarms")
    rules: list[RuleDefinition] | None = Field(
        default=None, description="quality: rules in place of the version's, as under monitoring in a definition"
    )
    group: str | None = Field(default=None, description="fairness: the input whose values are the groups")
    positive: str | None = Field(default=None, description="fairness: the answer that is the good one")
    layout: str | None = Field(default=None, description="projection: tsne or pca")
    dimensions: int | None = Field(default=None, description="projection: 2 or 3")
    points: int | None = Field(default=None, description="projection: rows of both sides")
    request_id: str | None = Field(default=None, description="projection: a request whose neighbours are shown")
    row: int | None = Field(default=None, description="projection: row of the request")
    files: str | None = Field(
        default=None, description="batch: file, folder or pattern of rows, in a place that the platform allows"
    )
    to: str | None = Field(default=None, description="batch: folder for the answers")
    part_rows: int | None = Field(default=None, description="batch: rows in a request, up to 100,000")
    parallel: int | None = Field(default=None, description="batch: requests at once, up to 64")
    log: Literal["on", "off"] | None = Field(default=None, description="batch: whether its requests are logged")
    restart: Literal["yes", "no"] | None = Field(
        default=None, description="batch: whether what an earlier run has answered is forgotten"
    )
    timeout: float = Field(default=DEFAULT_TIMEOUT, gt=0, le=86400, description="seconds")


class ScheduleBody(Body):
    cron: str = Field(default="", description="minute hour day month weekday, UTC; or every_rows")
    every_rows: int = Field(default=0, description="rows of the log after which it runs again, at least 30")
    model: str = Field(description="MODEL, MODEL:NUMBER or MODEL@ALIAS; an alias is followed at each run")
    window: str = "24h"
    engine: Engine = "native"
    kind: Kind = "drift"
    missed: Literal["skip", "catch-up"] = Field(default="skip", description="what happens to ticks that were missed")
    options: dict[str, str] = Field(default_factory=dict, description="further options of the job, e.g. group")


class TickBody(Body):
    at: str = Field(description="the tick, RFC 3339")


class BackfillBody(Body):
    since: str = Field(description="RFC 3339 time")
    until: str | None = Field(default=None, description="RFC 3339 time; now by default")


class ExplanationBody(Body):
    model: str = Field(description="MODEL, MODEL:NUMBER, MODEL@ALIAS or a sequence, which is explained as a whole")
    request_id: str
    row: int = 0
    output: str | None = None
    method: str = Field(default="shap", description="shap, anchors, counterfactual or rise")
    engine: Engine = Field(default="native", description="alibi: anchors by Alibi (Business Source License 1.1)")
    budget: int | None = Field(default=None, description="questions to the endpoint")


@resource.route("GET", "/reports", access=somewhere("view"), answer=schemas.ReportPage, query=ReportQuery)
def list_reports(platform: Platform, query: ReportQuery) -> schemas.ReportPage:
    """List reports, the newest first."""
    reference = Reference.parse(query.model) if query.model else None
    version = VersionId(reference.name, reference.number) if reference and reference.number else None
    found = platform.reports.select(
        query.page(), version=version, model=reference.name if reference else None, kind=query.kind
    )
    return schemas.ReportPage(items=[views.report(r) for r in found.items], next=found.next)


@resource.route("GET", "/reports/gauges", access=somewhere("view"), produces="text/plain")
def get_report_gauges(platform: Platform) -> Response:
    """Gauges of the last report of each kind of each version, for Prometheus."""
    return Response(platform.gauges.text(), content_type=CONTENT_TYPE)


@resource.route("GET", _REPORT, access=of_report(), produces="application/json")
def get_report(platform: Platform, model: str, number: int, kind: str, name: str) -> Response:
    """Show a report as JSON; its schema is in docs/reports.md."""
    document = platform.reports.document(VersionId(model, number), kind, name)
    return Response(orjson.dumps(document), content_type="application/json")


@resource.route("GET", f"{_REPORT}/page", access=of_report(), produces="text/html")
def get_report_page(platform: Platform, model: str, number: int, kind: str, name: str) -> Response:
    """Show a report as a self-contained HTML page."""
    page = platform.reports.page(VersionId(model, number), kind, name)
    # The page holds values of requests: nothing in it may run or load anything.
    return Response(
        page,
        content_type="text/html; charset=utf-8",
        headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"},
    )


def _own_metric(platform: Platform, body: JobBody) -> dict[str, str]:
    """The option of a metric of the user's own, whose file is kept in the store."""
    if body.metric_file is None and body.metric is None:
        return {}
    if body.metric_file is None or body.metric is None:
        raise InvalidInput(
            "metric: both a file and a function are required", field="metric", hint="give metric_file and metric"
        )
    if body.kind != "performance":
        raise InvalidInput("metric_file: only performance accepts it", field="metric_file", hint="leave it out")
    objects = platform.catalog.documents.objects
    return {"metric-function": keep_function(objects, body.metric_file, body.metric)}


def _own_rules(platform: Platform, body: JobBody) -> dict[str, str]:
    """The option of data-quality rules of this run, held against the version's signature."""
    if body.kind != "quality":
        if body.rules is not None:
            raise InvalidInput("rules: only quality accepts them", field="rules", hint="leave them out")
        return {}
    found = platform.versions.resolve(Reference.parse(body.model))
    if not body.rules:
        if found.version is not None and not found.version.quality:
            raise InvalidInput(
                f"{found.id} has no data-quality rules",
                field="rules",
                expected="rules under monitoring in its definition, or rules of this run",
                hint="headrace analyze quality --rules FILE.yaml; docs/reports.md has their kinds",
            )
        return {}
    rules = [rule.to_rule() for rule in body.rules]
    if found.version is not None:
        quality_rules.check(rules, found.version.signature)
    return {"rules": orjson.dumps([rule.to_document() for rule in rules]).decode()}


@resource.route(
    "POST",
    "/jobs",
    access=on("analyze", "the model in the body", body_model, late=True),
    answer=schemas.JobView,
    body=JobBody,
    status=202,
)
def start_job(platform: Platform, body: JobBody) -> schemas.JobView:
    """Queue an analysis; responds immediately."""
    if body.kind == "explain":
        raise InvalidInput("kind: explanations have their own route", field="kind", hint="POST /api/v1/explanations")
    names = ("window", "until", "where", "time", "output", *DRIFT_OPTIONS)
    arguments = {name: value for name in names if (value := getattr(body, name)) is not None}
    refused = [name for name in DRIFT_OPTIONS if name in arguments and body.kind != "drift"]
    if refused:
        raise InvalidInput(f"{refused[0]}: only drift accepts it", field=refused[0], hint="leave it out")
    for name, kind in OWN_OPTIONS.items():
        if (value := getattr(body, name)) is not None:
            if body.kind != kind:
                raise InvalidInput(f"{name}: only {kind} accepts it", field=name, hint="leave it out")
            arguments[name.replace("_", "-")] = str(value)
    if body.output is not None and body.kind not in ("performance", "fairness", "attribution"):
        raise InvalidInput(
            "output: only performance, fairness and attribution accept it", field="output", hint="leave it out"
        )
    arguments |= _own_metric(platform, body) | _own_rules(platform, body)
    if body.window is not None and not ROWS.fullmatch(body.window):
        parse_duration(body.window)
    version = platform.versions.resolve(Reference.parse(body.model)).id
    if body.where:
        platform.logs.check(version, body.where)
    return views.job(platform.jobs.start(JobRequest(body.kind, version, body.engine, arguments, body.timeout)))


@resource.route("GET", "/jobs", access=somewhere("view"), answer=schemas.JobPage, query=JobQuery)
def list_jobs(platform: Platform, query: JobQuery) -> schemas.JobPage:
    """List analysis runs, the newest first."""
    request = paging.PageRequest(query.limit, query.page_token)
    found = platform.jobs.select(request, kind=query.kind, model=query.model, status=query.status)
    return schemas.JobPage(items=[views.job(j) for j in found.items], next=found.next)


@resource.route("GET", "/jobs/<job>", access=on("view", "the model of the run", of_job), answer=schemas.JobView)
def get_job(platform: Platform, job: str) -> schemas.JobView:
    """Show an analysis run: state, reason, result."""
    return views.job(platform.jobs.get(job))


@resource.route("GET", "/jobs/<job>/log", access=on("diagnose", "the model of the run", of_job), answer=schemas.JobLog)
def get_job_log(platform: Platform, job: str) -> schemas.JobLog:
    """Show the log of an analysis run."""
    return schemas.JobLog(text=platform.jobs.log(job))


@resource.route("DELETE", "/jobs/<job>", access=on("analyze", "the model of the run", of_job), answer=schemas.JobView)
def cancel_job(platform: Platform, job: str) -> schemas.JobView:
    """Stop an analysis that is waiting or running."""
    return views.job(platform.jobs.cancel(job))


@resource.route("GET", "/schedules", access=somewhere("view"), answer=schemas.ScheduleList)
def list_schedules(platform: Platform) -> schemas.ScheduleList:
    """List schedules by name."""
    return schemas.ScheduleList(items=[views.schedule(s) for s in platform.schedules.select()])


@resource.route(
    "PUT",
    "/schedules/<name>",
    access=on("analyze", "the model in the body, and of the schedule as it is", body_and_schedule, late=True),
    answer=schemas.ScheduleView,
    body=ScheduleBody,
)
def put_schedule(platform: Platform, name: str, body: ScheduleBody) -> schemas.ScheduleView:
    """Create or change a schedule."""
    schedule = Schedule(
        name,
        body.cron,
        body.model,
        body.window,
        body.engine,
        body.kind,
        body.every_rows,
        body.missed,
        body.options,
    )
    platform.schedules.put(schedule)
    return views.schedule(schedule)


@resource.route(
    "GET", "/schedules/<name>", access=on("view", "the model of the schedule", of_schedule), answer=schemas.ScheduleView
)
def get_schedule(platform: Platform, name: str) -> schemas.ScheduleView:
    """Show a schedule."""
    return views.schedule(platform.schedules.get(name))


@resource.route(
    "GET", "/schedules/<name>/runs", access=on("view", "the model of the schedule", of_schedule), answer=schemas.RunList
)
def list_schedule_runs(platform: Platform, name: str) -> schemas.RunList:
    """List the newest runs of a schedule."""
    return schemas.RunList(items=[views.run(r) for r in platform.schedules.runs(name)])


@resource.route(
    "POST", "/schedules/<name>/tick", access=everywhere("operate"), answer=schemas.RunView, body=TickBody, status=202
)
def tick_schedule(platform: Platform, name: str, body: TickBody) -> schemas.RunView:
    """Run a tick of a schedule that has no run yet. In a cluster a CronJob calls this."""
    run = platform.schedules.tick(name, clock.parse(body.at, field="at"), datetime.now(UTC))
    return views.run(run)


@resource.route(
    "POST",
    "/schedules/<name>/backfill",
    access=on("analyze", "the model of the schedule", of_schedule),
    answer=schemas.BackfillView,
    body=BackfillBody,
    status=202,
)
def backfill_schedule(platform: Platform, name: str, body: BackfillBody) -> schemas.BackfillView:
    """Run every tick of a range that has no run yet."""
    now = datetime.now(UTC)
    since = clock.parse(body.since, field="since")
    until = clock.parse(body.until, field="until") if body.until else now
    return schemas.BackfillView(claimed=platform.schedules.backfill(name, since, until, now))


@resource.route("DELETE", "/schedules/<name>", access=on("analyze", "the model of the schedule", of_schedule))
def delete_schedule(platform: Platform, name: str) -> None:
    """Delete a schedule."""
    platform.schedules.delete(name)


@resource.route(
    "POST",
    "/explanations",
    access=(
        on("analyze", "the name in the body", body_model, late=True),
        on("read", "the name in the body", body_model, late=True),
    ),
    answer=schemas.JobView,
    body=ExplanationBody,
    status=202,
)
def start_explanation(platform: Platform, body: ExplanationBody) -> schemas.JobView:
    """Explain one row of a logged request; responds immediately with the job."""
    request = ExplanationRequest(
        Reference.parse(body.model), body.request_id, body.row, body.output, body.budget, body.method, body.engine
    )
    return views.job(platform.explanations.start(request))
