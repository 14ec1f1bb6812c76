"""A picture of chunks: time from left to right, the most drifted fields from top to bottom, severity as colour."""

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from headrace_jobs.report.models import Chunk
from headrace_jobs.report.svg import LABEL, WIDTH, cut, drawing, mark, words
from headrace_jobs.report_text import share

FIELDS = 12
HEIGHT = 18  # of a line
WEIGHT = {"none": 0, "low": 1, "medium": 2, "severe": 4}


def strip(chunks: Sequence[Chunk]) -> Markup:
    """A line for the chunks themselves and one for each of the fields that drifted in most of them; empty without chunks."""
    if not chunks:
        return Markup()
    wide = (WIDTH - LABEL) / len(chunks)
    parts = [words(LABEL - 8, 13, "all fields", "end", "label")]
    for i, chunk in enumerate(chunks):
        kind = "unknown" if chunk.verdict == "not-enough-data" else chunk.severity
        title = f"{_clock(chunk.since)}: {kind if kind != 'unknown' else 'too few rows'}, {chunk.rows:,} rows"
        parts.append(_cell(i, 0, wide, kind, title))
    for line, name in enumerate(_names(chunks), 1):
        parts.append(words(LABEL - 8, line * HEIGHT + 13, cut(name, 26), "end", "label"))
        for i, chunk in enumerate(chunks):
            found = next((f for f in chunk.fields if f.name == name), None)
            if found is not None:
                title = f"{name}, {_clock(chunk.since)}: {found.severity}, {share(found.effect)} of rows"
                parts.append(_cell(i, line, wide, found.severity, title))
    bottom = (len(_names(chunks)) + 1) * HEIGHT + 14
    parts.append(words(LABEL, bottom - 3, _clock(chunks[0].since)))
    parts.append(words(WIDTH, bottom - 3, _clock(chunks[-1].since), "end"))
    return drawing(bottom, parts, "severity of each chunk and field over time")


def _names(chunks: Sequence[Chunk]) -> list[str]:
    weight: dict[str, int] = defaultdict(int)
    for chunk in chunks:
        for found in chunk.fields:
            weight[found.name] += WEIGHT[found.severity]
    return sorted(weight, key=lambda name: (-weight[name], name))[:FIELDS]


def _cell(place: int, line: int, wide: float, kind: str, title: str) -> Markup:
    template = '<rect class="cell {}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    return mark(template, kind, LABEL + place * wide, line * HEIGHT, max(wide - 1, 0.8), HEIGHT - 2, title)


def _clock(moment: str) -> str:
    return moment[:16].replace("T", " ")
