"""From merged statistics to what people read: a side's figures, and bars of both sides on one scale."""

from itertools import pairwise

import numpy as np

from headrace_functions.classes import text_of
from headrace_functions.profile import QUANTILES
from headrace_functions.statistics.series import SeriesProfile
from headrace_functions.views import Array
from headrace_jobs.profiles.partial import Profiled
from headrace_jobs.report.models import Bar, FieldProfile, SideProfile
from headrace_jobs.report_text import number

BINS = 24
SHOWN = 12
"""Categories with a bar of their own."""
COMPONENTS = 10


def tell(before: Profiled, now: Profiled) -> tuple[FieldProfile, ...]:
    """Every series of either side, inputs first, in the order of the signature."""
    sides = {**now.sides, **before.sides}
    fields = [_field(name, sides[name], before.series.get(name), now.series.get(name)) for name in sides]
    for name in {**before.directions, **now.directions}:
        shares = [d[name].shares(COMPONENTS) if name in d else () for d in (before.directions, now.directions)]
        bars = tuple(
            Bar(label=f"direction {i + 1}", reference=_at(shares[0], i), window=_at(shares[1], i))
            for i in range(max(map(len, shares)))
        )
        side = next(s for n, s in sides.items() if n == name or n.startswith((f"{name} ", f"{name}[")))
        fields.append(
            FieldProfile(
                name=f"{name} variance", side="input" if side == "input" else "output", kind="category", bars=bars
            )
        )
    fields.sort(key=lambda f: f.side)
    return tuple(fields)


def _field(name: str, side: str, before: SeriesProfile | None, now: SeriesProfile | None) -> FieldProfile:
    one = before or now
    kind = "number" if one is None or one.kind == "number" else "category"
    bars = _numbers(before, now) if kind == "number" else _categories(before, now)
    return FieldProfile.model_validate(
        {
            "name": name,
            "side": side,
            "kind": kind,
            "training": _figures(before),
            "window": _figures(now),
            "bars": bars,
        }
    )


def _figures(side: SeriesProfile | None) -> SideProfile | None:
    if side is None:
        return None
    m, values = side.moments, side.values
    whole = {"rows": side.rows, "missing": side.missing, "infinite": side.infinite, "distinct": side.distinct.estimate}
    if side.kind == "category":
        rare = sum(1 for n in side.counts.values() if n == 1)
        return SideProfile.model_validate({**whole, "distinct": _named(side), "rare": rare})
    if not m.count:
        return SideProfile.model_validate(whole)
    known = {"mean": m.mean, "variance": m.variance, "std": m.variance**0.5, "min": m.min, "max": m.max}
    known |= {k: v for k, v in (("skewness", m.skewness), ("kurtosis", m.kurtosis)) if v is not None}
    points = np.quantile(values, QUANTILES).tolist()
    quantiles = dict(zip(map(str, QUANTILES), points, strict=True)) if np.isfinite(points).all() else None
    return SideProfile.model_validate(
        {**whole, **{k: v for k, v in known.items() if np.isfinite(v)}, "quantiles": quantiles}
    )


def _named(side: SeriesProfile) -> int:
    """Exact as long as every category is counted by name."""
    return len(side.counts) if not side.dropped else side.distinct.estimate


def _numbers(before: SeriesProfile | None, now: SeriesProfile | None) -> tuple[Bar, ...]:
    """Bins of equal width over what the middle 99 % of both sides spans; what lies beyond is in the outer ones."""
    samples = [side.values for side in (before, now) if side is not None and len(side.values)]
    if not samples:
        return ()
    ends = np.quantile(np.concatenate(samples), [0.005, 0.995])
    edges = np.linspace(ends[0], ends[1], BINS + 1) if ends[0] < ends[1] and np.isfinite(ends[1] - ends[0]) else ends
    shares = [_shares(side, edges) for side in (before, now)]
    labels = [f"{number(float(a))} … {number(float(b))}" if b > a else number(float(a)) for a, b in pairwise(edges)]
    return tuple(Bar(label=n, reference=a, window=b) for n, a, b in zip(labels, *shares, strict=True))


def _shares(side: SeriesProfile | None, edges: Array) -> list[float]:
    if side is None or not len(side.values):
        return [0.0] * (len(edges) - 1)
    places = np.searchsorted(edges[1:-1], side.values, "right")
    found = np.bincount(places, minlength=len(edges) - 1) / len(side.values)
    return [float(v) for v in found]


def _categories(before: SeriesProfile | None, now: SeriesProfile | None) -> tuple[Bar, ...]:
    sides = [side.counts if side is not None else {} for side in (before, now)]
    sums = [max(side.rows - side.missing, 1) if side is not None else 1 for side in (before, now)]
    weight = {
        c: sum(counts.get(c, 0) / n for counts, n in zip(sides, sums, strict=True)) for c in {**sides[0], **sides[1]}
    }
    shown = sorted(weight, key=lambda c: (-weight[c], str(c)))[:SHOWN]
    return tuple(
        Bar(label=text_of(c), reference=sides[0].get(c, 0) / sums[0], window=sides[1].get(c, 0) / sums[1])
        for c in shown
    )


def _at(shares: tuple[float, ...], place: int) -> float:
    return shares[place] if place < len(shares) else 0.0
