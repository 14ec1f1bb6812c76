"""Charts as SVG text: pure functions from numbers to markup, without a library, a script or an inline style.

Text, grid and bars are placed in per cent of the outer ``<svg>``, which has no ``viewBox``, so they stay sharp at any width; only
curves lie in an inner one that stretches, with strokes that do not scale. Classes carry all colours: a page's style sheet decides.
Everything that comes from data is escaped. Each chart has ``role="img"`` and a label that says what it shows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise
from typing import TypeVar

Value = float | None
"""None where nothing is known: a gap, never 0."""

Scale = Callable[[float], float]
"""From a value to its place between 0, the top, and 1."""

LEVELS = ("healthy", "low", "medium", "severe")
"""What the levels 0 to 3 of a cell mean."""
NOT_JUDGED = -1
"""Level of a cell with traffic of which nothing can be said: too few rows, or nothing to compare with."""
_WIDTH, _HEIGHT = 1000.0, 100.0
_LABEL = 14
"""Characters of a label below a column."""
_LONE = 12.0
"""Half the width of the dash of a value without neighbours."""
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Cell:
    """One bucket of a row: its level 0 to 3, ``NOT_JUDGED``, or None without traffic; what a loud one says, and where it leads."""

    level: int | None
    said: str = ""
    href: str = ""

    @property
    def is_loud(self) -> bool:
        return self.level is not None and self.level > 0

    @property
    def sign(self) -> str:
        """One character of a row's levels, and the end of its CSS class."""
        return {None: "n", NOT_JUDGED: "u"}.get(self.level, str(self.level))


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, at ``at`` of 0 to 1 of the chart's width."""

    at: float
    text: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A series of one value a bucket. ``kind`` is ``a``, ``b``, ``c`` or ``ctx``: colour and dash of the style sheet."""

    kind: str
    values: Sequence[Value]
    few: Sequence[bool] = ()
    """Whether a bucket has too few rows to be trusted; drawn as a hollow mark."""


@dataclass(frozen=True, slots=True)
class TimeChart:
    """Lines over the same buckets of time, with what one needs to read them."""

    label: str
    lines: Sequence[Line]
    times: Sequence[tuple[float, str]] = ()
    """Places 0 to 1 and texts of the time axis."""
    unit: str = ""
    band: Sequence[tuple[float, float] | None] = ()
    """The usual range of each bucket."""
    limit: float | None = None
    marks: Sequence[Mark] = ()
    from_zero: bool = True


def ticks(low: float, high: float, count: int = 3) -> list[float]:
    """About ``count`` round numbers (1, 2, 2.5, 5 times a power of ten) from the first at or below ``low`` past ``high``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    span = high - low if high > low else max(abs(high), 1.0)
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in _ROUND if f * power >= rough * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """Three significant digits with thousands by comma: ``0.842``, ``64.8``, ``6,480``."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "–"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits <= -13:
        text = f"{value:.2e}".replace("e+", "e")
    elif digits <= 0:
        text = f"{value:,.0f}"
    elif digits > 6:
        text = f"{value:.2e}".replace("e-0", "e-")
    else:
        text = f"{value:,.{digits}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def percent(place: float) -> str:
    return f"{round(place * 100, 2):g}%"


def strip(cells: Sequence[Cell], label: str) -> str:
    """The worst state of each bucket as one row without links: where since is read at a glance."""
    return f'<svg class="strip" role="img" aria-label="{escape(label)}">{"".join(_runs(cells))}</svg>'


def heat_row(name: str, cells: Sequence[Cell], values: Sequence[Value]) -> str:
    """A row of a heat map. Runs of quiet cells are one rectangle, each loud cell is a link; ``values`` are for the script's readout."""
    levels = "".join(c.sign for c in cells)
    numbers = " ".join("" if v is None else f"{v:.4g}" for v in values)
    drawn = "".join(_runs(cells, loud_apart=True))
    cursor = '<rect class="cursor" width="0" height="100%" visibility="hidden"/>'
    return f'<svg class="strip" data-strip="{escape(name)}" data-levels="{levels}" data-values="{numbers}">{drawn}{cursor}</svg>'


