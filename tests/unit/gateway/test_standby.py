"""Leases while a version sleeps and a standby answers for it: real HTTP on a network of the test's own, no cluster."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.knative import KnativeLeases, KnativeUpstream
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.standby import Standbys, configured
from headrace_functions.gateway.upstream import NotSent, Reply, Upstream
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.record import Record
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Limits, Runtime, Version
from support.ingress import Ingress
from support.versions import version

LOCK = "1" * 64
CHURN = version("churn", 1, limits=Limits(start_timeout=5.0), runtime=Runtime("image", LOCK))
READY, INFER = "GET /v2/models/churn/ready", "POST /v2/models/churn/infer"
PREPARE = f"PUT /versions/churn:1/{'a' * 64}"
REFUSAL = "x-headrace-standby: refused\r\n"
_Told = tuple[int, bytes, bool | str]


@dataclass
class Cluster:
    """One sleeping service, its standby, and the gateway's leases over them. ``up`` lets the service answer."""

    up: asyncio.Event = field(default_factory=asyncio.Event)
    standing: _Told = (200, b"{}", "")
    """What the standby says to ``PUT``."""
    lending: _Told = (200, b"standby", True)
    """What it says to a request."""
    records: list[Record] = field(default_factory=list)

    async def own(self, line: str) -> _Told:
        if line == READY:
            await self.up.wait()  # held by Knative's activator
        return 200, b"own", True

    async def stand(self, line: str) -> _Told:
        if line == "GET /standby":
            return 200, orjson.dumps({"lock": LOCK, "versions": []}), ""
        return self.lending if line == INFER else self.standing

    def append(self, record: Record) -> bool:
        """The gateway's recorder."""
        self.records.append(record)
        return True


