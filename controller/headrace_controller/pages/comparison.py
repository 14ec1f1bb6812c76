"""The page of two versions on the same requests: what is told apart, where they differ, and a replay where they share none."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import flask
import numpy as np
from werkzeug.wrappers import Response

from headrace_controller.access import current
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.permissions import version_in
from headrace_controller.comparison.paired import Comparison
from headrace_controller.pages import ranges
from headrace_controller.requestlog.reader import MAX_ROWS, LogQuery
from headrace_controller.requestlog.segments import segments
from headrace_controller.service.comparisons import as_document
from headrace_controller.service.platform import Platform
from headrace_controller.service.replays import ReplayRequest
from headrace_functions.errors import HeadraceError, NotFound
from headrace_functions.logtable import INPUT
from headrace_functions.names import Reference, VersionId
from headrace_functions.paired_charts import answers_of_both, interval_bar

Json = dict[str, Any]
REPLAYED = 1000
"""Rows that the page's form replays."""
_SLICES = 6


def content(platform: Platform, arguments: Mapping[str, str], now: datetime) -> Json:
    """``first`` and ``second`` name the versions; ``replay`` a replay in the place of what both have answered in the range."""
    span = ranges.read(arguments, now, "7d")
    first, second = (_version(platform, arguments.get(name, "")) for name in ("first", "second"))
    named = {"first": str(first or ""), "second": str(second or "")}
    shown: Json = {
        **named,
        "versions": [str(v.id) for v in platform.catalog.versions() if v.released and current.may("read", v.id.model)],
        "model": first.model if first else "",
        "range": span.query(),
        "ranges": ranges.choices(span, "/compare", named),
        "swap": f"/compare?{urlencode({'first': named['second'], 'second': named['first'], **span.query()})}",
        "replayed": arguments.get("replay", ""),
        "asked": f"/compare?{urlencode({**named, **span.query()})}",
        "rows": REPLAYED,
        "result": None,
        "problem": "",
        "replay": None,
    }
    if first is None or second is None:
        return shown
    if shown["replayed"]:
        return shown | _of_replay(platform, str(shown["replayed"]))
    try:
        found = platform.comparisons.of_log(first, second, span.since, span.until)
    except NotFound as error:
        return shown | {"problem": error.message}
    slices = _slices(platform, first, found, span)
    return shown | {
        "result": _drawn(as_document(str(first), str(second), found)),
        "slices": slices,
        "joint": _joint(found, named),
    }


def actions(pages: DeclaredRoutes, platform: Platform) -> None:
    """Add the form that begins a replay."""

    def start() -> Response:
        form = flask.request.form
        first, second = (VersionId.parse(form.get(name, ""), field=name) for name in ("first", "second"))
        replay = platform.replays.start(ReplayRequest(first, second, rows=REPLAYED))
        named = {"first": str(first), "second": str(second), "replay": replay.id}
        return flask.redirect(f"/compare?{urlencode(named)}", 303)

    access = (version_in("read", "first", "second"), version_in("call", "second"))
    pages.serve("/compare", "start_replay", start, access, ["POST"])


def _version(platform: Platform, text: str) -> VersionId | None:
    return platform.versions.resolve(Reference.parse(text)).id if text else None


def _of_replay(platform: Platform, replay_id: str) -> Json:
    found = platform.replays.get(replay_id)
    shown = {**found.to_document(), "share": found.asked / max(found.total, 1)}
    result = _drawn(dict(found.result)) if found.result is not None else None
    return {
        "replay": shown,
        "result": result,
        "problem": "" if result or found.state == "running" else found.reason or found.state,
    }


def _drawn(document: Json) -> Json:
    """The document with its figures as lines of the table, drawn."""
    figures = [f for f in (document["quality"], *document["metrics"], document["latency"]) if f]
    lines = [
        _line(
            f["name"] + (" (ms)" if f["name"] == "latency" else ""),
            f["first"],
            f["second"],
            f["difference"],
            _reading(document, f),
        )
        for f in figures
    ]
    known = [o for o in document["outputs"] if o["means"] and o["mean_difference"]]
    lines += [_line(f"Mean {o['name']}", o["means"][0], o["means"][1], o["mean_difference"], "") for o in known]
    agreements = [{"name": o["name"], **o["agreement"]} for o in document["outputs"]]
    return {**document, "lines": lines, "agreements": agreements}


def _line(name: str, first: float, second: float, difference: Json, reading: str) -> Json:
    low, high, value = (float(difference[n]) for n in ("low", "high", "value"))
    ends = [abs(v) for v in (low, high, value) if math.isfinite(v)]
    told = low > 0 or high < 0
    reach = 1.1 * max(ends, default=1.0) or 1.0
    left, right = (v if math.isfinite(v) else math.copysign(reach, v) for v in (low, high))
    said = reading or ("" if told else "not told apart")
    return {
        "name": name,
        "first": first,
        "second": second,
        "difference": value,
        "bar": interval_bar(left, value, right, reach, told=told),
        "reading": said,
    }


def _reading(document: Json, figure: Json) -> str:
    if figure["better"]:
        return f"{document[figure['better']]} is better"
    if figure["needed"]:
        return f"not told apart; about {figure['needed']:,} rows would tell"
    return "not told apart"


def _joint(found: Comparison, named: Mapping[str, str]) -> Json | None:
    """The answers of both, of the first output that has a number to draw."""
    if not found.answers:
        return None
    name, (first, second) = next(iter(found.answers.items()))
    return {"name": name, "svg": answers_of_both(first, second, (named["first"], named["second"]))}


def _slices(platform: Platform, first: VersionId, found: Comparison, span: ranges.Range) -> list[Json]:
    """Conditions on the inputs under which they differ more often than elsewhere."""
    columns = [c for c in platform.logs.columns(first) if c.startswith(INPUT)]
    query = LogQuery(span.since, span.until, "outcome = 'ok'", ("request_id", "row", *columns), MAX_ROWS)
    try:
        rows = [r for r in platform.logs.rows(first, query) if (r["request_id"], r["row"]) in found.apart]
    except HeadraceError:
        return []
    selected = np.array([found.apart[r["request_id"], r["row"]] for r in rows], bool)
    told = segments({c: [r[c] for r in rows] for c in columns}, selected, _SLICES) if rows else []
    return [{"where": s.where.replace(INPUT, ""), "rows": s.rows, "share": s.share, "usual": s.usual} for s in told]
