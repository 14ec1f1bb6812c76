"""``kind: DeploymentConfiguration``: where and with how much a version runs in a cluster.

Kept as revisions; the cluster backend reads it, the local backend does not. Hydrosphere writes its keys in camelCase,
as Kubernetes does, so both spellings are accepted here and nowhere else.
"""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from headrace_controller.definitions.fields import Document, Name, Text, refuse
from headrace_controller.definitions.validation_errors import shown

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


class KubernetesDocument(Document):
    """A mapping whose keys may be written ``minReplicas`` or ``min-replicas``."""

    @model_validator(mode="before")
    @classmethod
    def _camel_to_kebab(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {_HUMP.sub(lambda m: "-" + m[1].lower(), str(key)): value for key, value in data.items()}


class Autoscaling(KubernetesDocument):
    min_replicas: int = Field(default=1, ge=0, le=1000)
    max_replicas: int = Field(default=1, ge=1, le=1000)
    cpu_utilization: int | None = Field(default=None, ge=1, le=100)
    """Per cent of the requested CPU above which a replica is added."""


class Resources(KubernetesDocument):
    """Kubernetes quantities, e.g. ``{cpu: 500m, memory: 2Gi}``."""

    limits: dict[str, Text] = Field(default_factory=dict)
    requests: dict[str, Text] = Field(default_factory=dict)


class SecretReference(KubernetesDocument):
    """A value that stands in a Kubernetes Secret of the namespace, and nowhere else."""

    secret: Text
    key: Text

    @model_validator(mode="after")
    def _is_none_of_the_platform_s(self) -> "SecretReference":
        if self.secret.startswith("headrace-") or self.secret.endswith("-store-token"):
            raise refuse(
                f"the Secret {self.secret} is the platform's own, which no function may have",
                key="secret",
                expected="a Secret of yours",
            )
        return self


def _variable_value(value: Any) -> Any:
    if not isinstance(value, str | int | float | Mapping):
        raise refuse(f"{shown(value)} is not the value of a variable", expected="text, or {secret: NAME, key: KEY}")
    return SecretReference.model_validate(value) if isinstance(value, Mapping) else value


class Container(KubernetesDocument):
    resources: Resources = Resources()
    env: dict[str, Annotated[Text | SecretReference, BeforeValidator(_variable_value)]] = Field(default_factory=dict)

    def variables(self, without: Collection[str] = ()) -> list[dict[str, Any]]:
        """The variables as Kubernetes has them, sorted by name, but for those that are told otherwise."""
        return [_variable(name, value) for name, value in sorted(self.env.items()) if name not in without]


def _variable(name: str, value: str | SecretReference) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": name, "value": value}
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}


class Pod(KubernetesDocument):
    node_selector: dict[str, Text] = Field(default_factory=dict)
    affinity: dict[str, Any] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    runtime_class_name: Text | None = None


class Deployment(KubernetesDocument):
    replica_count: int = Field(default=1, ge=1, le=1000)


class DeploymentConfiguration(KubernetesDocument):
    kind: Literal["DeploymentConfiguration"] = "DeploymentConfiguration"
    name: Name
    hpa: Autoscaling | None = None
    container: Container = Container()
    pod: Pod = Pod()
    deployment: Deployment = Deployment()
