"""``Backend`` over InferenceServices on a cluster."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from headrace_controller.backends.base import Observed, ServiceSpec
from headrace_controller.backends.kserve.cluster import Cluster, Kind
from headrace_controller.backends.kserve.manifests import MODEL, STORAGE, VERSION, inference_service
from headrace_controller.backends.kserve.secrets import Secrets
from headrace_controller.backends.kserve.service import KServeService
from headrace_controller.backends.kserve.service_writer import ServiceWriter
from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.version import Version

Json = dict[str, Any]
Configurations = Callable[[Version], DeploymentConfiguration | None]
"""The deployment configuration of a version, None where it has none."""

RECONCILE_EVERY = 300.0
"""Seconds after which every service is applied again, in case a change was missed. What is as it should be stays as it is."""


class _Lease:
    """One lease as a context manager, as the local backend's."""

    __slots__ = ("_deadline", "_service", "_version")

    def __init__(self, service: KServeService, version: Version, deadline: float) -> None:
        self._service = service
        self._version = version
        self._deadline = deadline

    async def __aenter__(self) -> Endpoint:
        return await self._service.acquire(self._version, self._deadline)

    async def __aexit__(self, *_: object) -> None:
        self._service.release()


class KServeBackend:
    """Services of one platform on a cluster; all methods belong to the loop that opened it.

    The InferenceServices are the state: a new backend finds what an earlier one left, and ``close`` leaves everything running.
    While a lease is held, requests through its endpoint keep the pod; Knative knows nothing of leases without requests.
    """

    def __init__(self, cluster: Cluster, configurations: Configurations = lambda _: None) -> None:
        self._cluster = cluster
        self._writer = ServiceWriter(cluster, Secrets(cluster))
        self._configurations = configurations
        self._services: dict[str, KServeService] = {}
        self._specs: dict[str, ServiceSpec] = {}
        self._objects: dict[Kind, Mapping[str, Json]] = {"services": {}, "pods": {}}
        self._pods: Mapping[str, Mapping[str, Json]] = {}
        self._heard = False
        self._closed = False
        self._users_code: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Begin to follow the cluster; it may be away."""
        self._loop = asyncio.get_running_loop()
        self._upstream = Upstream()
        kinds: tuple[Kind, ...] = ("services", "pods")
        for kind in kinds:
            # Threads of their own: a watch lasts as long as the backend and would hold a pool's thread.
            threading.Thread(
                target=self._cluster.watch, args=(kind, self._tell), name=f"watch {kind}", daemon=True
            ).start()
        self._timer = self._loop.call_later(RECONCILE_EVERY, self._reconcile)

    def apply(self, spec: ServiceSpec) -> None:
        """``InvalidInput`` for a version that the platform may not run; a service that is there is left as it is."""
        document = self._document(spec)
        self._specs[spec.name] = spec
        self._service(spec.name).want(document)

    def remove(self, name: str) -> None:
        self._specs.pop(name, None)
        service = self._services.get(name)
        if service is not None:
            service.want(None)

    def observe(self) -> Mapping[str, Observed]:
        return {name: service.observed() for name, service in sorted(self._services.items()) if service.shown}

    def known(self) -> frozenset[str] | None:
        """Names of the services on the cluster that are of this platform and its store; None until the cluster was heard."""
        if not self._heard:
            return None
        storage = self._cluster.settings.storage
        services = self._objects["services"].items()
        return frozenset(n for n, s in services if s["metadata"].get("annotations", {}).get(STORAGE) == storage)

    def runs_users_code(self, address: str) -> bool:
        """Whether an IP address is that of a pod that runs a function or a build; may be asked by any thread."""
        return address in self._users_code

    def lease(self, version: Version, *, deadline: float) -> _Lease:
        return _Lease(self._applied(version), version, deadline)

    def warm(self, version: Version) -> None:
        self._applied(version).wake(version)

    async def close(self) -> None:
        """Let go of the cluster, which goes on as it is."""
        self._closed = True
        self._timer.cancel()
        await asyncio.gather(*(service.close() for service in self._services.values()))
        self._upstream.close()
        await asyncio.to_thread(self._cluster.close)

    def _applied(self, version: Version) -> KServeService:
        """The service of a version; versions are immutable and asleep ones cost little, so asking for one applies it."""
        if version.id.service not in self._specs:
            self.apply(ServiceSpec(version))
        return self._services[version.id.service]

    def _document(self, spec: ServiceSpec) -> Json:
        return inference_service(spec, self._cluster.settings, self._configurations(spec.version))

    def _service(self, name: str) -> KServeService:
        if name not in self._services:
            self._services[name] = KServeService(name, self._writer, self._upstream, self._cluster.settings.ingress)
            self._inform(name)
        return self._services[name]

    def _reconcile(self) -> None:
        for spec in self._specs.values():
            self._service(spec.name).want(self._document(spec))
        self._timer = self._loop.call_later(RECONCILE_EVERY, self._reconcile)

    # -- what the watches tell

    def _tell(self, kind: Kind, objects: dict[str, Json]) -> None:
        """Called in a watch's thread."""
        if not self._closed:
            self._loop.call_soon_threadsafe(self._hear, kind, objects)

    def _hear(self, kind: Kind, objects: dict[str, Json]) -> None:
        before, self._objects[kind] = self._objects[kind], objects
        # What a watch has not heard of anew is the same object as before.
        changed = {n for n in before.keys() | objects.keys() if before.get(n) is not objects.get(n)}
        if kind == "services":
            self._heard = True
            names = changed
        else:
            self._pods = _by_service(objects)
            self._users_code = _addresses(objects, self._cluster.settings.account)
            names = {_service_of(pod) for pod in (before.get(n) or objects[n] for n in changed)}
        for name in names:
            if name in self._services or name in self._objects["services"]:
                self._inform(self._service(name).name)
                if self._services[name].forgotten:
                    del self._services[name]

    def _inform(self, name: str) -> None:
        self._services[name].heard(self._objects["services"].get(name), self._pods.get(name, {}))


def _addresses(pods: Mapping[str, Json], account: str) -> frozenset[str]:
    """IP addresses of the pods of an account that have not ended."""
    found = (p.get("status", {}) for p in pods.values() if p["spec"].get("serviceAccountName") == account)
    return frozenset(s["podIP"] for s in found if s.get("podIP") and s.get("phase") not in ("Succeeded", "Failed"))


def _by_service(pods: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    found: dict[str, dict[str, Json]] = defaultdict(dict)
    for name, pod in pods.items():
        found[_service_of(pod)][name] = pod
    return found


def _service_of(pod: Json) -> str:
    labels = pod["metadata"]["labels"]
    return f"{labels.get(MODEL)}-v{labels.get(VERSION)}"
