"""The overview: is anything wrong, where, since when. Sequences first, their versions below them; the worst group first."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace_controller.access import current
from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.pages import healthsource, incidentpages, ranges
from headrace_controller.pages.healthviews import STATES, Bucket, latest, totals
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.platform import Platform
from headrace_functions import charts
from headrace_functions.charts import NOT_JUDGED
from headrace_functions.names import Reference, VersionId

STRIP = 36
"""Buckets of a health strip."""
ROWS = 200
"""Rows of a page; more are reached by the filter."""

_UNREAD = ("not read yet", "its health is being read")
"""State and reason of a version that this page did not wait for."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Group:
    """A sequence with its versions, or one model."""

    rows: list[Json]

    @property
    def order(self) -> int:
        return -max((int(r["level"]) for r in self.rows), default=-1)


def content(platform: Platform, drawn: healthsource.DrawnBuckets, arguments: Mapping[str, str], now: datetime) -> Json:
    span = ranges.read(arguments, now)
    text, state = arguments.get("q", "").strip(), arguments.get("state", "")
    incidents = incidentpages.open_incidents(platform)
    source = healthsource.Source(drawn, span, STRIP, healthsource.BUDGET)
    by_version = {version: i for i in reversed(incidents) for version in i.versions}  # the worst one says what is wrong
    services = {s["version"]: s for s in platform.services.select()}
    current_ones = _current(platform)
    others = _others(platform, source, current_ones, by_version)
    versions = sorted((*current_ones.values(), *others), key=lambda v: (v.id.model, -v.id.number))
    rows = {v.id: _row(platform, v, source, services.get(str(v.id)), by_version.get(str(v.id))) for v in versions}
    groups, used = _sequences(platform, rows)
    alone = [_Group([row]) for version, row in rows.items() if version not in used]
    every = [row for group in (*groups, *alone) for row in group.rows]
    keys = {k: v for k, v in (("q", text), ("state", state)) if v}
    shown = [_matching(groups, text, state), _matching(alone, text, state)]
    return {
        "range": span.query(),
        "ranges": ranges.choices(span, "/", keys)[:4],
        "q": text,
        "state": state,
        "counts": _counts(every),
        "incidents": [incidentpages.summary(i) for i in incidents],
        "groups": shown[0],
        "models": shown[1],
        "total": len(every),
        "calm": _calm(every),
        "events": incidentpages.lately(platform, 12),
        "empty": not every and not text,
    }


def _current(platform: Platform) -> dict[VersionId, ModelVersion]:
    """The versions that people mean: in a sequence, behind an alias, or the newest; a newer one that was not built, too."""
    found: dict[VersionId, ModelVersion] = {}
    used = {v for sequence in platform.catalog.current_sequences() for v in sequence.versions()}
    for name in (n for n in platform.catalog.models() if current.may("view", n)):
        aliased = set(platform.catalog.alias_positions(name).values())
        newest = True
        for version in platform.catalog.versions(name):
            if newest or version.id in used or version.id.number in aliased:
                found[version.id] = version
            newest = newest and not version.released
    return found


def _others(
    platform: Platform, source: healthsource.Source, known: Collection[VersionId], troubled: Collection[str]
) -> list[ModelVersion]:
    """Versions besides the ``known`` ones that somebody should see: with an open incident, or with traffic in the range."""
    named = {VersionId.parse(text) for text in troubled if Reference.parse(text).number is not None}
    found = []
    for version in (named | set(source.seen())) - set(known):
        seen = platform.catalog.find(version) if current.may("view", version.model) else None
        if seen and (version in named or any(b.requests for b in source.buckets_in_time(seen) or ())):
            found.append(seen)
    return found


def _row(platform: Platform, version: ModelVersion, source: "healthsource.Source", service: Any, incident: Any) -> Json:
    found = source.buckets_in_time(version)
    buckets = found or []
    unread = found is None and incident is None
    state, why = _UNREAD if unread else _state(version, buckets, service, incident)
    figures = totals(buckets)
    aliases = [a for a, n in platform.catalog.alias_positions(version.id.model).items() if n == version.id.number]
    return {
        "name": str(version.id),
        "href": f"/models/{version.id.model}?version={version.id.number}",
        "aliases": aliases,
        "labels": dict(version.metadata),
        "state": state,
        "level": {"severe": 3, "failed": 3, "medium": 2, "not built": 2, "low": 1}.get(state, 0),
        "why": why,
        "strip": charts.strip(
            [charts.Cell(b.worst) for b in buckets], f"worst state of {version.id} in each {source.words}"
        ),
        "spark": charts.spark([b.requests / source.step if b.requests else None for b in buckets], "requests a second"),
        "rate": _last_rate(buckets, source.step),
        "p95": figures["p95"],
        "errors": figures["errors"],
        "unhealthy": figures["unhealthy"],
        "incident": incident.number if incident else None,
    }


