"""How fine health is kept: minutes for two whole days, hours for sixty, days for ever. Pure but for the look into a table's files."""

from dataclasses import dataclass
from datetime import date as day_of

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from headrace_controller.health.aggregate import MINUTE
from headrace_controller.health.frame import Frame

HOUR, DAY = 3600, 86_400
MINUTES_KEPT, HOURS_KEPT = 2, 60
"""Whole days, beside the one that is not over."""
_EPOCH = day_of(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class File:
    """A file of a health table."""

    path: str
    date: str
    finest: int
    """Seconds of its shortest line."""

    @property
    def day(self) -> int:
        """Its date in days since the epoch."""
        return day_of.fromisoformat(self.date).toordinal() - _EPOCH


def files(table: DeltaTable) -> list[File]:
    """The files of a table as it was read, by date."""
    found = pa.table(table.get_add_actions(flatten=True))
    columns = (found[name].to_pylist() for name in ("path", "partition.date", "min.step"))
    return sorted((File(p, d, s or MINUTE) for p, d, s in zip(*columns, strict=True)), key=lambda f: (f.date, f.path))


def step_of(day: int, now: float) -> int:
    """Seconds of the lines that are kept of a day (since the epoch)."""
    age = int(now // DAY) - day
    if age > HOURS_KEPT:
        return DAY
    return HOUR if age > MINUTES_KEPT else MINUTE


def due(table: DeltaTable, now: float) -> list[tuple[str, int]]:
    """Dates that are kept finer than they are old enough for, each with the seconds of its lines from now on."""
    found = {f.date: step_of(f.day, now) for f in files(table) if f.finest < step_of(f.day, now)}
    return sorted(found.items())


def coarsened(frame: Frame, now: float) -> Frame:
    """A frame as fine as its age allows."""
    steps = np.array([step_of(int(day), now) for day in (frame.starts // DAY).tolist()], np.int64)
    return frame.by(steps) if len(frame) else frame
