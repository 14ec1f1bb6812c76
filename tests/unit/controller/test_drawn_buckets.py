"""Buckets as pages draw them are those of the reader, and only what may have changed is made anew."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from headrace_controller.health.buckets import Bucket
from headrace_controller.pages.healthsource import LATE, DrawnBuckets
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