def _runs(cells: Sequence[Cell], *, loud_apart: bool = False) -> Iterator[str]:
    count = len(cells)
    for _, grouped in groupby(enumerate(cells), lambda item: _group(item, loud_apart=loud_apart)):
        run = list(grouped)
        start, cell = run[0]
        if loud_apart and cell.is_loud:
            yield _loud(cell, start, count)
        else:
            tall = 'y="42%" height="16%"' if cell.level == NOT_JUDGED else 'height="100%"'
            yield f'<rect class="h{cell.sign}" x="{percent(start / count)}" width="{percent(len(run) / count)}" {tall}/>'


def _group(item: tuple[int, Cell], *, loud_apart: bool) -> tuple[int | None, int]:
    place, cell = item
    return cell.level, place if loud_apart and cell.is_loud else -1


def _loud(cell: Cell, place: int, count: int) -> str:
    level = cell.level or 0
    left, width = place / count, 1 / count
    sign = {
        1: f'<line class="hm d" x1="{percent(left + width / 2)}" x2="{percent(left + width / 2)}" y1="35%" y2="65%"/>',
        2: f'<line class="hm d" x1="{percent(left + width * 0.25)}" x2="{percent(left + width * 0.75)}" y1="50%" y2="50%"/>',
        3: f'<line class="hm" x1="{percent(left + width * 0.25)}" x2="{percent(left + width * 0.75)}" y1="32%" y2="68%"/>'
        f'<line class="hm" x1="{percent(left + width * 0.75)}" x2="{percent(left + width * 0.25)}" y1="32%" y2="68%"/>',
    }[level]
    said = escape(cell.said)
    drawn = (
        f'<rect class="h{level}" x="{percent(left + width * 0.05)}" width="{percent(width * 0.9)}" height="100%"/>{sign}'
        f'<rect class="hit" x="{percent(left)}" width="{percent(width)}" height="100%"><title>{said}</title></rect>'
    )
    return f'<a href="{escape(cell.href)}" tabindex="-1" aria-label="{said}">{drawn}</a>' if cell.href else drawn


def spark(values: Sequence[Value], label: str) -> str:
    """A small area chart from 0, gaps kept; the mean lies at two thirds of the height unless a peak needs more room."""
    known = [v for v in values if v is not None]
    if not known:
        return f'<svg class="spark" role="img" aria-label="{escape(label)}: no data"></svg>'
    top = max(*known, 1.5 * sum(known) / len(known), 1e-12)
    paths = []
    for run in _points(values):
        points = [(x / 10, 20 - 18 * v / top) for x, v in run]
        line = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
        paths.append(f'<path class="area" d="M{line}L{points[-1][0]:.2f} 20L{points[0][0]:.2f} 20Z"/>')
        paths.append(f'<path class="ln a" d="M{line}"/>')
    return f'<svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">{"".join(paths)}</svg>'


def _points(values: Sequence[Value]) -> Iterator[list[tuple[float, float]]]:
    """Runs of known values with their places 0 to 1000; a lone value is a short dash."""
    count = max(len(values) - 1, 1)
    run: list[tuple[float, float]] = []
    for place, value in [*enumerate(values), (len(values), None)]:
        if value is not None and math.isfinite(value):
            run.append((_WIDTH * place / count, value))
        elif run:
            yield run if len(run) > 1 else _dash(*run[0])
            run = []


def _dash(x: float, value: _V) -> list[tuple[float, _V]]:
    """A value without neighbours as a line within the chart."""
    return [(max(x - _LONE, 0.0), value), (min(x + _LONE, _WIDTH), value)]


