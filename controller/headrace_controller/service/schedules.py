"""Schedules: jobs on a cron expression while the platform is up. One run a tick; ticks that were missed are skipped."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from croniter import croniter

from headrace_controller.catalog import Catalog
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.environments.named import Engine
from headrace_controller.series import State
from headrace_controller.service.jobs import ENGINES, JobRequest, Jobs
from headrace_controller.service.versions import Versions
from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import Reference, check_name

LATE = timedelta(seconds=90)
"""A tick that is older when it is seen (the machine slept, the platform was busy) is missed, and missed ticks are skipped."""
LOOK_EVERY = 5.0  # seconds between two looks at the clock

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job on a cron expression (five fields, UTC). ``model`` is kept as written: an alias is followed at each run."""

    name: str
    cron: str
    model: str
    window: str = "24h"
    engine: Engine = "native"

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.cron.split()) != 5 or not croniter.is_valid(self.cron):
            raise InvalidInput(
                f"cron: {self.cron!r} does not parse",
                field="cron",
                expected="minute hour day month weekday, e.g. '0 * * * *' for every full hour (UTC)",
            )
        Reference.parse(self.model)
        try:
            parse_duration(self.window)
        except InvalidInput as error:
            raise InvalidInput(f"window: {error.message}", field="window", expected=error.expected) from error
        if self.engine not in ENGINES:
            raise InvalidInput(
                f"engine: {self.engine!r} is none", field="engine", expected=f"one of {', '.join(ENGINES)}"
            )

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.name,
            "kind": "drift",
            "cron": self.cron,
            "model": self.model,
            "window": self.window,
            "engine": self.engine,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Schedule":
        return cls(document["name"], document["cron"], document["model"], document["window"], document["engine"])

    def next_tick(self, after: datetime) -> datetime:
        found: datetime = croniter(self.cron, after.astimezone(UTC)).get_next(datetime)
        return found

    def last_tick(self, until: datetime) -> datetime:
        """The newest tick at or before ``until``."""
        found: datetime = croniter(self.cron, until.astimezone(UTC) + timedelta(microseconds=1)).get_prev(datetime)
        return found


def due(schedules: list[Schedule], since: datetime, now: datetime) -> list[Schedule]:
    """The schedules with a tick in ``(since, now]`` that is not too old; several ticks of one are one run.

    A clock that went backwards (``now < since``) makes nothing due.
    """
    return [s for s in schedules if since < s.last_tick(now) <= now and now - s.last_tick(now) <= LATE]


class Schedules:
    def __init__(self, catalog: Catalog, versions: Versions, jobs: Jobs) -> None:
        self._catalog = catalog
        self._versions = versions
        self._jobs = jobs
        self._stop = threading.Event()

    def select(self) -> list[Schedule]:
        return [self.get(name) for name in self._catalog.schedules.names()]

    def get(self, name: str) -> Schedule:
        return Schedule.from_document(self._catalog.schedules.get(name).document)

    def put(self, schedule: Schedule) -> State:
        """Make or change a schedule; its model must have a version now."""
        self._versions.resolve(Reference.parse(schedule.model))
        return self._catalog.schedules.append(schedule.name, schedule.to_document())

    def delete(self, name: str) -> None:
        self._catalog.schedules.delete(name)

    def open(self) -> None:
        """Start to watch the clock."""
        threading.Thread(target=self._watch, name="schedules", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def run_due(self, since: datetime, now: datetime) -> list[str]:
        """Start the jobs that are due; the ids of the started ones. One schedule's trouble does not keep another from running."""
        started = []
        for schedule in due(self.select(), since, now):
            try:
                version = self._versions.resolve(Reference.parse(schedule.model)).id
                request = JobRequest(
                    "drift", version, schedule.engine, {"window": schedule.window}, by=f"schedule {schedule.name}"
                )
                started.append(self._jobs.start(request).id)
            except HeadraceError:
                _log.exception("schedule %s could not start its job", schedule.name)
        return started

    def _watch(self) -> None:
        seen = datetime.now(UTC)
        while not self._stop.wait(LOOK_EVERY):
            now = datetime.now(UTC)
            try:
                self.run_due(seen, now)
            except HeadraceError:
                _log.exception("schedules could not be read")  # the store is away: those ticks are missed
            seen = now
