"""For how long logs, metric values and reports are kept, and removing what is older."""

from pydantic import Field

from headrace_controller.api import schemas
from headrace_controller.api.permissions import everywhere, somewhere
from headrace_controller.api.routing import Body, Query, Resource
from headrace_controller.definitions.fields import show_duration
from headrace_controller.service.platform import Platform
from headrace_controller.service.retention import Removal, Rule, read_rule

resource = Resource("retention")


class RetentionBody(Body):
    log: str | None = Field(
        default=None, description="a duration such as 90d, at least 1d; for ever where it is left out"
    )
    metrics: str | None = Field(default=None, description="as log, of metric values")
    reports: str | None = Field(default=None, description="as log, of reports and explanations")


class RunQuery(Query):
    dry_run: bool = Field(default=True, description="say what would be removed; false removes it")


@resource.route("GET", "/retention", answer=schemas.RetentionList, access=somewhere("view"))
def list_retention(platform: Platform) -> schemas.RetentionList:
    """List retention rules: 'default' and the models with rules of their own."""
    return schemas.RetentionList(items=[view(rule) for rule in platform.retention.select()])


@resource.route(
    "PUT", "/retention/<name>", answer=schemas.RetentionSet, body=RetentionBody, access=everywhere("administer")
)
def set_retention(platform: Platform, name: str, body: RetentionBody) -> schemas.RetentionSet:
    """Set the retention of a model, or of all models ('default'); warns about schedules with longer windows."""
    rule = read_rule(name, {"log": body.log, "metrics": body.metrics, "reports": body.reports})
    return schemas.RetentionSet(rule=view(rule), warnings=platform.retention.put(rule))


@resource.route("DELETE", "/retention/<name>", access=everywhere("administer"))
def delete_retention(platform: Platform, name: str) -> None:
    """Delete a retention rule."""
    platform.retention.delete(name)


@resource.route("POST", "/retention/run", answer=schemas.RemovalList, query=RunQuery, access=everywhere("administer"))
def run_retention(platform: Platform, query: RunQuery) -> schemas.RemovalList:
    """List what has passed its retention, or remove it now; it is also removed once a day."""
    found = platform.retention.plan() if query.dry_run else platform.retention.run()
    return schemas.RemovalList(removed=not query.dry_run, items=[removal(r) for r in found])


def view(rule: Rule) -> schemas.RetentionView:
    return schemas.RetentionView(name=rule.name, **{kind: show_duration(s) for kind, s in rule.keep.items()})


def removal(found: Removal) -> schemas.RemovalView:
    return schemas.RemovalView(
        version=found.version,
        kind=found.kind,
        before=found.before,
        rows=found.rows,
        bytes=found.size,
        error=found.error,
    )
