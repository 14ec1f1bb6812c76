"""Writes what a service is on a cluster: its InferenceService, and before it the token that its pods need."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from headrace_controller.backends.kserve.credentials import secret_name, token_secret
from headrace_controller.backends.kserve.manifests import HASH_KEY
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.platform_secret import FUNCTION

Json = dict[str, Any]

REPEAT = 600.0
"""Seconds after which a token that was written is written again, in case that somebody has removed it."""


class Services(Protocol):
    """The part of ``cluster.Cluster`` that writes."""

    @property
    def settings(self) -> ClusterSettings: ...

    def apply(self, document: Json) -> Json: ...

    def delete(self, name: str) -> None: ...


class Tokens(Protocol):
    """The part of ``secrets.Secrets`` that writes."""

    def apply(self, document: Json) -> None: ...

    def delete(self, name: str) -> None: ...


class ServiceWriter:
    """Blocking; called from several threads, for one service from one at a time. Errors as of ``cluster.Cluster``."""

    def __init__(self, services: Services, tokens: Tokens, now: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._tokens = tokens
        self._now = now
        self._written: dict[str, tuple[str, float]] = {}
        """By service: the digest of its key of hashes, if it has one, and when its Secret was written."""

    def apply(self, document: Json) -> Json:
        """Make the InferenceService what the document says, with the Secret for its pods, and return it."""
        name = document["metadata"]["name"]
        hashing = document["spec"]["predictor"].get("annotations", {}).get(HASH_KEY, "")
        known, when = self._written.get(name, ("", float("-inf")))
        if known != hashing or self._now() - when >= REPEAT:
            settings = self._services.settings
            key = settings.hash_key() if hashing else ""
            self._tokens.apply(token_secret(FUNCTION, name, settings, document["metadata"]["labels"], key))
            self._written[name] = hashing, self._now()
        return self._services.apply(document)

    def delete(self, name: str) -> None:
        """Delete both; the absent is deleted."""
        self._services.delete(name)
        self._tokens.delete(secret_name(name))
        self._written.pop(name, None)
