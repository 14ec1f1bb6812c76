"""From log to health: every row counted once, whatever is cut short, whoever else writes, and the same when counted anew."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from fixtures_jobs import UNTIL, category, given_log, given_version, number, objects
from headrace_controller.health.buckets import Bucket
from headrace_controller.health.frame import Frame
from headrace_controller.health.plan import plan_of
from headrace_controller.health.reader import HealthReader
from headrace_controller.health.table import COMPACT_EVERY, LOG, HealthTables
from headrace_controller.health.writer import HealthWriter
from headrace_functions.errors import InvalidInput, StorageFailed
from headrace_functions.profile import Profile
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

__all__ = ["objects"]

HOUR = timedelta(hours=1)
NOW = UNTIL.timestamp()


class CutShort(BaseException):
    """The process ends here."""


@pytest.fixture
def churn(objects: ObjectStore) -> Version:
    trained = {"x": np.linspace(0, 10, 1000), "plan": np.array(["a", "b"] * 500, object)}
    answers = {"score": np.linspace(0, 1, 500)}
    version = given_version(objects, [number("x"), category("plan")], None, answers=answers)
    profile = Profile.of_columns(trained, version.signature.inputs)
    Documents(objects).create(layout.profile(version.id), profile.to_document())
    return version


def log_rows(objects: ObjectStore, version: Version, values: list[float], request: str = "r", **more: Any) -> None:
    given_log(objects, version, {"x": values, "plan": ["a"] * len(values)}, request=request, **more)


def written(objects: ObjectStore, version: Version, now: float = NOW) -> None:
    writer = HealthWriter(objects, lambda: now)
    writer.note(version.id)
    writer.round()
    assert [] == writer.problems


def hour(objects: ObjectStore, version: Version, step: int = 60) -> list[Bucket]:
    return HealthReader(objects).series(version.id, UNTIL - HOUR, UNTIL, step)


def rows(buckets: list[Bucket]) -> int:
    return sum(b.rows for b in buckets)


def test_a_bucket_tells_of_requests_fields_and_what_moved(objects: ObjectStore, churn: Version) -> None:
    log_rows(objects, churn, [50.0] * 40, until=UNTIL - HOUR + timedelta(minutes=1), span=timedelta(minutes=1))
    written(objects, churn)
    bucket, *rest = hour(objects, churn)
    assert (40, 40, {"ok": 40}) == (bucket.rows, bucket.requests, dict(bucket.outcomes))
    assert (1.0, 50.0, 0) == (bucket.fields["x"].moved, bucket.fields["x"].mean, bucket.fields["x"].missing)
    assert 40 == bucket.fields["x"].bins[-1]
    assert "output" == bucket.fields["score"].side
    assert (59, 0) == (len(rest), rows(rest))


def test_commits_are_counted_once_across_restarts(objects: ObjectStore, churn: Version) -> None:
    for part in range(3):
        log_rows(objects, churn, [1.0, 2.0], request=f"r{part}")
        for _ in range(2):
            written(objects, churn)
    assert 6 == rows(hour(objects, churn))


def test_rows_that_come_late_are_added_to_their_minute(objects: ObjectStore, churn: Version) -> None:
    span = timedelta(seconds=1)
    for part in range(2):
        log_rows(objects, churn, [1.0], request=f"r{part}", until=UNTIL - HOUR + span, span=span)
        written(objects, churn)
        log_rows(objects, churn, [1.0], request=f"new{part}", until=UNTIL, span=span)
        written(objects, churn)
    assert [2, 2] == [b.rows for b in hour(objects, churn) if b.rows]


@pytest.mark.parametrize("step", ["begin", "append"])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("before", [0, 1])
def test_a_writer_that_is_cut_short_is_redone_with_the_same_result(
    objects: ObjectStore, churn: Version, step: str, done: bool, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(before):
        log_rows(objects, churn, [1.0, 2.0], request=f"before{part}")
        written(objects, churn)
    log_rows(objects, churn, [3.0], request="after")
    real = getattr(HealthTables, step)

    def cut(*args: Any) -> Any:
        if done:
            real(*args)
        raise CutShort

    with monkeypatch.context() as patched:
        patched.setattr(HealthTables, step, cut)
        if step == "append" or not before:
            with pytest.raises(CutShort):
                written(objects, churn)
    written(objects, churn)
    assert 2 * before + 1 == rows(hour(objects, churn))


def test_of_two_writers_of_one_commit_one_is_refused(objects: ObjectStore, churn: Version) -> None:
    first, second = HealthWriter(objects, lambda: NOW), HealthWriter(objects, lambda: NOW)
    log_rows(objects, churn, [1.0])
    first.count(churn.id)
    second.count(churn.id)
    log_rows(objects, churn, [2.0], request="more")
    real = second._tables.append

    def late(*args: Any) -> None:
        first.count(churn.id)  # between the other's look at its cursor and its commit
        real(*args)

    second._tables.append = late  # type: ignore[method-assign]
    with pytest.raises(StorageFailed, match="health of churn:1"):
        second.count(churn.id)
    assert 2 == rows(hour(objects, churn))


def test_counted_anew_is_what_was_counted_commit_by_commit(objects: ObjectStore, churn: Version) -> None:
    for part in range(4):
        log_rows(objects, churn, [float(part), 99.0], request=f"r{part}", outcome="ok" if part else "failed")
        written(objects, churn)
    before = hour(objects, churn)
    assert 8 == HealthWriter(objects, lambda: NOW).rebuild(churn.id)
    assert before == hour(objects, churn)


def test_until_a_new_count_has_its_first_commit_the_old_one_is_shown(objects: ObjectStore, churn: Version) -> None:
    log_rows(objects, churn, [1.0])
    written(objects, churn)
    tables = HealthTables(objects)
    tables.begin(churn.id, tables.plan(churn.id, 1))
    assert 1 == rows(hour(objects, churn))
    written(objects, churn)
    assert 1 == rows(hour(objects, churn))
    assert 0 == tables.cursor(churn.id, 2, LOG)


def test_a_log_whose_commits_are_gone_is_counted_anew(objects: ObjectStore, churn: Version) -> None:
    log_rows(objects, churn, [1.0])
    written(objects, churn)
    for part in range(3):
        log_rows(objects, churn, [2.0], request=f"r{part}")
    table = DeltaTable(objects.table_url(layout.log_table(churn.id)))
    table.optimize.compact()
    table.create_checkpoint()
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    written(objects, churn)
    assert 4 == rows(hour(objects, churn))


def test_minutes_become_hours_after_two_days_and_days_after_sixty(objects: ObjectStore, churn: Version) -> None:
    log_rows(objects, churn, [1.0, 2.0, 50.0, 3.0])
    written(objects, churn)
    assert [1, 1, 1, 1] == [b.rows for b in hour(objects, churn) if b.rows]
    written(objects, churn, NOW + 4 * 86_400)
    assert [4] == [b.rows for b in hour(objects, churn) if b.rows]
    log_rows(objects, churn, [4.0], request="late")
    written(objects, churn, NOW + 62 * 86_400)
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    day = HealthReader(objects).series(churn.id, midnight, midnight + timedelta(days=1), 3600)
    assert [(0, 5)] == [(i, b.rows) for i, b in enumerate(day) if b.rows]
    assert pytest.approx(12.0) == day[0].fields["x"].mean


def test_one_version_that_cannot_be_counted_keeps_no_other(objects: ObjectStore, churn: Version) -> None:
    other = given_version(objects, [number("x")], None, version=type(churn.id)("other", 1))
    given_log(objects, other, {"x": [1.0]})
    log_rows(objects, churn, [1.0])
    objects.put(f"{layout.health_plans(churn.id)}1.json", b"{")
    writer = HealthWriter(objects, lambda: NOW)
    writer.look()
    assert writer.round() is not None
    assert 1 == rows(hour(objects, other))
    assert ["counting churn:1 has failed 1 times"] == [p.partition(" in ")[0] for p in writer.problems]


def test_a_version_that_nobody_asked_has_empty_buckets(objects: ObjectStore, churn: Version) -> None:
    found = hour(objects, churn, 300)
    assert (12, 0) == (len(found), rows(found))
    assert UNTIL - HOUR == found[0].start


@pytest.mark.parametrize(
    ("since", "step", "field"),
    [(UNTIL, 60, "since"), (UNTIL - HOUR, 90, "step"), (UNTIL - HOUR, 0, "step"), (UNTIL - 99 * 24 * HOUR, 60, "step")],
)
def test_a_range_that_is_none_is_refused_by_name(
    objects: ObjectStore, churn: Version, since: datetime, step: int, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        HealthReader(objects).series(churn.id, since, UNTIL, step)
    assert field == refused.value.field


def test_a_reader_sees_what_was_written_since_its_last_look(objects: ObjectStore, churn: Version) -> None:
    reader = HealthReader(objects)
    for part in range(3):
        log_rows(objects, churn, [1.0], request=f"r{part}")
        written(objects, churn)
        assert part + 1 == rows(reader.series(churn.id, UNTIL - HOUR, UNTIL))
    assert hour(objects, churn) == reader.series(churn.id, UNTIL - HOUR, UNTIL)


def test_a_short_range_reads_a_part_of_a_file_and_says_what_all_of_it_says(
    objects: ObjectStore, churn: Version
) -> None:
    """Whatever was asked before; rows that come late into the same day are counted too."""
    tables, plan = HealthTables(objects), plan_of(churn, None, None)
    tables.begin(churn.id, plan)
    day = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
    frame = Frame.empty(plan.width, len(plan.series), range(day, day + 86_400, 60))
    frame.rows[:] = np.arange(len(frame))
    tables.append(churn.id, 1, frame, {LOG: 1})
    (file,) = [i.key for i in objects.walk(layout.health_table(churn.id, 1)) if i.key.endswith(".parquet")]
    assert 6 == pq.ParquetFile(pa.BufferReader(objects.get(file))).metadata.num_row_groups

    def counted(reader: HealthReader, first: int, count: int) -> list[int]:
        since, until = (datetime.fromtimestamp(day + 60 * k, UTC) for k in (first, first + count))
        return [b.rows for b in reader.series(churn.id, since, until)]

    for asked in ([(700, 60)], [(700, 60), (10, 1000)], [(0, 1440), (5, 5)], [(239, 2), (1439, 1), (0, 1)]):
        reader = HealthReader(objects)
        for first, count in asked:
            assert list(range(first, first + count)) == counted(reader, first, count)
    part = HealthReader(objects)
    assert [700] == counted(part, 700, 1)
    late = Frame.empty(plan.width, len(plan.series), [day + 700 * 60])
    late.rows[:] = 5
    tables.append(churn.id, 1, late, {LOG: 2})
    assert [700 + 5] == counted(part, 700, 1)
    assert [10] == counted(part, 10, 1)


def test_what_was_read_of_files_that_are_gone_is_forgotten(objects: ObjectStore, churn: Version) -> None:
    """A busy version commits every few seconds, and its files are compacted every so often: a reader that lives for weeks must not keep them."""
    tables, plan = HealthTables(objects), plan_of(churn, None, None)
    tables.begin(churn.id, plan)
    reader, most = HealthReader(objects), 0
    day = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
    since, until = (datetime.fromtimestamp(at, UTC) for at in (day, day + 3600))
    for commit in range(2 * COMPACT_EVERY + 5):
        one = Frame.empty(plan.width, len(plan.series), [day + 60 * (commit % 60)])
        one.rows[:] = 1
        tables.append(churn.id, 1, one, {LOG: commit + 1})
        assert commit + 1 == rows(reader.series(churn.id, since, until))
        most = max(most, len(reader._frames))
    kept = len(reader._frames)
    assert most <= COMPACT_EVERY + 1
    assert kept < most
    assert sum(read.frame.nbytes for read in reader._frames.values()) == reader._size
