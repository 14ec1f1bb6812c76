"""Streams: messages of a topic in, answers to another topic out."""

from pydantic import Field

from headrace_controller.api import schemas, views
from headrace_controller.api.permissions import body_and_stream, body_model, of_stream, on, somewhere
from headrace_controller.api.routing import Body, Resource
from headrace_controller.definitions import StreamDefinition
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput

resource = Resource("streams")


class ResetBody(Body):
    to: str = Field(description="earliest, latest or an RFC 3339 time")


@resource.route("GET", "/streams", access=somewhere("view"), answer=schemas.StreamList)
def list_streams(platform: Platform) -> schemas.StreamList:
    """List streams by name, with state and lag."""
    return schemas.StreamList(items=[views.stream(s) for s in platform.streams.select()])


@resource.route(
    "PUT",
    "/streams/<name>",
    access=(
        on("operate", "the model of the stream, before and after", body_and_stream, late=True),
        on("call", "the model of the stream", body_model, late=True),
    ),
    answer=schemas.StreamApplied,
    body=StreamDefinition,
)
def apply_stream(platform: Platform, name: str, body: StreamDefinition) -> schemas.StreamApplied:
    """Create or change a stream."""
    if name != body.name:
        raise InvalidInput(
            f"name: the path says {name!r} and the body {body.name!r}", field="name", expected="the same name in both"
        )
    found, changed = platform.streams.put(body)
    return schemas.StreamApplied(stream=views.stream(found), changed=changed)


@resource.route(
    "GET", "/streams/<name>", access=on("view", "the model of the stream", of_stream), answer=schemas.StreamView
)
def get_stream(platform: Platform, name: str) -> schemas.StreamView:
    """Show a stream with its state and its lag by partition."""
    return views.stream(platform.streams.get(name))


@resource.route("DELETE", "/streams/<name>", access=on("operate", "the model of the stream", of_stream))
def delete_stream(platform: Platform, name: str) -> None:
    """Delete a stream; topics and consumer group stay."""
    platform.streams.delete(name)


@resource.route(
    "POST",
    "/streams/<name>/pause",
    access=on("operate", "the model of the stream", of_stream),
    answer=schemas.StreamView,
)
def pause_stream(platform: Platform, name: str) -> schemas.StreamView:
    """Pause a stream after the current batch."""
    return views.stream(platform.streams.pause(name, paused=True))


@resource.route(
    "POST",
    "/streams/<name>/resume",
    access=on("operate", "the model of the stream", of_stream),
    answer=schemas.StreamView,
)
def resume_stream(platform: Platform, name: str) -> schemas.StreamView:
    """Continue a paused stream where it stopped."""
    return views.stream(platform.streams.pause(name, paused=False))


@resource.route(
    "POST",
    "/streams/<name>/reset",
    access=on("operate", "the model of the stream", of_stream),
    answer=schemas.StreamView,
    body=ResetBody,
)
def reset_stream(platform: Platform, name: str, body: ResetBody) -> schemas.StreamView:
    """Read the source topic again from a given position, with a new consumer group."""
    return views.stream(platform.streams.reset(name, body.to))
