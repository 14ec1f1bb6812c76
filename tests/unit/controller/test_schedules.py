"""Schedules: which ticks make a run, that a window runs once whoever looks, and what becomes of runs that fail."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from controller_support import make_platform, release, serving
from fixtures_jobs import given_log
from headrace_controller.cli.entrypoint import front
from headrace_controller.service.jobs import CANCELLED, Job, JobRequest
from headrace_controller.service.platform import Platform
from headrace_controller.service.scheduledruns import ATTEMPTS, FIRST_PAUSE, STALE, TOGETHER, ScheduledRuns
from headrace_controller.service.schedules import CAUGHT_UP, LATE, Schedule, Schedules, due
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HOURLY = Schedule("hourly", "0 * * * *", "m:1")
EACH_MINUTE = Schedule("each-minute", "* * * * *", "m:1")


class PlayedJobs:
    """Jobs that are over when a test says so; it remembers what it was asked to start."""

    def __init__(self) -> None:
        self.requests: list[JobRequest] = []
        self.jobs: dict[str, Job] = {}
        self.refuses = False

    def check(self, kind: str, arguments: Mapping[str, str]) -> None:
        """Nothing here is a batch."""

    def start(self, request: JobRequest) -> Job:
        if self.refuses:
            raise Conflict("100 jobs are already waiting")
        self.requests.append(request)
        name = f"job-{len(self.requests)}"
        self.jobs[name] = Job(name, request.to_document(), "running", "", "")
        return self.jobs[name]

    def get(self, name: str) -> Job:
        return self.jobs[name]

    def end(self, name: str, reason: str = "") -> None:
        self.jobs[name] = Job(name, {}, "failed" if reason else "done", "", "", reason)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path / "home")
    release(found.catalog, "m")
    return found


@pytest.fixture
def jobs() -> PlayedJobs:
    return PlayedJobs()


def schedules_of(platform: Platform, jobs: PlayedJobs) -> Schedules:
    return Schedules(platform.catalog, platform.versions, jobs, platform.logs)  # type: ignore[arg-type]


def states(schedules: Schedules, name: str = "hourly") -> list[tuple[str, str]]:
    return [(r.slot, r.state) for r in schedules.runs(name)]


def test_a_tick_between_two_looks_is_one_run() -> None:
    assert due(HOURLY, NOON - 5 * SECOND, NOON) == [NOON]
    assert due(HOURLY, NOON, NOON + 5 * SECOND) == []


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=300))
def test_every_tick_is_due_exactly_once_however_the_looks_fall(steps: list[float]) -> None:
    now, runs, start = NOON + SECOND, 0, NOON + SECOND
    for step in steps:
        since, now = now, now + timedelta(seconds=step)
        runs += len(due(EACH_MINUTE, since, now))
    assert runs == int((now - NOON).total_seconds() // 60) - int((start - NOON).total_seconds() // 60)


def test_ticks_missed_while_the_machine_slept_are_skipped() -> None:
    assert due(HOURLY, NOON - 9 * HOUR, NOON + LATE + SECOND) == []
    assert due(EACH_MINUTE, NOON - 9 * HOUR, NOON + SECOND) == [NOON]


def test_a_clock_that_went_backwards_makes_nothing_due() -> None:
    assert due(HOURLY, NOON + HOUR, NOON) == []
    assert due(Schedule("c", "0 * * * *", "m", missed="catch-up"), NOON + HOUR, NOON) == []


def test_a_time_that_no_day_has_is_refused() -> None:
    with pytest.raises(InvalidInput, match="never occurs"):
        Schedule("s", "0 0 31 2 *", "m")
    assert Schedule("s", "0 0 29 2 *", "m").cron


@pytest.mark.parametrize("cron", ["* * *", "61 * * * *", "every day", "* * * * * *", "0 0 31 2", ""])
def test_a_cron_expression_that_does_not_parse_is_refused(cron: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Schedule("s", cron, "m")
    assert caught.value.field == "cron"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"window": "soon"}, "window"),
        ({"engine": "magic"}, "engine"),
        ({"model": "Not A Model"}, "model"),
        ({"kind": "explain"}, "kind"),
        ({"missed": "maybe"}, "missed"),
        ({"kind": "fairness"}, "group"),
        ({"cron": "", "every_rows": 29}, "every-rows"),
        ({"every_rows": 100}, "cron"),
    ],
)
def test_what_a_schedule_cannot_be_is_refused_naming_it(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Schedule(**{"name": "s", "cron": "0 * * * *", "model": "m", **wrong})
    assert caught.value.field == field


def test_a_schedule_is_what_its_document_says_and_old_documents_are_read() -> None:
    made = Schedule("s", "", "m@prod", "500rows", "native", "fairness", 500, "catch-up", {"group": "sex"})
    assert Schedule.from_document(made.to_document()) == made
    old = {"name": "s", "kind": "drift", "cron": "0 * * * *", "model": "m", "window": "6h", "engine": "native"}
    assert Schedule.from_document(old).missed == "skip"


def test_a_schedule_of_an_unknown_model_is_refused(platform: Platform) -> None:
    with pytest.raises(NotFound):
        platform.schedules.put(Schedule("s", "0 * * * *", "gone:1"))
    assert platform.schedules.select() == []


def test_a_run_is_a_job_of_the_window_that_ends_at_its_tick(platform: Platform, jobs: PlayedJobs) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(Schedule("hourly", "0 * * * *", "m:1", "6h", kind="outliers", options={"rate": "0.05"}))
    schedules.look(NOON - SECOND, NOON + 4 * SECOND)
    (request,) = jobs.requests
    assert (request.kind, request.by) == ("outliers", "schedule hourly")
    assert request.arguments == {"window": "6h", "until": "2026-11-22T12:00:00.000Z", "rate": "0.05"}
    assert states(schedules) == [("20261122T120000Z", "running")]
    jobs.end("job-1")
    schedules.look(NOON + 4 * SECOND, NOON + 9 * SECOND)
    assert states(schedules) == [("20261122T120000Z", "done")]


def test_two_schedulers_over_one_store_run_a_window_once(platform: Platform, jobs: PlayedJobs) -> None:
    one, two = schedules_of(platform, jobs), schedules_of(platform, jobs)
    one.put(HOURLY)
    for schedules in (one, two, one, two):
        schedules.look(NOON - SECOND, NOON)
    assert len(jobs.requests) == 1


def test_of_two_that_start_a_run_at_once_one_wins(
    platform: Platform, jobs: PlayedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reads the state before the first has written the next one."""
    documents = platform.catalog.documents
    one, two = ScheduledRuns(documents, jobs), ScheduledRuns(documents, jobs)  # type: ignore[arg-type]
    assert one.claim("s", "t", NOON, NOON)
    assert not two.claim("s", "t", NOON, NOON)
    stale = two._read("s", "t")
    one.advance("s", VersionId("m", 1), {}, "drift", "native", NOON)
    monkeypatch.setattr(two, "_read", lambda *_: stale)
    two.advance("s", VersionId("m", 1), {}, "drift", "native", NOON)
    assert len(jobs.requests) == 1


