"""Models, versions, aliases, sequences, deployment configurations and services, as the API answers them."""

from typing import Literal

from pydantic import ConfigDict, Field

from headrace_controller.api.schemas.answers import Answer, Json
from headrace_controller.api.schemas.health import TrafficView


class RuntimeView(Answer):
    """What a version runs in, fixed by its build, and why."""

    kind: Literal["environment", "image", "image and layer", "own image"]
    image: str | None = Field(description="exact reference; null for a version that was built on one machine")
    lock: str | None = Field(description="SHA-256 of the lock that the image was built from")
    layer: str | None = Field(description="SHA-256 of the archive of libraries that the image lacks")
    requirements: list[str] = Field(description="those of the definition, of the artifact and of the function server")
    lacking: list[str] = Field(description="requirements that the image does not satisfy, each with the reason")
    why: str


class VersionView(Answer):
    id: str = Field(description="MODEL:NUMBER")
    model: str
    number: int
    state: Literal["assembling", "released", "failed"]
    reason: str = Field(description="why the build failed")
    created: str = Field(description="RFC 3339 in UTC, when the version was applied")
    framework: str | None = Field(description="null until the build has determined it")
    signature: Json | None = Field(description="inputs and outputs of one row; null until the version is released")
    environment: str | None
    runtime: RuntimeView | None = Field(default=None, description="null until the version is released")
    artifact: str = Field(description="SHA-256 of the artifact archive")
    content: str = Field(description="digest of everything that was uploaded; the same content gives the same version")
    training: bool = Field(description="whether the version has training data")
    target: list[str]
    batch: bool
    options: Json
    scaling: Json
    limits: Json
    metadata: dict[str, str]
    monitoring: list[Json]
    aliases: list[str]


class VersionPage(Answer):
    items: list[VersionView]
    next: str | None = Field(default=None, description="token of the next page, null on the last one")


class SubmittedView(Answer):
    version: VersionView
    created: bool = Field(description="false if the same content already was a version")


class ModelView(Answer):
    name: str
    count: int = Field(description="number of versions, without deleted ones")
    latest: int
    state: str = Field(description="build state of the latest version")
    released: int | None = Field(description="the newest released version, which the name without a number refers to")
    created: str
    aliases: dict[str, int]


class ModelPage(Answer):
    items: list[ModelView]
    next: str | None = None


class LogPart(Answer):
    text: str
    offset: int = Field(description="byte at which the next part starts")
    done: bool


class AliasView(Answer):
    model: str
    name: str
    version: int | None = Field(description="null if the alias was deleted")
    at: str


class AliasList(Answer):
    items: list[AliasView]


class RevisionView(Answer):
    name: str
    revision: int
    at: str
    deleted: bool
    rolled_back_to: int | None = None
    stages: list[Json] = Field(description="variants with weights, and shadows, of each stage")
    signature: Json | None
    timeout: float | None = Field(description="seconds")
    metadata: dict[str, str]


class SequencePage(Answer):
    items: list[RevisionView]
    next: str | None = None


class RevisionList(Answer):
    items: list[RevisionView]


class SequenceApplied(Answer):
    sequence: RevisionView
    changed: bool = Field(description="false if the current revision already was the same")


class DeploymentView(Answer):
    name: str
    revision: int
    at: str
    definition: Json


class DeploymentList(Answer):
    items: list[DeploymentView]


class ServiceView(Answer):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    version: str
    state: str
    reason: str = ""
    replicas: int = 0


class ServiceLogView(Answer):
    text: str


class ServiceList(Answer):
    items: list[ServiceView]


class ManifestList(Answer):
    items: list[Json] = Field(description="Kubernetes manifests, one per version")


class StatusView(Answer):
    version: str
    url: str
    home: str
    storage: str
    started: str
    storage_error: str = Field(default="", description="why the store cannot be used now; the counts are then null")
    problems: list[str] = Field(default=[], description="problems of the platform itself, one sentence each")
    models: int | None
    sequences: int | None
    schedules: int | None
    traffic: TrafficView
    services: list[ServiceView]


class SampleView(Answer):
    rows: list[Json] = Field(description="rows of the training data, by input")
