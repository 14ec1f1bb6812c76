"""Streams of Kafka, as the API answers them."""

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer, Json


class StreamView(Answer):
    name: str
    revision: int
    at: str
    definition: Json
    state: str = Field(description="starting, running, waiting, asleep, pausing, paused, failed or stopped")
    reason: str
    paused: bool
    group: str = Field(description="consumer group")
    resets: int
    lag: int | None = Field(description="messages that have not been processed; null if unknown")
    partitions: dict[str, int] = Field(description="lag by partition")
    answered: int = Field(
        description="messages since the counting process started: that of the streams, in a cluster the controller"
    )
    refused: int = Field(description="messages sent to the error topic since then")
    replicas: int | None = Field(description="pods that read it; null outside a cluster")


class StreamList(Answer):
    items: list[StreamView]


class StreamApplied(Answer):
    stream: StreamView
    changed: bool