def test_a_failed_run_is_tried_again_after_growing_pauses_and_then_given_up(
    platform: Platform, jobs: PlayedJobs
) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(HOURLY)
    now, starts = NOON, []
    schedules.look(NOON - SECOND, now)
    while states(schedules)[0][1] != "given-up":
        started = len(jobs.requests)
        jobs.end(f"job-{started}", "no memory")
        schedules.look(now, now)
        failed = now
        while states(schedules)[0][1] == "failed" and len(jobs.requests) == started:
            now += timedelta(seconds=30)
            schedules.look(now, now)
        starts.append(now - failed)
    assert len(jobs.requests) == ATTEMPTS
    assert starts[:2] == [FIRST_PAUSE, 4 * FIRST_PAUSE]
    (run,) = schedules.runs("hourly")
    assert (run.attempt, run.reason) == (ATTEMPTS, "no memory")


def test_a_cancelled_run_is_not_tried_again(platform: Platform, jobs: PlayedJobs) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(HOURLY)
    schedules.look(NOON - SECOND, NOON)
    jobs.end("job-1", CANCELLED)
    schedules.look(NOON, NOON + HOUR / 2)
    assert states(schedules) == [("20261122T120000Z", "given-up")]


def test_a_full_queue_is_a_failed_attempt(platform: Platform, jobs: PlayedJobs) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(HOURLY)
    jobs.refuses = True
    schedules.look(NOON - SECOND, NOON)
    jobs.refuses = False
    schedules.look(NOON, NOON + FIRST_PAUSE)
    assert states(schedules) == [("20261122T120000Z", "running")]


