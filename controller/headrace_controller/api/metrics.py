"""Metrics of versions: list, values, history, attach, detach; and everything about one logged request."""

from pydantic import Field

from headrace_controller.api import schemas
from headrace_controller.api.permissions import body_scorer, named, on
from headrace_controller.api.routing import Body, Query, Resource
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.monitoring.values import Health
from headrace_controller.requestlog.literals import literal
from headrace_controller.requestlog.reader import MAX_ROWS, LogQuery
from headrace_controller.service.metrics import MetricState
from headrace_controller.service.platform import Platform
from headrace_functions.errors import NotFound
from headrace_functions.names import Reference, VersionId

resource = Resource("metrics")

_VERSION = "<model>/<int:number>"
_METRIC = f"/metrics/{_VERSION}/<name>"


class ValuesQuery(Query):
    limit: int = Field(default=100, description=f"values, 1 to {MAX_ROWS}; the newest first")


class MetricBody(Body):
    model: str | None = Field(default=None, description="MODEL:NUMBER or MODEL@ALIAS of the version that scores")
    expression: str = Field(
        default="", description="in place of a model: a formula over inputs and outputs, e.g. amount / income > 0.4"
    )
    threshold: float | None = Field(default=None, description="left out for an expression that is true or false")
    operator: str = Field(default="<=", description="a row is healthy if and only if value OPERATOR threshold")


@resource.route("GET", f"/metrics/{_VERSION}", access=named("view"), answer=schemas.MetricList)
def list_metrics(platform: Platform, model: str, number: int) -> schemas.MetricList:
    """List the metrics of a version with a summary of their newest values."""
    return schemas.MetricList(items=[view(m) for m in platform.metrics.select(VersionId(model, number))])


@resource.route("GET", _METRIC, access=named("read"), answer=schemas.MetricDetail, query=ValuesQuery)
def get_metric(platform: Platform, model: str, number: int, name: str, query: ValuesQuery) -> schemas.MetricDetail:
    """Show a metric: its newest values, and the share of unhealthy rows by hour."""
    version = VersionId(model, number)
    state = platform.metrics.get(version, name)
    return schemas.MetricDetail(
        **view(state).model_dump(),
        values=[dict(v) for v in platform.metrics.values(version, name, query.limit)],
        history=[health(h) for h in platform.metrics.history(version, name)],
    )


@resource.route(
    "PUT",
    _METRIC,
    access=(named("develop"), on("call", "the model that scores", body_scorer, late=True)),
    answer=schemas.MetricView,
    body=MetricBody,
)
def put_metric(platform: Platform, model: str, number: int, name: str, body: MetricBody) -> schemas.MetricView:
    """Attach a metric to a version, or change one; its log is scored from the beginning."""
    scores = platform.versions.resolve(Reference.parse(body.model)).id if body.model else None
    spec = MetricSpec(name, scores, body.operator, body.threshold, body.expression)
    return view(platform.metrics.attach(VersionId(model, number), spec))


@resource.route("DELETE", _METRIC, access=named("develop"))
def delete_metric(platform: Platform, model: str, number: int, name: str) -> None:
    """Detach a metric; its values stay."""
    platform.metrics.detach(VersionId(model, number), name)


@resource.route("GET", f"/logs/{_VERSION}/requests/<path:request_id>", access=named("read"), answer=schemas.RequestView)
def get_request(platform: Platform, model: str, number: int, request_id: str) -> schemas.RequestView:
    """Show the rows of one logged request with the values of the metrics."""
    version = VersionId(model, number)
    where = f"request_id = {literal(request_id)}"
    rows = platform.logs.query(version, LogQuery(where=where, limit=MAX_ROWS, ascending=True))
    if not rows:
        raise NotFound(
            f"the log of {version} has no request {request_id!r}",
            field="request-id",
            hint="requests appear in the log within a few seconds; see: headrace log query",
        )
    return schemas.RequestView(rows=rows, metrics=[dict(v) for v in platform.metrics.of_request(version, request_id)])


def view(found: MetricState) -> schemas.MetricView:
    return schemas.MetricView(
        name=found.spec.name,
        model=str(found.spec.model) if found.spec.model else None,
        expression=found.spec.expression,
        condition=found.spec.condition,
        operator=found.spec.operator,
        threshold=found.spec.threshold,
        health=health(found.health),
        last=dict(found.last) if found.last else None,
    )


def health(found: Health) -> schemas.HealthView:
    return schemas.HealthView(
        start=found.start, rows=found.rows, unhealthy=found.unhealthy, errors=found.errors, share=found.share
    )
