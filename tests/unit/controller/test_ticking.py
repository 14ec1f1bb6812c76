"""Schedules on a cluster's clock: CronJobs kept as the schedules say, ticks told once, runs waited for."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.incluster.cronjobs import Croning
from headrace_controller.incluster.schedule_tick import Ticking, tick_of
from headrace_controller.service.schedules import Schedule
from headrace_functions.errors import InvalidInput, Unreachable

CLUSTER = ClusterSettings("s3://store")
TICK = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


class Crons:
    """A cluster's CronJobs."""

    def __init__(self, *names: str) -> None:
        self.held: dict[str, Any] = dict.fromkeys(names)
        self.away = False

    def apply_cron(self, document: dict[str, Any]) -> None:
        if self.away:
            raise Unreachable("the API server does not answer")
        self.held[document["metadata"]["name"]] = document

    def crons(self) -> list[str]:
        return list(self.held)

    def delete_cron(self, name: str) -> None:
        del self.held[name]


def schedule(name: str, **more: Any) -> Schedule:
    return Schedule(name, more.pop("cron", "30 9 * * *"), "churn", **more)


def test_there_is_a_cron_job_for_each_schedule_with_a_cron_and_no_other() -> None:
    crons = Crons("headrace-gone")
    wanted = [schedule("daily"), schedule("rows", cron="", every_rows=1000)]
    Croning(lambda: wanted, crons, CLUSTER, "headrace-controller:1").keep()
    assert ["headrace-daily"] == list(crons.held)
    spec = crons.held["headrace-daily"]["spec"]
    assert ("30 9 * * *", "Etc/UTC", "Forbid") == (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"])


def test_a_cluster_that_is_away_is_for_the_next_look() -> None:
    crons = Crons()
    crons.away = True
    croning = Croning(lambda: [schedule("daily")], crons, CLUSTER, "headrace-controller:1")
    croning.keep()
    crons.away = False
    croning.keep()
    assert ["headrace-daily"] == list(crons.held)


def test_missed_ticks_that_are_caught_up_have_no_deadline_to_start() -> None:
    crons = Crons()
    wanted = [schedule("skips"), schedule("catches-up", missed="catch-up")]
    Croning(lambda: wanted, crons, CLUSTER, "headrace-controller:1").keep()
    deadlines = {name: "startingDeadlineSeconds" in held["spec"] for name, held in crons.held.items()}
    assert {"headrace-skips": True, "headrace-catches-up": False} == deadlines


def test_the_longest_name_of_a_schedule_fits_a_cron_job() -> None:
    crons = Crons()
    Croning(lambda: [schedule("a" * 40)], crons, CLUSTER, "headrace-controller:1").keep()
    assert all(len(name) <= 52 for name in crons.held)


def test_a_jobs_name_tells_its_tick() -> None:
    assert TICK == tick_of(f"headrace-daily-{int(TICK.timestamp()) // 60}")
    with pytest.raises(InvalidInput):
        tick_of("headrace-daily")


def ticking(*answers: httpx.Response | Exception) -> tuple[Ticking, list[str]]:
    """Against a controller that answers these in turn; and what it was asked."""
    asked: list[str] = []
    left = list(answers)

    def controller(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path} {request.content.decode()}")
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx.Client(base_url="http://controller", transport=httpx.MockTransport(controller))
    return Ticking(client, "daily", sleep=lambda _: None), asked


def run(state: str) -> httpx.Response:
    return httpx.Response(202, json={"slot": "20261122T093000Z", "state": state, "reason": ""})


def test_the_pod_of_a_tick_lives_until_its_run_is_over() -> None:
    it, asked = ticking(run("claimed"), run("running"), run("failed"), run("running"), run("done"))
    assert it.run(TICK) == "done"
    assert {'POST /api/v1/schedules/daily/tick {"at":"2026-11-22T09:30:00.000Z"}'} == set(asked)


def test_a_controller_that_is_away_is_asked_until_it_is_there() -> None:
    it, _ = ticking(httpx.ConnectError("refused"), httpx.Response(503), run("given-up"))
    assert it.run(TICK) == "given-up"


def test_a_controller_that_stays_away_is_given_up() -> None:
    it, _ = ticking(*[httpx.ConnectError("refused")] * 5)
    with pytest.raises(TimeoutError):
        it.run(TICK, patience=8.0)
