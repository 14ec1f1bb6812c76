"""Buckets of health made by hand: an hour of quiet minutes up to ``NOW``, the last of them otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from headrace_controller.health.buckets import Bucket, FieldHealth
from headrace_controller.health.latency import EDGES, Latency
from headrace_controller.health.plan import Series

NOW = datetime(2026, 11, 26, 14, 10, tzinfo=UTC)
QUIET = 60


def number(mean: float | None = 64.0, moved: float | None = 0.0, **more: Any) -> FieldHealth:
    """``more`` are values of the field, or of how training was: ``edges``, ``labels``, ``trained``, ``trained_mean``."""
    given: dict[str, Any] = {
        "side": "input", "field": "x", "kind": "number", "rows": 100, "missing": 0, "checks": {}, "moved": moved, "mean": mean,
        "low": mean, "high": mean, "bins": (0, 100, 0), "edges": (0.0, 100.0), "labels": (), "trained": (0.0, 1.0, 0.0),
        "trained_mean": None, **more,
    }  # fmt: skip
    told = {name: given.pop(name) for name in ("side", "field", "kind", "edges", "labels")}
    expected = (0.0, *given.pop("trained"))
    series = Series(told["field"], column="", label="", expected=expected, mean=given.pop("trained_mean"), **told)
    return FieldHealth(series, **given)


def latency(milliseconds: float) -> Latency:
    counts = np.zeros(len(EDGES) + 1, int)
    counts[np.searchsorted(EDGES, milliseconds, side="right")] = 100
    return Latency(tuple(counts.tolist()))


def bucket(minute: int, fields: dict[str, FieldHealth] | None = None, **more: Any) -> Bucket:
    """``minute`` 0 is the current one."""
    start = NOW + timedelta(minutes=minute)
    given: dict[str, Any] = {"rows": 100, "requests": 100, "outcomes": {"ok": 100}, "latency": latency(5.0)}
    return Bucket(start, **{**given, **more}, fields=fields if fields is not None else {"x": number()})


def hour(**last: Any) -> list[Bucket]:
    """An hour of quiet minutes whose last five are otherwise."""
    return [bucket(m, **(last if m >= -4 else {})) for m in range(-QUIET, 1)]
