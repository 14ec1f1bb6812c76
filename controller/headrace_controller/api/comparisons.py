"""Comparing two versions on the same requests, and replays that make such requests."""

from pydantic import Field

from headrace_controller.api import schemas
from headrace_controller.api.permissions import body_sides, body_target, of_replay, on, version_in
from headrace_controller.api.routing import Body, Query, Resource
from headrace_controller.api.running import moment
from headrace_controller.requestlog.reader import MAX_ROWS
from headrace_controller.service.comparisons import as_document
from headrace_controller.service.platform import Platform
from headrace_controller.service.replays import MAX_RATE, Replay, ReplayRequest
from headrace_functions.names import Reference, VersionId

resource = Resource("comparisons")


class WindowQuery(Query):
    first: str = Field(description="MODEL:NUMBER or MODEL@ALIAS")
    second: str = Field(description="MODEL:NUMBER or MODEL@ALIAS")
    since: str = Field(default="7d", description="RFC 3339 time, or a duration back from now such as 1h")
    until: str | None = Field(default=None, description="as since; now where it is left out")


class ReplayBody(Body):
    source: str = Field(description="MODEL:NUMBER or MODEL@ALIAS whose logged requests are sent")
    target: str = Field(description="MODEL:NUMBER or MODEL@ALIAS that is asked")
    since: str = Field(default="7d", description="RFC 3339 time, or a duration back from now such as 1h")
    until: str | None = Field(default=None, description="as since; now where it is left out")
    rows: int = Field(default=1000, description=f"the newest rows, 1 to {MAX_ROWS}")
    rate: float = Field(default=50.0, description=f"rows a second, at most {MAX_RATE:g}")


@resource.route(
    "GET", "/comparison", access=version_in("read", "first", "second"), answer=schemas.ComparisonView, query=WindowQuery
)
def compare_versions(platform: Platform, query: WindowQuery) -> schemas.ComparisonView:
    """Compare two versions on the rows that both have answered, e.g. as variant and shadow: predictions, latency, metrics, quality."""
    first, second = (_resolved(platform, text) for text in (query.first, query.second))
    until = moment(query.until, "until") if query.until else None
    found = platform.comparisons.of_log(first, second, moment(query.since, "since"), until)
    return schemas.ComparisonView.model_validate(as_document(str(first), str(second), found))


@resource.route(
    "POST",
    "/replays",
    access=(
        on("read", "source and target in the body", body_sides, late=True),
        on("call", "target in the body", body_target, late=True),
    ),
    answer=schemas.ReplayView,
    body=ReplayBody,
    status=202,
)
def start_replay(platform: Platform, body: ReplayBody) -> schemas.ReplayView:
    """Send logged requests of one version to another, without logging them and at a limited rate, and compare the predictions."""
    since, until = moment(body.since, "since"), moment(body.until, "until") if body.until else None
    source, target = (_resolved(platform, text) for text in (body.source, body.target))
    return view(platform.replays.start(ReplayRequest(source, target, since, until, body.rows, body.rate)))


@resource.route(
    "GET", "/replays/<id>", access=on("read", "source and target of the replay", of_replay), answer=schemas.ReplayView
)
def get_replay(platform: Platform, id: str) -> schemas.ReplayView:  # noqa: A002 - the path's own name
    """Show a replay: its progress, and the comparison once it has finished."""
    return view(platform.replays.get(id))


@resource.route(
    "POST",
    "/replays/<id>/cancel",
    access=on("read", "source and target of the replay", of_replay),
    answer=schemas.ReplayView,
)
def cancel_replay(platform: Platform, id: str) -> schemas.ReplayView:  # noqa: A002 - the path's own name
    """Stop a replay after the current row; the rows answered until then are compared."""
    return view(platform.replays.cancel(id))


def view(found: Replay) -> schemas.ReplayView:
    document = found.to_document()
    return schemas.ReplayView(**{name: document[name] for name in schemas.ReplayView.model_fields})


def _resolved(platform: Platform, text: str) -> VersionId:
    return platform.versions.resolve(Reference.parse(text)).id
