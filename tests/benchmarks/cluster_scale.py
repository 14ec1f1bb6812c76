"""Many asleep versions through one controller on a cluster: how long until all are there, what the controller holds, how it repairs.

Not part of ``make bench``, for it needs a cluster, and minutes of it::

    cluster exec -- env HEADRACE_TEST_S3_HOST=10.250.0.1 HEADRACE_BENCH_VERSIONS=200 python -m pytest tests/benchmarks/cluster_scale.py -s

with the images' variables of ``make test-cluster``. The versions are written into the store as their builds would; the platform is
installed as a user does it.
"""

import os
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from cluster.conftest import Publisher, storage  # noqa: F401 -- a fixture
from cluster.installed import install, until
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Scaling
from support.versions import version

VERSIONS = int(os.environ.get("HEADRACE_BENCH_VERSIONS", "200"))
ASKED = 10
CODE = {"function.py": b"def predict(model, x):\n    return {'y': x + 1}\n"}
MEMORY = "cat /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.current"
BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}

pytestmark = pytest.mark.timeout(3600)


def publish(url: str, folder: Path, count: int) -> None:
    """Released versions of ``count`` models; artifacts are the same."""
    publisher, objects = Publisher(url, folder), ObjectStore(url)
    for number in range(count):
        it = version(f"m{number:04d}", 1, scaling=Scaling(idle_timeout=6))
        publisher.publish(it, CODE)
        given = {"definition": {"name": it.id.model}, "content": f"{number}", "artifact": it.artifact, "created": ""}
        objects.put(layout.definition(it.id), orjson.dumps({"schema": 1, "model": it.id.model, "number": 1, **given}))


def test_many_asleep_versions(storage: str, tmp_path: Path) -> None:  # noqa: F811
    url = f"{storage}/scale"
    (tmp_path / "artifacts").mkdir()
    publish(url, tmp_path / "artifacts", VERSIONS)
    with contextmanager(install)(tmp_path / "overlay", url) as platform:

        def held(state: str = "") -> int:
            with platform.client() as client:
                return sum(s.state == state or not state for s in client.services())

        def memory() -> float:
            said = platform.kubectl("exec", "deployment/headrace-controller", "--", "sh", "-c", MEMORY)
            return int(said.split()[0]) / 1e6

        began, before = time.monotonic(), memory()
        until(lambda: held("asleep") == VERSIONS, "all are there and asleep", 3000)
        made = time.monotonic() - began
        listing = []
        for _ in range(5):
            started = time.monotonic()
            held()
            listing.append(time.monotonic() - started)
        platform.kubectl("delete", "isvc", "m0000-v1", "--wait=false")
        gone = time.monotonic()
        until(lambda: "m0000-v1" in platform.kubectl("get", "isvc", "-o", "name"), "it was gone", 60)
        until(lambda: held("asleep") == VERSIONS, "it is there again", 120)
        repaired = time.monotonic() - gone
        wakes = []
        with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as outside:
            for number in range(1, ASKED + 1):
                started = time.monotonic()
                outside.post(f"/v2/models/m{number:04d}/infer", json=BODY).raise_for_status()
                wakes.append(time.monotonic() - started)
        print(
            f"\n{VERSIONS} versions: all asleep and Ready after {made:.0f} s; controller {before:.0f} MB before, {memory():.0f} MB then; "
            f"services listed in {statistics.median(listing) * 1000:.0f} ms through the API server; "
            f"one deleted by hand is back after {repaired:.1f} s; first answer of an asleep one p50 {statistics.median(wakes):.2f} s"
        )
