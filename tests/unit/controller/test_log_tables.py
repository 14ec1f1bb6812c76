"""Log tables stay open as long as they are the newest."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace_controller.requestlog.tables import KEPT, SURE, LogTables
from headrace_functions.storage.objects import ObjectStore


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path))


def write(objects: ObjectStore, key: str = "logs/m/v1") -> None:
    write_deltalake(objects.table_url(key), pa.table({"x": [1]}), mode="append")


def got(tables: LogTables, key: str = "logs/m/v1") -> DeltaTable:
    found = tables.get(key)
    assert found is not None
    return found


def test_a_table_is_opened_once_until_a_commit_follows(objects: ObjectStore) -> None:
    tables = LogTables(objects)
    assert tables.get("logs/m/v1") is None
    write(objects)
    first = got(tables)
    assert first is got(tables)
    write(objects)
    assert (0, 1) == (first.version(), got(tables).version())


def test_a_table_that_was_put_in_the_place_of_another_is_seen_after_seconds(objects: ObjectStore) -> None:
    clock = Clock()
    tables = LogTables(objects, clock)
    write(objects)
    write(objects)
    assert 1 == got(tables).version()
    for found in list(objects.walk("logs/m/v1/")):
        objects.delete(found.key)
    write(objects)
    clock.now += SURE
    assert 0 == got(tables).version()


def test_the_tables_that_were_opened_last_stay_open(objects: ObjectStore) -> None:
    tables = LogTables(objects)
    keys = [f"logs/m/v{n}" for n in range(1, KEPT + 2)]
    for key in keys:
        write(objects, key)
    opened = [got(tables, key) for key in keys]
    assert opened[-1] is got(tables, keys[-1])
    assert opened[0] is not got(tables, keys[0])
