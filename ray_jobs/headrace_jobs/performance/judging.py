"""Judging: what the metrics of a window mean, held against what chunks of the reference show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_functions.statistics.sample import priorities
from headrace_functions.views import Array
from headrace_jobs.performance.metrics import Metric, Values
from headrace_jobs.verdict import Severity

MIN_ROWS = 30
"""Rows that a window must have, and labels before the realised figures judge it."""
MIN_REFERENCE = 300
"""Reference rows with labels that are needed: ten chunks of ``MIN_ROWS``."""
CHUNKS = (10, 50)
"""Fewest and most chunks that the reference is cut into."""
COVERAGE = 0.997
"""Share of chunks without a change that lie in the band (of a normal metric: three standard deviations)."""
TOLERANCE = 0.02
"""Half a band is at least so wide: a change that nobody needs to know of. A share for metrics up to 1 ..."""
LOSS_TOLERANCE = 0.1
"""... and a part of the reference's value for losses."""
LABELLED = 0.5
"""Share of the window's rows that must have labels before the realised figures judge it: early labels may be special."""

Source = Literal["estimated", "realised"]


@dataclass(frozen=True, slots=True)
class Band:
    """Where a metric of a window without change lies: ``centre`` ± ``half``."""

    centre: float
    half: float

    def severity(self, value: float, metric: Metric) -> Severity:
        """How far a value is on the worse side, in half bands beyond the edge: 0, 1 and 3 are low, medium and severe."""
        worse = self.centre - value if metric.better == "higher" else value - self.centre
        beyond = (worse - self.half) / self.half
        return "none" if beyond <= 0 else "low" if beyond < 1 else "medium" if beyond < 3 else "severe"


def bands(metrics: Sequence[Metric], rows: int, size: int, values: Callable[[Array], Values]) -> dict[str, Band]:
    """Bands from chunks of about ``size`` of ``rows`` reference rows; none with fewer than ``MIN_REFERENCE`` of them.

    ``values`` gives the metrics of some rows. The band is the prediction interval of one more normal chunk
    (Student's t over the chunks). Rows go to chunks at random, for training data may be sorted.
    """
    if rows < MIN_REFERENCE:
        return {}
    fewest, most = CHUNKS
    count = int(np.clip(rows // max(min(size, rows // fewest), MIN_ROWS), fewest, most))
    size = max(min(size, rows // count), MIN_ROWS)
    order = np.argsort(priorities("chunks", rows), kind="stable")
    chunks = [values(order[i * size : (i + 1) * size]) for i in range(count)]
    found = {}
    for metric in metrics:
        known = np.array([c[metric.name] for c in chunks if np.isfinite(c[metric.name])])
        if len(known) >= fewest // 2:
            found[metric.name] = _band(metric, known)
    return found


def source_of(rows: int, labelled: int) -> Source:
    """Whether the estimate or the realised figures judge a window."""
    return "realised" if labelled >= max(MIN_ROWS, LABELLED * rows) else "estimated"


def judged_rows(rows: int, labelled: int) -> int:
    """Rows of the figures that judge a window, which is the size that a band is made for."""
    return labelled if source_of(rows, labelled) == "realised" else rows


def _band(metric: Metric, chunks: Array) -> Band:
    from scipy.special import stdtrit  # an explanation shall not wait for its import

    centre, spread = float(chunks.mean()), float(chunks.std(ddof=1))
    reach = float(stdtrit(len(chunks) - 1, (1 + COVERAGE) / 2)) * (1 + 1 / len(chunks)) ** 0.5
    least = TOLERANCE if metric.high <= 1 else LOSS_TOLERANCE * abs(centre)
    return Band(centre, max(reach * spread, least, 1e-12))
