"""The page of what sets some rows apart: a selection of a version's log compared with the rest of its time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from headrace_controller import clock
from headrace_controller.pages import ranges
from headrace_controller.service.platform import Platform
from headrace_controller.service.segmentation import Selection
from headrace_functions.errors import InvalidInput
from headrace_functions.names import Reference

Json = dict[str, Any]


def content(platform: Platform, arguments: Mapping[str, str], now: datetime) -> Json:
    """``version`` and one of ``where``, ``metric`` and ``wrong``; without a selection, the page asks for one."""
    version = platform.versions.resolve(Reference.parse(arguments.get("version", "")), field="version").id
    span = ranges.read(arguments, now, "24h")
    where, metric, wrong = arguments.get("where", ""), arguments.get("metric", ""), "wrong" in arguments
    asked = {"where": where, "metric": metric, **({"wrong": "1"} if wrong else {})}
    named = {"version": str(version), **{k: v for k, v in asked.items() if v}}
    shown: Json = {
        "version": str(version),
        "model": version.model,
        "where": where,
        "metric": metric,
        "wrong": wrong,
        "metrics": [m.spec.name for m in platform.metrics.select(version)],
        "range": span.query(),
        "ranges": ranges.choices(span, "/segments", named),
        "rows": 0,
        "selected": 0,
        "segments": [],
        "problem": "",
        "asked": bool(where or metric or wrong),
    }
    if not shown["asked"]:
        return shown
    try:
        found = platform.segmentation.of(version, Selection(where, metric, wrong, span.since, span.until))
    except InvalidInput as error:
        return shown | {"problem": error.message}
    times = {"since": clock.show(span.since), "until": clock.show(span.until)}
    shown["segments"] = [
        {
            "where": s.where,
            "share": s.share,
            "usual": s.usual,
            "rows": s.rows,
            "p": s.p,
            "href": f"/requests?{urlencode({'version': str(version), 'where': s.where, **times})}",
        }
        for s in found.segments
    ]
    return shown | {"rows": found.rows, "selected": found.selected}
