"""The state machine of one local service, in virtual time, over replicas that do what the test says."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.local.service import LocalService
from headrace_functions.errors import DeadlineExceeded, NotReady
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.version import Scaling
from support import virtual_time
from support.versions import version


class FakeReplica:
    def __init__(self, name: str) -> None:
        self.endpoint = Endpoint(f"unix:/{name}", name)
        self.exited = asyncio.Event()
        self.stopped = False

    async def stop(self, grace: float) -> None:
        self.stopped = True
        self.exited.set()

    def tail(self) -> str:
        return "last words"


class FakeLauncher:
    """Starts replicas after ``delay`` seconds, or fails with ``refusal``."""

    def __init__(self, delay: float = 1.0) -> None:
        self.delay = delay
        self.refusal = ""
        self.replicas: list[FakeReplica] = []
        self.cancelled = 0

    async def launch(self, spec: ServiceSpec) -> FakeReplica:
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.refusal:
            raise NotReady(self.refusal)
        self.replicas.append(FakeReplica(f"{spec.name}-{len(self.replicas)}"))
        return self.replicas[-1]


def service(launcher: FakeLauncher, **scaling: Any) -> LocalService:
    return LocalService(ServiceSpec(version(scaling=Scaling(**scaling))), launcher)


def soon(seconds: float = 100.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapped() -> None:
        virtual_time.run(test())

    wrapped.__doc__ = test.__doc__
    wrapped.__name__ = test.__name__
    return wrapped


@in_virtual_time
async def test_a_hundred_requests_at_once_start_one_replica() -> None:
    launcher = FakeLauncher()
    it = service(launcher, concurrency=1000)

    held = await asyncio.gather(*(it.acquire(soon()) for _ in range(100)))

    assert len(launcher.replicas) == 1
    assert {id(r) for r in held} == {id(held[0])}
    assert it.observed().open_requests == 100


@in_virtual_time
async def test_an_idle_replica_sleeps_after_its_time_out_counted_from_the_last_release() -> None:
    launcher = FakeLauncher()
    it = service(launcher, idle_timeout=60)
    for _ in range(3):
        replica = await it.acquire(soon())
        await asyncio.sleep(50)
        it.release(replica)
        await asyncio.sleep(50)
        assert it.observed().state == "ready"

    await asyncio.sleep(10.1)

    assert it.observed().state == "asleep"
    assert [r.stopped for r in launcher.replicas] == [True]


@in_virtual_time
async def test_a_leased_replica_is_never_put_to_sleep() -> None:
    launcher = FakeLauncher()
    it = service(launcher, idle_timeout=1)
    await it.acquire(soon())

    await asyncio.sleep(1000)

    assert it.observed().state == "ready"
    assert not launcher.replicas[0].stopped


@in_virtual_time
async def test_a_replica_that_was_never_leased_sleeps_too() -> None:
    launcher = FakeLauncher()
    it = service(launcher, idle_timeout=5)
    it.warm()

    await asyncio.sleep(7)

    assert it.observed().state == "asleep"


@in_virtual_time
async def test_a_failed_start_refuses_the_waiting_and_backs_off_longer_each_time() -> None:
    launcher = FakeLauncher(delay=0.1)
    launcher.refusal = "model.joblib is damaged"
    it = service(launcher)
    for expected in (1, 2, 4):
        with pytest.raises(NotReady, match=r"model\.joblib is damaged") as caught:
            await it.acquire(soon())
        assert caught.value.retry_after == pytest.approx(expected, abs=0.01)
        assert it.observed().state == "failed"
        await asyncio.sleep(expected)

    launcher.refusal = ""
    await it.acquire(soon())

    assert it.observed().state == "ready"


@in_virtual_time
async def test_while_it_backs_off_nothing_is_started() -> None:
    launcher = FakeLauncher(delay=0.1)
    launcher.refusal = "no"
    it = service(launcher)
    with pytest.raises(NotReady):
        await it.acquire(soon())
    launcher.refusal = ""

    with pytest.raises(NotReady):
        await it.acquire(soon())
    it.warm()
    await asyncio.sleep(0.5)

    assert launcher.replicas == []


@in_virtual_time
async def test_the_request_after_a_crash_starts_it_again() -> None:
    launcher = FakeLauncher()
    it = service(launcher)
    replica = await it.acquire(soon())
    launcher.replicas[0].exited.set()
    it.release(replica)
    await asyncio.sleep(0)

    again = await it.acquire(soon())

    assert len(launcher.replicas) == 2
    assert again.running is launcher.replicas[1]


@in_virtual_time
async def test_three_crashes_within_a_minute_back_off_with_the_end_of_the_log() -> None:
    launcher = FakeLauncher(delay=0.1)
    it = service(launcher)
    for n in range(3):
        it.release(await it.acquire(soon()))
        launcher.replicas[n].exited.set()
        await asyncio.sleep(0.01)

    with pytest.raises(NotReady, match="last words"):
        await it.acquire(soon())


@in_virtual_time
async def test_a_start_slower_than_the_deadline_fails_the_caller_but_goes_on() -> None:
    launcher = FakeLauncher(delay=10)
    it = service(launcher)

    with pytest.raises(DeadlineExceeded):
        await it.acquire(soon(3))
    await asyncio.sleep(8)

    assert it.observed().state == "ready"


@in_virtual_time
async def test_busy_replicas_bring_more_up_to_the_maximum_and_the_least_busy_is_chosen() -> None:
    launcher = FakeLauncher(delay=0.1)
    it = service(launcher, max_replicas=3, concurrency=1)
    held = []
    for _ in range(12):
        held.append(await it.acquire(soon()))
        await asyncio.sleep(0.2)

    assert len(launcher.replicas) == 3
    assert max(r.leases for r in held) - min(r.leases for r in held) <= 1


@in_virtual_time
async def test_the_minimum_of_replicas_is_kept_through_idleness_and_crashes() -> None:
    launcher = FakeLauncher(delay=0.1)
    it = service(launcher, min_replicas=2, max_replicas=2, idle_timeout=1)
    it.keep_minimum()
    await asyncio.sleep(100)
    assert it.observed().replicas == 2

    launcher.replicas[0].exited.set()
    await asyncio.sleep(1)

    assert it.observed().replicas == 2


@in_virtual_time
async def test_stop_waits_for_open_leases_and_refuses_new_ones() -> None:
    launcher = FakeLauncher()
    it = service(launcher)
    replica = await it.acquire(soon())
    stopping = asyncio.ensure_future(it.stop(grace=10))
    await asyncio.sleep(3)
    assert not launcher.replicas[0].stopped
    with pytest.raises(NotReady, match="removed"):
        await it.acquire(soon())

    it.release(replica)
    await stopping

    assert launcher.replicas[0].stopped


@in_virtual_time
async def test_stop_calls_off_a_start() -> None:
    launcher = FakeLauncher(delay=30)
    it = service(launcher)
    it.warm()
    await asyncio.sleep(1)

    await it.stop()

    assert launcher.cancelled == 1
    assert launcher.replicas == []


@in_virtual_time
async def test_renewing_answers_open_requests_by_the_old_replica_and_new_ones_by_another() -> None:
    launcher = FakeLauncher()
    it = service(launcher, max_replicas=1)
    open_request = await it.acquire(soon())

    it.renew()
    new_request = await it.acquire(soon())

    assert new_request is not open_request
    assert [False, False] == [r.stopped for r in launcher.replicas]
    it.release(open_request)
    await asyncio.sleep(0)
    assert [True, False] == [r.stopped for r in launcher.replicas]
    it.release(new_request)


@in_virtual_time
async def test_renewing_ends_what_is_idle_at_once_and_keeps_the_minimum() -> None:
    launcher = FakeLauncher()
    it = service(launcher, min_replicas=1)
    it.keep_minimum()
    await asyncio.sleep(2)

    it.renew()
    await asyncio.sleep(2)

    assert [True, False] == [r.stopped for r in launcher.replicas]
    assert "ready" == it.observed().state


@in_virtual_time
async def test_a_replica_that_was_starting_with_the_old_keys_answers_nobody() -> None:
    launcher = FakeLauncher(delay=1.0)
    it = service(launcher)
    waiting = asyncio.ensure_future(it.acquire(soon()))
    await asyncio.sleep(0.5)

    it.renew()
    held = await waiting

    assert held.running is launcher.replicas[1]
    assert [True, False] == [r.stopped for r in launcher.replicas]
