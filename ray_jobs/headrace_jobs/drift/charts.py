"""What the pictures of a drift report show: bars of both sides, and the steps of the window's time."""

from datetime import timedelta
from itertools import pairwise

import numpy as np

from headrace_functions.classes import text_of
from headrace_functions.views import Array
from headrace_jobs.report.models import Bar, Step
from headrace_jobs.report_text import number
from headrace_jobs.statistics import history
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference
from headrace_jobs.window import Window, text

BINS = 24
CATEGORIES = 12
UNSEEN = 5
STEP_ROWS = 30
"""Rows a step of time must have before its difference is shown."""


def number_bars(reference: NumberReference, window: NumberPartial) -> tuple[Bar, ...]:
    """Bins of equal width over the reference's range, and one for what lies beyond either end, where there is any."""
    if not len(reference.grid) or not window.count:
        return ()
    edges = _edges(reference.grid)
    places = np.searchsorted(reference.grid, edges[1:-1], "left")
    before = np.diff([0, *reference.below[places], reference.upto[-1]]) / reference.count
    inside = np.diff([window.below[0], *window.below[places], window.upto[-1]]) / window.count
    labels = [f"{number(a)} … {number(b)}" if b > a else number(a) for a, b in pairwise(edges)]
    bars = [Bar(label=n, reference=r, window=w) for n, r, w in zip(labels, before, inside, strict=True)]
    under, over = window.below[0] / window.count, (window.count - window.upto[-1]) / window.count
    if under:
        bars.insert(0, Bar(label=f"< {number(edges[0])}", reference=0.0, window=under, outside=True))
    if over:
        bars.append(Bar(label=f"> {number(edges[-1])}", reference=0.0, window=over, outside=True))
    return tuple(bars)


def category_bars(reference: CategoryReference, window: CategoryPartial) -> tuple[Bar, ...]:
    """The most frequent categories of either side, all others as one, and the unseen ones by name."""
    n, m = max(reference.count, 1), max(window.count, 1)
    weight = {c: reference.counts[c] / n + window.counts.get(c, 0) / m for c in reference.counts}
    shown = sorted(weight, key=lambda c: (-weight[c], str(c)))[:CATEGORIES]
    bars = [Bar(label=text_of(c), reference=reference.counts[c] / n, window=window.counts.get(c, 0) / m) for c in shown]
    rest = [c for c in reference.counts if c not in shown]
    others = sum(window.counts.get(c, 0) for c in rest) + (0 if reference.complete else window.unknown)
    if rest or reference.other:
        before = sum(reference.counts[c] for c in rest) + reference.other
        bars.append(
            Bar(
                label=f"{len(rest) + reference.profile.distinct - len(reference.counts)} others",
                reference=before / n,
                window=others / m,
            )
        )
    if reference.complete:
        named = list(window.names.items())[:UNSEEN]
        bars += [Bar(label=text_of(c), reference=0.0, window=k / m, outside=True) for c, k in named]
        unnamed = window.unknown - sum(k for _, k in named)
        if unnamed:
            bars.append(Bar(label="other unseen", reference=0.0, window=unnamed / m, outside=True))
    return tuple(bars)


def steps(counts: Array, reference: NumberReference | CategoryReference, window: Window) -> tuple[Step, ...]:
    """The share of rows that moved in each step of the window's time: total variation over the history's bins, less what
    so few rows show without drift (the mean absolute error of each bin's share)."""
    expected = history.shares(reference)
    length: timedelta = (window.until - window.since) / history.STEPS
    result = []
    for i, bins in enumerate(counts):
        rows = int(bins.sum())
        moved = None
        if rows >= STEP_ROWS:
            chance = np.sqrt(2 / np.pi * expected * (1 - expected) / rows).sum() / 2
            moved = max(0.0, float(np.abs(bins / rows - expected).sum() / 2 - chance))
        result.append(Step(start=text(window.since + i * length), rows=rows, moved=moved))
    return tuple(result)


def since(shown: tuple[Step, ...], threshold: float) -> str | None:
    """Start of the first step from which on every step with enough rows has moved by half of what the last ones have.

    None where the last step has not moved: then the change is over, or too small to be seen in a step's rows.
    """
    known = [(s.start, s.moved) for s in shown if s.moved is not None]
    limit = max(threshold, float(np.median([moved for _, moved in known[-3:]])) / 2) if known else threshold
    start = None
    for moment, moved in reversed(known):
        if moved < limit:
            break
        start = moment
    return start


def _edges(grid: Array) -> Array:
    low, high = float(grid[0]), float(grid[-1])
    if len(grid) <= BINS:  # few distinct values: a bar each
        return np.asarray([*grid, high])
    with np.errstate(over="ignore"):
        edges = np.linspace(low, high, BINS + 1)
    return np.asarray(edges if np.isfinite(edges).all() else np.quantile(grid, np.linspace(0, 1, BINS + 1)))
