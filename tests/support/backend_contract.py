"""What every backend promises (``backends.base.Backend``): one suite, run on each of them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from headrace_controller.backends.base import Backend, ServiceSpec
from headrace_functions.errors import DeadlineExceeded, NotReady
from headrace_functions.version import Scaling, Version
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
    """One that sleeps until it is asked, one of which a replica always runs, one that cannot start."""
    scaling = Scaling(idle_timeout=60)
    return (
        version("good", 1, scaling=scaling),
        version("other", 1, scaling=Scaling(min_replicas=1)),
        version("bad", 1, scaling=scaling),
    )


Run = Callable[[Callable[[Subject], Coroutine[Any, Any, None]]], None]


def soon(seconds: float = 90.0) -> float:
    return asyncio.get_running_loop().time() + seconds


class BackendContract:
    """Subclass it with a fixture ``on_backend``, which runs a test's coroutine on a fresh ``Subject``."""

    def test_an_applied_version_is_asleep_until_it_is_leased(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            s.backend.apply(ServiceSpec(s.good))
            assert s.backend.observe()[s.good.id.service].state == "asleep"
            async with s.backend.lease(s.good, deadline=soon()) as endpoint:
                assert endpoint.address
                seen = s.backend.observe()[s.good.id.service]
                assert (seen.state, seen.replicas, seen.open_requests) == ("ready", 1, 1)

        on_backend(test)

    def test_applying_twice_is_applying_once(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            s.backend.apply(ServiceSpec(s.good))
            async with s.backend.lease(s.good, deadline=soon()) as first:
                s.backend.apply(ServiceSpec(s.good))
                async with s.backend.lease(s.good, deadline=soon()) as second:
                    assert first == second

        on_backend(test)

    def test_a_hundred_leases_at_once_share_one_start(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            async def leased() -> str:
                async with s.backend.lease(s.good, deadline=soon()) as endpoint:
                    return endpoint.replica

            assert len(set(await asyncio.gather(*(leased() for _ in range(100))))) == 1

        on_backend(test)

    def test_a_version_that_cannot_start_refuses_with_the_reason_and_is_seen_as_failed(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            with pytest.raises(NotReady, match="broken on purpose"):
                async with s.backend.lease(s.bad, deadline=soon()):
                    pass
            seen = s.backend.observe()[s.bad.id.service]
            assert seen.state == "failed"
            assert "broken on purpose" in seen.reason

        on_backend(test)

    def test_a_deadline_that_passes_before_the_start_ends_the_wait(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            with pytest.raises(DeadlineExceeded):
                async with s.backend.lease(s.good, deadline=soon(0.0)):
                    pass

        on_backend(test)

    def test_warming_starts_and_returns_at_once(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            s.backend.apply(ServiceSpec(s.good))
            s.backend.warm(s.good)
            await s.until(s.good.id.service, "ready")

        on_backend(test)

    def test_a_minimum_of_replicas_runs_without_a_request(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            s.backend.apply(ServiceSpec(s.other))
            await s.until(s.other.id.service, "ready")

        on_backend(test)

    def test_removing_is_final_and_removing_the_absent_succeeds(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            async with s.backend.lease(s.good, deadline=soon()):
                pass
            s.backend.remove(s.good.id.service)
            s.backend.remove(s.good.id.service)
            s.backend.remove("never-was-v1")
            assert s.good.id.service not in s.backend.observe()

        on_backend(test)

    def test_a_removed_version_that_is_applied_again_serves_again(self, on_backend: Run) -> None:
        async def test(s: Subject) -> None:
            async with s.backend.lease(s.good, deadline=soon()):
                pass
            s.backend.remove(s.good.id.service)
            s.backend.apply(ServiceSpec(s.good))
            async with s.backend.lease(s.good, deadline=soon()) as endpoint:
                assert endpoint.address

        on_backend(test)
