"""Watching: a thread that looks at the health of every version and at what failed, and keeps incidents of it."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.health.buckets import Bucket
from headrace_controller.health.reader import HealthReader
from headrace_controller.health.shift import LEAST_ROWS
from headrace_controller.incidents.bands import REACH, Covered, History
from headrace_controller.incidents.evaluation import Depth, Linked, Step, evaluate
from headrace_controller.incidents.limits import WANTED, chosen
from headrace_controller.incidents.model import Movement, entry, told
from headrace_controller.incidents.rules import Known, findings
from headrace_controller.requestlog.literals import literal
from headrace_controller.service.failures import Failures
from headrace_controller.service.incidents import Incidents
from headrace_controller.service.rules import RuleLimits
from headrace_controller.service.segmentation import Segmentation, Selection
from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import Reference, VersionId
from headrace_functions.storage import layout

log = logging.getLogger("headrace.incidents")

EVERY = 5.0
"""Seconds between two evaluations."""
WINDOW = timedelta(hours=3)
CHANGES_BEFORE = timedelta(hours=2)
"""How long before an incident began changes are shown with it."""
SLOW = timedelta(seconds=60)
"""How often what has not grown is looked at, and reports, builds and jobs are."""
SEGMENTS = 5
SOME = (0.01, 0.9)
"""Shares of the rows since an incident began between which its rows are compared with the others."""
_BUSY = timedelta(minutes=30)
_STEPS = (60, 300, 1800)


class IncidentWatch:
    """``step`` is one evaluation; ``open`` starts the thread that repeats it."""

    def __init__(
        self,
        catalog: Catalog,
        health: HealthReader,
        incidents: Incidents,
        failures: Failures,
        segmentation: Segmentation,
        changed: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rules = RuleLimits(catalog)
        self._histories: dict[VersionId, tuple[datetime, History]] = {}
        self._catalog = catalog
        self._health_of = health
        self._incidents = incidents
        self._failures = failures
        self._segmentation = segmentation
        self._changed = changed
        self._now = now
        self._stopping = threading.Event()
        self._active: dict[int, datetime] = {}
        self._found: dict[VersionId, list[Movement]] = {}
        self._stamps: dict[VersionId, tuple[tuple[int, int], datetime]] = {}
        self._failed: list[Movement] = []
        self._looked: datetime | None = None
        self._trouble: dict[VersionId, LoopHealth] = {}
        self.health = LoopHealth("watching for incidents", log)

    @property
    def problems(self) -> list[str]:
        """What keeps incidents from being found."""
        loops = (self.health, *list(self._trouble.values()))
        damaged = list(self._incidents.store.damaged.values())
        return [loop.problem for loop in loops if loop.problem] + damaged

    def open(self) -> None:
        threading.Thread(target=self._run, name="incidents", daemon=True).start()

    def close(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        self.health.repeat(self.step, EVERY, self._stopping)

    def step(self) -> list[Step]:
        """Look at what is new and write what follows from it."""
        now = self._now()
        slowly = self._looked is None or now - self._looked >= SLOW
        if slowly:
            self._looked = now
            for version in self._versions():
                self._found.setdefault(version, [])
            self._failed = [m for m in self._failures.found(now) if not self._off(m)]
        for version in list(self._found):
            with self._trouble.setdefault(version, LoopHealth(f"watching {version}", log)).guard():
                self._look(version, now)
        found = [m for movements in self._found.values() for m in movements] + self._failed
        known = self._incidents.store.all(now)
        linked, depth = self._sequences()
        steps, self._active = evaluate(known, found, self._active, linked, now, depth)
        written = [step for step in steps if self._write(step, now)]
        if written:
            self._changed()
        return written

    def _off(self, movement: Movement) -> bool:
        """Whether a person switched its rule off."""
        limits = chosen(self._rules.of(Reference.parse(movement.version).name), movement.what, movement.field)
        return limits is not None and limits.off

    def _look(self, version: VersionId, now: datetime) -> None:
        stamp, (seen, at) = self._health_of.stamp(version), self._stamps.get(version, ((0, -2), now - 2 * SLOW))
        if stamp == seen and now - at < SLOW:
            return
        self._stamps[version] = (stamp, now)
        known = Known(self._rules.of(version.model), lambda: self._history(version, now))
        self._found[version] = findings(str(version), self._buckets(version, now), now, known)

    def _history(self, version: VersionId, now: datetime) -> History:
        """The hours of a version, read once an hour and only where something was found."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        held = self._histories.get(version)
        if held is None or held[0] != hour:
            hours = self._health_of.series(version, hour - REACH, hour, 3600)
            held = self._histories[version] = hour, History(hours, list(self._covered(str(version), now)))
        return held[1]

    def _covered(self, version: str, now: datetime) -> Iterator[Covered]:
        """Hours of incidents: nothing is learnt from them, unless a person resolved one and so called it usual."""
        for incident in self._incidents.store.all(now):
            if version not in incident.versions or incident.resolved_by:
                continue
            for movement in incident.chain:
                if movement.version == version:
                    for what in ("moved", "checks") if movement.key[1] == "field" else (movement.what,):
                        yield what, movement.field, movement.first, incident.resolved or now

    def _buckets(self, version: VersionId, now: datetime) -> list[Bucket]:
        """By minute where there is traffic for it, else by longer steps that have rows enough to judge."""
        found: list[Bucket] = []
        for step in _STEPS:
            found = self._health_of.series(version, now - WINDOW, now + timedelta(seconds=1), step)
            if sum(b.rows >= LEAST_ROWS for b in found if b.start >= now - _BUSY - timedelta(seconds=step)) >= WANTED:
                break
        return found

    def _versions(self) -> Iterator[VersionId]:
        objects = self._catalog.documents.objects
        for model in objects.folders(layout.HEALTH):
            for folder in objects.folders(f"{layout.HEALTH}{model}/"):
                try:
                    yield VersionId.of_service(f"{model}-{folder}")
                except InvalidInput as error:
                    log.error("%s%s/%s is not watched: %s", layout.HEALTH, model, folder, error.message)

    def _apart(self, version: VersionId, first: Movement, now: datetime) -> list[dict[str, Any]]:
        """What sets the rows that an incident began with apart from the others since then; nothing where that cannot be told."""
        selection = _selection(first, now)
        if selection is None:
            return []
        try:
            found = self._segmentation.of(version, selection, 4 * SEGMENTS)
        except HeadraceError as error:
            log.info("the rows of %s are not compared: %s", first.sentence, error.message)
            return []
        if not SOME[0] * found.rows <= found.selected <= SOME[1] * found.rows:
            return []
        told = [s for s in found.segments if _explains(s.fields, first)][:SEGMENTS]
        return [{"where": s.where, "share": s.share, "usual": s.usual, "rows": s.rows} for s in told]

    def _sequences(self) -> tuple[Linked, Depth]:
        """Which versions answer in one sequence, and in which stage."""
        stages: dict[str, int] = {}
        groups = []
        for sequence in self._catalog.current_sequences():
            groups.append(frozenset(str(v) for v in sequence.versions()))
            for place, stage in enumerate(sequence.stages):
                for version in map(str, stage.versions()):
                    stages[version] = max(place, stages.get(version, 0))
        return (lambda a, b: any(a in group and b in group for group in groups)), (lambda v: stages.get(v, 0))

    def _write(self, step: Step, now: datetime) -> bool:
        """Whether it was written; not where another controller was faster, which the next evaluation sees."""
        store = self._incidents.store
        if step.incident is None:
            first = step.chain[0]
            about = Reference.parse(first.version)
            version = VersionId(about.name, about.number or 1)
            known = self._incidents.changes_of(version, first.first - CHANGES_BEFORE, now)
            changes = [c for c in known if c.kind != "incident"]
            return store.open(step.chain, now, changes, self._apart(version, first, now)) is not None
        if step.kind == "resolved":
            return store.add(step.incident, entry("resolved", now, text="quiet for 10 minutes"))
        return store.add(step.incident, {**entry(step.kind, now), **told(step.chain)})


def _explains(fields: Sequence[str], first: Movement) -> bool:
    """Whether a condition says something of an incident: of an input's, nothing that follows from the input does, nor the input itself."""
    return first.side != "input" or not any(f.startswith("out.") or f == f"in.{first.field}" for f in fields)


def _selection(movement: Movement, now: datetime) -> Selection | None:
    """The rows that a movement is about; None where no condition of the log says them."""
    check = f"%{movement.field.partition('[')[0]}:%"
    chosen = {
        "errors": Selection("outcome <> 'ok'"),
        "metric": Selection(metric=movement.field or "?"),
        "input": Selection(f"array_to_string(checks, ' ') LIKE {literal(check)}"),
    }.get(movement.side if movement.what in ("moved", "checks") else movement.what)
    return replace(chosen, since=movement.first, until=now) if chosen is not None else None
