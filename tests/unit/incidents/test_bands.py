"""What is usual at an hour is learnt from the version's own comparable hours, and taken off before anything is judged."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest

from headrace_controller.health.buckets import Bucket, MetricHealth
from headrace_controller.health.latency import EDGES, Latency
from headrace_controller.incidents.bands import REACH, Band, Covered, History, band
from headrace_controller.incidents.rules import Known, findings

MONDAY = datetime(2026, 11, 23, 0, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
Level = Callable[[datetime], float]


def hours(level: Level, at: datetime, back: timedelta, spread: float = 0.0, seed: int = 0) -> dict[datetime, float]:
    random = np.random.default_rng(seed)
    count = int(back / HOUR)
    return {at - HOUR * k: level(at - HOUR * k) + spread * random.standard_normal() for k in range(1, count + 1)}


def test_four_weeks_give_a_band_of_the_hour_of_the_week() -> None:
    at = MONDAY + HOUR * 10
    found = band(hours(lambda t: 9.0 if t.weekday() == 0 else 1.0, at, 5 * WEEK), at)
    assert found == Band(9.0, 9.0, 9.0, "week")


def test_five_days_give_a_band_of_the_hour_of_the_day() -> None:
    at = MONDAY + HOUR * 22
    found = band(hours(lambda t: 9.0 if t.hour >= 20 else 1.0, at, 6 * DAY), at)
    assert found == Band(9.0, 9.0, 9.0, "day")


@pytest.mark.parametrize("known", [timedelta(0), HOUR, 3 * DAY])
def test_less_gives_none(known: timedelta) -> None:
    assert band(hours(lambda _: 1.0, MONDAY, known), MONDAY) is None


def test_one_new_hour_in_a_thousand_lies_above_the_band_of_normal_hours() -> None:
    at, random = MONDAY, np.random.default_rng(7)
    above = 0
    for seed in range(3000):
        found = band(hours(lambda _: 0.0, at, 8 * DAY, 1.0, seed), at)
        assert found is not None
        above += random.standard_normal() > found.high
    assert above <= 12  # 3 are expected; 12 or more have a probability below 0.0001


def test_one_day_of_a_fault_does_not_move_the_band() -> None:
    at = MONDAY + HOUR * 12
    quiet = hours(lambda _: 1.0, at, 8 * DAY, 0.1)
    faulty = {t: (50.0 if at - 2 * DAY <= t < at - DAY else v) for t, v in quiet.items()}
    found, without = band(faulty, at), band(quiet, at)
    assert found is not None
    assert without is not None
    assert found.high == pytest.approx(without.high, abs=0.5)


# How it changes what is found


def latency(milliseconds: float) -> Latency:
    counts = np.zeros(len(EDGES) + 1, int)
    counts[np.searchsorted(EDGES, milliseconds, side="right")] = 100
    return Latency(tuple(counts.tolist()))


def bucket(start: datetime, unhealthy: float, milliseconds: float, rows: int) -> Bucket:
    metrics = {"risk": MetricHealth(rows, round(unhealthy * rows), 0)} if rows else {}
    outcomes = {"ok": rows} if rows else {}
    return Bucket(start, rows, rows, outcomes, latency(milliseconds) if rows else Latency(), {}, metrics)


def night(t: datetime) -> bool:
    return t.hour >= 22 or t.hour < 6


def weekend(t: datetime) -> bool:
    return t.weekday() >= 5


@cache
def usual(start: datetime, rows: int) -> Bucket:
    """A version whose nights and weekends are otherwise: more unhealthy rows, batches that take longer, no traffic on Sundays."""
    random = np.random.default_rng(int(start.timestamp()))
    share = random.binomial(rows, 0.35 if night(start) else 0.02) / rows
    milliseconds = (200.0 if night(start) else 20.0) * random.uniform(0.8, 1.2)
    return bucket(start, share, milliseconds, 0 if start.weekday() == 6 else rows)


def history(until: datetime, covered: tuple[Covered, ...] = ()) -> History:
    """All hours from ``REACH`` before the Monday on; a band looks at earlier ones alone."""
    begin = MONDAY - REACH
    return History([usual(begin + HOUR * k, 3000) for k in range(int((until - begin) / HOUR))], covered)


def minutes(now: datetime, of: Callable[[datetime, int], Bucket] = usual) -> list[Bucket]:
    return [of(now - timedelta(minutes=k), 60) for k in range(180, -1, -1)]


def found_at(moments: Iterator[datetime], of: Callable[[datetime, int], Bucket] = usual) -> list[str]:
    said, hours_known = [], history(MONDAY + 2 * WEEK)
    for now in moments:
        known = Known((), lambda: hours_known)
        said += [f"{now:%a %H:%M} {m.sentence}" for m in findings("m:1", minutes(now, of), now, known)]
    return said


def month() -> Iterator[datetime]:
    """Each hour's tenth minute of two weeks, the moments around every change of the pattern included."""
    return (MONDAY + HOUR * k + timedelta(minutes=10) for k in range(24 * 14))


def test_a_season_of_nights_and_weekends_opens_nothing_once_it_is_known() -> None:
    assert [] == found_at(month())


def test_without_a_history_the_same_nights_are_told() -> None:
    now = MONDAY + HOUR * 23
    assert {"metric", "latency"} == {m.what for m in findings("m:1", minutes(now), now)}


def faulty(start: datetime, rows: int) -> Bucket:
    known = usual(start, rows)
    last = start >= MONDAY + HOUR * 23 - timedelta(minutes=5)
    return bucket(start, 0.95, 4000.0, rows) if last else known


def test_a_fault_at_night_is_found_beyond_what_nights_are_like() -> None:
    said = found_at(iter([MONDAY + HOUR * 23]), faulty)
    assert 2 == len(said)
    assert any("metric `risk`: 95 % of rows are unhealthy since 22:55 UTC" in s for s in said)
    assert any("latency" in s for s in said)


def silent(start: datetime, rows: int) -> Bucket:
    """The last quarter of an hour without a request, and a minute that is not over is no stretch."""
    return bucket(start, 0.0, 20.0, 0) if start > MONDAY + HOUR * 11 - timedelta(minutes=15) else usual(start, rows)


def test_silence_is_told_on_a_monday_and_not_on_a_sunday() -> None:
    (said,) = found_at(iter([MONDAY + HOUR * 11]), silent)
    assert "no request since" in said
    sunday = MONDAY - DAY + HOUR * 0 + timedelta(minutes=15)
    assert [] == found_at(iter([sunday]))


def test_hours_of_an_incident_are_not_learnt_from() -> None:
    at = MONDAY + HOUR * 23
    covered = (("metric", "risk", at - REACH, at),)
    learnt, not_learnt = history(at), history(at, covered)

    def risk(b: Bucket) -> float | None:
        return b.metrics["risk"].unhealthy / b.rows if b.rows else None

    assert learnt.band("metric", "risk", risk, at) is not None
    assert not_learnt.band("metric", "risk", risk, at) is None
