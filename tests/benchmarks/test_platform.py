"""The whole embedded platform: what the gateway adds, cold starts, sequences, idleness, how soon a record is seen.

Ratios compare two paths of one run on one machine. The direct path is the same function server, listening on TCP for the
load generator, with recording on in both.
"""

import http.client
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.load import WRK, wait_for, wrk
from fixtures_platform import RunningPlatform, until
from headrace_controller.demo.projects import write_project

SECONDS = int(os.environ.get("HEADRACE_BENCH_SECONDS", "4"))
COLD_STARTS = 40
pytestmark = [pytest.mark.skipif(WRK is None, reason="needs wrk"), pytest.mark.timeout(1200)]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(title: str, columns: list[str], rows: list[list[object]]) -> None:
    print(f"\n{title}\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(f'{c:.2f}' if isinstance(c, float) else str(c) for c in row)} |")


@pytest.fixture(scope="module")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform with a scaler, a classifier of 30 features and sequences of one and three stages."""
    data = load_breast_cancer()
    folder = tmp_path_factory.mktemp("projects")
    fields = [str(f) for f in data.feature_names]
    scaler = StandardScaler().fit(data.data)
    scaled = scaler.transform(data.data)
    write_project(folder / "scale", "scale", scaler, fields, data.data)
    write_project(
        folder / "cancer",
        "cancer",
        LogisticRegression(max_iter=2000).fit(scaled, data.target),
        fields,
        scaled,
        data.target,
    )
    for project, idle in (("scale", "600s"), ("cancer", "600s")):
        definition = yaml.safe_load((folder / project / "headrace.yaml").read_text())
        (folder / project / "headrace.yaml").write_text(
            yaml.safe_dump({**definition, "scaling": {"idle-timeout": idle}})
        )
    platform = RunningPlatform(tmp_path_factory.mktemp("home")).start()
    for project in ("scale", "cancer"):
        platform.apply(folder / project)
    stages = {"one": ["cancer:1"], "three": ["scale:1", "scale:1", "cancer:1"]}
    for name, models in stages.items():
        platform.apply(
            "-", yaml.safe_dump({"kind": "Sequence", "name": name, "pipeline": [[{"model": m}] for m in models]})
        )
    yield platform
    platform.stop()


def request_body() -> bytes:
    row = load_breast_cancer().data[0].tolist()
    return json.dumps({"inputs": [{"name": "x", "shape": [1, 30], "datatype": "FP64", "data": row}]}).encode()


@pytest.fixture(scope="module")
def direct(cancer: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The function server of ``cancer:1`` on TCP, as the platform would start it."""
    folder = tmp_path_factory.mktemp("direct")
    document = cancer.settings.home / "data/models/cancer/versions/1/version.json"
    version = orjson.loads(document.read_bytes())
    port = 18080
    settings = {
        "version": str(document),
        "artifact": str(cancer.settings.artifacts / version["artifact"]),
        "listen": f"tcp:127.0.0.1:{port}",
        "spool": str(folder / "spool"),
        "replica": "direct",
    }
    (folder / "settings.json").write_bytes(orjson.dumps(settings))
    python = cancer.settings.environments / version["environment"] / "bin" / "python"
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [str(python), "-m", "headrace_functions.runtime", str(folder / "settings.json")],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    wait_for(f"http://127.0.0.1:{port}/v2/health/ready", seconds=30, alive=lambda: process.poll() is None)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def test_what_the_gateway_adds(cancer: RunningPlatform, direct: str, tmp_path: Path) -> None:
    body = request_body()
    paths = {"direct": f"{direct}/v2/models/cancer/infer", "gateway": f"{cancer.url}/v2/models/cancer/infer"}
    rows: list[list[object]] = []
    for connections in (1, 32):
        runs = {name: [] for name in paths}  # type: ignore[var-annotated]
        for _ in range(3):  # in turn, so that a change of the machine's speed meets both
            for name, url in paths.items():
                load = wrk(url, body, tmp_path, connections=connections, seconds=SECONDS)
                assert load.errors == 0
                runs[name].append(load)
        median = {name: sorted(found, key=lambda r: r.per_second)[1] for name, found in runs.items()}
        share = median["gateway"].per_second / median["direct"].per_second
        for name, load in median.items():
            added = load.p50 - median["direct"].p50
            rows.append(
                [
                    connections,
                    name,
                    round(load.per_second),
                    load.p50,
                    load.p95,
                    load.p99,
                    f"{added:+.2f}",
                    f"{share:.0%}" if name == "gateway" else "100%",
                ]
            )
    table(
        "gateway",
        ["connections", "path", "requests/s", "p50 ms", "p95 ms", "p99 ms", "added p50 ms", "throughput kept"],
        rows,
    )


