"""The running side of a cluster as the use cases see it: fills the ``Services`` port over the kserve backend."""

from dataclasses import asdict
from typing import Any

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.incluster.gateways import Gateways
from headrace_controller.incluster.loop import LoopThread
from headrace_controller.incluster.reconciler import Keeping
from headrace_functions.errors import Conflict, NotFound
from headrace_functions.names import VersionId


class ClusterServices:
    """Owns the loop that the backend lives on; its methods are called from any thread."""

    def __init__(self, cluster: Cluster, catalog: Catalog, gateways: Gateways) -> None:
        """``catalog`` is for this alone: it is read anew at each look."""
        self._catalog = catalog
        self._gateways = gateways
        self._loop = LoopThread("cluster")
        self.keeping = Keeping(catalog, self)
        self._backend = KServeBackend(cluster, self.keeping.configuration_of)

    def open(self) -> None:
        self._loop.run(self._backend.open())
        self.keeping.start()

    def close(self) -> None:
        """Let go; what the cluster runs goes on."""
        self.keeping.close()
        self._loop.run(self._backend.close())
        self._loop.close()
        self._gateways.close()

    # -- the ``Services`` port

    def observe(self) -> list[dict[str, Any]]:
        seen = self._loop.call(self._backend.observe)
        return [{"name": n, "version": str(VersionId.of_service(n)), **asdict(o)} for n, o in seen.items()]

    def summary(self) -> dict[str, Any]:
        return self._gateways.summary()

    def changed(self, name: str) -> None:
        del name  # what is wanted is read as a whole
        self._gateways.changed()
        self.keeping.look()

    def wake(self, service: str) -> None:
        version = self._catalog.get(VersionId.of_service(service)).version
        if version is None:
            raise NotFound(f"{VersionId.of_service(service)} has no service")
        self._loop.call(self._backend.warm, version)

    def sleep(self, service: str) -> None:
        raise Conflict(
            f"{VersionId.of_service(service)} is put to sleep by Knative, not by a command",
            hint="it sleeps when it has had no requests for its idle-timeout, which is set under scaling",
        )

    def runs_users_code(self, address: str) -> bool:
        """Whether an IP address is that of a pod of ours that runs what users wrote."""
        return self._backend.runs_users_code(address)

    # -- what keeping asks

    def apply(self, spec: ServiceSpec) -> None:
        self._loop.call(self._backend.apply, spec)

    def remove(self, name: str) -> None:
        self._loop.call(self._backend.remove, name)

    def known(self) -> frozenset[str] | None:
        return self._loop.call(self._backend.known)
