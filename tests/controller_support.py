"""What the controller's tests share: a platform over a temporary home, and its HTTP side on loopback.

Environments are the test run's own Python, so builds ask real artifacts in real processes and no package is downloaded.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import werkzeug.serving

from headrace_controller import pages
from headrace_controller.api.application import create_app
from headrace_controller.backends.kserve.manifests import manifests_for
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.environments.resolution import Lock
from headrace_controller.service.assembly import Assembly
from headrace_controller.service.builds import Builds
from headrace_controller.service.localroom import LocalBuildRoom
from headrace_controller.service.platform import Platform, create_platform
from headrace_controller.service.probing import RuntimeProbe
from headrace_controller.service.provisioning import Provisioning
from headrace_controller.settings import Settings
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.documents import Documents
from headrace_functions.version import Version

WAIT = 60.0


@dataclass
class FakeServices:
    """The running side as a list that tests may change; it remembers what it was told."""

    services: list[dict[str, Any]] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)

    def observe(self) -> list[dict[str, Any]]:
        return list(self.services)

    def summary(self) -> dict[str, Any]:
        names = ("exchanges", "failed_exchanges", "unlogged_records", "dropped_shadows", "waiting_bytes")
        return dict.fromkeys(names, 0)

    def changed(self, name: str) -> None:
        self.heard.append(("changed", name))

    def wake(self, service: str) -> None:
        self.heard.append(("wake", service))

    def sleep(self, service: str) -> None:
        self.heard.append(("sleep", service))


class OwnPython(Provisioning):
    """Every environment is the Python that runs the tests."""

    def resolve(self, requirements: list[str], log: Callable[[str], None]) -> Lock:
        log(f"would resolve {len(requirements)} requirements")
        return Lock.of("\n".join(requirements))

    def python(self, environment: str, log: Callable[[str], None]) -> Path:
        return Path(sys.executable)


def make_platform(home: Path, services: FakeServices | None = None, **more: Any) -> Platform:
    """``more`` are settings of the platform, such as ``auth``."""
    settings = Settings(home=home, **more)
    platform = create_platform(
        settings,
        services or FakeServices(),
        "http://127.0.0.1:8080",
        manifests_for(ClusterSettings(settings.storage_url)),
    )
    documents = platform.catalog.documents
    assembly = Assembly(
        documents,
        LocalBuildRoom(OwnPython(documents, settings.environments, settings.artifacts), RuntimeProbe()),
    )
    builds = Builds(platform.catalog, assembly, services or FakeServices(), home / "builds", settings.logs / "builds")
    return replace(platform, builds=builds)


@contextmanager
def serving(platform: Platform) -> Iterator[str]:
    """The platform's API and pages on a free loopback port; its URL."""
    server = werkzeug.serving.make_server(
        "127.0.0.1", 0, create_app(platform, pages.blueprint(platform)), threaded=True
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def release(
    catalog: Catalog,
    model: str,
    *,
    inputs: str = "x",
    outputs: str = "y",
    metadata: dict[str, str] | None = None,
    definition: Mapping[str, Any] | None = None,
) -> VersionId:
    """A released version written straight to the store, its inputs and outputs float64 scalars named by words."""
    given = {
        "definition": {"kind": "Model", "name": model, "metadata": metadata or {}, **(definition or {})},
        "content": f"{time.monotonic_ns()}",
        "artifact": "0" * 64,
    }
    catalog.claim_name(model, "model")
    version = catalog.claim_version(model, {**given, "training": None, "created": "2026-11-22T09:00:00.000Z"})
    catalog.add_status(version, "assembling")
    catalog.write_version(describe(version, inputs, outputs))
    catalog.add_status(version, "released")
    return version


def describe(version: VersionId, inputs: str = "x", outputs: str = "y") -> Version:
    number = dtype("float64")
    signature = Signature(*(tuple(Field(n, number) for n in side.split()) for side in (inputs, outputs)))
    return Version(version, "python", signature, "0" * 64, "environment", "content")


def fail(catalog: Catalog, model: str, reason: str = "no luck") -> VersionId:
    """A version whose build failed."""
    catalog.claim_name(model, "model")
    given = {
        "definition": {"kind": "Model", "name": model},
        "content": "",
        "artifact": "",
        "training": None,
        "created": "",
    }
    version = catalog.claim_version(model, given)
    catalog.add_status(version, "failed", reason)
    return version


def documents_of(platform: Platform) -> Documents:
    return platform.catalog.documents


def wait_until(condition: Callable[[], bool], timeout: float = WAIT) -> None:
    """Return once the condition holds; fail after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("the condition did not come true in time")
        time.sleep(0.01)
