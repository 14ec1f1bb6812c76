"""Runs of schedules: each window of a schedule is a series of states in the store, and each state is created once.

``claimed → starting → running → done``; a job that fails is ``failed`` until its next attempt, and ``given-up`` after the last one.
Who creates a state has won it: a second scheduler over the same store sees the conflict and leaves the run alone. A run whose
scheduler died between two states is taken up by the next look.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from headrace_controller import clock
from headrace_controller.environments.named import Engine
from headrace_controller.service.jobs import CANCELLED, Job, JobRequest, Jobs, Kind
from headrace_functions.errors import Conflict, HeadraceError, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents

Step = Literal["claimed", "starting", "running", "failed", "done", "given-up", "passed"]
OVER = ("done", "given-up", "passed")
ATTEMPTS = 3
FIRST_PAUSE = timedelta(minutes=1)  # before the second attempt; four times as long before the third
STALE = timedelta(minutes=1)
"""After so long a run that is ``starting`` without a job was left behind by a scheduler that died."""
TOGETHER = 4
"""Runs of one schedule that are started and not over, so that a back-fill leaves room for others."""
SHOWN = 100
WHOLE_EVERY = timedelta(hours=1)
"""Between two looks at all windows; the others begin at the oldest that is not over, for windows are named in the order of time."""


@dataclass(frozen=True, slots=True)
class Run:
    """One window of a schedule as it is now. ``slot`` names it: the tick, or the number of rows."""

    slot: str
    number: int
    """Of the state that counts."""
    state: Step
    until: datetime
    at: datetime
    attempt: int = 0
    job: str = ""
    reason: str = ""

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "state": self.state,
            "until": clock.show(self.until),
            "at": clock.show(self.at),
            "attempt": self.attempt,
            "job": self.job,
            "reason": self.reason,
        }

    @property
    def retry_at(self) -> datetime:
        """When a failed run is tried again."""
        return self.at + FIRST_PAUSE * int(4 ** (self.attempt - 1))


class ScheduledRuns:
    def __init__(self, documents: Documents, jobs: Jobs) -> None:
        self._documents = documents
        self._jobs = jobs
        self._over: set[tuple[str, str]] = set()
        self._first: dict[str, str] = {}
        """By schedule, the oldest window that was not over at the last look."""
        self._whole: dict[str, datetime] = {}
        self._tick: dict[str, str] = {}
        """By schedule, the newest tick that was seen."""

    def claim(self, schedule: str, slot: str, until: datetime, now: datetime) -> bool:
        """Take a window; False where it has been taken."""
        if schedule in self._first:  # a back-fill takes older windows
            self._first[schedule] = min(self._first[schedule], slot)
        return self._enter(schedule, Run(slot, 0, "claimed", until, now)) is not None

    def pass_over(self, schedule: str, slot: str) -> None:
        """Count a window as over without a run."""
        now = clock.parse(clock.now(), field="now")
        self._enter(schedule, Run(slot, 0, "passed", now, now))

    def passed(self, schedule: str, slot: str) -> bool:
        """Whether this window or a later one of its kind has been taken."""
        return any(s.startswith("rows-") for s in self._slots(schedule, slot))

    def last_tick(self, schedule: str) -> datetime | None:
        """The newest tick that was taken; None where none was."""
        ticks = [s for s in self._slots(schedule, self._tick.get(schedule, "")) if not s.startswith("rows-")]
        if not ticks:
            return None
        self._tick[schedule] = max(ticks)
        run = self._read(schedule, max(ticks))
        return run.until if run is not None else None

    def find(self, schedule: str, slot: str) -> Run | None:
        """The run of a window as it is now; None where nobody has taken it."""
        return self._read(schedule, slot)

    def newest(self, schedule: str) -> list[Run]:
        """The newest ``SHOWN`` runs, the newest first."""
        slots = sorted(self._slots(schedule), reverse=True)[:SHOWN]
        return [run for slot in slots if (run := self._read(schedule, slot)) is not None and run.state != "passed"]

    def advance(
        self, schedule: str, version: VersionId, arguments: Mapping[str, str], kind: Kind, engine: Engine, now: datetime
    ) -> None:
        """Bring every run that is not over one step forward, the oldest first."""
        busy = 0
        slots = self._open(schedule, now)
        for slot in slots:
            if (schedule, slot) in self._over:
                continue
            run = self._read(schedule, slot)
            if run is not None and run.state == "running":
                run = self._followed(schedule, run, now)
            if run is None or run.state in OVER:
                self._over.add((schedule, slot))
                continue
            if run.state == "running" or (run.state == "starting" and now - run.at < STALE):
                busy += 1
            elif busy < TOGETHER and (run.state != "failed" or now >= run.retry_at):
                request = JobRequest(
                    kind,
                    version,
                    engine,
                    {**arguments, "until": clock.show(run.until)},
                    by=f"schedule {schedule}",
                )
                busy += self._start(schedule, run, request, now)
        if slots:
            self._first[schedule] = next((s for s in slots if (schedule, s) not in self._over), slots[-1])

    def _open(self, schedule: str, now: datetime) -> list[str]:
        """The windows that may not be over, the oldest first."""
        first = self._first.get(schedule)
        if first is None or now - self._whole[schedule] >= WHOLE_EVERY:
            self._whole[schedule] = now
            return self._slots(schedule)
        return self._slots(schedule, first)

    def _start(self, schedule: str, run: Run, request: JobRequest, now: datetime) -> bool:
        """Start the next attempt, unless another scheduler does."""
        attempt = run.attempt + (run.state != "starting")
        starting = self._enter(schedule, _next(run, "starting", now, attempt=attempt))
        if starting is None:
            return False
        try:
            job = self._jobs.start(request)
        except HeadraceError as error:
            self._fail(schedule, starting, error.message, now)
            return False
        self._enter(schedule, _next(starting, "running", now, attempt=attempt, job=job.id))
        return True

    def _followed(self, schedule: str, run: Run, now: datetime) -> Run | None:
        """A running run after a look at its job."""
        job: Job | None
        try:
            job = self._jobs.get(run.job)
        except NotFound:
            job = None
        if job is not None and job.state == "done":
            return self._enter(schedule, _next(run, "done", now, attempt=run.attempt, job=run.job))
        if job is None or job.state == "failed":
            return self._fail(schedule, run, job.reason if job is not None else "its job is gone", now)
        return run

    def _fail(self, schedule: str, run: Run, reason: str, now: datetime) -> Run | None:
        last = run.attempt >= ATTEMPTS or reason == CANCELLED
        state: Step = "given-up" if last else "failed"
        return self._enter(schedule, _next(run, state, now, attempt=run.attempt, job=run.job, reason=reason))

    def _enter(self, schedule: str, run: Run) -> Run | None:
        """Create the state after ``run.number``; None where somebody else has."""
        number = run.number + 1
        try:
            self._documents.create(f"{layout.schedule_run(schedule, run.slot)}{number}.json", run.to_document())
        except Conflict:
            return None
        return Run(run.slot, number, run.state, run.until, run.at, run.attempt, run.job, run.reason)

    def _slots(self, schedule: str, first: str = "") -> list[str]:
        """Names of the windows from ``first`` on, sorted."""
        return self._documents.objects.folders_from(layout.schedule_runs(schedule), first)

    def _read(self, schedule: str, slot: str) -> Run | None:
        folder = layout.schedule_run(schedule, slot)
        number = self._documents.last_number(folder)
        if number is None:
            return None
        found = self._documents.get(f"{folder}{number}.json")
        return Run(
            slot,
            number,
            found["state"],
            clock.parse(found["until"], field="until"),
            clock.parse(found["at"], field="at"),
            found["attempt"],
            found["job"],
            found["reason"],
        )


def _next(run: Run, state: Step, now: datetime, *, attempt: int, job: str = "", reason: str = "") -> Run:
    return Run(run.slot, run.number, state, run.until, now, attempt, job, reason)
