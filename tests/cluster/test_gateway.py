"""The gateway and the collector over a cluster: sequences wake, answer, and every exchange reaches the log."""

import asyncio
from pathlib import Path

import httpx
import pytest
from deltalake import DeltaTable

from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.collector.collect import Collector
from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.record import Record
from headrace_functions.recording.shipper import Shipper
from headrace_functions.sequence import Sequence, Stage, Variant
from headrace_functions.signature import Signature
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Scaling, Version
from support.versions import number, version

from .conftest import Publisher

REQUESTS = 40


class Kept:
    """What the gateway itself records: exchanges that never reached a function."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record) -> bool:
        self.records.append(record)
        return True


@pytest.fixture
def sequence(publisher: Publisher, cluster_settings: ClusterSettings) -> tuple[Sequence, list[Version]]:
    scaling = Scaling(idle_timeout=30)
    first = version("first", 1, inputs=(number("x"),), outputs=(number("y"),), scaling=scaling)
    last, shadow = (version("last", n, inputs=(number("y"),), outputs=(number("z"),), scaling=scaling) for n in (1, 2))
    codes = (
        "def predict(model, x):\n    return {'y': x + 1}\n",
        "def predict(model, y):\n    return {'z': y * 10}\n",
        "def predict(model, y):\n    return {'z': y * 100}\n",
    )
    versions = [
        publisher.publish(v, {"function.py": code.encode()})
        for v, code in zip((first, last, shadow), codes, strict=True)
    ]
    stages = (Stage((Variant(first.id),)), Stage((Variant(last.id),), (shadow.id,)))
    made = Sequence("both", stages, Signature(first.signature.inputs, last.signature.outputs), 120.0)
    Documents(ObjectStore(cluster_settings.storage)).append(layout.revisions("both"), made.to_document())
    return made, versions


def test_a_sequence_wakes_answers_and_every_exchange_is_logged(
    cluster_settings: ClusterSettings, sequence: tuple[Sequence, list[Version]], tmp_path: Path
) -> None:
    """Three versions asleep, forty requests at once: forty answers, and forty rows in each of the three logs."""
    objects = ObjectStore(cluster_settings.storage)
    kept, measures = Kept(), GatewayMetrics()
    secret = PlatformSecret(cluster_settings.secret)

    async def answers() -> list[float]:
        backend = KServeBackend(Cluster(cluster_settings))
        await backend.open()
        upstream = Upstream()
        exchange = Exchange(backend, upstream, kept, measures, secret)
        runner = SequenceRunner(exchange, measures)
        gateway = Gateway(GatewaySettings("test"), Resolver(Documents(objects)), exchange, runner, upstream, measures)
        transport = httpx.ASGITransport(app=gateway)  # type: ignore[arg-type]
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=120) as client:

                async def ask(x: float) -> float:
                    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}
                    answer = await client.post("/v2/models/both/infer", json={"inputs": [tensor]})
                    assert answer.status_code == 200, answer.text
                    return float(answer.json()["outputs"][0]["data"][0])

                found = await asyncio.gather(*(ask(float(x)) for x in range(REQUESTS)))
            await runner.drain(60)
            return list(found)
        finally:
            upstream.close()
            await backend.close()

    assert asyncio.run(answers()) == [(x + 1.0) * 10 for x in range(REQUESTS)]
    assert kept.records == []
    collector = Collector(objects, Shipper(tmp_path / "spool", objects))
    rows: dict[str, int] = {}

    async def collected() -> None:
        async with asyncio.timeout(30):
            while [rows.get(v.id.service) for v in sequence[1]] != [REQUESTS] * 3:
                await asyncio.to_thread(collector.round)
                for v in sequence[1]:
                    rows[v.id.service] = await asyncio.to_thread(count, objects, v)
                await asyncio.sleep(0.2)

    asyncio.run(collected())


def count(objects: ObjectStore, version: Version) -> int:
    """Rows in the log of a version."""
    url, options = objects.table_url(layout.log_table(version.id)), objects.table_options()
    if not DeltaTable.is_deltatable(url, options):
        return 0
    return int(DeltaTable(url, storage_options=options).to_pyarrow_table().num_rows)
