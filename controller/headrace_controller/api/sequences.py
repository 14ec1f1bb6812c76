"""Sequences with their revisions, and deployment configurations."""

from pydantic import Field

from headrace_controller.api import schemas, views
from headrace_controller.api.models import PageQuery
from headrace_controller.api.permissions import everywhere, named, of_stages, on, somewhere
from headrace_controller.api.routing import Body, Resource
from headrace_controller.definitions import DeploymentConfiguration, SequenceDefinition
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput

resource = Resource("sequences")


class RollbackBody(Body):
    to: int | None = Field(
        default=None, ge=1, description="revision to go back to; without it the one before the current"
    )


@resource.route("GET", "/sequences", access=somewhere("view"), answer=schemas.SequencePage, query=PageQuery)
def list_sequences(platform: Platform, query: PageQuery) -> schemas.SequencePage:
    """List sequences by name."""
    found = platform.sequences.select(query.q, query.page())
    return schemas.SequencePage(items=[views.revision(r) for r in found.items], next=found.next)


@resource.route(
    "PUT",
    "/sequences/<name>",
    access=(named("operate", "name"), on("call", "each model of its stages", of_stages, late=True)),
    answer=schemas.SequenceApplied,
    body=SequenceDefinition,
)
def apply_sequence(platform: Platform, name: str, body: SequenceDefinition) -> schemas.SequenceApplied:
    """Create or change a sequence; aliases are replaced by the versions that they point at."""
    _same_name(name, body.name)
    applied = platform.sequences.apply(body)
    return schemas.SequenceApplied(sequence=views.revision(applied.revision), changed=applied.changed)


@resource.route("GET", "/sequences/<name>", access=named("view", "name"), answer=schemas.RevisionView)
def get_sequence(platform: Platform, name: str) -> schemas.RevisionView:
    """Show the current revision of a sequence."""
    return views.revision(platform.sequences.get(name))


@resource.route("DELETE", "/sequences/<name>", access=named("operate", "name"))
def delete_sequence(platform: Platform, name: str) -> None:
    """Delete a sequence; its revisions stay as history."""
    platform.sequences.delete(name)


@resource.route("GET", "/sequences/<name>/revisions", access=named("view", "name"), answer=schemas.RevisionList)
def list_revisions(platform: Platform, name: str) -> schemas.RevisionList:
    """List all revisions of a sequence, the oldest first."""
    return schemas.RevisionList(items=[views.revision(r) for r in platform.sequences.history(name)])


@resource.route(
    "POST",
    "/sequences/<name>/rollback",
    access=named("operate", "name"),
    answer=schemas.RevisionView,
    body=RollbackBody,
)
def rollback_sequence(platform: Platform, name: str, body: RollbackBody) -> schemas.RevisionView:
    """Make a copy of an earlier revision the current one."""
    return views.revision(platform.sequences.rollback(name, body.to))


@resource.route("GET", "/deployment-configurations", access=somewhere("diagnose"), answer=schemas.DeploymentList)
def list_deployments(platform: Platform) -> schemas.DeploymentList:
    """List deployment configurations."""
    names = platform.catalog.deployments.names()
    return schemas.DeploymentList(items=[views.deployment(n, platform.deployments.get(n)) for n in names])


@resource.route(
    "PUT",
    "/deployment-configurations/<name>",
    access=everywhere("operate"),
    answer=schemas.DeploymentView,
    body=DeploymentConfiguration,
)
def put_deployment(platform: Platform, name: str, body: DeploymentConfiguration) -> schemas.DeploymentView:
    """Create or change a deployment configuration."""
    _same_name(name, body.name)
    state, _changed = platform.deployments.put(body)
    return views.deployment(name, state)


@resource.route("GET", "/deployment-configurations/<name>", access=somewhere("diagnose"), answer=schemas.DeploymentView)
def get_deployment(platform: Platform, name: str) -> schemas.DeploymentView:
    """Show a deployment configuration."""
    return views.deployment(name, platform.deployments.get(name))


@resource.route("DELETE", "/deployment-configurations/<name>", access=everywhere("operate"))
def delete_deployment(platform: Platform, name: str) -> None:
    """Delete a deployment configuration; refused (409) while a sequence uses it."""
    platform.deployments.delete(name)


def _same_name(path: str, body: str) -> None:
    if path != body:
        raise InvalidInput(
            f"name: the path says {path!r} and the body {body!r}", field="name", expected="the same name in both"
        )
