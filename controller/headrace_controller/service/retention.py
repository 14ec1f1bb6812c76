"""For how long logs, metric values and reports are kept: rules of the platform and of models, and the removal of what is older.

What is not named by a rule is kept for ever. A rule of a model wins over the platform's (``default``), kind by kind. Removal runs once a
day, and when it is asked for; twice is once. What cannot be removed is told and tried again the next day; the rest goes on.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.series import Series
from headrace_controller.definitions.fields import parse_duration, show_duration
from headrace_controller.requestlog import expiry
from headrace_functions.errors import InvalidInput, NotFound, StorageFailed
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.storage import layout

DEFAULT = "default"
KINDS = ("log", "metrics", "reports")
LEAST = 86_400.0
"""Seconds: days are removed as wholes, so nothing shorter can be kept."""
MOST = 36_500 * 86_400.0
"""Seconds; who wants to keep something for longer than a century names no rule for it."""
EVERY = 3600.0
_DAY = timedelta(days=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """Seconds by kind, for a model or ``default``."""

    name: str
    keep: Mapping[str, float]

    def to_document(self) -> dict[str, Any]:
        return {"schema": 1, "name": self.name, "keep": dict(self.keep)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Rule":
        return cls(document["name"], {k: min(float(document["keep"][k]), MOST) for k in KINDS if k in document["keep"]})


@dataclass(frozen=True, slots=True)
class Removal:
    """What is too old of one kind and version. ``rows`` are objects for reports."""

    version: str
    kind: str
    before: str
    """Day (log, metrics) or time (reports) from which on everything stays."""
    rows: int
    size: int
    error: str = ""


def read_rule(name: str, given: Mapping[str, str | None]) -> Rule:
    """A rule from durations as people write them; ``InvalidInput`` names the kind."""
    keep: dict[str, float] = {}
    for kind, text in given.items():
        if text is None:
            continue
        seconds = parse_duration(text)
        if not LEAST <= seconds <= MOST:
            size = "short" if seconds < LEAST else "long"
            raise InvalidInput(f"{kind}: {text!r} is too {size}", field=kind, expected="at least 1d, at most 36500d")
        keep[kind] = seconds
    if not keep:
        raise InvalidInput(
            "a retention rule needs at least one period", field="log", expected=f"some of {', '.join(KINDS)}"
        )
    return Rule(name, keep)


class Retention:
    def __init__(self, catalog: Catalog, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._catalog = catalog
        self._objects = catalog.documents.objects
        self._now = now
        self._rules = Series(
            catalog.documents, "retention rule", layout.RETENTION, layout.retention, Rule.from_document
        )
        self._stop = threading.Event()
        self.health = LoopHealth("removing what is too old", _log)
        self._last: datetime | None = None
        self._thread = threading.Thread(target=self._follow, name="retention", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def select(self) -> list[Rule]:
        names = [n for n in self._rules.names() if n == DEFAULT or current.may("view", n)]
        return [Rule.from_document(self._rules.get(name).document) for name in names]

    def put(self, rule: Rule) -> list[str]:
        """Set a rule; what it takes from others, a sentence each."""
        if rule.name != DEFAULT and rule.name not in self._catalog.models():
            raise NotFound(f"there is no model {rule.name!r}", field="name", hint="headrace model list")
        self._rules.append(rule.name, rule.to_document())
        return list(self._warnings(rule))

    def delete(self, name: str) -> None:
        """Keep for ever again what the rule named, or as the platform's rule says."""
        self._rules.delete(name)

    def keep_of(self, model: str) -> dict[str, float]:
        """Seconds by kind for a model."""
        found: dict[str, float] = {}
        for name in (DEFAULT, model):
            state = self._rules.find(name)
            if state is not None and not state.deleted:
                found |= Rule.from_document(state.document).keep
        return found

    def plan(self) -> list[Removal]:
        """What would be removed now."""
        return [
            r for version, keep in self._versions() for r in self._of(version, keep, remove=False) if r.rows or r.error
        ]

    def run(self) -> list[Removal]:
        """Remove what is too old; what was, and what could not be."""
        self._last = self._now()
        return [
            r for version, keep in self._versions() for r in self._of(version, keep, remove=True) if r.rows or r.error
        ]

    def _versions(self) -> Iterator[tuple[VersionId, dict[str, float]]]:
        """Every version that there ever was: logs of deleted ones stay, too, until they are too old."""
        if not self._rules.names():
            return
        for model in self._objects.folders(layout.MODELS):
            keep = self.keep_of(model)
            for number in self._objects.folders(layout.versions(model)) if keep else ():
                if number.isdigit():
                    yield VersionId(model, int(number)), keep

    def _of(self, version: VersionId, keep: Mapping[str, float], *, remove: bool) -> Iterator[Removal]:
        for kind, seconds in keep.items():
            before = self._now() - timedelta(seconds=seconds)
            try:
                yield self._one(version, kind, before, remove=remove)
            except StorageFailed as error:
                _log.warning("%s of %s: %s", kind, version, error.message)
                yield Removal(str(version), kind, before.date().isoformat(), 0, 0, error.message)

    def _one(self, version: VersionId, kind: str, before: datetime, *, remove: bool) -> Removal:
        if kind == "reports":
            return self._reports(version, before, remove=remove)
        key = layout.log_table(version) if kind == "log" else layout.metric_table(version)
        found = expiry.expired(self._objects, key, before.date())
        if remove and found.days:
            expiry.remove(self._objects, key, before.date())
        return Removal(str(version), kind, before.date().isoformat(), found.rows, found.size)

    def _reports(self, version: VersionId, before: datetime, *, remove: bool) -> Removal:
        folders = (layout.reports(version), layout.explanations(version))
        old = [i for f in folders for i in self._objects.walk(f) if i.modified < before.timestamp()]
        if remove:
            for info in old:
                self._objects.delete(info.key)
        return Removal(
            str(version), "reports", before.isoformat(timespec="seconds"), len(old), sum(i.size for i in old)
        )

    def _warnings(self, rule: Rule) -> Iterator[str]:
        """Schedules that look back further than their log is kept."""
        seconds = rule.keep.get("log")
        for name in self._catalog.schedules.names() if seconds is not None else ():
            document = self._catalog.schedules.get(name).document
            model, window = str(document["model"]).partition(":")[0].partition("@")[0], str(document["window"])
            if rule.name not in (DEFAULT, model) or window.endswith("rows"):
                continue
            if seconds is not None and parse_duration(window) > seconds:
                yield f"schedule {name} looks back {window}, and the log of {model} is kept for {show_duration(seconds)}"

    def _follow(self) -> None:
        while not self._stop.wait(max(EVERY, self.health.pause) if self._last else 60.0):
            if self._last is None or self._now() - self._last >= _DAY:
                with self.health.guard():
                    self.run()