def _last_rate(buckets: Sequence[Bucket], step: int) -> float | None:
    last = next((b for b in reversed(buckets[-2:]) if b.requests), None)
    return last.requests / step if last else None


def _state(version: ModelVersion, buckets: Sequence[Bucket], service: Any, incident: Any) -> tuple[str, str]:
    """The health of a version now, and the reason in a few words."""
    if version.damaged or version.state == "failed":
        return "not built", version.status.reason[:200]
    if version.state == "assembling":
        return "not judged", "is being built"
    if service and service["state"] == "failed":
        return "failed", str(service.get("reason", ""))[:200]
    if incident is not None:
        return incident.severity, incident.short
    last = latest(buckets)
    if last is None or last.worst is None:
        asleep = service is None or service["state"] == "asleep"
        return ("asleep", "no request in this range") if asleep else ("no data", "awake, no request in this range")
    if last.worst > 0:
        return STATES[last.worst], _reason(last)
    if last.worst == NOT_JUDGED:
        trained = version.given.get("training") is not None
        return ("not enough data", "few rows") if trained else ("not judged", "no training data to compare with")
    return "healthy", ""


def _reason(bucket: Bucket) -> str:
    """What is worst in a bucket."""
    moved = [(share, f"{name} moved") for name, share in bucket.moved.items() if share is not None]
    failed = [(2 * share, f"{name} fails") for name, share in bucket.beyond.items()]
    failed += [(2 * share, f"{name} unhealthy") for name, share in bucket.metrics.items()]
    failed.append((2 * (bucket.errors or 0.0), "requests fail"))
    return max([*moved, *failed])[1]


def _sequences(platform: Platform, rows: Mapping[VersionId, Json]) -> tuple[list[_Group], set[VersionId]]:
    groups, used = [], set()
    for revision in platform.sequences.select("", PageRequest(ROWS)).items:
        sequence = revision.sequence
        if sequence is None:
            continue
        children = []
        for stage in sequence.stages:
            children += [
                {**rows[variant.version], "child": True, "weight": f"{variant.weight} %"}
                for variant in stage.variants
                if variant.version in rows
            ]
            children += [{**rows[s], "child": True, "shadow": True} for s in stage.shadows if s in rows]
        used |= set(sequence.versions())
        groups.append(_Group([_family(revision, children), *children]))
    return groups, used


def _family(revision: Any, children: list[Json]) -> Json:
    """The row of a sequence: as bad as the worst of its versions that answer."""
    lead = max((c for c in children if not c.get("shadow")), key=lambda c: c["level"], default=None)
    blank = {"state": "no data", "level": 0, "why": "", "strip": "", "spark": "", "rate": None, "p95": None, "errors": None, "unhealthy": None, "incident": None}  # fmt: skip
    return {
        **blank,
        **(lead or {}),
        "child": False,
        "weight": "",
        "shadow": False,
        "name": revision.name,
        "href": f"/sequences/{revision.name}",
        "aliases": [],
        "revision": revision.number,
    }


def _calm(rows: Sequence[Json]) -> str:
    """What is said where nothing is wrong; nothing where something is, or is not known yet."""
    states = Counter(str(r["state"]) for r in rows)
    if not rows or any(int(r["level"]) > 0 for r in rows) or states[_UNREAD[0]]:
        return ""
    if states["healthy"] == len(rows):
        return f"All {len(rows)} healthy." if len(rows) > 1 else "Healthy."
    return f"Nothing is unhealthy: {', '.join(f'{n} {state}' for state, n in states.most_common())}."


def _matching(groups: Sequence[_Group], text: str, state: str) -> list[list[Json]]:
    def fits(row: Json) -> bool:
        words = [
            row["name"],
            *(f"@{a}" for a in row["aliases"]),
            *(f"{k}={v}" for k, v in row.get("labels", {}).items()),
        ]
        named = not text or any(text.lower() in w.lower() for w in words)
        return named and (not state or _segment(row) == state)

    kept = [g.rows for g in sorted(groups, key=lambda g: g.order) if any(fits(r) for r in g.rows)]
    return kept[:ROWS]


def _segment(row: Json) -> str:
    if int(row["level"]) > 0:
        return "failed" if row["state"] in ("failed", "not built") else "unhealthy"
    known = {"asleep": "asleep", "not judged": "not-judged", "not enough data": "not-judged", "not read yet": "unread"}
    return known.get(str(row["state"]), "healthy")


def _counts(rows: Sequence[Json]) -> list[Json]:
    found = [_segment(r) for r in rows]
    names = (
        ("unhealthy", "Unhealthy"),
        ("not-judged", "Not judged"),
        ("unread", "Not read yet"),
        ("asleep", "Asleep"),
        ("failed", "Failed"),
    )
    return [{"state": "", "text": "All", "count": len(rows)}] + [
        {"state": s, "text": t, "count": found.count(s)} for s, t in names if s in found
    ]
