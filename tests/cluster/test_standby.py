"""Standby on a real cluster: how soon an asleep version answers with it and without, and what becomes of each request."""

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson
import pytest
import yaml

from headrace_functions.names import VersionId

from .installed import ROOT, Installed, install, kubectl, until
from .traffic import Traffic, fate
from .tumours import ROWS, project, request_of

pytestmark = pytest.mark.timeout(900)

WAKES = int(os.environ.get("HEADRACE_BENCH_WAKES", "4"))
"""Wakes that are timed without a standby, and as many with one."""
BODY = request_of(ROWS[:1])
MODELS = ("alpha", "beta", "gamma", "delta")
VERSIONS = 2
"""Function servers that the standby may have at once."""
READY = "jsonpath={.items[*].status.containerStatuses[*].ready}"
WARM = "headrace.dev/standby=sklearn"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the overlay."""
    return tmp_path_factory.mktemp("overlay")


@pytest.fixture(scope="module")
def plain(folder: Path, storage: str) -> Iterator[Installed]:
    """Without a standby."""
    settings = {"HEADRACE_STANDBY_VERSIONS": str(VERSIONS), "HEADRACE_STANDBY_IDLE": "5"}
    for platform in install(folder, storage, **settings):
        for model in MODELS:
            platform.headrace("apply", "-f", str(project(folder / model, 1.0, model, idle="6s")))
        yield platform
        print(platform.kubectl("logs", "-l", WARM, "-c", "standby", "--tail=40", "--ignore-errors"))


@pytest.fixture(scope="module")
def without(plain: Installed) -> list[float]:
    """What first answers take before the platform has a standby."""
    return first_answers(plain)


@pytest.fixture
def platform(plain: Installed, folder: Path) -> Installed:
    """With a standby that is ready."""
    if not plain.kubectl("get", "ksvc", "-l", WARM, "-o", "name").strip():
        add_standby(plain, folder)
    until(lambda: len(plain.pods(WARM)) == 1, "one pod of the standby")
    until(lambda: set(plain.kubectl("get", "pods", "-l", WARM, "-o", READY).split()) == {"true"}, "it is ready", 180)
    return plain


def add_standby(platform: Installed, folder: Path) -> None:
    """What docs/cluster-standby.md says: one more line in the overlay, applied."""
    file = folder / "kustomization.yaml"
    document = yaml.safe_load(file.read_text())
    document["components"] = [os.path.relpath(ROOT / "knative" / "components" / "standby", folder)]
    file.write_text(yaml.safe_dump(document))
    before = serving_gateway(platform)
    kubectl("apply", "-k", str(folder))
    for name in ("python", "sklearn"):
        platform.kubectl("wait", "--for=condition=Ready", f"ksvc/headrace-standby-{name}", "--timeout=120s")
    until(lambda: serving_gateway(platform) != before, "the gateway knows of it", 180)
    platform.kubectl("wait", "--for=condition=Ready", "ksvc/headrace-gateway", "--timeout=120s")


def serving_gateway(platform: Installed) -> str:
    return platform.kubectl("get", "ksvc", "headrace-gateway", "-o", "jsonpath={.status.latestReadyRevisionName}")


def asleep(platform: Installed, model: str) -> bool:
    return not platform.kubectl("get", "pods", "-l", f"headrace.dev/model={model}", "-o", "name").strip()


def answering(platform: Installed) -> list[str]:
    """The versions that the standby answers for now."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/standby').read().decode())"
    told = platform.kubectl("exec", platform.pods(WARM)[0], "-c", "standby", "--", "python", "-c", ask)
    versions: list[str] = orjson.loads(told)["versions"]
    return versions


def first_answer(platform: Installed, model: str) -> float:
    """Seconds to the answer of one request of a version that sleeps."""
    until(lambda: asleep(platform, model), f"{model} sleeps", 180)
    with httpx.Client(base_url=platform.gateway_url, timeout=60, trust_env=False) as caller:
        caller.get("/v2/health/live").raise_for_status()  # its own connection is not what is measured
        started = time.perf_counter()
        answer = caller.post(f"/v2/models/{model}/infer", json=BODY)
        seconds = time.perf_counter() - started
    assert answer.status_code == 200, answer.text
    return seconds


def first_answers(platform: Installed) -> list[float]:
    return sorted(first_answer(platform, MODELS[n % len(MODELS)]) for n in range(WAKES))


