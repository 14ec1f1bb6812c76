"""``kill -9`` of each part under load: what was answered is logged, exactly once, and the platform is back by itself."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from fixtures_platform import ADDER, Load, RunningPlatform, until
from headrace_controller.embedded.collector import NICE

Start = Callable[..., RunningPlatform]


def logged_once(platform: RunningPlatform, load: Load, version: str = "adder:1") -> Counter[str]:
    """Wait until every answer is in the log, then count the lines of each request."""
    answered = load.answered()

    def all_there() -> bool:
        return answered <= {line["request_id"] for line in platform.logged(version) if line["outcome"] == "ok"}

    until(all_there, f"{len(answered)} answers are logged", 30)
    return Counter(line["request_id"] for line in platform.logged(version) if line["outcome"] == "ok")


@pytest.fixture
def platform(new_platform: Start, tmp_path: Path) -> RunningPlatform:
    running = new_platform()
    running.apply_python("adder", ADDER, tmp_path / "adder")
    return running


def test_a_killed_function_loses_only_requests_in_flight_and_is_back_on_the_next(platform: RunningPlatform) -> None:
    load = Load(platform, "adder")
    with load.running():
        for _ in range(2):
            load.wait_for(200)
            assert platform.kill("adder-v1") == 1
        load.wait_for(200)

    counts = load.counts()
    assert set(counts) <= {200, 502}
    assert counts[502] <= 2 * load.callers
    assert set(logged_once(platform, load).values()) == {1}


def test_a_killed_gateway_comes_back_adopts_the_functions_and_loses_no_answer(platform: RunningPlatform) -> None:
    load = Load(platform, "adder")
    with load.running():
        load.wait_for(200)
        before = platform.pids("adder-v1")
        assert platform.kill("gateway") == 1
        load.wait_for(200)

    assert platform.pids("adder-v1") == before, "the function lived on and was adopted"
    counts = load.counts()
    assert set(counts) <= {0, 200}
    assert counts[0] <= 2 * load.callers
    assert set(logged_once(platform, load).values()) == {1}


def test_the_collector_gives_way_to_what_answers_requests(platform: RunningPlatform) -> None:
    assert platform.infer("adder", 1.0).status_code == 200
    collectors = until(lambda: platform.pids("collector"), "the collector runs")
    lower = min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICE, 19)
    until(lambda: [os.getpriority(os.PRIO_PROCESS, pid) for pid in collectors] == [lower], "its priority is lower")


def test_a_killed_collector_loses_and_doubles_nothing(platform: RunningPlatform) -> None:
    load = Load(platform, "adder")
    with load.running():
        for _ in range(3):
            load.wait_for(300)
            until(lambda: platform.kill("collector"), "the collector runs")

    assert set(load.counts()) == {200}
    assert set(logged_once(platform, load).values()) == {1}


def test_everything_killed_at_once_is_as_it_was_after_the_next_up(platform: RunningPlatform) -> None:
    load = Load(platform, "adder")
    with load.running():
        load.wait_for(300)
        assert platform._process is not None
        os.kill(platform._process.pid, signal.SIGKILL)
        for part in ("gateway", "collector", "adder-v1"):
            platform.kill(part)
        platform._process.wait()

    platform.start()

    assert platform.infer("adder", 1.0).json()["outputs"][0]["data"] == [2.0]
    assert set(logged_once(platform, load).values()) == {1}


def test_a_killed_controller_takes_the_platform_down_in_order(platform: RunningPlatform) -> None:
    load = Load(platform, "adder")
    with load.running(at_most=2000):
        load.wait_for(200)
        assert platform._process is not None
        os.kill(platform._process.pid, signal.SIGKILL)
        platform._process.wait()
        until(lambda: not platform.pids("gateway"), "the gateway has drained and ended")
    assert platform.pids("adder-v1") == []

    platform.start()

    assert set(logged_once(platform, load).values()) == {1}


def test_stopping_under_load_answers_what_is_open_and_logs_it(platform: RunningPlatform) -> None:
    load = Load(platform, "adder")
    with load.running(at_most=4000):
        load.wait_for(300)
        assert platform.stop() == 0

    assert set(load.counts()) <= {0, 200}, "whoever got an answer got the right one"
    assert set(logged_once(platform, load).values()) == {1}


def test_requests_go_on_when_the_store_refuses_and_the_backlog_is_logged_later(platform: RunningPlatform) -> None:
    data = platform.home / "data"
    hidden = platform.home / "data-away"
    load = Load(platform, "adder")
    with load.running():
        load.wait_for(100)
        data.rename(hidden)
        data.write_text("in the way")
        load.wait_for(500)
        data.unlink()
        hidden.rename(data)
        load.wait_for(100)

    assert set(load.counts()) == {200}
    assert set(logged_once(platform, load).values()) == {1}


def test_past_its_cap_records_are_dropped_and_counted_to_the_last_one(new_platform: Start, tmp_path: Path) -> None:
    platform = new_platform("--spool-cap", "65536")
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    data, hidden = platform.home / "data", platform.home / "data-away"
    load = Load(platform, "adder")
    with load.running():
        load.wait_for(20)
        data.rename(hidden)
        data.write_text("in the way")
        until(lambda: unlogged(platform) > 50, "records are dropped")
        data.unlink()
        hidden.rename(data)
        load.wait_for(50)

    assert set(load.counts()) == {200}
    dropped = unlogged(platform)
    expected = len(load.answered()) - dropped
    until(lambda: len({line["request_id"] for line in platform.logged("adder:1")}) == expected, "the rest is logged")
    assert (
        f'headrace_unlogged_records_total{{model="adder",version="1"}} {dropped}'
        in httpx.get(f"{platform.url}/metrics").text
    )


def unlogged(platform: RunningPlatform) -> int:
    """What ``headrace status`` says was dropped."""
    status = httpx.get(f"{platform.url}/api/v1/status").json()
    assert "traffic" in status, status
    return int(status["traffic"]["unlogged_records"])


def test_a_gateway_that_is_killed_while_it_starts_is_started_again(
    new_platform: Callable[..., RunningPlatform],
) -> None:
    """Again and again, as a machine without memory does; the platform stays, and answers once it is left alone."""
    platform = new_platform()
    for _ in range(4):
        until(lambda: platform.kill("gateway"), "a gateway has begun")
    until(lambda: httpx.get(f"{platform.url}/v2/health/ready", timeout=5).status_code == 200, "it answers again")
    assert platform._process is not None
    assert platform._process.poll() is None
