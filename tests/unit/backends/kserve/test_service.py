"""One service on a cluster, without the cluster: what is asked of the API server, and what callers get meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace_controller.backends.kserve import service as service_module
from headrace_controller.backends.kserve.service import KServeService
from headrace_functions.errors import Conflict, DeadlineExceeded, HeadraceError, NotReady, Unreachable
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.version import Limits
from support.versions import version

Json = dict[str, Any]
WANTED = {"metadata": {"name": "adder-v1"}}
VERSION = version("adder", 1, limits=Limits(start_timeout=5.0))


class Writer:
    """An API server that raises what it is told to, then does as it is asked."""

    def __init__(self, *errors: HeadraceError) -> None:
        self.errors = list(errors)
        self.calls: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def apply(self, document: Json) -> Json:
        self._called("apply")
        return {"metadata": {"generation": 1}}

    def delete(self, name: str) -> None:
        self._called("delete")

    def _called(self, verb: str) -> None:
        self.free.wait(5)
        self.calls.append(verb)
        if self.errors:
            raise self.errors.pop(0)


def inference_service(generation: int = 1, revision: str = "1", ready: str = "True") -> Json:
    predictor = {"latestReadyRevision": "r", "address": {"url": "http://adder-v1-predictor.models.svc.cluster.local"}}
    return {
        "metadata": {"resourceVersion": revision, "generation": generation},
        "status": {
            "url": "http://adder-v1-predictor.models.example",
            "conditions": [{"type": "Ready", "status": ready}],
            "components": {"predictor": predictor},
        },
    }


def pod(*, ready: bool = True, crashed: str = "", revision: str = "1") -> Json:
    state = {"terminated": {"exitCode": 1, "message": crashed}} if crashed else {"running": {}}
    return {
        "metadata": {"resourceVersion": revision},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "kserve-container", "state": state}],
        },
    }


@asynccontextmanager
async def gateway(status: Callable[[], int]) -> AsyncIterator[tuple[str, list[str]]]:
    """A cluster's gateway on loopback that answers with a status; its address and the hosts that were asked for."""
    hosts: list[str] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        hosts.append(next(line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("host:")))
        writer.write(f"HTTP/1.1 {status()} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}", hosts


def with_service(
    test: Callable[[KServeService, Writer], Coroutine[Any, Any, None]], writer: Writer, ingress: str = ""
) -> None:
    async def whole() -> None:
        upstream = Upstream()
        subject = KServeService("adder-v1", writer, upstream, ingress)
        try:
            await test(subject, writer)
        finally:
            await subject.close()
            upstream.close()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def test_what_is_wanted_is_written_once_and_again_after_an_edit_or_a_deletion() -> None:
    async def test(s: KServeService, w: Writer) -> None:
        s.want(WANTED)
        await until(lambda: w.calls == ["apply"])
        s.heard(inference_service(), {})
        s.heard(inference_service(revision="2"), {})  # a status changed, nothing of ours
        s.heard(inference_service(generation=2, revision="3"), {})
        await until(lambda: w.calls == ["apply"] * 2)
        s.heard(None, {})
        await until(lambda: w.calls == ["apply"] * 3)

    with_service(test, Writer())


def test_an_api_server_that_is_away_is_asked_again_and_the_reason_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "_FIRST_PAUSE", 0.01)

    async def test(s: KServeService, w: Writer) -> None:
        w.free.clear()
        s.want(WANTED)
        w.free.set()
        await until(lambda: "nobody answers" in s.observed().reason or len(w.calls) == 3)
        await until(lambda: w.calls == ["apply"] * 3)
        await until(lambda: s.observed().reason == "")

    with_service(test, Writer(Unreachable("nobody answers"), NotReady("still being removed")))


