"""What runs and what was asked of it: status, services, logs."""

import tempfile
from datetime import datetime
from pathlib import Path

import flask
from pydantic import Field
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.api import schemas, views
from headrace_controller.api.permissions import everywhere, named, somewhere
from headrace_controller.api.routing import Query, Resource
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.requestlog.reader import MAX_ROWS, LogQuery
from headrace_controller.requestlog.tail import Position
from headrace_controller.service import servicelog
from headrace_controller.service.platform import Platform
from headrace_controller.service.segmentation import Selection
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId

resource = Resource("running")

_VERSION = "<model>/<int:number>"


class ExportQuery(Query):
    since: str | None = Field(default=None, description="RFC 3339 time, or a duration back from now such as 1h")
    until: str | None = Field(default=None, description="as since; rows before it")
    where: str = Field(
        default="",
        description="one boolean SQL expression over the log's columns, e.g. latency_ms > 20 AND in.age < 30",
    )
    columns: str = Field(default="", description="names of columns, separated by commas; all where it is empty")

    def to_query(self, limit: int = MAX_ROWS, order: str = "desc") -> LogQuery:
        if order not in ("asc", "desc"):
            raise InvalidInput(f"order: {order!r} is not a valid order", field="order", expected="asc or desc")
        since, until = (
            moment(text, field) if text else None for text, field in ((self.since, "since"), (self.until, "until"))
        )
        columns = tuple(c.strip() for c in self.columns.split(",") if c.strip())
        return LogQuery(since, until, self.where, columns, limit, order == "asc")


class ServiceLogQuery(Query):
    request: str = Field(default="", max_length=128, description="the id of one request, for its traceback alone")


class RowsQuery(ExportQuery):
    limit: int = Field(default=100, description=f"rows, 1 to {MAX_ROWS}")
    order: str = Field(default="desc", description="by time received: desc (the newest first) or asc")


class SegmentsQuery(Query):
    where: str = Field(
        default="",
        description="which rows are compared with the others: one boolean SQL expression over the log's columns",
    )
    metric: str = Field(default="", description="in its place: the rows that this metric calls unhealthy")
    wrong: bool = Field(default=False, description="in its place: the rows whose answer is not their label")
    since: str | None = Field(default=None, description="RFC 3339 time, or a duration back from now such as 1h")
    until: str | None = Field(default=None, description="as since; rows before it")


class TailQuery(Query):
    after: str = Field(
        default="", description="'next' of the answer before; without it nothing is shown and 'next' is now"
    )
    where: str = Field(default="", description="as in a query; only rows that satisfy it are shown")


@resource.route("GET", "/status", access=somewhere("view"), answer=schemas.StatusView)
def get_status(platform: Platform) -> schemas.StatusView:
    """Show the platform: version, address, counts, services."""
    return schemas.StatusView.model_validate(platform.status())


@resource.route("GET", "/services", access=somewhere("view"), answer=schemas.ServiceList)
def list_services(platform: Platform) -> schemas.ServiceList:
    """List services with their current states."""
    return schemas.ServiceList(items=[views.service(s) for s in platform.services.select()])


@resource.route("GET", f"/services/{_VERSION}", access=named("view"), answer=schemas.ServiceView)
def get_service(platform: Platform, model: str, number: int) -> schemas.ServiceView:
    """Show the service of a version."""
    return views.service(platform.services.get(VersionId(model, number)))


@resource.route(
    "GET", f"/services/{_VERSION}/log", access=named("diagnose"), answer=schemas.ServiceLogView, query=ServiceLogQuery
)
def read_service_log(platform: Platform, model: str, number: int, query: ServiceLogQuery) -> schemas.ServiceLogView:
    """Read the end of the log of a version's processes, or what they logged about one request."""
    version = VersionId(model, number)
    platform.catalog.get(version)
    return schemas.ServiceLogView(text=servicelog.read(platform.home / "log", version, query.request))


@resource.route("POST", f"/services/{_VERSION}/wake", access=named("operate"), answer=schemas.ServiceView, status=202)
def wake_service(platform: Platform, model: str, number: int) -> schemas.ServiceView:
    """Start the service of a version if it is asleep; responds immediately."""
    return views.service(platform.services.wake(VersionId(model, number)))