def test_a_sequence_of_three_stages_beside_one(cancer: RunningPlatform, tmp_path: Path) -> None:
    rows: list[list[object]] = []
    base = 0.0
    for name in ("cancer", "one", "scale", "three"):
        httpx.post(
            f"{cancer.url}/v2/models/{name}/infer", content=request_body(), timeout=60
        ).raise_for_status()  # wakes it
        load = wrk(f"{cancer.url}/v2/models/{name}/infer", request_body(), tmp_path, connections=1, seconds=SECONDS)
        assert load.errors == 0
        base = base or load.p50
        rows.append([name, load.p50, load.p95, load.p99, load.p50 / base])
    table("sequences, 1 connection", ["name", "p50 ms", "p95 ms", "p99 ms", "× one version"], rows)


def test_cold_starts(cancer: RunningPlatform) -> None:
    body, where = request_body(), urlsplit(cancer.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)

    def answered() -> float:
        started = time.perf_counter()
        connection.request("POST", "/v2/models/cancer/infer", body, {"content-type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200
        return (time.perf_counter() - started) * 1000

    answered()
    warm = [answered() for _ in range(200)]
    cold = []
    with cancer.client() as client:
        for _ in range(COLD_STARTS):
            client.put_to_sleep("cancer:1")
            until(lambda: not cancer.pids("cancer-v1"), "it sleeps")
            cold.append(answered())
    connection.close()
    rows: list[list[object]] = [
        [name, percentile(times, 0.5), percentile(times, 0.95), percentile(times, 0.99)]
        for name, times in (("warm", warm), ("asleep", cold))
    ]
    table(f"first answer through the gateway, {COLD_STARTS} cold starts", ["state", "p50 ms", "p95 ms", "p99 ms"], rows)


def test_idleness(tmp_path: Path) -> None:
    """Memory and processor of a platform that nobody asks, collector asleep."""
    platform = RunningPlatform(tmp_path / "home").start()
    try:
        until(lambda: not platform.pids("collector"), "the collector has gone to sleep", 90)
        pids = [platform._process.pid, *platform.pids("gateway")]  # type: ignore[union-attr]
        before = sum(_ticks(pid) for pid in pids)
        time.sleep(20)
        spent = (sum(_ticks(pid) for pid in pids) - before) / os.sysconf("SC_CLK_TCK") / 20
        memory = {name: _rss(pid) for name, pid in zip(("controller", "gateway"), pids, strict=True)}
    finally:
        platform.stop()
    table(
        "idle",
        ["process", "RSS MB"],
        [*([n, round(m)] for n, m in memory.items()), ["together", round(sum(memory.values()))]],
    )
    print(f"processor: {spent:.2%} of one core")


def test_how_soon_a_record_is_seen(cancer: RunningPlatform) -> None:
    delays = []
    for i in range(12):
        request_id = f"seen-{i}"
        cancer.infer_body("cancer", request_body(), request_id)
        started = time.perf_counter()
        with cancer.client() as client:
            version = client.resolve("cancer:1")
            until(lambda: client.logs(version, where=f"request_id = '{request_id}'").rows, "it is seen")  # noqa: B023
        delays.append(time.perf_counter() - started)
    print(
        f"\nfrom the reply until the log shows it: median {statistics.median(delays):.1f} s, worst {max(delays):.1f} s"
    )


def _rss(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
