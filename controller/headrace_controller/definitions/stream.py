"""``kind: Stream``: messages of a topic are rows for a model, alias or sequence, and its answers messages of another topic."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from headrace_controller import clock
from headrace_controller.definitions.fields import Document, Duration, Name, Text, as_list, located, refuse
from headrace_functions.errors import InvalidInput
from headrace_functions.names import Reference

MAX_BATCH = 4096
"""Messages that are asked about in one request at most."""
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_SECRET = re.compile(r"password|secret|\.key$|\.key\.pem$|token|credential", re.IGNORECASE)
_REGISTRY = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a setting refers to an environment variable."""
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
RESERVED = (
    "bootstrap.servers", "group.id", "transactional.id", "enable.auto.commit", "enable.idempotence", "auto.offset.reset", "isolation.level",
)  # fmt: skip
"""Settings of the Kafka client that a stream makes itself."""


def _topic(value: Any) -> str:
    text = str(value)
    if not _TOPIC.fullmatch(text) or text in (".", ".."):
        raise InvalidInput(f"{text!r} is not a topic", expected="1 to 249 letters, digits, '.', '_' and '-'")
    return text


def start_of(value: Any) -> str:
    """``earliest``, ``latest`` or an RFC 3339 time in UTC."""
    if isinstance(value, datetime):
        value = value.isoformat()
    text = str(value)
    if text in ("earliest", "latest"):
        return text
    try:
        return clock.parse(text, field="start").isoformat()
    except InvalidInput as error:
        raise InvalidInput(
            f"{text!r} is not a starting position", expected="earliest, latest or a time such as 2026-11-01T00:00:00Z"
        ) from error


Topic = Annotated[str, BeforeValidator(located(_topic))]
Start = Annotated[str, BeforeValidator(located(start_of))]


class StreamScaling(Document):
    """How many pods read a stream in a cluster; on one machine one process reads every stream."""

    min_replicas: int = Field(default=0, ge=0, le=100)
    max_replicas: int = Field(default=1, ge=1, le=100)
    idle_timeout: Duration = 60.0
    """Seconds without lag after which it sleeps, and with less lag after which it has fewer."""
    lag_per_replica: int = Field(default=10_000, ge=1, le=1_000_000_000)

    @model_validator(mode="after")
    def _maximum_is_not_below_minimum(self) -> "StreamScaling":
        if self.max_replicas < self.min_replicas:
            raise refuse(f"max-replicas {self.max_replicas} is below min-replicas {self.min_replicas}")
        return self


class StreamDefinition(Document):
    """What flows from where to where. ``model`` is a model, version, alias or sequence."""

    kind: Literal["Stream"] = "Stream"
    name: Name
    model: Annotated[str, BeforeValidator(located(lambda text: str(Reference.parse(str(text)))))]
    brokers: Annotated[list[Text], BeforeValidator(as_list)] = Field(min_length=1, max_length=50)
    source: Topic
    destination: Topic
    errors: Topic
    group: Text = ""
    start: Start = "earliest"
    guarantee: Literal["exactly-once", "at-least-once"] = "exactly-once"
    batch: int = Field(default=500, ge=1, le=MAX_BATCH)
    linger: Duration = 0.05
    format: Literal["json", "avro"] = "json"
    """Of the source's values."""
    registry: Text | None = None
    """URL of the schema registry that has the schemas of Avro messages."""
    registry_auth: Text | None = None
    """``${NAME}`` of an environment variable of the platform that holds ``user:password``."""
    properties: dict[str, str] = Field(default_factory=dict)
    scaling: StreamScaling = Field(default_factory=StreamScaling)
    metadata: dict[str, Text] = Field(default_factory=dict)

    @field_validator("properties", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for key, given in value.items():
            if str(key) in RESERVED:
                raise refuse(f"{key} is set by the stream itself", hint=f"remove {key}")
            if _SECRET.search(str(key)) and not _REFERENCE.fullmatch(str(given)) and "location" not in str(key):
                raise refuse(
                    f"{key} is a secret, and definitions are stored as they are",
                    expected="the name of an environment variable of the platform, e.g. ${KAFKA_PASSWORD}",
                )
        return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in value.items()}

    @field_validator("registry")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not _REGISTRY.fullmatch(value):
            raise refuse(
                f"{value!r} is not the URL of a registry",
                expected="e.g. http://registry:8081, without user and password",
            )
        return value

    @field_validator("registry_auth")
    @classmethod
    def _is_a_reference(cls, value: str | None) -> str | None:
        if value is not None and not _REFERENCE.fullmatch(value):
            raise refuse(
                "it is a secret, and definitions are stored as they are",
                expected="the name of an environment variable of the platform, e.g. ${REGISTRY_AUTH}",
            )
        return value

    @model_validator(mode="after")
    def _schemas_come_from_a_registry(self) -> "StreamDefinition":
        if self.format == "avro" and self.registry is None:
            raise refuse("it is required for format: avro", key="registry", expected="e.g. http://registry:8081")
        given = next((k for k in ("registry", "registry_auth") if self.format != "avro" and getattr(self, k)), None)
        if given:
            raise refuse("only Avro needs it", key=given.replace("_", "-"), expected="format: avro")
        return self

    @model_validator(mode="after")
    def _three_topics(self) -> "StreamDefinition":
        if self.source in (self.destination, self.errors):
            raise refuse("the source is also written to, so its own answers would come back", expected="another topic")
        if self.destination == self.errors:
            raise refuse("destination and errors are one topic, so nobody could tell answers from problems")
        return self

    @property
    def variables(self) -> list[str]:
        """Names of the environment variables that its settings refer to, sorted."""
        texts = [*self.properties.values(), self.registry_auth or ""]
        return sorted({name for text in texts for name in VARIABLE.findall(text)})

    def consumer_group(self, resets: int) -> str:
        """The consumer group after so many resets: a reset begins a new one, which has no committed offsets."""
        group = self.group or f"headrace-{self.name}"
        return f"{group}.{resets}" if resets else group
