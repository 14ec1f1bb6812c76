"""The page of requests: the rows behind a number, filtered by an expression, a page of 50 at a time."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.pages import links, ranges
from headrace_controller.pages.figures import csv_cell
from headrace_controller.requestlog.literals import literal
from headrace_controller.requestlog.reader import Found, LogQuery, plain
from headrace_controller.service.platform import Platform
from headrace_functions import logtable
from headrace_functions.errors import InvalidInput
from headrace_functions.log_conditions import all_of
from headrace_functions.names import VersionId, natural
from headrace_functions.version import Version

ROWS = 50
"""Rows of a page."""
SAMPLE = 2000
"""Newest rows that facets are counted over."""
EXPORTED = 10_000
"""Rows of a CSV file at most."""
FACET_VALUES = 8
SECONDS = 0.04
"""For so long a page searches the log for the rows of a filter; the rest of the range is searched on request (``search=whole``)."""
MOST_VALUES = 40
"""Different values above which a column is no facet."""
SHOWN_FIELDS = 4
WANTED = ("received", "request_id", "row", "outcome", "status", "latency_ms", "error", "checks", "shadow", "sequence")
"""Columns that every row of the page needs."""

Json = dict[str, Any]


def content(platform: Platform, arguments: Mapping[str, str], now: datetime) -> Json:
    """What the page shows. A filter that does not parse is told in its place; the rest of the page stands."""
    chosen = arguments.get("version", "")
    versions = [str(v.id) for v in platform.catalog.versions() if v.released and current.may("read", v.id.model)]
    shown: Json = {
        "versions": versions,
        "version": chosen,
        "where": arguments.get("where", ""),
        "error": "",
        "rows": [],
    }
    if not chosen:
        return {**shown, "chosen": False, "twin_query": ""}
    version = VersionId.parse(chosen)
    found = platform.catalog.get(version)
    span = ranges.read(arguments, now, "24h")
    keys = {"version": chosen, **({"where": shown["where"]} if shown["where"] else {})}
    shown |= {
        "chosen": True,
        "range": span.query(),
        "since": clock.show(span.since),
        "until": clock.show(span.until),
        "ranges": ranges.choices(span, "/requests", keys),
        "export": f"/requests.csv?{urlencode({**keys, **span.query()})}",
        "tokens": _tokens(shown["where"], chosen, span),
    }
    held = platform.logs.columns(version)
    if found.version is None or not held:
        return {**shown, "empty": True}
    columns = _columns(found.version, held, shown["where"])
    whole = {"search": "whole"} if arguments.get("search") == "whole" else {}
    search = _Search(platform, version, span, shown["where"], math.inf if whole or not shown["where"] else SECONDS)
    faceted = _faceted(found.version, held)
    try:
        page, these = _rows(search, arguments.get("before", ""), columns, faceted)
        every = search.newest(faceted, SAMPLE, where="") if shown["where"] else these
    except InvalidInput as error:
        return {**shown, "error": error.message, "hint": error.expected or ""}
    rows = [plain(row) for row in page.rows]
    for row in rows:
        row["href"] = links.request(version, row["request_id"], row["row"], row["received"])
    members = {**keys, **span.query()}
    shown |= {"columns": columns["fields"], "outputs": columns["outputs"], "rows": rows[:ROWS]}
    shown["numbers"] = _numbers(found.version)
    shown |= {"facets": _facets(these.rows, every.rows, faceted, search, chosen)}
    shown |= {"counted": len(these.rows), "counted_of": len(every.rows), "sampled": len(these.rows) == SAMPLE}
    if len(rows) > ROWS:
        last = rows[ROWS - 1]
        place = f"{last['received']}~{last['request_id']}~{last['row']}"
        shown["older"] = f"/requests?{urlencode({**members, **whole, 'before': place})}"
    elif page.searched is not None:
        shown["searched"] = clock.show(page.searched)
    if these.searched is not None:
        shown["counted_since"] = clock.show(these.searched)
    if these.searched is not None or page.searched is not None:
        before = {"before": arguments["before"]} if arguments.get("before") else {}
        shown["further"] = f"/requests?{urlencode({**members, **before, 'search': 'whole'})}"
    if arguments.get("before"):
        shown["newest"] = f"/requests?{urlencode({**members, **whole})}"
    return shown


@dataclass(frozen=True, slots=True)
class _Search:
    """What a page searches: the log of a version in a range, for at most so many seconds."""

    platform: Platform
    version: VersionId
    span: ranges.Range
    where: str
    seconds: float

    def newest(self, columns: Sequence[str], limit: int, *, where: str, until: datetime | None = None) -> Found:
        query = LogQuery(self.span.since, until or self.span.until, where, tuple(columns), limit)
        return self.platform.logs.search(self.version, query, self.seconds)


def _rows(search: _Search, before: str, columns: Json, faceted: Sequence[str]) -> tuple[Found, Found]:
    """The rows of the page, and those that its facets are counted over: read at once, unless the page is not the first."""
    shown = (*WANTED, *columns["outputs"], *columns["fields"])
    if not before:
        found = search.newest(tuple(dict.fromkeys((*shown, *faceted))), SAMPLE, where=search.where)
        return Found(found.rows[: ROWS + 1], found.searched), found
    moment = clock.parse(before.split("~", maxsplit=1)[0], field="before")
    until = min(search.span.until, moment + timedelta(microseconds=1))  # the condition alone spares no newer files
    page = search.newest(shown, ROWS + 1, where=all_of(search.where, _after(before)), until=until)
    return page, search.newest(faceted, SAMPLE, where=search.where)


def export(platform: Platform, arguments: Mapping[str, str], now: datetime) -> Iterator[str]:
    """The rows of the page's filter as CSV, the newest ``EXPORTED``; text that a spreadsheet would run is escaped."""
    version = VersionId.parse(arguments.get("version", ""))
    span = ranges.read(arguments, now, "24h")
    rows = platform.logs.query(version, LogQuery(span.since, span.until, arguments.get("where", ""), (), EXPORTED))
    names = platform.logs.columns(version)
    return _csv([names, *([row.get(n) for n in names] for row in rows)])


