"""The table of metric values: a line for each scored row and metric. Its columns are public (docs/log-tables.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def total(hours: Sequence[Health]) -> Health:
    """What some hours say together."""
    return Health("", *(sum(getattr(hour, name) for hour in hours) for name in ("rows", "unhealthy", "errors")))
