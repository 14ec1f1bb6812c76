"""What is usual: how far the fields of a version lay from the same reference in the windows before this one.

A window may differ from training without anything having happened: the training data may be older, or chosen otherwise. So a drift report is
held against the version's own earlier ones, as a second judge: it changes no verdict, but says what is not new.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from headrace_functions.errors import NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.event_time import RECEIVED
from headrace_jobs.window import Window

WINDOWS = 30
"""Earlier windows that are looked at, the last ones."""
LOOKED_AT = 4 * WINDOWS
"""Reports that are read at most: some are of the same window, or of another reference."""
FEWEST = 8
"""Earlier windows that a band takes."""
WIDTH = 3 * 1.4826
"""Half the width of a band in median absolute deviations: three standard deviations of a normal distribution."""
LEAST = 0.01
"""Share of rows that it is wide at least."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Of ``windows`` earlier windows, up to which effect each field usually goes, by its name."""

    windows: int = 0
    highest: Mapping[str, float] = field(default_factory=dict)


def usual(objects: ObjectStore, version: VersionId, window: Window, kind: str, engine: str) -> Usual:
    """The bands of the windows that ended before this one began, as long as it, against the same ``kind`` of reference.

    The middle of a band is the median, so that it is that of the quiet windows as long as those are more than half.
    """
    found: dict[str, Mapping[str, float]] = {}
    for report in _reports(objects, version, window):
        same = (report["window"].get("where", ""), report["window"].get("time", RECEIVED)) == (
            window.where,
            window.time,
        )
        if same and report.get("against", {}).get("kind") == kind and report.get("engine") == engine:
            found[report["window"]["until"]] = _effects(report)
    last = [found[until] for until in sorted(found)[-WINDOWS:]]
    effects: dict[str, list[float]] = defaultdict(list)
    for one in last:
        for name, effect in one.items():
            effects[name].append(effect)
    highest = {name: _highest(np.array(some)) for name, some in effects.items() if len(some) >= FEWEST}
    return Usual(len(last), highest) if highest else Usual()


def _reports(objects: ObjectStore, version: VersionId, window: Window) -> Iterator[Mapping[str, Any]]:
    """Drift reports of earlier windows of the same length, as their keys say; what cannot be read is left out."""
    start, before = f"{window.length}-", f"{window.since:%Y%m%dT%H%M%S}Z"
    names = [one.key.rsplit("/", 1)[-1] for one in objects.walk(layout.reports(version, "drift"))]
    earlier = [
        n for n in names if n.startswith(start) and n.endswith(".json") and n[len(start) :][: len(before)] <= before
    ]
    for name in sorted(earlier)[-LOOKED_AT:]:
        try:
            report = orjson.loads(objects.get(layout.report(version, "drift", name)))
        except (NotFound, orjson.JSONDecodeError):
            continue
        if isinstance(report, dict) and report.get("verdict") in ("drift", "no-drift"):
            yield report


def _effects(report: Mapping[str, Any]) -> dict[str, float]:
    return {
        one["name"]: max(float(test["effect"]) for test in one["tests"])
        for one in report.get("fields", ())
        if one.get("tests")
    }


def _highest(effects: Any) -> float:
    middle = float(np.median(effects))
    return middle + max(WIDTH * float(np.median(np.abs(effects - middle))), LEAST)
