"""Buckets as pages draw them are those of the reader, and only what may have changed is made anew."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from controller_support import wait_until
from headrace_controller.health.buckets import Bucket
from headrace_controller.pages.healthsource import FRESH, LATE, DrawnBuckets, Source
from headrace_controller.pages.ranges import Range
from headrace_functions.errors import StorageFailed
from headrace_functions.names import VersionId

M = VersionId("m", 1)
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
STEP = 300


class Reader:
    """Health that a test writes."""

    def __init__(self) -> None:
        self.rows: dict[datetime, int] = {}
        self.commit = 0
        self.asked: list[int] = []

    def stamp(self, _version: VersionId) -> tuple[int, int]:
        return (1, self.commit)

    def plan(self, _version: VersionId) -> None:
        return None

    def series(self, _version: VersionId, since: datetime, until: datetime, step: int) -> Sequence[Bucket]:
        count = int((until - since).total_seconds()) // step
        self.asked.append(count)
        starts = [since + timedelta(seconds=step * k) for k in range(count)]
        return [Bucket(s, self.rows.get(s, 0), self.rows.get(s, 0), {"ok": self.rows.get(s, 0)}) for s in starts]

    def write(self, minutes: int, rows: int) -> None:
        self.rows[NOON + timedelta(minutes=minutes)] = rows
        self.commit += 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Reader, Clock, DrawnBuckets]:
    reader, clock = Reader(), Clock()
    return reader, clock, DrawnBuckets(reader, clock)  # type: ignore[arg-type]


def rows(drawn: DrawnBuckets, minutes: int = 60) -> list[int]:
    return [b.rows for b in drawn.buckets(M, NOON, NOON + timedelta(minutes=minutes), STEP)]


def test_nothing_is_made_anew_where_nothing_is_new() -> None:
    reader, _, drawn = made()
    assert [0] * 12 == rows(drawn)
    assert [0] * 12 == rows(drawn)
    assert [12] == reader.asked


def held(drawn: DrawnBuckets, minutes: int = 60) -> list[int] | None:
    found = drawn.held(M, NOON, NOON + timedelta(minutes=minutes), STEP)
    return None if found is None else [b.rows for b in found]


def settled() -> tuple[Reader, DrawnBuckets, threading.Event]:
    """With an event that tells when all that was not waited for is read."""
    reader, clock, done = Reader(), Clock(), threading.Event()
    return reader, DrawnBuckets(reader, clock, done.set), done  # type: ignore[arg-type]


def test_what_a_page_does_not_wait_for_is_read_and_told() -> None:
    reader, drawn, done = settled()
    reader.write(55, 7)
    assert held(drawn) is None
    assert done.wait(10)
    assert [0] * 11 + [7] == held(drawn)


def test_what_is_held_is_shown_though_something_is_newer_which_is_read_soon() -> None:
    reader, drawn, done = settled()
    rows(drawn)
    reader.write(55, 7)
    assert [0] * 12 == held(drawn)
    assert done.wait(10)
    assert [0] * 11 + [7, 0] == held(drawn, 65), "a bucket that nobody has read yet is empty"


def test_each_version_waits_once_however_often_it_is_shown() -> None:
    reader, drawn, done = settled()
    gate, series = threading.Event(), reader.series

    def slow(*given: Any) -> Sequence[Bucket]:
        assert gate.wait(10)
        return series(*given)

    reader.series = slow  # type: ignore[method-assign]
    for _ in range(50):
        assert held(drawn) is None
    gate.set()
    assert done.wait(10)
    assert [12] == reader.asked


def test_a_page_never_waits_for_what_is_being_read_for_another() -> None:
    reader, drawn, done = settled()
    gate, begun, series = threading.Event(), threading.Event(), reader.series

    def slow(*given: Any) -> Sequence[Bucket]:
        begun.set()
        assert gate.wait(10)
        return series(*given)

    reader.series = slow  # type: ignore[method-assign]
    assert held(drawn) is None
    assert begun.wait(10)
    assert drawn.held(VersionId("other", 1), NOON, NOON + timedelta(hours=1), STEP) is None
    gate.set()
    assert done.wait(10)


def test_a_version_that_cannot_be_read_keeps_no_other_from_being_read() -> None:
    reader, drawn, done = settled()
    series = reader.series

    def broken(version: VersionId, *given: Any) -> Sequence[Bucket]:
        if version == M:
            raise StorageFailed("the store is away")
        return series(version, *given)

    reader.series = broken  # type: ignore[method-assign]
    other = VersionId("other", 1)
    assert held(drawn) is None
    assert drawn.held(other, NOON, NOON + timedelta(hours=1), STEP) is None
    assert done.wait(10)
    wait_until(lambda: drawn.held(other, NOON, NOON + timedelta(hours=1), STEP) is not None)


def test_a_page_of_many_versions_reads_within_its_budget() -> None:
    reader, drawn, _ = settled()
    clock: Any = drawn.clock
    span = Range(NOON, NOON + timedelta(hours=1), "1h")
    source = Source(drawn, span, 12, budget=0.1)
    one, other = (SimpleNamespace(id=VersionId(name, 1), version=object()) for name in ("one", "other"))
    assert [0] * 12 == [b.rows for b in source.buckets_in_time(one) or []]  # type: ignore[arg-type]
    clock.now += 0.1
    assert source.buckets_in_time(other) is None  # type: ignore[arg-type]
    assert [0] * 12 == [b.rows for b in source.buckets_in_time(one) or []]  # type: ignore[arg-type]
    assert reader.asked[0] == 12


def test_after_a_commit_the_newest_ones_are() -> None:
    reader, _, drawn = made()
    rows(drawn)
    reader.write(55, 7)
    assert [0] * 11 + [7] == rows(drawn)
    assert [12, 2] == reader.asked


def test_a_range_that_moves_on_asks_for_what_it_lacks() -> None:
    reader, _, drawn = made()
    rows(drawn)
    reader.write(60, 3)
    assert [0] * 12 + [3] == rows(drawn, 65)
    assert reader.asked[-1] <= 2


def test_rows_that_come_late_are_seen_within_a_minute() -> None:
    reader, clock, drawn = made()
    rows(drawn)
    reader.write(5, 9)
    assert [0] * 12 == rows(drawn)
    clock.now += LATE
    assert [0, 9, *[0] * 10] == rows(drawn)


def test_a_count_that_was_begun_anew_is_looked_at_whole() -> None:
    reader, _, drawn = made()
    rows(drawn)
    reader.rows[NOON] = 4
    reader.stamp = lambda _version: (2, 0)  # type: ignore[method-assign]
    assert [4] + [0] * 11 == rows(drawn)


def test_a_page_of_many_versions_asks_once_a_second_whether_something_is_new_and_a_page_of_one_each_time() -> None:
    reader, clock, drawn = made()
    rows(drawn)
    reader.write(55, 7)
    span = Range(NOON, NOON + timedelta(hours=1), "1h")
    version: Any = SimpleNamespace(id=M, version=object())

    def newest(budget: float | None) -> int:
        return Source(drawn, span, 12, budget).buckets(version)[-1].rows

    assert (0, 7) == (newest(0.1), newest(None))
    reader.write(55, 9)
    clock.now += FRESH
    assert 9 == newest(0.1)


def test_viewers_are_told_only_of_what_is_new() -> None:
    reader, drawn, done = settled()
    assert held(drawn) is None
    assert done.wait(10)
    done.clear()
    held(drawn)
    wait_until(lambda: drawn._reading is None)
    assert not done.is_set()
    reader.write(55, 5)
    held(drawn)
    assert done.wait(10)
