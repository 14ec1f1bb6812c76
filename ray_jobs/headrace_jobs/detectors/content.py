"""Are the texts or vectors of the window others? One test a field, of its content as ``headrace_jobs.content`` has it.

Three look at it and share the error: a domain classifier that draws a plane (held against the intervals and ranks of its scores on rows that
it has not learnt), the maximum mean discrepancy, and, of marks such as that of a word, an exact test of each.
"""

from functools import partial

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.detectors import tails
from headrace_jobs.detectors.base import Finding
from headrace_jobs.detectors.distances import share_bound
from headrace_jobs.detectors.domain_classifier import MIN_ROWS, ROWS, plane, told_apart
from headrace_jobs.detectors.mmd import discrepancy

METHOD = "domain classifier (plane), maximum mean discrepancy, exact tests of words"
FAR = 8.0
"""Standard deviations that a value is clipped to: one row shall not hide all others."""
PENALTY = 3.0
"""Of the plane, for each row that it learns from."""
WITH_MARKS, WITHOUT = (0.3, 0.3, 0.4), (0.4, 0.6)
"""Of the error: plane, discrepancy, marks."""
FEWEST = 8
"""Rows of both sides together that a mark has at least."""


def content(before: Array, now: Array) -> Finding | None:
    """Test rows ``(n, k)`` and ``(m, k)``; None with fewer than ``MIN_ROWS`` that are not missing on a side."""
    sides = [side[np.isfinite(side).all(axis=1)][:ROWS].astype(np.float64) for side in (before, now)]
    n, m = (len(side) for side in sides)
    if min(n, m) < MIN_ROWS:
        return None
    both = np.concatenate(sides)
    spread = both.std(axis=0)
    varied = spread > 1e-9 * np.maximum(np.abs(both).max(axis=0), 1e-300)
    if not varied.any():
        return None
    scores = np.clip((both[:, varied] - both[:, varied].mean(axis=0)) / spread[varied], -FAR, FAR)
    area, by_plane, effect, low = told_apart(scores, n, m, partial(plane, PENALTY))
    _, by_mean, other, other_low = discrepancy(scores.astype(np.float32), n)
    found = [by_plane, by_mean]
    marks = both[:, varied & np.isin(both, (0.0, 1.0)).all(axis=0)]
    if marks.shape[1]:
        by_mark, moved, mark_low = _marks(marks[:n].sum(axis=0), n, marks[n:].sum(axis=0), m)
        found.append(by_mark)
        other, other_low = max(other, moved), max(other_low, mark_low)
    p = tails.least(list(zip(found, WITH_MARKS if len(found) == 3 else WITHOUT, strict=True)))
    return Finding("content", METHOD, area, p, max(effect, other), max(low, other_low), "moved")


def _marks(before: Array, n: int, now: Array, m: int) -> tuple[float, float, float]:
    """p-value of the mark whose share changed most, the change, and its lower bound."""
    often = before + now >= FEWEST
    before, now = before[often], now[often]
    p, at = tails.smallest(before, n, now, m, len(before))
    if at < 0:
        return p, 0.0, 0.0
    a, b = float(before[at] / n), float(now[at] / m)
    return p, abs(a - b), share_bound(abs(a - b), a, b, n, m)
