"""Schedules: jobs on a cron expression, or whenever a log has so many more rows, while the platform is up.

Each window is claimed once (``scheduledruns``), so two schedulers over one store do not run it twice. Ticks that were missed are
skipped or caught up, as the schedule says; a run that failed is tried again.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal

from croniter import CroniterError, croniter

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.series import State
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.environments.named import Engine
from headrace_controller.requestlog.reader import LogReader
from headrace_controller.service.jobs import ENGINES, KINDS, Jobs, Kind
from headrace_controller.service.scheduledruns import Run, ScheduledRuns
from headrace_controller.service.versions import Versions
from headrace_functions.errors import DamagedDocument, InvalidInput
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import Reference, check_name
from headrace_functions.storage import layout
from headrace_functions.storage.documents import interpret

LATE = timedelta(seconds=90)
"""A tick that is older when it is seen (the machine slept, the platform was busy) is missed."""
LOOK_EVERY = 5.0  # seconds between two looks at the clock
CAUGHT_UP = 24
"""Missed ticks that are caught up at most, the newest ones."""
BACKFILLED = 1000
"""Ticks of one back-fill at most."""
MIN_ROWS = 30

Missed = Literal["skip", "catch-up"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job on a cron expression (five fields, UTC) or ``every_rows`` rows of the log. ``model`` is kept as written: an alias is
    followed at each run. ``options`` are further options of the job, e.g. ``group``."""

    name: str
    cron: str
    model: str
    window: str = "24h"
    engine: Engine = "native"
    kind: Kind = "drift"
    every_rows: int = 0
    missed: Missed = "skip"
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if bool(self.cron) == bool(self.every_rows):
            raise InvalidInput(
                "cron: a schedule needs either cron or every-rows", field="cron", expected="one of the two"
            )
        if self.every_rows:
            _check_rows(self.every_rows)
        elif len(self.cron.split()) != 5 or not croniter.is_valid(self.cron):
            raise InvalidInput(
                f"cron: {self.cron!r} cannot be parsed",
                field="cron",
                expected="minute hour day month weekday, e.g. '0 * * * *' for every full hour (UTC)",
            )
        if self.cron:
            _check_comes(self.cron)
        Reference.parse(self.model)
        _check_window(self.window)
        known = [kind for kind in KINDS if kind not in ("explain", "profile")]
        for name, value, allowed in (
            ("engine", self.engine, list(ENGINES)),
            ("kind", self.kind, known),
            ("missed", self.missed, ["skip", "catch-up"]),
        ):
            if value not in allowed:
                raise InvalidInput(
                    f"{name}: {value!r} is not a valid {name}", field=name, expected=f"one of {', '.join(allowed)}"
                )
        if self.kind == "fairness" and "group" not in self.options:
            raise InvalidInput(
                "group: it is required for fairness", field="group", expected="the input whose values are groups"
            )

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.name,
            "kind": self.kind,
            "cron": self.cron,
            "every_rows": self.every_rows,
            "model": self.model,
            "window": self.window,
            "engine": self.engine,
            "missed": self.missed,
            "options": dict(self.options),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Schedule":
        return cls(
            document["name"],
            document["cron"],
            document["model"],
            document["window"],
            document["engine"],
            document["kind"],
            document.get("every_rows", 0),
            document.get("missed", "skip"),
            document.get("options", {}),
        )

    def next_tick(self, after: datetime) -> datetime | None:
        """None for a schedule that rows make due."""
        if not self.cron:
            return None
        found: datetime = croniter(self.cron, after.astimezone(UTC)).get_next(datetime)
        return found

    def ticks(self, since: datetime, until: datetime, most: int) -> list[datetime]:
        """The newest ``most`` ticks in ``(since, until]``, the oldest first."""
        if not self.cron:
            return []
        back = croniter(self.cron, until.astimezone(UTC) + timedelta(microseconds=1))
        found: list[datetime] = []
        for tick in islice(iter(lambda: back.get_prev(datetime), None), most):
            if tick <= since:
                break
            found.append(tick)
        return found[::-1]


def _check_comes(cron: str) -> None:
    """``InvalidInput`` for a time that never comes, such as the 31st of February."""
    try:
        croniter(cron, datetime.now(UTC)).get_next(datetime)
    except (CroniterError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"cron: {cron!r} never occurs", field="cron", expected="a time that exists on some day, e.g. '0 0 28 2 *'"
        ) from error


def due(schedule: Schedule, since: datetime, now: datetime) -> list[datetime]:
    """The ticks in ``(since, now]`` that make a run: the newest where missed ones are skipped and it is not too old, else the
    newest ``CAUGHT_UP``. A clock that went backwards (``now < since``) makes nothing due."""
    if schedule.missed == "catch-up":
        return schedule.ticks(since, now, CAUGHT_UP)
    return [tick for tick in schedule.ticks(since, now, 1) if now - tick <= LATE]


