"""Charts of two versions on the same rows: intervals of differences, and the answers of both. SVG without a library, as ``charts``."""

from collections.abc import Sequence
from html import escape

import numpy as np

from headrace_functions.charts import number, percent

CELLS = 20
"""Cells of a side of the answers' grid."""
_SIDE = 200.0
_SHADES = 5


def interval_bar(low: float, value: float, high: float, reach: float, *, told: bool) -> str:
    """A 95 % interval around 0 in the middle; ``reach`` is the distance from there to either edge."""

    def x(v: float) -> float:
        return 0.5 + 0.46 * max(-1.0, min(1.0, v / reach if reach else 0.0))

    left, right = x(low), x(high)
    label = f"from {number(low)} to {number(high)}"
    return (
        f'<svg role="img" aria-label="{escape(label)}"><line class="axis-line" x1="50%" x2="50%" y1="0" y2="100%"/>'
        f'<rect class="{"fb" if told else "fctx"}" x="{percent(left)}" width="{percent(max(right - left, 0.004))}" y="38%" height="24%"/>'
        f'<line class="ticked" x1="{percent(x(value))}" x2="{percent(x(value))}" y1="22%" y2="78%"/></svg>'
    )


def answers_of_both(first: Sequence[float], second: Sequence[float], names: tuple[str, str]) -> str:
    """Rows by cell: the first's answer across, the second's up. Off the diagonal they disagree."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if not len(a):
        return ""
    low, high = float(min(a.min(), b.min())), float(max(a.max(), b.max()))
    if high <= low:
        high = low + 1.0
    counts, _, _ = np.histogram2d(a, b, bins=CELLS, range=[[low, high], [low, high]])
    near = sum(int(counts[i, j]) for i in range(CELLS) for j in range(CELLS) if abs(i - j) <= 1)
    label = (
        f"Answers of {names[0]} across, {names[1]} up: {near / counts.sum():.0%} of {len(a):,} rows lie on the diagonal"
    )
    size = _SIDE / CELLS
    most = np.log1p(counts.max())
    cells = "".join(
        f'<rect class="q{1 + min(_SHADES - 1, int(_SHADES * np.log1p(n) / most * 0.999))}" x="{i * size + 0.4:.1f}" y="{_SIDE - (j + 1) * size + 0.4:.1f}" '
        f'width="{size - 0.8:.1f}" height="{size - 0.8:.1f}"><title>{int(n):,} rows</title></rect>'
        for (i, j), n in np.ndenumerate(counts)
        if n
    )
    ticks = "".join(
        f'<text class="t0" x="{percent(0.09 + 0.89 * at)}" y="324" text-anchor="middle">{number(low + at * (high - low))}</text>'
        f'<text class="t0" x="8%" y="{6 + 300 * (1 - at) + 4:.0f}" text-anchor="end">{number(low + at * (high - low))}</text>'
        for at in (0.0, 0.5, 1.0)
    )
    return (
        f'<svg class="joint" role="img" aria-label="{escape(label)}"><svg x="9%" y="6" width="89%" height="300" viewBox="0 0 200 200" '
        f'preserveAspectRatio="none" overflow="visible">{cells}<line class="diag" x1="0" y1="200" x2="200" y2="0" vector-effect="non-scaling-stroke"/></svg>'
        f'{ticks}<text class="t0" x="53%" y="339" text-anchor="middle">{escape(names[0])}</text></svg>'
    )
