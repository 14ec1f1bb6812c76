"""Health and incidents on every kind of store: counted once, two writers refused, one incident of two controllers."""

import itertools
from datetime import timedelta
from pathlib import Path

import pytest

from fixtures_jobs import UNTIL, given_log, given_version, number
from headrace_controller.health.reader import HealthReader
from headrace_controller.health.writer import HealthWriter
from headrace_controller.incidents.model import Movement
from headrace_controller.incidents.store import IncidentStore
from headrace_functions.errors import StorageFailed
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from support.collecting import store

_prefix = itertools.count()


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return store(str(tmp_path / "store"))
    return store(f"{request.getfixturevalue('s3_url')}/health-{next(_prefix)}")


def test_each_commit_is_counted_once_whoever_else_counts(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], None)
    first, second = HealthWriter(objects, UNTIL.timestamp), HealthWriter(objects, UNTIL.timestamp)
    refused = 0
    for part in range(3):
        given_log(objects, version, {"x": [1.0, 2.0]}, request=f"r{part}")
        real = second._tables.append

        def late(*args: object) -> None:
            first.count(version.id)
            real(*args)  # type: ignore[arg-type]  # noqa: B023

        second._tables.append = late  # type: ignore[method-assign, assignment]
        try:
            second.count(version.id)
        except StorageFailed:
            refused += 1
        second._tables.append = real  # type: ignore[method-assign]
        second.count(version.id)
    (bucket,) = HealthReader(objects).series(version.id, UNTIL - timedelta(hours=1), UNTIL, 3600)
    assert (6, 3) == (bucket.rows, refused)


def test_days_that_are_old_are_rolled_up_in_place(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x")], None)
    given_log(objects, version, {"x": [1.0, 2.0, 3.0]})
    HealthWriter(objects, UNTIL.timestamp).count(version.id)
    HealthWriter(objects, lambda: UNTIL.timestamp() + 4 * 86_400).count(version.id)
    found = HealthReader(objects).series(version.id, UNTIL - timedelta(hours=1), UNTIL, 60)
    assert [(0, 3)] == [(i, b.rows) for i, b in enumerate(found) if b.rows]


def test_of_two_controllers_that_see_the_same_one_opens(objects: ObjectStore) -> None:
    first, second = IncidentStore(Documents(objects)), IncidentStore(Documents(objects))
    moved = Movement("m:1", "moved", "x", "input", UNTIL, "low", 0.2, "it moved", "x moved")
    assert ([], []) == (first.all(UNTIL), second.all(UNTIL))
    assert (1, None) == (first.open([moved], UNTIL), second.open([moved], UNTIL))
    assert [1] == [i.number for i in second.all(UNTIL)]
    assert 2 == second.open([moved], UNTIL)
