"""The page of a sequence: how requests flow, which stage hurts, what was changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from headrace_controller.access import current
from headrace_controller.api import views
from headrace_controller.health.aggregate import stage_key
from headrace_controller.health.buckets import StageTraffic
from headrace_controller.pages import healthsource, incidentpages, ranges
from headrace_controller.pages.healthviews import STATES, Bucket, latest
from headrace_controller.projects.example_requests import of_signature
from headrace_controller.service.platform import Platform
from headrace_functions import charts
from headrace_functions.names import VersionId
from headrace_functions.signature import Signature

STRIP = 36

Json = dict[str, Any]


def content(
    platform: Platform, drawn: healthsource.DrawnBuckets, name: str, arguments: Mapping[str, str], now: datetime
) -> Json:
    revision = platform.sequences.get(name)
    sequence = revision.sequence
    assert sequence is not None
    span = ranges.read(arguments, now)
    source = healthsource.Source(drawn, span, STRIP)
    services = {s["version"]: s for s in platform.services.select()}
    stages = [
        {
            "number": place + 1,
            "nodes": [
                *(
                    _node(platform, source, v.version, services, f"{v.weight} %", stage_key(name, place, shadow=False))
                    for v in stage.variants
                ),
                *(
                    _node(platform, source, s, services, "shadow", stage_key(name, place, shadow=True))
                    for s in stage.shadows
                ),
            ],
        }
        for place, stage in enumerate(sequence.stages)
    ]
    history = [views.revision(r).model_dump() for r in platform.sequences.history(name)][::-1]
    incident = next((i for v in sequence.versions() if (i := incidentpages.of_version(platform, v))), None)
    return {
        "sequence": views.revision(revision).model_dump(),
        "stages": stages,
        "revisions": [
            {**r, "difference": _difference(r, e)} for r, e in zip(history, [*history[1:], None], strict=True)
        ][:50],
        "range": span.query(),
        "ranges": ranges.choices(span, f"/sequences/{name}", {}),
        "incident": incidentpages.summary(incident) if incident else None,
        "sample": sample(sequence.signature),
        "url": f"{platform.endpoint}/v2/models/{name}/infer",
    }


def _node(
    platform: Platform,
    source: healthsource.Source,
    version: VersionId,
    services: Mapping[str, Any],
    share: str,
    stage: str,
) -> Json:
    """A version in a stage: its state is that of all its requests, its figures are those that came through the stage."""
    # Who may see a sequence sees what it is made of, but not how a model does that is none of theirs.
    found = platform.catalog.find(version) if current.may("view", version.model) else None
    buckets = source.buckets(found) if found is not None else []
    traffic, counted = _traffic(buckets, stage)
    last = latest(buckets)
    at = last.worst if last is not None else None
    service = services.get(str(version))
    state = str(service["state"]) if service else "asleep"
    if at is not None:
        state = STATES[at] if at >= 0 else "not judged"
    return {
        "version": str(version),
        "href": f"/models/{version.model}?{urlencode({'version': version.number})}",
        "share": share,
        "state": "failed" if service and service["state"] == "failed" else state,
        "reason": service.get("reason", "") if service else "",
        "rate": traffic.requests / (source.step * counted) if counted else None,
        "errors": traffic.failed / traffic.requests if traffic.requests else None,
        "p50": traffic.latency.p50(),
        "p95": traffic.latency.p95(),
        "strip": charts.strip(
            [charts.Cell(b.worst) for b in buckets], f"worst state of {version} in each {source.words}"
        ),
    }


def _traffic(buckets: Sequence[Bucket], stage: str) -> tuple[StageTraffic, int]:
    """What came through a stage, and in how many of the buckets that was counted."""
    counted = [b.stages or {} for b in buckets if b.stages is not None or not b.requests]
    return sum((stages[stage] for stages in counted if stage in stages), StageTraffic()), len(counted)


def _difference(new: Json, old: Json | None) -> list[str]:
    """What a revision changed, a line each."""
    if new["deleted"]:
        return ["deleted"]
    if old is None or old["deleted"]:
        return ["created"]
    before, after = (_shares(r) for r in (old, new))
    lines = [
        f"{k}: {before.get(k, '–')} → {after.get(k, '–')}"
        for k in sorted(before | after)
        if before.get(k) != after.get(k)
    ]
    if old["timeout"] != new["timeout"]:
        lines.append(f"timeout: {old['timeout']} s → {new['timeout']} s")
    return lines or ["only metadata"]


def _shares(revision: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, stage in enumerate(revision["stages"], 1):
        found |= {f"stage {place} {v['model']}": f"{v['weight']} %" for v in stage["variants"]}
        found |= {f"stage {place} {s}": "shadow" for s in stage["shadows"]}
    return found


def sample(signature: Signature) -> str:
    """A request that fits, as text for people to change."""
    return orjson.dumps(of_signature(signature.to_document()), option=orjson.OPT_INDENT_2).decode()