def test_what_the_cluster_refuses_is_failed_with_the_reason_and_refuses_leases() -> None:
    async def test(s: KServeService, w: Writer) -> None:
        s.want(WANTED)
        await until(lambda: s.observed().state == "failed")
        assert s.observed().reason == "does not belong to this platform (rename it)"
        with pytest.raises(NotReady, match="does not belong to this platform"):
            await s.acquire(VERSION, soon())
        s.want(WANTED)
        await until(lambda: s.observed().state == "asleep")

    with_service(test, Writer(Conflict("does not belong to this platform", hint="rename it")))


def test_a_removal_that_is_called_off_ends_applied() -> None:
    """The last word counts, whatever the order in which the API server gets to it."""

    async def test(s: KServeService, w: Writer) -> None:
        w.free.clear()
        s.want(WANTED)
        s.want(None)
        s.want(WANTED)
        w.free.set()
        await until(lambda: len(w.calls) >= 1 and s._keeping is None)
        assert w.calls[-1] == "apply"
        assert s.shown

    with_service(test, Writer())


def test_a_removed_service_is_not_shown_and_gives_no_lease() -> None:
    async def test(s: KServeService, w: Writer) -> None:
        s.heard(inference_service(), {"p": pod()})
        assert s.shown
        s.want(None)
        assert not s.shown
        with pytest.raises(NotReady, match="being removed"):
            await s.acquire(VERSION, soon())
        await until(lambda: w.calls == ["delete"])
        s.heard(None, {})
        assert s.forgotten

    with_service(test, Writer())


def test_a_pod_that_serves_is_leased_at_once_by_its_cluster_local_name() -> None:
    async def test(s: KServeService, w: Writer) -> None:
        s.want(WANTED)
        s.heard(inference_service(), {"p": pod()})
        endpoint = await s.acquire(VERSION, soon())
        assert endpoint.host == "adder-v1-predictor.models.svc.cluster.local"
        assert endpoint.address == "tcp:adder-v1-predictor.models.svc.cluster.local:80"
        assert s.observed().open_requests == 1
        s.release()
        assert s.observed().open_requests == 0

    with_service(test, Writer())


def test_a_sleeping_service_is_asked_through_the_ingress_until_it_answers() -> None:
    async def test() -> None:
        answers = iter([404, 503, 200])
        async with gateway(lambda: next(answers)) as (address, hosts):
            upstream = Upstream()
            s = KServeService("adder-v1", Writer(), upstream, address)
            s.want(WANTED)
            s.heard(inference_service(), {})
            assert s.observed().state == "asleep"
            waiting = asyncio.ensure_future(s.acquire(VERSION, soon()))
            await until(lambda: len(hosts) == 1)
            s.heard(inference_service(), {"p": pod(ready=False)})
            endpoint = await waiting
            assert (endpoint.address, endpoint.host) == (address, "adder-v1-predictor.models.example")
            assert hosts == ["adder-v1-predictor.models.example"] * 3
            assert s.observed().state == "ready", "it answered, though its pod's conditions do not say so yet"
            await s.close()
            upstream.close()

    asyncio.run(test())


def test_a_pod_that_crashes_while_it_is_waited_for_refuses_with_its_log() -> None:
    async def test(s: KServeService, w: Writer) -> None:
        s.want(WANTED)
        s.heard(inference_service(), {})
        waiting = asyncio.ensure_future(s.acquire(VERSION, soon()))
        await asyncio.sleep(0)
        s.heard(inference_service(), {"p": pod(ready=False, crashed="no such column")})
        with pytest.raises(NotReady, match="no such column"):
            await waiting

    with_service(test, Writer(), "tcp:127.0.0.1:9")


def test_what_crashed_before_and_has_no_pod_is_tried_again() -> None:
    async def test(s: KServeService, w: Writer) -> None:
        s.want(WANTED)
        s.heard(inference_service(ready="False"), {})
        assert s.observed().state == "failed"
        with pytest.raises(DeadlineExceeded):
            await s.acquire(VERSION, soon(0.2))

    with_service(test, Writer(), "tcp:127.0.0.1:9")