def time_chart(chart: TimeChart) -> str:
    """Lines with a grid, the usual band, a limit and marks; gaps stay gaps."""
    known = [v for line in chart.lines for v in line.values if v is not None and math.isfinite(v)]
    if not known:
        return f'<svg class="plot" role="img" aria-label="{escape(chart.label)}: no data"><text class="t0" x="50%" y="50%" text-anchor="middle">no data in this range</text></svg>'
    band = [edge for pair in chart.band if pair is not None for edge in pair]
    reach = [*known, *band, *([chart.limit] if chart.limit is not None else [])]
    grid = ticks(0.0 if chart.from_zero and min(reach) >= 0 else min(reach), max(reach))
    low, high = grid[0], grid[-1]

    def y(value: float) -> float:
        return 1 - (value - low) / (high - low)

    parts = [_band(chart.band, y), *(_grid_line(tick, y(tick), chart.unit, tick == grid[-1]) for tick in grid)]
    parts += [_curves(chart.lines, y)]
    if chart.limit is not None:
        at = percent(y(chart.limit))
        said = f"limit {number(chart.limit)}{chart.unit}"
        parts.append(f'<line class="limit" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="limit-t" x="100%" y="{at}" dy="-4" text-anchor="end">{escape(said)}</text>')
    parts += [_mark(mark) for mark in chart.marks]
    axis = "".join(
        f'<text class="t0 tick" x="{percent(at)}" y="100%" dy="-2" text-anchor="{_anchor(at)}">{escape(text)}</text>'
        for at, text in chart.times
    )
    inner = f'<svg class="inner" y="10%" width="100%" height="76%" overflow="visible">{"".join(parts)}</svg>'
    return f'<svg class="plot" data-chart="" role="img" aria-label="{escape(chart.label)}">{inner}{axis}</svg>'


def _anchor(at: float) -> str:
    return "start" if at < 0.05 else "end" if at > 0.95 else "middle"


def _grid_line(tick: float, at: float, unit: str, top: bool) -> str:
    text = f"{number(tick)}{unit if top else ''}"
    return (
        f'<line class="grid-line" x1="0" x2="100%" y1="{percent(at)}" y2="{percent(at)}"/>'
        f'<text class="t0 halo" x="2" y="{percent(at)}" dy="-3">{escape(text)}</text>'
    )


def _band(band: Sequence[tuple[float, float] | None], y: Scale) -> str:
    paths = []
    count = max(len(band) - 1, 1)
    places = [(place, pair) for place, pair in enumerate(band)]
    for known, grouped in groupby(places, lambda item: item[1] is not None):
        run = [(_WIDTH * place / count, pair) for place, pair in grouped if pair is not None]
        if known and run:
            if len(run) == 1:
                run = _dash(*run[0])
            upper = [f"{x:.1f} {_HEIGHT * y(pair[1]):.2f}" for x, pair in run]
            lower = [f"{x:.1f} {_HEIGHT * y(pair[0]):.2f}" for x, pair in reversed(run)]
            paths.append(f'<path class="band" d="M{"L".join(upper + lower)}Z"/>')
    return _stretched("".join(paths)) if paths else ""


def _curves(lines: Sequence[Line], y: Scale) -> str:
    paths, dots = [], []
    for line in lines:
        for run in _points(line.values):
            joined = "L".join(f"{x:.1f} {_HEIGHT * y(v):.2f}" for x, v in run)
            paths.append(f'<path class="ln {escape(line.kind)}" d="M{joined}"/>')
        count = max(len(line.values) - 1, 1)
        for place in _lone(line.values):
            at = f'cx="{percent(place / count)}" cy="{percent(y(line.values[place] or 0.0))}"'
            dots.append(f'<circle class="pt {escape(line.kind)}" {at} r="2.5"/>')
        for place, (value, few) in enumerate(zip(line.values, line.few, strict=False)):
            if few and value is not None:
                dots.append(f'<circle class="few" cx="{percent(place / count)}" cy="{percent(y(value))}" r="2.5"/>')
    return _stretched("".join(paths)) + "".join(dots)


def _lone(values: Sequence[Value]) -> list[int]:
    """Places of the values without neighbours, which no line leads to."""
    known = [False, *(v is not None and math.isfinite(v) for v in values), False]
    return [n for n in range(len(values)) if known[n + 1] and not known[n] and not known[n + 2]]


