"""Health as pages, incidents and the command line read it: buckets of time.

Files of a health table never change, so what is read of one is kept while there is room; a repeated call costs a look at the
table's log and adding up. Of a file only the groups of lines are read that a range needs, until a range needs more of it.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace_controller.health.buckets import Bucket, buckets_of
from headrace_controller.health.frame import Frame, joined
from headrace_controller.health.plan import Plan
from headrace_controller.health.rollup import DAY, files
from headrace_controller.health.table import LOG, FrameFile, HealthTables
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

STEP = 60
MOST_BUCKETS = 3000
KEPT_BYTES = 256 * 1024 * 1024
KEPT_SERIES = 64
_EVER = (-(2**62), 2**62)


@dataclass(frozen=True, slots=True)
class _State:
    """A count of a version as it is now."""

    plan: Plan
    number: int
    commit: int
    files: tuple[tuple[str, int], ...]
    """Key and day of each file."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a file: at least the lines that begin from ``first`` until before ``last``, seconds since the epoch."""

    first: int
    last: int
    frame: Frame


@dataclass(slots=True)
class _Kept:
    """Buckets of one version and step by their start, made of ``files``."""

    files: frozenset[str] = frozenset()
    buckets: dict[int, Bucket] = field(default_factory=dict)


class HealthReader:
    """Any thread may call it."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._tables = HealthTables(objects)
        self._lock = threading.Lock()
        self._frames: OrderedDict[str, _Read] = OrderedDict()
        self._size = 0
        self._kept: OrderedDict[tuple[VersionId, int, int], _Kept] = OrderedDict()
        self._states: dict[VersionId, _State] = {}

    def series(self, version: VersionId, since: datetime, until: datetime, step: int = STEP) -> list[Bucket]:
        """Buckets of ``step`` seconds from ``since`` to ``until``, the empty ones too; both are cut to whole steps (since the epoch).

        Where only hours or days are kept of a time, they are told at their start. Raises ``InvalidInput`` for a step that is no
        whole number of minutes, a reversed range or more than ``MOST_BUCKETS``.
        """
        first, last = _range(since, until, step)
        with self._lock:
            state = self._state(version)
            kept = _Kept() if state is None else self._known(version, state, step)
            missing = [start for start in range(first, last, step) if start not in kept.buckets]
            if missing:
                kept.buckets.update(self._buckets(state, missing, step))
            return [kept.buckets[start] for start in range(first, last, step)]

    def stamp(self, version: VersionId) -> tuple[int, int]:
        """Another value each time there is something new; ``(0, -1)`` before anything was counted."""
        with self._lock:
            state = self._state(version)
            return (0, -1) if state is None else (state.number, state.commit)

    def plan(self, version: VersionId) -> Plan | None:
        """What is counted of a version; None where nothing is yet."""
        with self._lock:
            state = self._state(version)
            return None if state is None else state.plan

    def seen(self, since: datetime) -> list[VersionId]:
        """Versions with a count of that day or a later one, of those that anything has asked for; it reads nothing."""
        day = int(since.timestamp()) // DAY
        with self._lock:
            return [version for version, state in self._states.items() if state.files and state.files[-1][1] >= day]

    def last(self, version: VersionId) -> datetime | None:
        """The last minute that has something, to the day's end where only days are kept; None where nothing was counted."""
        with self._lock:
            state = self._state(version)
            if state is None or not state.files:
                return None
            newest = max(day for _, day in state.files)
            frames = [self._frame(key, *_EVER) for key, day in state.files if day == newest]
            starts = [int(f.starts.max()) for f in frames if f is not None and len(f)]
            return datetime.fromtimestamp(max(starts), UTC) if starts else None

    def _state(self, version: VersionId) -> _State | None:
        """The newest count that was begun and has counted something."""
        for number in reversed(self._tables.plans(version)):
            table, known = self._tables.open(version, number), self._states.get(version)
            commit = int(table.version()) if table is not None else -1
            if known is not None and (known.number, known.commit) == (number, commit):
                return known
            if table is None or table.transaction_version(LOG) is None:
                continue
            folder = layout.health_table(version, number)
            kept = tuple((f"{folder}/{f.path}", f.day) for f in files(table))
            self._forget_gone(known.files if known is not None else (), kept)
            self._states[version] = _State(self._tables.plan(version, number), number, commit, kept)
            return self._states[version]
        return None

    def _forget_gone(self, before: tuple[tuple[str, int], ...], now: tuple[tuple[str, int], ...]) -> None:
        """What was read of files that a compaction or a roll-up has replaced is never asked for again."""
        for key in {key for key, _ in before} - {key for key, _ in now}:
            gone = self._frames.pop(key, None)
            if gone is not None:
                self._size -= gone.frame.nbytes

    def _known(self, version: VersionId, state: _State, step: int) -> "_Kept":
        """The buckets that were worked out before and that nothing has been added to since."""
        place = (version, state.number, step)
        kept = self._kept.setdefault(place, _Kept())
        self._kept.move_to_end(place)
        while len(self._kept) > KEPT_SERIES:
            self._kept.popitem(last=False)
        files = frozenset(key for key, _ in state.files)
        if not kept.files <= files or len(kept.buckets) > 2 * MOST_BUCKETS:  # rolled up or compacted: begin anew
            kept.buckets.clear()
        elif kept.buckets:
            for key in files - kept.files:
                frame = self._frame(key, *_EVER)
                for start in frame.starts.tolist() if frame is not None else ():
                    kept.buckets.pop(start - start % step, None)
        kept.files = files
        return kept

    def _buckets(self, state: _State | None, starts: list[int], step: int) -> dict[int, Bucket]:
        """The buckets of ``step`` seconds at ``starts``, ascending."""
        if state is None:
            return buckets_of(None, None, starts, step)
        first, last, frames = starts[0], starts[-1] + step, []
        for key, day in state.files:
            if day * DAY < last and (day + 1) * DAY > first:
                frame = self._frame(key, first, last)
                if frame is not None:
                    frames.append(frame.at(starts, step))
        return buckets_of(
            state.plan, joined(frames, Frame.empty(state.plan.width, len(state.plan.series))), starts, step
        )

    def _frame(self, key: str, first: int, last: int) -> Frame | None:
        """The lines of a file from ``first`` until ``last``, and perhaps others; None where a roll-up or compaction has replaced it since
        the table was read."""
        found = self._frames.get(key)
        if found is None or not (found.first <= first and last <= found.last):
            if found is not None:  # once more than the first part of it is wanted, all of it is
                first, last = _EVER
            try:
                file = FrameFile(self._objects, key)
                groups = file.groups(first, last)
                frame = file.read(groups)
            except NotFound:
                return None
            if file.whole(groups):
                first, last = _EVER
            self._size += frame.nbytes - (found.frame.nbytes if found is not None else 0)
            found = self._frames[key] = _Read(first, last, frame)
            while self._size > KEPT_BYTES and len(self._frames) > 1:
                self._size -= self._frames.popitem(last=False)[1].frame.nbytes
        if key in self._frames:
            self._frames.move_to_end(key)
        return found.frame


def bucket_starts(since: datetime, until: datetime, step: int) -> range:
    """Where buckets begin, seconds since the epoch; raises ``InvalidInput`` as ``HealthReader.series`` does."""
    return range(*_range(since, until, step), step)


def _range(since: datetime, until: datetime, step: int) -> tuple[int, int]:
    if step < STEP or step % STEP:
        raise InvalidInput(f"step: {step} is not allowed", field="step", expected="a multiple of 60 seconds")
    first = int(since.timestamp()) // step * step
    last = -(-int(until.timestamp()) // step) * step
    if first >= last:
        raise InvalidInput("since: it is not before until", field="since", expected="a time before until")
    if (last - first) // step > MOST_BUCKETS:
        raise InvalidInput(
            f"step: {(last - first) // step} buckets are too many",
            field="step",
            expected=f"at most {MOST_BUCKETS} buckets between since and until",
        )
    return first, last