class Schedules:
    def __init__(self, catalog: Catalog, versions: Versions, jobs: Jobs, logs: LogReader) -> None:
        self._catalog = catalog
        self._versions = versions
        self._logs = logs
        self._jobs = jobs
        self._runs = ScheduledRuns(catalog.documents, jobs)
        self._stop = threading.Event()
        self.health = LoopHealth("watching schedules", _log)
        self._trouble: dict[str, LoopHealth] = {}
        self._changed: Callable[[], None] | None = None

    def select(self) -> list[Schedule]:
        """Every schedule of a model that who asks may see; one whose document is damaged is left out, and ``get`` says why."""
        found = []
        for name in self._catalog.schedules.names():
            try:
                schedule = self.get(name)
            except DamagedDocument as error:
                _log.error("schedule %s is left out: %s", name, error.message)
                continue
            if current.may("view", Reference.parse(schedule.model).name):
                found.append(schedule)
        return found

    def get(self, name: str) -> Schedule:
        state = self._catalog.schedules.get(name)
        return interpret(f"{layout.schedule(name)}{state.number}.json", state.document, Schedule.from_document)

    def put(self, schedule: Schedule) -> State:
        """Make or change a schedule; its model must have a version now. Rows that its log has already make nothing due."""
        version = self._versions.resolve(Reference.parse(schedule.model)).id
        self._jobs.check(schedule.kind, schedule.options)
        if schedule.every_rows:
            self._runs.pass_over(schedule.name, _slot(self._logs.count(version) // schedule.every_rows))
        state = self._catalog.schedules.append(schedule.name, schedule.to_document())
        self._tell()
        return state

    def delete(self, name: str) -> None:
        self._catalog.schedules.delete(name)
        self._tell()

    def leave_clock(self, changed: Callable[[], None]) -> None:
        """Let somebody else watch the clock, who calls ``tick`` and is told by ``changed`` that schedules are others now."""
        self._changed = changed

    def tick(self, name: str, at: datetime, now: datetime) -> Run:
        """The run of the tick ``at``, claimed now if it has not been; with it what was missed before, where that is caught up."""
        schedule = self.get(name)
        if schedule.ticks(at - timedelta(seconds=1), at, 1) != [at]:
            raise InvalidInput(
                f"{name} has no tick at {clock.show(at)}", field="at", expected=schedule.cron or "a schedule with cron"
            )
        last = self._runs.last_tick(name) or self._made(name)
        missed = due(schedule, last, at) if schedule.missed == "catch-up" else []
        for moment in [*missed, at]:
            self._claim(schedule, moment, now)
        run = self._runs.find(name, _tick_slot(at))
        assert run is not None
        return run

    def runs(self, name: str) -> list[Run]:
        """The newest runs of a schedule, the newest first."""
        self.get(name)
        return self._runs.newest(name)

    def backfill(self, name: str, since: datetime, until: datetime, now: datetime) -> int:
        """Claim every tick in ``(since, until]`` that has no run yet; returns how many. They run in order, a few at a time."""
        schedule = self.get(name)
        if not schedule.cron:
            raise InvalidInput(
                f"{name} has no cron expression, so there are no scheduled times to backfill", field="name"
            )
        ticks = schedule.ticks(since, min(until, now), BACKFILLED + 1)
        if len(ticks) > BACKFILLED:
            raise InvalidInput(f"more than {BACKFILLED} ticks in that range", field="since", expected="a shorter range")
        return sum(self._claim(schedule, tick, now) for tick in ticks)

    def open(self) -> None:
        """Start to watch the clock."""
        threading.Thread(target=self._watch, name="schedules", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def look(self, since: datetime, now: datetime) -> None:
        """Claim what is due and bring runs forward. One schedule's trouble does not keep another from running."""
        for schedule in self.select():
            with self._trouble.setdefault(schedule.name, LoopHealth(f"schedule {schedule.name}", _log)).guard():
                self._look_at(schedule, since, now)

    @property
    def problems(self) -> list[str]:
        """What keeps schedules from running, in words for people."""
        names = set(self._catalog.schedules.names()) if self._trouble else set()
        of_each = [health.problem for name, health in self._trouble.items() if name in names]
        return [problem for problem in (self.health.problem, *of_each) if problem]

    def _look_at(self, schedule: Schedule, since: datetime, now: datetime) -> None:
        if self._changed is None:
            self._claim_due(schedule, since, now)
        version = self._versions.resolve(Reference.parse(schedule.model)).id
        if schedule.every_rows:
            number = self._logs.count(version) // schedule.every_rows
            if number and not self._runs.passed(schedule.name, _slot(number)):
                self._runs.claim(schedule.name, _slot(number), now, now)
        self._runs.advance(schedule.name, version, _arguments(schedule), schedule.kind, schedule.engine, now)

    def _claim_due(self, schedule: Schedule, since: datetime, now: datetime) -> None:
        if schedule.missed == "catch-up":
            since = min(since, self._runs.last_tick(schedule.name) or self._made(schedule.name))
        for tick in due(schedule, since, now):
            self._claim(schedule, tick, now)

    def _claim(self, schedule: Schedule, tick: datetime, now: datetime) -> bool:
        return self._runs.claim(schedule.name, _tick_slot(tick), tick, now)

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()

    def _made(self, name: str) -> datetime:
        return clock.parse(self._catalog.schedules.get(name).document["at"], field="at")

    def _watch(self) -> None:
        seen = datetime.now(UTC)
        while not self._stop.wait(LOOK_EVERY):
            now = datetime.now(UTC)
            with self.health.guard():  # ticks that pass while schedules cannot be read are missed
                self.look(seen, now)
            seen = now


def _tick_slot(tick: datetime) -> str:
    return f"{tick.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _slot(number: int) -> str:
    """Runs by rows in an order that names have too."""
    return f"rows-{number:012d}"


def _arguments(schedule: Schedule) -> dict[str, str]:
    return {"window": schedule.window, **schedule.options}


def _check_rows(rows: int) -> None:
    if rows < MIN_ROWS:
        raise InvalidInput(f"every-rows: {rows} rows are too few", field="every-rows", expected=f"at least {MIN_ROWS}")


def _check_window(window: str) -> None:
    if window.endswith("rows") and window.removesuffix("rows").isdigit():
        return
    try:
        parse_duration(window)
    except InvalidInput as error:
        raise InvalidInput(f"window: {error.message}", field="window", expected=error.expected) from error