def _csv(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    for row in rows:
        cells = (csv_cell(cell) for cell in row)
        yield ",".join('"' + c.replace('"', '""') + '"' if any(m in c for m in ',"\r\n') else c for c in cells) + "\r\n"


def _columns(version: Version, held: Sequence[str], where: str) -> Json:
    """Which fields stand in the table: those that the filter names first, then the first inputs; and up to two outputs."""
    inputs = [logtable.input_column(f) for f in version.signature.inputs if f.is_scalar]
    outputs = [logtable.output_column(f) for f in version.signature.outputs if f.is_scalar]
    named = [c for c in [*inputs, *outputs] if c in where]
    fields = [c for c in dict.fromkeys([*named, *inputs]) if c in held and c not in outputs[:2]]
    return {"fields": fields[:SHOWN_FIELDS], "outputs": [c for c in outputs[:2] if c in held]}


def _after(place: str) -> str:
    """The condition of the rows after a place in the order of the page."""
    parts = place.split("~")
    row = natural(parts[-1]) if len(parts) >= 3 else None
    if row is None:
        raise InvalidInput(
            f"before: {place[:80]!r} is not a position in the list", field="before", expected="a link on the page"
        )
    moment = clock.parse(parts[0], field="before")
    at, request = literal(moment), literal("~".join(parts[1:-1]))
    same = f"received = {at} AND (request_id > {request} OR (request_id = {request} AND row > {row}))"
    return f"(received < {at} OR ({same}))"


def _numbers(version: Version) -> list[str]:
    """Columns whose values stand at the right of theirs."""
    sides = ((version.signature.inputs, logtable.input_column), (version.signature.outputs, logtable.output_column))
    return [column(f) for fields, column in sides for f in fields if f.dtype.name not in ("string", "bool")]


def _faceted(version: Version, held: Sequence[str]) -> list[str]:
    """Columns of few kinds of values."""
    categories = [
        logtable.input_column(f)
        for f in version.signature.inputs
        if f.is_scalar and f.profile in ("categorical", "none")
    ]
    outputs = [
        logtable.output_column(f) for f in version.signature.outputs if f.is_scalar and f.profile == "categorical"
    ]
    return [c for c in ("outcome", "checks", "sequence", "variant", *categories[:6], *outputs[:2]) if c in held]


def _facets(
    these: Sequence[Json], every: Sequence[Json], columns: Sequence[str], search: _Search, chosen: str
) -> list[Json]:
    """Values of few kinds with their counts: in these rows, and as shares of the newest of all in the range."""
    found = []
    for column in columns:
        mine, usual = _counts(these, column), _counts(every, column)
        if not 1 <= len(mine) <= MOST_VALUES or (len(mine) == 1 and column not in ("outcome", "checks")):
            continue
        values = [
            {
                "value": value,
                "count": count,
                "share": count / max(len(these), 1),
                "usual": usual[value] / max(len(every), 1),
                "href": _narrowed(column, value, chosen, search.where, search.span),
            }
            for value, count in mine.most_common(FACET_VALUES)
        ]
        found.append({"name": column.removeprefix("in.").removeprefix("out."), "values": values})
    return found


def _counts(rows: Sequence[Json], column: str) -> Counter[Any]:
    if column == "checks":
        return Counter(check for row in rows for check in row.get(column) or ())
    return Counter(row[column] for row in rows if row.get(column) not in (None, ""))


def _narrowed(column: str, value: Any, chosen: str, where: str, span: ranges.Range) -> str:
    """The page with a facet's value added to its filter."""
    condition = _condition(column, value)
    joined = f"{where} AND {condition}" if where.strip() else condition
    return f"/requests?{urlencode({'version': chosen, 'where': joined, **span.query()})}"


def _condition(column: str, value: Any) -> str:
    return f"array_has(checks, {literal(value)})" if column == "checks" else f"{column} = {literal(value)}"


def _tokens(where: str, chosen: str, span: ranges.Range) -> list[Json]:
    """The filter's parts, each with the link that takes it off; one part where it is not a plain row of ANDs."""
    parts = [where] if "(" in where.replace("array_has(", "") or " OR " in where.upper() else where.split(" AND ")
    found = []
    for place, part in enumerate(parts):
        if part.strip():
            rest = " AND ".join(p for n, p in enumerate(parts) if n != place)
            members = {"version": chosen, **({"where": rest} if rest else {}), **span.query()}
            found.append({"text": part.strip(), "without": f"/requests?{urlencode(members)}"})
    return found
