"""Services: what runs now, and the word to the part that runs it that something changed."""

from typing import Any, Protocol

from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_functions.errors import NotFound
from headrace_functions.names import VersionId


class Services(Protocol):
    """The side of the gateway and its backend that the use cases need; ``app`` gives the real one."""

    def observe(self) -> list[dict[str, Any]]:
        """Every service: ``name``, ``version``, ``state``, ``reason``, ``replicas``, ``url``…; a snapshot for people."""
        ...

    def summary(self) -> dict[str, Any]:
        """Counters since the gateway started: exchanges, failed ones, records that could not be logged, dropped shadows…"""
        ...

    def changed(self, name: str) -> None:
        """A model, alias or sequence of this name changed; what is in memory about it is stale."""
        ...

    def wake(self, service: str) -> None:
        """Start a service if it is asleep; returns at once."""
        ...

    def sleep(self, service: str) -> None:
        """Stop a service that nobody uses; returns at once."""
        ...


class ServiceViews:
    """Services as people ask for them, by version."""

    def __init__(self, catalog: Catalog, services: Services) -> None:
        self._catalog = catalog
        self._services = services

    def select(self) -> list[dict[str, Any]]:
        """Those of models that who asks may see."""
        seen = (s for s in self._services.observe() if current.may("view", str(s.get("version", "")).partition(":")[0]))
        return sorted(seen, key=lambda s: str(s.get("name", "")))

    def summary(self) -> dict[str, Any]:
        return self._services.summary()

    def get(self, version: VersionId) -> dict[str, Any]:
        """What runs of a version; a released version that nobody called is ``asleep``."""
        for service in self._services.observe():
            if service.get("name") == version.service:
                return service
        found = self._catalog.get(version)
        if not found.released:
            raise NotFound(f"version {version} is {found.state}, so it has no service", field="version")
        return {"name": version.service, "version": str(version), "state": "asleep", "reason": "", "replicas": 0}

    def wake(self, version: VersionId) -> dict[str, Any]:
        service = self.get(version)
        self._services.wake(version.service)
        return service

    def sleep(self, version: VersionId) -> dict[str, Any]:
        service = self.get(version)
        self._services.sleep(version.service)
        return service
