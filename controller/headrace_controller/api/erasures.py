"""Erasing what is kept of one value of one field."""

from pydantic import Field

from headrace_controller.api import schemas
from headrace_controller.api.permissions import everywhere
from headrace_controller.api.routing import Body, Resource
from headrace_controller.service.erasures import Erasure
from headrace_controller.service.platform import Platform

resource = Resource("erasures")


class ErasureBody(Body):
    field: str = Field(min_length=1, max_length=200, description="an input or output, as contracts name it")
    value: str = Field(
        min_length=1, max_length=1000, description="in clear, also where the platform keeps a hash of it"
    )
    model: str = Field(default="", description="one model; all models where it is left out")


@resource.route("POST", "/erasures/plan", answer=schemas.ErasurePlan, body=ErasureBody, access=everywhere("administer"))
def plan_erasure(platform: Platform, body: ErasureBody) -> schemas.ErasurePlan:
    """Show what would be erased, what the erasure would wait for, and what would remain."""
    found = platform.erasures.look(body.field, body.value, body.model)
    return schemas.ErasurePlan(
        field=body.field,
        digest=platform.erasures.digest(body.field, body.value),
        model=body.model,
        versions=found.versions,
        counts=schemas.ErasureCounts(**found.counts.to_document()),
        waits=found.waits,
        kept=found.kept,
    )


@resource.route(
    "POST", "/erasures", answer=schemas.ErasureView, status=202, body=ErasureBody, access=everywhere("administer")
)
def start_erasure(platform: Platform, body: ErasureBody) -> schemas.ErasureView:
    """Start an erasure, or join one of the same value that is running."""
    return view(platform.erasures.start(body.field, body.value, body.model))


@resource.route("GET", "/erasures", answer=schemas.ErasureList, access=everywhere("administer"))
def list_erasures(platform: Platform) -> schemas.ErasureList:
    """List erasures, the newest first. The list contains no erased values."""
    return schemas.ErasureList(items=[view(e) for e in platform.erasures.select()])


@resource.route("GET", "/erasures/<erasure>", answer=schemas.ErasureView, access=everywhere("administer"))
def get_erasure(platform: Platform, erasure: str) -> schemas.ErasureView:
    """Show an erasure: what it has erased so far, what it is waiting for, and what it does not change."""
    return view(platform.erasures.get(erasure))


def view(found: Erasure) -> schemas.ErasureView:
    return schemas.ErasureView(**{k: v for k, v in found.to_document().items() if k != "schema"})