def replicas(platform: Installed, model: str) -> set[str]:
    """Who answered, as the log tells."""
    with platform.client() as client:
        rows = client.logs(VersionId(model, 1), limit=10_000, columns="replica,outcome").rows
    return {"standby" if "headrace-standby-" in row["replica"] else "own" for row in rows if row["outcome"] == "ok"}


def test_the_first_answer_of_an_asleep_version_comes_from_the_standby_long_before_its_pod(
    without: list[float], platform: Installed
) -> None:
    first_answer(platform, MODELS[0])  # the standby learns what the models import
    with_standby = first_answers(platform)
    for name, seconds in (("without", without), ("with", with_standby)):
        p95 = seconds[round(0.95 * (len(seconds) - 1))]
        print(f"{name}: p50 {statistics.median(seconds):.3f} s, p95 {p95:.3f} s, {[round(s, 3) for s in seconds]}")
    assert statistics.median(with_standby) < statistics.median(without) / 2


def test_under_load_the_pod_takes_over_and_no_request_fails_is_lost_or_done_twice(platform: Installed) -> None:
    model = "beta"
    until(lambda: asleep(platform, model), f"{model} sleeps", 180)
    with Traffic(platform.gateway_url, f"/v2/models/{model}/infer", BODY, per_second=50) as traffic:
        until(lambda: traffic.sent > 50 and not asleep(platform, model), "its pod starts")
        until(lambda: "true" in ready(platform, model), "its pod answers")
        sent = traffic.sent
        until(lambda: traffic.sent > sent + 200, "the pod has taken over")
    counted = fate(platform, traffic, [f"{model}:1"])
    assert (counted.failed, counted.lost, counted.doubled) == (0, 0, 0), counted
    assert replicas(platform, model) == {"standby", "own"}


def ready(platform: Installed, model: str) -> str:
    return platform.kubectl("get", "pods", "-l", f"headrace.dev/model={model}", "-o", READY)


@pytest.mark.parametrize(("force", "may_fail"), [(False, 0), (True, 8)], ids=["drained", "killed"])
def test_a_standby_that_goes_away_under_load_fails_at_most_what_it_had(
    platform: Installed, force: bool, may_fail: int
) -> None:
    """Drained, nothing fails and nothing is lost; killed with its disk, only open requests fail and none is done twice."""
    model = "gamma"
    until(lambda: asleep(platform, model), f"{model} sleeps", 180)
    with Traffic(platform.gateway_url, f"/v2/models/{model}/infer", BODY, per_second=50) as traffic:
        until(lambda: traffic.answered, "the standby answers")
        hard = ["--force", "--grace-period=0"] if force else []
        platform.kubectl("delete", "pod", *platform.pods(WARM), "--wait=false", *hard)
        until(lambda: "true" in ready(platform, model), "the version's own pod answers")
        sent = traffic.sent
        until(lambda: traffic.sent > sent + 100, "the pod has taken over")
    counted = fate(platform, traffic, [f"{model}:1"], 30 if force else 90)
    print(counted)
    assert counted.failed <= may_fail, counted
    assert counted.doubled == 0, counted
    assert force or counted.lost == 0, counted


def test_more_versions_than_it_may_have_are_all_answered_and_it_never_has_more(platform: Installed) -> None:
    # The test before may have left one that goes and one that comes.
    until(lambda: len(platform.kubectl("get", "pods", "-l", WARM, "-o", "name").split()) == 1, "one pod of the standby")
    until(lambda: set(platform.kubectl("get", "pods", "-l", WARM, "-o", READY).split()) == {"true"}, "it is ready", 180)
    for model in MODELS:
        until(lambda model=model: asleep(platform, model), f"{model} sleeps", 180)  # type: ignore[misc]
    with httpx.Client(base_url=platform.gateway_url, timeout=60, trust_env=False) as caller:
        with ThreadPoolExecutor(len(MODELS)) as pool:
            asked = [pool.submit(caller.post, f"/v2/models/{model}/infer", json=BODY) for model in MODELS]
            most, answered = 0, False
            while not answered:  # the last look is after the last answer, when its function server is still there
                answered = all(future.done() for future in asked)
                most = max(most, len(answering(platform)))
        assert [future.result().status_code for future in asked] == [200] * len(MODELS)
    assert 1 <= most <= VERSIONS
