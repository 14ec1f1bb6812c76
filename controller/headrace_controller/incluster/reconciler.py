"""The cluster kept as the catalogue says: level-triggered, at start, on each change and every few minutes.

What is wanted is read anew each time: the released versions that are not deleted, each with its deployment configuration.
Services of this platform that nobody wants are removed. While the store or the API server is away nothing is done, and
nothing is removed on the word of a store that could not be read.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.snapshot import CatalogSnapshot
from headrace_controller.definitions import DeploymentConfiguration
from headrace_functions.errors import DamagedDocument, HeadraceError, InvalidInput, NotFound
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.version import Version

EVERY = 120.0
"""Seconds between two looks at the whole catalogue, in case a change was missed."""
AGAIN = 5.0
"""Seconds after which a look that failed is repeated."""

log = logging.getLogger(__name__)


class Cluster(Protocol):
    """What keeping asks of the backend; each call returns at once."""

    def apply(self, spec: ServiceSpec) -> None: ...

    def remove(self, name: str) -> None: ...

    def known(self) -> frozenset[str] | None:
        """Names of the services of this platform and store on the cluster; None while the cluster has not been heard."""
        ...


class Keeping:
    """``configuration_of`` is for the backend: it says what the last look found."""

    def __init__(self, catalog: Catalog, cluster: Cluster) -> None:
        self._catalog = catalog
        self._cluster = cluster
        self.after: list[Callable[[], None]] = []
        """Called after each whole look, for what else is kept as the store says."""
        self.left: Mapping[str, str] = {}
        """Versions that the last look left as they were, by their services, and why."""
        self.health = LoopHealth("keeping the cluster as the catalogue says", log)
        self._wake = threading.Event()
        self._stopping = False
        self._configurations: Mapping[VersionId, DeploymentConfiguration] = {}
        self._snapshot = CatalogSnapshot()
        self._thread = threading.Thread(target=self._run, name="keep services", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look(self) -> None:
        """Something changed; returns at once."""
        self._wake.set()

    def close(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def configuration_of(self, version: Version) -> DeploymentConfiguration | None:
        return self._configurations.get(version.id)

    def snapshot(self) -> CatalogSnapshot:
        """What the last whole look found; empty before the first one."""
        return self._snapshot

    def once(self) -> None:
        """One look. Raises a ``HeadraceError`` where the store cannot be read."""
        self._catalog.reload()
        configured = configurations(self._catalog)
        self._configurations = configured.with_earlier(self._configurations)
        self._snapshot = CatalogSnapshot.of(self._catalog)
        wanted = {
            v.version.id.service: v.version
            for v in self._catalog.versions()
            if v.version and v.released and v.version.served
        }
        left, there = {}, self._cluster.known() or frozenset()
        for name, version in wanted.items():
            why = configured.in_the_way(version.id, runs=name in there)
            if why:
                log.error("%s is left as it is: %s", name, why)
                left[name] = why
                continue
            try:
                self._cluster.apply(ServiceSpec(version))
            except HeadraceError as error:
                log.error("%s is left as it is: %s", name, error.message)
                left[name] = error.message + (f" ({error.hint})" if error.hint else "")
        self.left = left
        # What is damaged is not wanted, and its service is not removed either: it runs what it was made for when it was whole.
        for name in sorted(there - wanted.keys() - self._damaged()):
            log.info("removing %s: the catalogue does not have it", name)
            self._cluster.remove(name)

    def _damaged(self) -> set[str]:
        return {v.id.service for v in self._catalog.versions() if v.damaged}

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            with self.health.guard():
                self.once()
                for also in self.after:
                    also()
            self._wake.wait(AGAIN if self.health.failures else EVERY)


@dataclass(frozen=True, slots=True)
class Configured:
    """How versions are to run, as far as it can be read."""

    found: Mapping[VersionId, DeploymentConfiguration]
    unreadable: Mapping[VersionId, str]
    """Versions whose configuration cannot be read, and why."""
    damaged: str
    """What is wrong with a sequence, which may give any version a configuration; empty where all can be read."""

    def in_the_way(self, version: VersionId, *, runs: bool) -> str:
        """Why a version is not to be applied now: what ``runs`` must not lose a configuration that cannot be read. Empty for nothing."""
        if version in self.unreadable:
            return self.unreadable[version]
        return self.damaged if runs and version not in self.found else ""

    def with_earlier(
        self, earlier: Mapping[VersionId, DeploymentConfiguration]
    ) -> Mapping[VersionId, DeploymentConfiguration]:
        """With what was known before of versions of which nothing can be said now."""
        return {v: c for v, c in earlier.items() if self.in_the_way(v, runs=True)} | dict(self.found)


def configurations(catalog: Catalog) -> Configured:
    """The deployment configuration of each version that a sequence gives one; the first sequence by name where two differ."""
    found: dict[VersionId, DeploymentConfiguration] = {}
    unreadable: dict[VersionId, str] = {}
    named: dict[VersionId, str] = {}
    for sequence in sorted(catalog.sequences.names()):
        for text, name in catalog.sequences.get(sequence).document.get("deployment-configurations", {}).items():
            try:
                version = VersionId.parse(text)
            except InvalidInput as error:
                log.error("sequence %s: %s", sequence, error.message)
                continue
            if named.setdefault(version, name) != name:
                log.warning("%s has two deployment configurations; %s is used, not %s", version, named[version], name)
            elif version not in found:
                try:
                    document = catalog.deployments.get(name).document["definition"]
                except NotFound:
                    log.warning("%s asks for deployment configuration %s, which does not exist", version, name)
                    continue
                except DamagedDocument as error:
                    unreadable[version] = f"its deployment configuration {name} cannot be read: {error.message}"
                    continue
                try:
                    found[version] = DeploymentConfiguration.model_validate(document)
                except ValidationError as error:
                    log.error("deployment configuration %s cannot be used for %s: %s", name, version, error)
    damaged = next(iter(sorted(catalog.sequences.damaged.items())), None)
    return Configured(found, unreadable, f"sequence {damaged[0]} cannot be read: {damaged[1]}" if damaged else "")
