"""The seam that every backend fills."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from headrace_functions.gateway.leases import Leases
from headrace_functions.version import Version

ServiceState = Literal["asleep", "starting", "ready", "failed", "removing"]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What a backend needs to run one version: the version itself holds signature, environment, artifact, scaling, limits."""

    version: Version

    @property
    def name(self) -> str:
        return self.version.id.service


@dataclass(frozen=True, slots=True)
class Observed:
    """A service as it was seen; for people to read, never a reason to act."""

    state: ServiceState
    reason: str = ""
    replicas: int = 0
    open_requests: int = 0
    address: str = ""
    since: float = 0.0
    """Seconds since the epoch of the last change of state."""
    details: Mapping[str, Any] = field(default_factory=dict)


class Backend(Leases, Protocol):
    """Where versions run.

    Every call may be repeated; none waits except ``lease``.

    ======== ==================== ================================= ============================
    state    ``apply``            ``lease``                         ``remove``
    ======== ==================== ================================= ============================
    absent   asleep (or starting) ``NotFound``                      already removed
    asleep   nothing              starts it, waits                  absent
    starting nothing              waits with the others             start is called off
    ready    nothing              at once, least busy replica       drains, then absent
    failed   nothing              ``NotReady`` until back-off ends  absent
    removing starts after removal ``NotReady``                      nothing
    ======== ==================== ================================= ============================
    """

    def apply(self, spec: ServiceSpec) -> None:
        """Make it so; twice is once; returns at once. Versions are immutable, so a second spec of a name is the first."""

    def remove(self, name: str) -> None:
        """Stop and forget the service after its open leases; the absent is already removed."""

    def observe(self) -> Mapping[str, Observed]:
        """A snapshot of every applied service."""

    async def close(self) -> None:
        """Stop what this backend runs on this machine, within the grace period; what a cluster runs goes on."""