def _stretched(drawn: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">{drawn}</svg>'


def _mark(mark: Mark) -> str:
    kind = "mark-line bad" if mark.bad else "mark-line"
    at = percent(mark.at)
    return f'<line class="{kind}" x1="{at}" x2="{at}" y1="0" y2="100%"><title>{escape(mark.text)}</title></line>'


def distribution(training: Sequence[float], window: Sequence[float], labels: Sequence[str], label: str) -> str:
    """Shares of the same columns: training as an outline, the window as filled bars; every third label below at most, of a range of
    numbers where it begins."""
    count = max(len(training), len(window), 1)
    top = max([*training, *window, 1e-12])
    bars, outline, texts = [], [], []
    for place in range(count):
        left, width = place / count, 1 / count
        share = window[place] if place < len(window) else 0.0
        if share > 0:
            height = share / top
            bars.append(
                f'<rect class="fb" x="{percent(left + width * 0.1)}" width="{percent(width * 0.8)}" y="{percent(1 - height)}" height="{percent(height)}"/>'
            )
    if any(training):
        steps = [f"{_WIDTH * p / count:.1f} {_HEIGHT * (1 - training[p] / top):.2f}L{_WIDTH * (p + 1) / count:.1f} {_HEIGHT * (1 - training[p] / top):.2f}" for p in range(len(training))]  # fmt: skip
        outline.append(_stretched(f'<path class="outline" d="M0 100L{"L".join(steps)}L1000 100"/>'))
    every = max(1, math.ceil(count / 6))
    for place, text in enumerate(labels):
        if place % every == 0:
            kind = "t0 opt" if place // every % 2 else "t0"
            at = place / count if place == 0 and count > 6 else (place + 0.5) / count
            texts.append(f'<text class="{kind}" x="{percent(at)}" y="100%" dy="-2" text-anchor="{_anchor(at)}">{escape(_short(text))}</text>')  # fmt: skip
    tall = "84%" if labels else "100%"
    inner = f'<svg width="100%" height="{tall}" overflow="visible">{"".join(bars)}{"".join(outline)}</svg>'
    return f'<svg class="hist" role="img" aria-label="{escape(label)}">{inner}{"".join(texts)}</svg>'


def _short(label: str) -> str:
    text = label.partition(" … ")[0]
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def share_bar(share: float, label: str, kind: str = "fctx") -> str:
    """A horizontal bar of 0 to 1 on a track."""
    width = percent(min(max(share, 0.0), 1.0))
    return f'<svg class="bar" role="img" aria-label="{escape(label)}"><rect class="track" width="100%" height="100%"/><rect class="{kind}" width="{width}" height="100%"/></svg>'


def training_range(low: float, high: float, marks: Sequence[float], value: float, label: str) -> str:
    """Minimum to maximum thin, 5 to 95 % thick, the median as a tick, the value as a dot; ``marks`` are those three quantiles."""
    left, right = min(low, value), max(high, value)
    span = (right - left) or 1.0

    def x(v: float) -> str:
        return percent(0.04 + 0.92 * (v - left) / span)

    def width(a: float, b: float) -> str:
        return percent(0.92 * (b - a) / span)

    five, median, ninety_five = marks
    state = "f-ok" if low <= value <= high else "f-severe"
    return (
        f'<svg class="train" role="img" aria-label="{escape(label)}">'
        f'<rect class="f-none" x="{x(low)}" width="{width(low, high)}" y="46%" height="8%"/>'
        f'<rect class="fctx" x="{x(five)}" width="{width(five, ninety_five)}" y="36%" height="28%"/>'
        f'<rect class="fink" x="{x(median)}" width="1.5" y="26%" height="48%"/>'
        f'<circle class="{state}" cx="{x(value)}" cy="50%" r="4.5"/></svg>'
    )


def waterfall(start: float, steps: Sequence[float], end: float) -> list[str]:
    """One bar a step from ``start`` to ``end``: right raises, left lowers. The last item is the bar of the total."""
    points = [start]
    for step in steps:
        points.append(points[-1] + step)
    low, high = min([*points, end, start]), max([*points, end, start])
    span = (high - low) or 1.0

    def x(v: float) -> float:
        return 0.02 + 0.96 * (v - low) / span

    rows = []
    for before, after in pairwise(points):
        kind = "fb" if after >= before else "fa"
        left, right = sorted((x(before), x(after)))
        rows.append(
            f'<svg aria-hidden="true"><rect class="{kind}" x="{percent(left)}" width="{percent(max(right - left, 0.003))}" y="20%" height="60%"/></svg>'
        )
    left, right = sorted((x(start), x(end)))
    rows.append(
        f'<svg aria-hidden="true"><rect class="fctx" x="{percent(left)}" width="{percent(max(right - left, 0.003))}" y="20%" height="60%"/></svg>'
    )
    return rows
