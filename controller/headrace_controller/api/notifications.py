"""Notification targets: who is told of incidents."""

from pydantic import Field

from headrace_controller import clock
from headrace_controller.api import schemas
from headrace_controller.api.permissions import everywhere
from headrace_controller.api.routing import Body, Resource
from headrace_controller.notify.targets import Target
from headrace_controller.service.notifications import TargetState
from headrace_controller.service.platform import Platform

_TARGET = "/notification-targets/<name>"

resource = Resource("notification-targets")


class TargetBody(Body):
    way: str = Field(description="webhook, slack, alertmanager or email")
    address: str = Field(description="a URL; of email smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT")
    severity: str = Field(default="low", description="the least severity it is told of: low, medium or severe")
    models: list[str] = Field(default_factory=list, max_length=1000, description="all models where it is empty")
    to: list[str] = Field(default_factory=list, max_length=100, description="of email: who gets it")
    sender: str = Field(default="", description="of email: who it is from")
    events: list[str] = Field(
        default=["incident"],
        max_length=4,
        description="what it is told of: incident, and of a webhook version, alias, sequence",
    )


@resource.route("GET", "/notification-targets", access=everywhere("view"), answer=schemas.TargetList)
def list_targets(platform: Platform) -> schemas.TargetList:
    """List notification targets."""
    return schemas.TargetList(items=[view(s) for s in platform.notifications.select()])


@resource.route("PUT", _TARGET, access=everywhere("operate"), answer=schemas.TargetView, body=TargetBody)
def put_target(platform: Platform, name: str, body: TargetBody) -> schemas.TargetView:
    """Create or change a notification target; it is notified of what happens from then on."""
    document = {**body.model_dump(), "name": name}
    return view(platform.notifications.put(Target.from_document(document)))


@resource.route("DELETE", _TARGET, access=everywhere("operate"))
def delete_target(platform: Platform, name: str) -> None:
    """Delete a notification target."""
    platform.notifications.remove(name)


@resource.route("POST", f"{_TARGET}/test", access=everywhere("operate"), answer=schemas.TestedView)
def test_target(platform: Platform, name: str) -> schemas.TestedView:
    """Send a test notification to a target; 409 with the reason if it is not accepted."""
    return schemas.TestedView(answer=platform.notifications.test(name))


def view(state: TargetState) -> schemas.TargetView:
    target = state.target
    return schemas.TargetView(
        name=target.name,
        way=target.way,
        address=target.shown,
        severity=target.severity,
        models=list(target.models),
        to=list(target.to),
        sender=target.sender,
        events=list(target.events),
        since=clock.show(state.since),
    )