def test_a_run_whose_scheduler_died_while_it_started_is_taken_up(platform: Platform, jobs: PlayedJobs) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(HOURLY)

    def dies(_: JobRequest) -> Job:
        raise KeyboardInterrupt

    dying = PlayedJobs()
    dying.start = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        schedules_of(platform, dying).look(NOON - SECOND, NOON)
    schedules.look(NOON, NOON + STALE - SECOND)
    assert jobs.requests == []
    schedules.look(NOON, NOON + STALE)
    assert len(jobs.requests) == 1


def test_missed_ticks_are_caught_up_where_the_schedule_says_so(platform: Platform, jobs: PlayedJobs) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(Schedule("hourly", "0 * * * *", "m:1", missed="catch-up"))
    schedules.look(NOON - SECOND, NOON)
    jobs.end("job-1")
    later = NOON + 100 * HOUR
    schedules.look(later - SECOND, later)
    assert len(schedules.runs("hourly")) == CAUGHT_UP + 1
    for _ in range(3 * CAUGHT_UP):
        for name, job in list(jobs.jobs.items()):
            if job.state == "running":
                jobs.end(name)
        schedules.look(later, later)
    assert {state for _, state in states(schedules)} == {"done"}
    ends = [str(r.arguments["until"]) for r in jobs.requests]
    assert ends == sorted(ends)


def test_a_back_fill_runs_each_tick_of_a_range_once_and_a_few_at_a_time(platform: Platform, jobs: PlayedJobs) -> None:
    schedules = schedules_of(platform, jobs)
    schedules.put(HOURLY)
    assert schedules.backfill("hourly", NOON - 10 * HOUR, NOON, NOON) == 10
    assert schedules.backfill("hourly", NOON - 12 * HOUR, NOON, NOON) == 2
    schedules.look(NOON, NOON)
    assert len(jobs.requests) == TOGETHER
    with pytest.raises(InvalidInput, match="more than"):
        schedules.backfill("hourly", NOON - timedelta(days=365), NOON, NOON)


