"""What went wrong, in a sentence that people understand. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from headrace_controller.health.buckets import Bucket, FieldHealth
from headrace_functions.classes import text_of

UNITS: tuple[tuple[float, str], ...] = (
    *((10.0**k, f"{10**k:,}") for k in range(1, 7)),
    (60.0, "60 (minutes, seconds)"),
    (3600.0, "3,600 (hours, seconds)"),
    (24.0, "24 (days, hours)"),
    (1.609344, "1.609 (miles, kilometres)"),
    (2.54, "2.54 (inches, centimetres)"),
    (2.20462, "2.205 (kilograms, pounds)"),
    (3.28084, "3.281 (metres, feet)"),
)
SAME = 0.04
"""How far a ratio may be from that of two units."""


class Said(NamedTuple):
    """``share`` is the one that the sentence tells; where it tells two, how many rows lie elsewhere than in training."""

    sentence: str
    short: str
    share: float | None = None


def since(moment: datetime) -> str:
    return f"since {moment:%H:%M} UTC"


def figure(value: float) -> str:
    """Three digits that count, thousands apart: 6,400, 64, 0.0312; with a true minus."""
    if value == 0:
        return "0"
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")


def percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.01 or share == 0 else f"{share:.1%}".replace("%", " %")


def moved(name: str, before: Sequence[FieldHealth], now: FieldHealth, first: datetime) -> Said:
    """What is said of a field whose rows lie elsewhere; ``before`` are its buckets from before it began."""
    share = f"{percent(now.moved or 0.0)} of rows"
    if now.rows and now.missing / now.rows >= 0.2 and now.missing / now.rows >= (now.moved or 0.0) / 2:
        gone = now.missing / now.rows
        return Said(f"`{name}`: {percent(gone)} of rows have no value {since(first)}", f"{name} missing", gone)
    if now.kind == "category":
        return _category(name, now, first)
    was = _mean(before, now.trained_mean)
    if was is None or now.mean is None:
        return Said(f"`{name}`: {share} lie elsewhere than in training {since(first)}", f"{name} moved", now.moved)
    unit = _unit(was, now.mean) if (now.moved or 0.0) >= 0.3 else ""
    sentence = f"`{name}`: mean {figure(was)} → {figure(now.mean)} {since(first)}; {share}"
    if unit:
        short = f"{name} {unit.partition(' (')[0]}"
        return Said(f"{sentence}; looks like a change of unit {unit}", short, now.moved)
    return Said(sentence, f"{name} moved", now.moved)


def checks(name: str, now: FieldHealth, first: datetime) -> Said:
    check, rows = max(now.checks.items(), key=lambda item: item[1])
    said = {
        "missing": "have no value, which training always had",
        "infinite": "are infinite",
        "below-min": "are below the least value of training",
        "above-max": "are above the greatest value of training",
        "new-category": "are of a category that training did not have",
    }.get(check, f"fail {check}")
    share = rows / max(now.rows, 1)
    return Said(f"`{name}`: {percent(share)} of rows {said} {since(first)}", f"{name} {check}", share)


def errors(bucket: Bucket, first: datetime) -> Said:
    bad = {name: n for name, n in bucket.outcomes.items() if name != "ok"}
    most = max(bad, key=bad.__getitem__)
    share = sum(bad.values()) / bucket.requests
    sentence = f"{percent(share)} of requests are not answered {since(first)}, most of them {most}"
    return Said(sentence, f"{percent(share)} errors", share)


def latency(was: float, now: float, first: datetime) -> Said:
    return Said(
        f"latency: 95 % of requests within {figure(now)} ms instead of {figure(was)} ms {since(first)}",
        f"latency {figure(was)} → {figure(now)} ms",
    )


def metric(name: str, share: float, first: datetime) -> Said:
    return Said(f"metric `{name}`: {percent(share)} of rows are unhealthy {since(first)}", f"{name} unhealthy", share)


def silence(usual: float, first: datetime) -> Said:
    return Said(
        f"no request {since(first)}, where there were about {figure(round(usual, 0 if usual >= 10 else 1))} a minute",
        "no traffic",
    )


def _category(name: str, now: FieldHealth, first: datetime) -> Said:
    known = max(now.rows - now.missing, 1)
    unseen = now.bins[-1] / known if now.bins else 0.0
    if unseen >= 0.2:
        return Said(
            f"`{name}`: {percent(unseen)} of rows have a value that training did not have {since(first)}",
            f"{name} unknown values",
            unseen,
        )
    shares = [n / known for n in now.bins]
    changes = [(s - t, label) for label, s, t in zip(now.labels, shares, now.trained, strict=False)]
    change, label = max(changes, key=lambda c: abs(c[0]), default=(0.0, ""))
    after = next((s for one, s in zip(now.labels, shares, strict=False) if one == label), 0.0)
    return Said(
        f"`{name}`: {text_of(label)} {percent(after - change)} → {percent(after)} of rows {since(first)}",
        f"{name} moved",
        now.moved,
    )


def _mean(before: Sequence[FieldHealth], trained: float | None) -> float | None:
    rows = sum(f.rows for f in before if f.mean is not None)
    if rows:
        return sum(f.mean * f.rows for f in before if f.mean is not None) / rows
    return trained


def _unit(was: float, now: float) -> str:
    """``× 100`` or ``÷ 60 (minutes, seconds)`` where the ratio of two means is that of two units."""
    if was == 0 or now == 0 or (was < 0) != (now < 0):
        return ""
    ratio = now / was
    for factor, name in UNITS:
        if abs(ratio / factor - 1) <= SAME:
            return f"× {name}"
        if abs(ratio * factor - 1) <= SAME:
            return f"÷ {name}"
    return ""