@resource.route("POST", f"/services/{_VERSION}/sleep", access=named("operate"), answer=schemas.ServiceView, status=202)
def put_service_to_sleep(platform: Platform, model: str, number: int) -> schemas.ServiceView:
    """Stop the service of a version if it is idle; the next request wakes it."""
    return views.service(platform.services.sleep(VersionId(model, number)))


@resource.route("GET", f"/logs/{_VERSION}", access=named("read"), answer=schemas.LogRows, query=RowsQuery)
def query_log(platform: Platform, model: str, number: int, query: RowsQuery) -> schemas.LogRows:
    """Query the request log of a version; the newest rows first."""
    version = VersionId(model, number)
    wanted = query.to_query(query.limit, query.order)
    return schemas.LogRows(columns=platform.logs.columns(version), rows=platform.logs.query(version, wanted))


@resource.route("GET", f"/logs/{_VERSION}/tail", access=named("read"), answer=schemas.LogTailView, query=TailQuery)
def tail_log(platform: Platform, model: str, number: int, query: TailQuery) -> schemas.LogTailView:
    """Follow the request log of a version: the rows logged after a position, each once."""
    version = VersionId(model, number)
    if not query.after:
        return schemas.LogTailView(rows=[], next=str(platform.tail.now(version, query.where)), behind=False)
    found = platform.tail.follow(version, Position.parse(query.after), query.where)
    return schemas.LogTailView(rows=found.rows, next=str(found.next), behind=found.behind)


@resource.route(
    "GET",
    f"/logs/{_VERSION}/export",
    access=named("read"),
    query=ExportQuery,
    produces="application/vnd.apache.parquet",
)
def export_log(platform: Platform, model: str, number: int, query: ExportQuery) -> Response:
    """Download the rows of a query as a Parquet file, without a limit."""
    version = VersionId(model, number)
    with tempfile.NamedTemporaryFile(prefix="export-", suffix=".parquet", dir=platform.home, delete=False) as file:
        target = Path(file.name)
    try:
        platform.logs.export(version, query.to_query(), target)
        source = target.open("rb")
    finally:
        target.unlink()  # the open file lives until the response is sent
    return flask.send_file(
        source,
        mimetype="application/vnd.apache.parquet",
        download_name=f"{version.service}.parquet",
        as_attachment=True,
    )


@resource.route(
    "GET", f"/logs/{_VERSION}/segments", access=named("read"), answer=schemas.SegmentsView, query=SegmentsQuery
)
def find_segments(platform: Platform, model: str, number: int, query: SegmentsQuery) -> schemas.SegmentsView:
    """Show what sets some rows (a condition, unhealthy by a metric, or wrong by their labels) apart from the others of the same period."""
    since, until = (
        moment(text, name) if text else None for text, name in ((query.since, "since"), (query.until, "until"))
    )
    chosen = Selection(query.where, query.metric, query.wrong, since, until)
    found = platform.segmentation.of(VersionId(model, number), chosen)
    views = [
        schemas.SegmentView(where=s.where, share=s.share, usual=s.usual, rows=s.rows, p=s.p) for s in found.segments
    ]
    return schemas.SegmentsView(rows=found.rows, selected=found.selected, segments=views)


@resource.route("GET", "/refused-records", access=everywhere("diagnose"), answer=schemas.RefusedList)
def list_refused_records(platform: Platform) -> schemas.RefusedList:
    """List records that the collector could not log and has set aside, with the reasons."""
    found = platform.intake.refused()
    return schemas.RefusedList(
        items=[schemas.RefusedView(key=r.key, size=r.size, reason=r.reason, at=r.at) for r in found]
    )


@resource.route("POST", "/refused-records/retry", access=everywhere("operate"), answer=schemas.RetriedView)
def retry_refused_records(platform: Platform) -> schemas.RetriedView:
    """Pass all records that were set aside to the collector again, e.g. after an upgrade; each is logged once."""
    return schemas.RetriedView(retried=platform.intake.retry())


def moment(text: str, field: str) -> datetime:
    """A time that is written as RFC 3339 or as a duration back from now."""
    try:
        return clock.ago(parse_duration(text))
    except InvalidInput:
        return clock.parse(text, field=field)
