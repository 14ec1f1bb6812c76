"""What every backend promises (``backends.base.Backend``), proven on each one, the fake included."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from headrace_controller.backends.base import Backend, ServiceSpec
from headrace_controller.backends.local.launcher import LocalLauncher, Prepared
from headrace_controller.backends.local.node import LocalNode
from headrace_controller.settings import Settings
from headrace_functions.errors import DeadlineExceeded, NotReady
from headrace_functions.version import Scaling, Version
from support.fake_backend import FakeBackend
from support.versions import version

FUNCTION = "def predict(model, x):\n    return {'y': x + 1}\n"
BROKEN = "raise RuntimeError('broken on purpose')\n"


@dataclass
class Subject:
    backend: Backend
    good: Version
    other: Version
    bad: Version
    """Cannot start: its reason contains ``broken on purpose``."""

    async def until(self, name: str, state: str) -> None:
        """Wait until the service is seen in a state."""
        async with asyncio.timeout(20):
            while name not in self.backend.observe() or self.backend.observe()[name].state != state:
                await asyncio.sleep(0.01)


def versions() -> tuple[Version, Version, Version]:
    scaling = Scaling(idle_timeout=60)
    return (
        version("good", 1, scaling=scaling),
        version("other", 1, scaling=Scaling(min_replicas=1)),
        version("bad", 1, scaling=scaling),
    )


@asynccontextmanager
async def fake(_: Path) -> AsyncIterator[Subject]:
    good, other, bad = versions()
    backend = FakeBackend()
    backend.failing[bad.id] = "broken on purpose"
    yield Subject(backend, good, other, bad)
    await backend.close()


@asynccontextmanager
async def local(tmp_path: Path) -> AsyncIterator[Subject]:
    good, other, bad = versions()
    settings = Settings(tmp_path)
    for folder in (settings.run, settings.logs, settings.spool):
        folder.mkdir()
    for it, code in ((good, FUNCTION), (other, FUNCTION), (bad, BROKEN)):
        (tmp_path / it.id.service).mkdir()
        (tmp_path / it.id.service / "function.py").write_text(code)
        (tmp_path / f"{it.id.service}.json").write_bytes(orjson.dumps(it.to_document()))

    def prepare(it: Version) -> Prepared:
        return Prepared(Path(sys.executable), tmp_path / it.id.service, tmp_path / f"{it.id.service}.json")

    node = LocalNode(LocalLauncher(settings, prepare))
    await node.open()
    yield Subject(node, good, other, bad)
    await node.close()


BACKENDS = {"fake": fake, "local": local}


@pytest.fixture(params=BACKENDS)
def on_backend(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[Callable[[Subject], Coroutine[Any, Any, None]]], None]:
    def run(test: Callable[[Subject], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with BACKENDS[request.param](tmp_path) as subject:
                await test(subject)

        asyncio.run(whole())

    return run


Run = Callable[[Callable[[Subject], Coroutine[Any, Any, None]]], None]


def soon(seconds: float = 30.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def test_an_applied_version_is_asleep_until_it_is_leased(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        s.backend.apply(ServiceSpec(s.good))
        assert s.backend.observe()[s.good.id.service].state == "asleep"
        async with s.backend.lease(s.good, deadline=soon()) as endpoint:
            assert endpoint.address
            seen = s.backend.observe()[s.good.id.service]
            assert (seen.state, seen.replicas, seen.open_requests) == ("ready", 1, 1)

    on_backend(test)


def test_applying_twice_is_applying_once(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        s.backend.apply(ServiceSpec(s.good))
        async with s.backend.lease(s.good, deadline=soon()) as first:
            s.backend.apply(ServiceSpec(s.good))
            async with s.backend.lease(s.good, deadline=soon()) as second:
                assert first == second

    on_backend(test)


def test_a_hundred_leases_at_once_share_one_start(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        async def leased() -> str:
            async with s.backend.lease(s.good, deadline=soon()) as endpoint:
                return endpoint.replica

        assert len(set(await asyncio.gather(*(leased() for _ in range(100))))) == 1

    on_backend(test)


def test_a_version_that_cannot_start_refuses_with_the_reason_and_is_seen_as_failed(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        with pytest.raises(NotReady, match="broken on purpose"):
            async with s.backend.lease(s.bad, deadline=soon()):
                pass
        seen = s.backend.observe()[s.bad.id.service]
        assert seen.state == "failed"
        assert "broken on purpose" in seen.reason

    on_backend(test)


def test_a_deadline_that_passes_before_the_start_ends_the_wait(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        with pytest.raises(DeadlineExceeded):
            async with s.backend.lease(s.good, deadline=soon(0.0)):
                pass

    on_backend(test)


def test_warming_starts_and_returns_at_once(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        s.backend.apply(ServiceSpec(s.good))
        s.backend.warm(s.good)
        await s.until(s.good.id.service, "ready")

    on_backend(test)


def test_a_minimum_of_replicas_runs_without_a_request(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        s.backend.apply(ServiceSpec(s.other))
        await s.until(s.other.id.service, "ready")

    on_backend(test)


def test_removing_is_final_and_removing_the_absent_succeeds(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        async with s.backend.lease(s.good, deadline=soon()):
            pass
        s.backend.remove(s.good.id.service)
        s.backend.remove(s.good.id.service)
        s.backend.remove("never-was-v1")
        assert s.good.id.service not in s.backend.observe()

    on_backend(test)


def test_a_removed_version_that_is_applied_again_serves_again(on_backend: Run) -> None:
    async def test(s: Subject) -> None:
        async with s.backend.lease(s.good, deadline=soon()):
            pass
        s.backend.remove(s.good.id.service)
        s.backend.apply(ServiceSpec(s.good))
        async with s.backend.lease(s.good, deadline=soon()) as endpoint:
            assert endpoint.address

    on_backend(test)
