"""``container:`` of a model: an image with a server of its own that speaks the Open Inference Protocol, run in a cluster."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from headrace_controller.definitions.fields import Document, Duration, Text, as_list, refuse

_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]{0,254}(?:@sha256:[0-9a-f]{64})?")
_PATH = re.compile(r"/[!-~]{0,499}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_POD = {8008, 8012, 8013, 8022, 9090, 9091}
"""Ports of Knative's proxy in the pod."""
MAX_ENTRIES = 100


def check_image(value: str) -> str:
    """An image with a digest or a tag other than ``latest``; a port of its registry is neither."""
    last = value.rpartition("/")[2]
    fixed = "@" in last or last.partition(":")[2] not in ("", "latest")
    if not (_IMAGE.fullmatch(value) and fixed):
        raise refuse(
            f"{value!r} is not an image with a fixed tag or digest",
            expected="e.g. registry.example/churn:3 or registry.example/churn@sha256:…",
            hint="'latest' and no tag at all may be another image tomorrow; a version must stay what it is",
        )
    return value


Words = Annotated[list[Text], BeforeValidator(as_list), Field(max_length=MAX_ENTRIES)]


class ContainerDefinition(Document):
    """``{image: registry.example/churn-server:3, port: 8080}``."""

    image: str
    port: int = Field(default=8080, ge=1, le=65535)
    model: str | None = Field(default=None, pattern=r"^[!-.0-~]{1,200}$")
    """What the model is called there; the definition's name where it is left out."""
    env: dict[str, Text] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    command: Words = Field(default_factory=list)
    args: Words = Field(default_factory=list)
    readiness: str | None = None
    """The path that answers 200 once requests can be sent."""
    timeout: Duration = 30.0
    user: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """The user id that the image's program runs as; the image's own, which must not be root, where it is left out."""

    @field_validator("image")
    @classmethod
    def _image_stays_what_it_is(cls, value: str) -> str:
        return check_image(value)

    @field_validator("port")
    @classmethod
    def _port_is_free(cls, value: int) -> int:
        if value in _OF_THE_POD:
            taken = ", ".join(map(str, sorted(_OF_THE_POD)))
            raise refuse(f"{value} is a port of Knative's proxy in the pod", expected=f"a port that is none of {taken}")
        return value

    @field_validator("readiness")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None and not _PATH.fullmatch(value):
            raise refuse(f"{value!r} is not a path", expected="e.g. /v2/health/ready")
        return value

    @field_validator("env")
    @classmethod
    def _are_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _VARIABLE.fullmatch(name):
                raise refuse(f"{name!r} is not the name of a variable", key=name, expected="letters, digits and _")
        return value

    def options(self, name: str, start_timeout: float) -> dict[str, Any]:
        """What the function that passes requests on, and the pod, need; ``name`` is the model's."""
        called = self.model or name
        return {
            "url": f"http://127.0.0.1:{self.port}/v2/models/{called}",
            "timeout": self.timeout,
            "readiness": self.readiness or f"/v2/models/{called}/ready",
            "start-timeout": start_timeout,
            "container": self.model_dump(include={"image", "port", "env", "command", "args", "user"}),
        }
