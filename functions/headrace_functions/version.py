"""Versions: the immutable description of one model version and the states around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from headrace_functions.drift_rules import USUAL, DriftRules
from headrace_functions.names import VersionId
from headrace_functions.quality_rules import QualityRule
from headrace_functions.signature import Signature

BuildState = Literal["assembling", "released", "failed"]
EXTERNAL = "external"
"""The framework of versions that answer elsewhere; a definition says so by ``external``."""
CONTAINER = "container"
"""The framework of versions whose function is a server in a container beside the function server."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many processes (or pods) may run a version and for how long an idle one stays."""

    min_replicas: int = 0
    max_replicas: int = 1
    idle_timeout: float = 60.0
    """Seconds without an open lease after which a replica above ``min_replicas`` stops."""
    concurrency: int = 1
    """Predictions that user code may run at once in one replica (1: user code needs no locks)."""

    def to_document(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one replica accepts; each is answered with a status of its own, documented in docs/http-api.md."""

    max_body: int = 64 * 1024 * 1024
    """Bytes of a request body; more is refused with 413."""
    queue: int = 1000
    """Requests waiting in one replica; one more is refused with 429 and Retry-After."""
    predict_timeout: float = 60.0
    """Seconds one request may take in a replica, waiting included; then 504."""
    start_timeout: float = 60.0
    """Seconds a replica may take from fork to ready; then the start has failed."""

    def to_document(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a version runs in on a cluster, chosen when it was built; a later platform still runs it in this."""

    image: str
    """Exact reference of the image."""
    lock: str = ""
    """SHA-256 of the lock that the image was made from; empty for an image that the user named."""
    layer: str = ""
    """SHA-256 of the archive of libraries that the image lacks, see ``layout.layer``; empty where it lacks none."""

    def to_document(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Version:
    """``version.json``: everything that makes a version, fixed when its number was given."""

    id: VersionId
    framework: str
    signature: Signature
    artifact: str
    """SHA-256 of the artifact archive (``artifact.tar.zst``), hexadecimal."""
    environment: str
    """Hash of the dependency lock that the version runs in."""
    content: str
    """Digest of everything the user gave; the same content applied again is this version."""
    batch: bool = True
    scaling: Scaling = Scaling()
    limits: Limits = Limits()
    target: tuple[str, ...] = ()
    """Columns of the training data that are labels."""
    training: str | None = None
    """Storage key of the training data (Parquet), if any."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the framework's file needs besides the artifact, e.g. ``entry`` or ``method``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    monitoring: tuple[Mapping[str, Any], ...] = ()
    created: str = ""
    """RFC 3339 time in UTC."""
    runtime: Runtime | None = None
    """None for a version that was built on one machine; a cluster runs it in its framework's image of the day."""
    requirements: tuple[str, ...] = ()
    """What it was built to run on: the user's, the artifact's own and the function server's; none where the user named an image."""
    errors: str = "terse"
    """What callers are told of an exception of user code: ``terse``, its type, or ``detailed``, its type and text."""
    lacking: tuple[str, ...] = ()
    """Those of them that the runtime image lacks, each with the reason; a layer brings them."""
    drift: DriftRules = USUAL
    quality: tuple[QualityRule, ...] = ()
    proxied: bool = False
    """Whether the function server in its image reaches the store by a token; those of earlier releases need the bucket's key."""

    @property
    def served(self) -> bool:
        """Whether requests can be sent to it here: an external version answers only where its URL is known."""
        return self.framework != EXTERNAL or bool(self.options.get("url"))

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "model": self.id.model,
            "number": self.id.number,
            "framework": self.framework,
            "signature": self.signature.to_document(),
            "artifact": self.artifact,
            "environment": self.environment,
            "content": self.content,
            "batch": self.batch,
            "scaling": self.scaling.to_document(),
            "limits": self.limits.to_document(),
            "target": list(self.target),
            "training": self.training,
            "options": dict(self.options),
            "metadata": dict(self.metadata),
            "monitoring": [dict(m) for m in self.monitoring],
            "created": self.created,
            "runtime": self.runtime.to_document() if self.runtime is not None else None,
            "requirements": list(self.requirements),
            "lacking": list(self.lacking),
            "errors": self.errors,
            "drift": self.drift.to_document(),
            "quality": [rule.to_document() for rule in self.quality],
            "proxied": self.proxied,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Version":
        return cls(
            id=VersionId(document["model"], document["number"]),
            framework=document["framework"],
            signature=Signature.from_document(document["signature"]),
            artifact=document["artifact"],
            environment=document["environment"],
            content=document["content"],
            batch=document["batch"],
            scaling=Scaling(**document["scaling"]),
            limits=Limits(**document["limits"]),
            target=tuple(document["target"]),
            training=document["training"],
            options=document["options"],
            metadata=document["metadata"],
            monitoring=tuple(document["monitoring"]),
            created=document["created"],
            # Absent in documents of versions that are older than these members.
            runtime=Runtime(**document["runtime"]) if document.get("runtime") else None,
            requirements=tuple(document.get("requirements", ())),
            lacking=tuple(document.get("lacking", ())),
            errors=str(document.get("errors", "terse")),
            drift=DriftRules.from_document(document.get("drift", {})),
            quality=tuple(QualityRule.from_document(rule) for rule in document.get("quality", ())),
            proxied=bool(document.get("proxied", False)),
        )

    def with_number(self, number: int) -> "Version":
        return replace(self, id=VersionId(self.id.model, number))


@dataclass(frozen=True, slots=True)
class BuildStatus:
    """One step of a version's build; steps are appended, the last one counts."""

    state: BuildState
    reason: str = ""
    at: str = ""

    def to_document(self) -> dict[str, Any]:
        return {"state": self.state, "reason": self.reason, "at": self.at}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BuildStatus":
        if document["state"] not in get_args(BuildState):
            raise ValueError(f"'state' is {document['state']!r}, not one of {', '.join(get_args(BuildState))}")
        return cls(document["state"], document["reason"], document["at"])