def test_a_look_lists_no_window_that_is_over(
    platform: Platform, jobs: PlayedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years of an hourly schedule cost a look nothing; once an hour all are listed, for what another scheduler left."""
    schedules = schedules_of(platform, jobs)
    schedules.put(HOURLY)
    for hour in range(30):
        schedules.look(NOON + (hour - 1) * HOUR, NOON + hour * HOUR)
        schedules.look(NOON + hour * HOUR, NOON + hour * HOUR + SECOND)
        jobs.end(f"job-{hour + 1}")
    now = NOON + 29 * HOUR + 2 * SECOND
    schedules.look(now - SECOND, now)
    listed: list[list[str]] = []
    real = ObjectStore.folders_from

    def counted(self: ObjectStore, prefix: str, first: str) -> list[str]:
        listed.append(real(self, prefix, first))
        return listed[-1]

    monkeypatch.setattr(ObjectStore, "folders_from", counted)
    schedules.look(now, now + SECOND)
    assert [len(slots) for slots in listed] == [1]
    assert schedules.backfill("hourly", NOON - 3 * HOUR, NOON, now) == 2
    schedules.look(now, now + 2 * SECOND)
    assert len(jobs.requests) == 32, "a back-fill's windows are older than those that are looked at"


def test_rows_make_a_schedule_due_once_for_each_so_many(platform: Platform, jobs: PlayedJobs) -> None:
    version = platform.catalog.get(VersionId("m", 1)).version
    assert version is not None
    objects = platform.catalog.documents.objects
    given_log(objects, version, {"x": [0.0] * 250, "y": [0.0] * 250})
    schedules = schedules_of(platform, jobs)
    schedules.put(Schedule("rows", "", "m:1", "100rows", every_rows=100))
    schedules.look(NOON, NOON)
    assert jobs.requests == [], "what the log had before makes nothing due"
    given_log(objects, version, {"x": [0.0] * 60, "y": [0.0] * 60}, request="b")
    for _ in range(3):
        schedules.look(NOON, NOON)
    assert len(jobs.requests) == 1
    assert jobs.requests[0].arguments["window"] == "100rows"
    given_log(objects, version, {"x": [0.0] * 500, "y": [0.0] * 500}, request="c")
    schedules.look(NOON, NOON + SECOND)
    assert len(jobs.requests) == 2


def test_an_alias_is_followed_at_each_run_and_trouble_of_one_schedule_stays_its_own(
    platform: Platform, jobs: PlayedJobs
) -> None:
    release(platform.catalog, "m")
    platform.aliases.move("m", "prod", 1)
    schedules = schedules_of(platform, jobs)
    schedules.put(Schedule("follows", "0 * * * *", "m@prod"))
    platform.catalog.schedules.append("broken", Schedule("broken", "0 * * * *", "gone:1").to_document())
    schedules.look(NOON - SECOND, NOON)
    platform.aliases.move("m", "prod", 2)
    schedules.look(NOON + HOUR - SECOND, NOON + HOUR)
    assert [str(r.version) for r in jobs.requests] == ["m:1", "m:2"]


def test_the_command_line_adds_shows_and_fills_schedules(platform: Platform) -> None:
    with serving(platform) as url:

        def say(*command: str) -> str:
            done = CliRunner().invoke(front, ["schedule", *command, "--url", url])
            assert done.exit_code == 0, done.output
            return done.output

        assert "runs next at" in say(
            "add", "nightly", "m:1", "--cron", "0 3 * * *", "--kind", "fairness", "--set", "group=x"
        )
        assert "every 1000 rows" in say("add", "rows", "m:1", "--every-rows", "1000", "--window", "1000rows")
        assert "fairness" in say("list")
        assert "2 runs" in say(
            "backfill", "nightly", "--since", "2026-11-20T00:00:00Z", "--until", "2026-11-21T12:00:00Z"
        )
        assert "20261121T030000Z" in say("runs", "nightly")


class TestSomebodyElsesClock:
    """Ticks that a CronJob tells."""

    def test_a_tick_told_twice_is_one_run(self, platform: Platform, jobs: PlayedJobs) -> None:
        schedules = schedules_of(platform, jobs)
        schedules.leave_clock(lambda: None)
        schedules.put(HOURLY)
        first, second = (schedules.tick("hourly", NOON, NOON + SECOND) for _ in range(2))
        assert first == second
        assert [("20261122T120000Z", "claimed")] == states(schedules)

    def test_the_platform_itself_claims_no_tick(self, platform: Platform, jobs: PlayedJobs) -> None:
        schedules = schedules_of(platform, jobs)
        schedules.leave_clock(lambda: None)
        schedules.put(HOURLY)
        schedules.look(NOON - SECOND, NOON + SECOND)
        assert [] == states(schedules)

    def test_a_time_that_is_no_tick_is_refused(self, platform: Platform, jobs: PlayedJobs) -> None:
        schedules = schedules_of(platform, jobs)
        schedules.put(HOURLY)
        with pytest.raises(InvalidInput, match="no tick"):
            schedules.tick("hourly", NOON + SECOND, NOON + SECOND)

    def test_who_watches_the_clock_hears_of_changes(self, platform: Platform, jobs: PlayedJobs) -> None:
        heard: list[str] = []
        schedules = schedules_of(platform, jobs)
        schedules.leave_clock(lambda: heard.append("changed"))
        schedules.put(HOURLY)
        schedules.delete("hourly")
        assert ["changed", "changed"] == heard