class Refused(KnativeUpstream):
    """Tells when something was asked of somebody who did not take it."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = asyncio.Event()

    async def request(self, address: str, head: bytes, body: bytes, deadline: float) -> Reply:
        try:
            return await super().request(address, head, body, deadline)
        except NotSent:
            self.refused.set()
            raise


@dataclass
class World:
    cluster: Cluster
    upstream: Refused
    service: Ingress
    standby: Ingress
    standbys: Standbys
    leases: KnativeLeases
    exchange: Exchange

    async def ask(self, request_id: str = "r") -> bytes:
        deadline = asyncio.get_running_loop().time() + 5
        return (await self.exchange.ask(CHURN, Call(request_id, "v2", b"{}", deadline, time.time_ns()))).body


@asynccontextmanager
async def world(cluster: Cluster, folder: Path) -> AsyncIterator[World]:
    async with Ingress(cluster.own) as service, Ingress(cluster.stand) as standby:
        upstream = Refused()
        standbys = Standbys(["python"], lambda _: standby.host, Upstream(), PlatformSecret("secret"))
        following = asyncio.create_task(standbys.follow(Documents(ObjectStore(str(folder)))))
        async with asyncio.timeout(5):
            while standbys.endpoint(CHURN) is None:
                await asyncio.sleep(0.005)
        standby.asked.clear()
        leases = KnativeLeases(lambda _: service.host, upstream, standbys=standbys)
        try:
            yield World(
                cluster,
                upstream,
                service,
                standby,
                standbys,
                leases,
                Exchange(leases, upstream, cluster, GatewayMetrics()),
            )
        finally:
            cluster.up.set()
            following.cancel()
            await leases.close()
            standbys.close()
            upstream.close()


def run(story: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(story, 30))


def test_a_sleeping_version_is_answered_by_the_standby_until_its_own_pod_answers(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(Cluster(), tmp_path) as w:
            assert [await w.ask(), await w.ask()] == [b"standby", b"standby"]
            assert w.service.asked == [READY], "Knative was asked, and so starts the pod"
            assert w.standby.asked == [PREPARE, INFER, INFER]
            assert f"\r\nx-headrace-standby: churn:1 {'a' * 64}\r\n" in w.standby.heads[-1]
            w.cluster.up.set()
            while await w.ask() != b"own":
                await asyncio.sleep(0)
            assert [await w.ask(), await w.ask()] == [b"own", b"own"]
            assert "x-headrace-standby" not in w.service.heads[-1]

    run(story())


def test_an_awake_service_is_asked_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(Cluster(), tmp_path) as w:
            w.cluster.up.set()
            assert await w.ask() == b"own"
            await asyncio.sleep(0.05)
            assert w.standby.asked == []

    run(story())


@pytest.mark.parametrize("standing", [(503, b"full", REFUSAL), (404, b"", ""), (503, b"no healthy upstream", "")])
def test_a_standby_that_refuses_leaves_the_request_to_the_versions_own_pod(tmp_path: Path, standing: _Told) -> None:
    async def story() -> None:
        async with world(Cluster(standing=standing), tmp_path) as w:
            asking = asyncio.create_task(w.ask())
            while not w.standby.asked:
                await asyncio.sleep(0.001)
            w.cluster.up.set()
            assert await asking == b"own"
            assert w.standby.asked == [PREPARE]

    run(story())


@pytest.mark.parametrize("lending", [(503, b"pushed out", REFUSAL), (503, b"connection refused", "")])
def test_a_request_that_the_standby_did_not_take_is_sent_to_the_versions_own_pod_once(
    tmp_path: Path, lending: _Told
) -> None:
    async def story() -> None:
        async with world(Cluster(lending=lending), tmp_path) as w:
            asking = asyncio.create_task(w.ask())
            await w.upstream.refused.wait()
            later = asyncio.create_task(w.ask("later"))
            await asyncio.sleep(0.02)
            w.cluster.up.set()
            assert [await asking, await later] == [b"own", b"own"]
            assert w.service.asked.count(INFER) == 2
            assert w.standby.asked.count(INFER) == 1, "what came later did not try it again"
            assert w.cluster.records == []

    run(story())


def test_a_request_that_the_standby_may_have_seen_is_not_sent_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(Cluster(lending=(503, b"{}", "")), tmp_path) as w:
            with pytest.raises(Exception, match="the cluster answered 503"):
                await w.ask("lost")
            assert [r.header.request_id for r in w.cluster.records] == ["lost"]
            assert INFER not in w.service.asked

    run(story())


def test_warming_brings_the_standby_up_too(tmp_path: Path) -> None:
    """So the stages of a sequence are forked in parallel."""

    async def story() -> None:
        async with world(Cluster(), tmp_path) as w:
            w.leases.warm(CHURN)
            while PREPARE not in w.standby.asked:
                await asyncio.sleep(0.001)
            assert w.service.asked == [READY]

    run(story())


def test_under_steady_load_nothing_is_lost_or_done_twice_in_the_handover(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(Cluster(), tmp_path) as w:

            async def caller(name: str) -> set[bytes]:
                answers = [await w.ask(f"{name}-{n}") for n in range(100)]
                return set(answers)

            callers = [asyncio.create_task(caller(f"c{n}")) for n in range(8)]
            while w.standby.asked.count(INFER) < 200:
                await asyncio.sleep(0)
            w.cluster.up.set()
            assert set.union(*await asyncio.gather(*callers)) == {b"standby", b"own"}
            heads = [h for h in w.service.heads + w.standby.heads if h.startswith("post ")]
            ids = [found[1] for h in heads if (found := re.search(r"x-request-id: (\S+)", h))]
            assert sorted(ids) == sorted(f"c{n}-{k}" for n in range(8) for k in range(100))
            assert w.cluster.records == []

    run(story())


@pytest.mark.parametrize(
    "other",
    [
        replace(CHURN, runtime=None),
        replace(CHURN, runtime=Runtime("image", "2" * 64)),
        replace(CHURN, runtime=Runtime("mine", "")),
        replace(CHURN, runtime=Runtime("image", LOCK, layer="3" * 64)),
        replace(CHURN, id=VersionId("configured", 1)),
        replace(CHURN, signature=replace(CHURN.signature, inputs=(Field("email", dtype("string"), sensitive="hash"),))),
    ],
    ids=[
        "built on one machine",
        "other lock",
        "image of the user's",
        "with a layer",
        "with a deployment configuration",
        "with hashed values",
    ],
)
def test_what_needs_more_than_the_image_is_not_covered(tmp_path: Path, other: Version) -> None:
    document = {"deployment-configurations": {"configured:1": "gpu"}}
    Documents(ObjectStore(str(tmp_path))).append(layout.revisions("s"), document)

    async def story() -> None:
        async with world(Cluster(), tmp_path) as w:
            assert w.standbys.endpoint(other) is None

    run(story())


def test_of_a_sequence_only_the_current_revision_configures(tmp_path: Path) -> None:
    documents = Documents(ObjectStore(str(tmp_path)))
    documents.append(layout.revisions("s"), {"deployment-configurations": {"a:1": "gpu", "b:2": "gpu"}})
    assert configured(documents) == {VersionId("a", 1), VersionId("b", 2)}
    documents.append(layout.revisions("s"), {"deleted": True})
    assert configured(documents) == frozenset()
