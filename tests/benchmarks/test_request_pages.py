"""The page of requests over a long log. ``HEADRACE_BENCH_ROWS`` says how many rows of thirty days (20,000,000, about 1.6 GB)."""

import html
import os
import re
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake
from flask.testing import FlaskClient

from controller_support import FakeServices, make_platform
from headrace_controller.api.application import create_app
from headrace_controller.collector.rows import schema
from headrace_controller.pages import blueprint
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.version import Version

ROWS = int(os.environ.get("HEADRACE_BENCH_ROWS", "20000000"))
DAYS, REPEATS = 30, 20
INPUTS = tuple(Field(f"n{i}", dtype("float64"), profile="numerical") for i in range(5))
SCORE = Field("score", dtype("float64"), profile="numerical")
IT = Version(VersionId("m", 1), "python", Signature(INPUTS, (SCORE,)), "0" * 64, "environment", "content")

pytestmark = pytest.mark.timeout(1800)


def a_day(end: datetime, rows: int, random: np.random.Generator) -> pa.Table:
    """Requests of one row each, spread over the day before ``end``; one in a hundred failed."""
    last = int(end.timestamp() * 1e6)
    received = pa.array(last - np.sort(random.integers(0, 86_400_000_000, rows))[::-1], pa.timestamp("us", "UTC"))
    known = {
        "request_id": pa.array([f"{x:016x}" for x in random.integers(0, 2**62, rows).tolist()]),
        "row": pa.array(np.zeros(rows, np.int32)),
        "received": received,
        "date": pc.strftime(received, format="%Y-%m-%d"),
        "latency_ms": pa.array(random.gamma(2, 3, rows)),
        "outcome": pa.array(np.where(random.random(rows) < 0.99, "ok", "failed").tolist()),
        "status": pa.array(np.full(rows, 200, np.int32)),
        "shadow": pa.array(np.zeros(rows, bool)),
        **{f"in.n{i}": pa.array(random.normal(size=rows)) for i in range(len(INPUTS))},
        "out.score": pa.array(random.normal(size=rows)),
    }
    wanted = schema(IT)
    return pa.table([known.get(f.name, pa.nulls(rows, f.type)).cast(f.type) for f in wanted], schema=wanted)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    platform = make_platform(tmp_path_factory.mktemp("home") / "home", FakeServices([]))
    given = {"definition": {"kind": "Model", "name": "m", "metadata": {}}, "content": "1"}
    platform.catalog.claim_name("m", "model")
    platform.catalog.claim_version("m", {**given, "artifact": "0" * 64, "training": None, "created": ""})
    platform.catalog.write_version(IT)
    platform.catalog.add_status(IT.id, "released")
    objects, random, now = platform.catalog.documents.objects, np.random.default_rng(0), datetime.now(UTC)
    for day in range(DAYS):
        rows = a_day(now - timedelta(days=DAYS - 1 - day), ROWS // DAYS, random)
        write_deltalake(objects.table_url(layout.log_table(IT.id)), rows, mode="append", partition_by=["date"])
    return create_app(platform, blueprint(platform)).test_client()


def asked(client: FlaskClient, path: str) -> tuple[float, str]:
    started = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, path
    return 1000 * (time.perf_counter() - started), answer.text


def test_server_time_of_the_page_of_requests(client: FlaskClient) -> None:
    print(f"\n| {ROWS:,} rows, {DAYS} days | p50 ms | p95 ms | the page after it, p50 ms |\n|---|---|---|---|")
    for words, more in (
        ("3 hours", "range=3h"),
        ("24 hours", "range=24h"),
        ("30 days", "range=30d"),
        ("30 days, a filter that one row in 700 meets", "range=30d&where=in.n0+%3E+3"),
    ):
        path = f"/requests?version=m:1&{more}"
        times = sorted(asked(client, path)[0] for _ in range(REPEATS))
        older = re.search(r'href="(/requests\?[^"]*before[^"]*)"', asked(client, path)[1])
        assert older is not None
        later = sorted(asked(client, html.unescape(older[1]))[0] for _ in range(REPEATS // 4))
        found = (times[len(times) // 2], times[int(0.95 * len(times))], later[len(later) // 2])
        print(f"| {words} | {' | '.join(f'{t:.0f}' for t in found)} |")
