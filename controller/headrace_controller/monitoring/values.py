"""The table of metric values: a line for each scored row and metric. Its columns are public (docs/log-tables.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRIC_COLUMNS: Mapping[str, str] = {
    "request_id": "string",
    "row": "int32",
    "received": "timestamp",
    "date": "string",
    "metric": "string",
    "model": "string",
    "value": "float64",
    "healthy": "bool",
    "operator": "string",
    "threshold": "float64",
    "error": "string",
}
"""Types are names as in ``logtable``. ``value`` and ``healthy`` are null where ``error`` says why there is no value."""


@dataclass(frozen=True, slots=True)
class Health:
    """Counts of scored rows."""

    start: str
    rows: int
    unhealthy: int
    errors: int

    @property
    def share(self) -> float | None:
        """Of the rows that have a value; None without any."""
        known = self.rows - self.errors
        return self.unhealthy / known if known else None


def health(values: Sequence[Mapping[str, Any]], start: str = "") -> Health:
    """What rows of the table say together."""
    errors = sum(v["healthy"] is None for v in values)
    return Health(start, len(values), sum(v["healthy"] is False for v in values), errors)


def history(values: Sequence[Mapping[str, Any]]) -> list[Health]:
    """Health by hour of the time received, the first hour first. ``received`` is RFC 3339."""
    hours: dict[str, list[Mapping[str, Any]]] = {}
    for value in values:
        hours.setdefault(f"{value['received'][:13]}:00:00Z", []).append(value)
    return [health(hours[start], start) for start in sorted(hours)]
