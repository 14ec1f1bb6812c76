"""Where the parts of a platform in a cluster find each other; read once from the environment, which ``knative/base`` sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.settings import Settings
from headrace_functions.errors import InvalidInput
from headrace_functions.startup import AUTH, NAMESPACE, PLATFORM_SECRET, STORAGE, WORK, port, required, switched_on

PUBLIC_URL = "HEADRACE_PUBLIC_URL"
_SETTER = "knative/base sets it"

GATEWAY_SERVICE = "headrace-gateway"
"""Name of the gateway's Knative Service in ``knative/base``; it marks the gateway's pods."""
COLLECTOR_SERVICE = "headrace-collector"
TRUSTED_KEYS = "HEADRACE_TRUSTED_KEYS"
OIDC = "HEADRACE_OIDC_"
"""Begins the variables of a login provider; what follows are the names of the options of ``headrace up``."""
TOKEN_AUDIENCE = "HEADRACE_TOKEN_AUDIENCE"  # noqa: S105 -- the name of the variable
"""The audience that ServiceAccounts' tokens must be made for; none are taken where it is not set."""
_OIDC = ("issuer", "client_id", "audience", "groups_claim", "name_claim", "scopes", "cli_client_id")


@dataclass(frozen=True, slots=True)
class InCluster:
    """One controller or collector."""

    platform: Settings
    """The storage URL, and a home that may be lost with the pod."""
    cluster: ClusterSettings
    gateway: str
    """URL of the gateway for the platform's own questions and for calls through the management API."""
    collector: str
    secret: str = field(repr=False)
    """What the platform's parts know one another by; of the controller, which reads it by itself, it is empty."""
    public_url: str
    """The gateway as callers outside know it, for people to read; the gateway's own where it is not set."""
    token_audience: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "InCluster":
        """``InvalidInput`` names the variable that is missing or wrong."""
        storage, namespace, work = (required(environment, name, hint=_SETTER) for name in (STORAGE, NAMESPACE, WORK))
        gateway, collector = (f"http://{name}.{namespace}.svc" for name in (GATEWAY_SERVICE, COLLECTOR_SERVICE))
        auth, audience = switched_on(environment, AUTH), environment.get(TOKEN_AUDIENCE, "")
        if audience and not auth:
            raise InvalidInput(
                f"{TOKEN_AUDIENCE}: callers are not authenticated", field=TOKEN_AUDIENCE, expected=f"{AUTH}=1 with it"
            )
        # Inside its pod, where network policies and the API server's own checks decide who reaches it.
        platform = Settings(
            Path(work),
            "0.0.0.0",  # noqa: S104
            port(environment),
            storage,
            insecure=True,
            trusted_keys=environment.get(TRUSTED_KEYS, ""),
            auth=auth,
            public_url=environment.get(PUBLIC_URL, ""),
        )
        return cls(
            replace(platform, **_provider(environment)),
            replace(ClusterSettings.from_environment(environment, storage), collector=collector),
            gateway,
            collector,
            environment.get(PLATFORM_SECRET, ""),
            environment.get(PUBLIC_URL) or gateway,
            audience,
        )


def _provider(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a login provider that are given; all of them have defaults."""
    told = {f"oidc_{name}": environment.get(f"{OIDC}{name.upper()}", "") for name in _OIDC}
    return {name: value for name, value in told.items() if value}
