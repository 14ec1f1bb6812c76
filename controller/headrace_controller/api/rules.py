"""Rules of incidents: the limits that people set for a model in the place of the defaults."""

from pydantic import Field

from headrace_controller.api import schemas
from headrace_controller.api.permissions import named, somewhere
from headrace_controller.api.routing import Body, Query, Resource
from headrace_controller.incidents.limits import LEVELS, LOOKS, WANTED, Limits
from headrace_controller.service.platform import Platform

_RULE = "/models/<model>/rules/<rule>"

resource = Resource("rules")


class LimitsBody(Body):
    field: str = Field(default="", description="an input, output or metric; every one where it is empty")
    low: float | None = Field(default=None, description="from where it is low; never where it is left out")
    medium: float | None = None
    severe: float | None = None
    wanted: int = Field(default=WANTED, description="it is broken where so many of the last looks are beyond a limit")
    looks: int = Field(default=LOOKS, description="looks (minutes with traffic) that count")
    off: bool = Field(default=False, description="switch the rule off")


class FieldQuery(Query):
    field: str = ""


@resource.route("GET", "/rules", access=somewhere("view"), answer=schemas.LimitsList)
def list_rules(platform: Platform) -> schemas.LimitsList:
    """List the limits that were set, by model."""
    return schemas.LimitsList(items=[view(model, limits) for model, limits in platform.rules.select()])


@resource.route("PUT", _RULE, access=named("respond"), answer=schemas.LimitsView, body=LimitsBody)
def put_rule(platform: Platform, model: str, rule: str, body: LimitsBody) -> schemas.LimitsView:
    """Set the limits of a rule for a model: one of moved, checks, errors, metric (shares), latency (milliseconds), silence (minutes), or
    switch off one of these, drift, performance, build, job, service."""
    levels = {name: value for name in LEVELS if (value := getattr(body, name)) is not None}
    limits = Limits(rule, body.field, levels, body.wanted, body.looks, body.off)
    return view(model, platform.rules.put(model, limits))


@resource.route("DELETE", _RULE, access=named("respond"), query=FieldQuery)
def delete_rule(platform: Platform, model: str, rule: str, query: FieldQuery) -> None:
    """Reset a rule to its default limits."""
    platform.rules.remove(model, rule, query.field)


def view(model: str, limits: Limits) -> schemas.LimitsView:
    return schemas.LimitsView(model=model, **{**limits.to_document(), "levels": dict(limits.levels)})
