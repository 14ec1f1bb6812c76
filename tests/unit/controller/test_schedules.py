"""Schedules: which ticks make a job, and that one schedule's trouble is its own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller_support import make_platform, release
from headrace_controller.service.jobs import Job, JobRequest
from headrace_controller.service.platform import Platform
from headrace_controller.service.schedules import LATE, Schedule, Schedules, due
from headrace_functions.errors import InvalidInput, NotFound

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOURLY = Schedule("hourly", "0 * * * *", "m:1")
EACH_MINUTE = Schedule("each-minute", "* * * * *", "m:1")


class CountedJobs:
    """Remembers what it was asked to start."""

    def __init__(self) -> None:
        self.requests: list[JobRequest] = []

    def start(self, request: JobRequest) -> Job:
        self.requests.append(request)
        return Job(f"job-{len(self.requests)}", request.to_document(), "queued", "", "")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "home")


def test_a_tick_between_two_looks_is_one_run() -> None:
    assert due([HOURLY], NOON - timedelta(seconds=5), NOON) == [HOURLY]
    assert due([HOURLY], NOON, NOON + timedelta(seconds=5)) == []


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=300))
def test_every_tick_runs_exactly_once_however_the_looks_fall(steps: list[float]) -> None:
    now, runs, start = NOON + timedelta(seconds=1), 0, NOON + timedelta(seconds=1)
    for step in steps:
        since, now = now, now + timedelta(seconds=step)
        runs += len(due([EACH_MINUTE], since, now))
    ticks = int((now - NOON).total_seconds() // 60) - int((start - NOON).total_seconds() // 60)
    assert runs == ticks


def test_ticks_missed_while_the_machine_slept_are_skipped() -> None:
    assert due([HOURLY], NOON - timedelta(hours=9), NOON + LATE + timedelta(seconds=1)) == []
    assert due([EACH_MINUTE], NOON - timedelta(hours=9), NOON + timedelta(seconds=1)) == [EACH_MINUTE]


def test_a_clock_that_went_backwards_makes_nothing_due() -> None:
    assert due([HOURLY, EACH_MINUTE], NOON + timedelta(hours=1), NOON) == []


@pytest.mark.parametrize("cron", ["", "* * *", "61 * * * *", "every day", "* * * * * *", "0 0 31 2"])
def test_a_cron_expression_that_does_not_parse_is_refused(cron: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Schedule("s", cron, "m")
    assert caught.value.field == "cron"


@pytest.mark.parametrize(
    ("window", "engine", "model"), [("soon", "native", "m"), ("24h", "magic", "m"), ("24h", "native", "Not A Model")]
)
def test_window_engine_and_model_are_checked(window: str, engine: str, model: str) -> None:
    with pytest.raises(InvalidInput):
        Schedule("s", "0 * * * *", model, window, engine)  # type: ignore[arg-type]


def test_a_schedule_of_an_unknown_model_is_refused(platform: Platform) -> None:
    with pytest.raises(NotFound):
        platform.schedules.put(HOURLY)
    assert platform.schedules.select() == []


def test_an_alias_is_followed_at_each_run_and_trouble_of_one_schedule_stays_its_own(platform: Platform) -> None:
    for _ in range(2):
        release(platform.catalog, "m")
    platform.aliases.move("m", "prod", 1)
    jobs = CountedJobs()
    schedules = Schedules(platform.catalog, platform.versions, jobs)  # type: ignore[arg-type]
    schedules.put(Schedule("follows", "0 * * * *", "m@prod", window="6h"))
    platform.catalog.schedules.append("broken", Schedule("broken", "0 * * * *", "gone:1").to_document())
    assert schedules.run_due(NOON - timedelta(seconds=1), NOON) == ["job-1"]
    platform.aliases.move("m", "prod", 2)
    assert schedules.run_due(NOON + timedelta(minutes=59), NOON + timedelta(hours=1)) == ["job-2"]
    assert [str(r.version) for r in jobs.requests] == ["m:1", "m:2"]
    assert jobs.requests[0].arguments == {"window": "6h"}
    assert jobs.requests[0].by == "schedule follows"
