"""What is too old goes, day by day; the rest stays, readers read on, and nobody counts a row twice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from controller_support import make_platform, release
from headrace_controller.api.application import create_app
from headrace_controller.collector.tables import LogTables
from headrace_controller.requestlog import commits
from headrace_controller.service.platform import Platform
from headrace_controller.service.retention import Retention, Rule
from headrace_controller.service.schedules import Schedule
from headrace_functions.errors import NotFound, StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.storage import layout

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = 86_400.0
CHURN = VersionId("churn", 1)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path / "home")
    for name in ("churn", "other"):
        version = release(found.catalog, name)
        for place in (layout.log_table, layout.metric_table):
            for age in (0, 5, 40, 400):
                fill(found, place(version), age)
    return found


def fill(platform: Platform, key: str, age: int) -> None:
    day = (NOW - timedelta(days=age)).date().isoformat()
    rows = pa.table({"request_id": [f"r{age}"] * 3, "date": [day] * 3})
    write_deltalake(platform.catalog.documents.objects.table_url(key), rows, mode="append", partition_by=["date"])


def ages(platform: Platform, key: str) -> list[str]:
    table = DeltaTable(platform.catalog.documents.objects.table_url(key))
    return sorted(set(table.to_pyarrow_table()["request_id"].to_pylist()))


def at(platform: Platform) -> Retention:
    return Retention(platform.catalog, lambda: NOW)


def test_without_a_rule_everything_is_kept(platform: Platform) -> None:
    assert [] == at(platform).run()
    assert ["r0", "r40", "r400", "r5"] == ages(platform, layout.log_table(CHURN))


def test_old_days_go_and_the_others_stay(platform: Platform) -> None:
    retention = at(platform)
    retention.put(Rule("default", {"log": 30 * DAY}))
    planned = retention.plan()
    assert [("churn:1", "log", "2026-10-28", 6), ("other:1", "log", "2026-10-28", 6)] == [
        (r.version, r.kind, r.before, r.rows) for r in planned
    ]
    assert ["r0", "r40", "r400", "r5"] == ages(platform, layout.log_table(CHURN))  # the plan removed nothing
    assert planned == retention.run()
    assert ["r0", "r5"] == ages(platform, layout.log_table(CHURN))
    assert ["r0", "r40", "r400", "r5"] == ages(platform, layout.metric_table(CHURN))
    assert [] == retention.run()


def test_a_models_rule_wins_kind_by_kind(platform: Platform) -> None:
    retention = at(platform)
    retention.put(Rule("default", {"log": 30 * DAY, "metrics": 30 * DAY}))
    retention.put(Rule("churn", {"log": 365 * DAY}))
    retention.run()
    assert ["r0", "r40", "r5"] == ages(platform, layout.log_table(CHURN))
    assert ["r0", "r5"] == ages(platform, layout.metric_table(CHURN))
    assert ["r0", "r5"] == ages(platform, layout.log_table(VersionId("other", 1)))


def test_a_removal_brings_no_rows_to_who_follows_the_commits_and_leaves_files_to_readers(platform: Platform) -> None:
    key, objects = layout.log_table(CHURN), platform.catalog.documents.objects
    reader = DeltaTable(objects.table_url(key))
    retention = at(platform)
    retention.put(Rule("churn", {"log": DAY}))
    retention.run()
    number = DeltaTable(objects.table_url(key)).version()
    assert [] == [a for n in range(reader.version() + 1, number + 1) for a in commits.added(objects, key, n) or ()]
    assert 12 == reader.to_pyarrow_table().num_rows


def test_the_collector_writes_on_after_a_removal_and_loses_and_doubles_nothing(platform: Platform) -> None:
    tables = LogTables(platform.catalog.documents.objects)
    rows = pa.table({"request_id": ["fresh"], "date": [NOW.date().isoformat()]})
    assert -1 == tables.committed(CHURN, "spool")  # it has read the table before the removal
    retention = at(platform)
    retention.put(Rule("churn", {"log": 30 * DAY}))
    retention.run()
    with pytest.raises(StorageFailed):  # it is told that the table is another, and does the same again
        tables.append(CHURN, rows, {"spool": 1})
    assert -1 == tables.committed(CHURN, "spool")
    tables.append(CHURN, rows, {"spool": 1})
    assert 1 == tables.committed(CHURN, "spool")
    assert ["fresh", "r0", "r5"] == ages(platform, layout.log_table(CHURN))


def test_old_reports_and_explanations_go(platform: Platform) -> None:
    objects = platform.catalog.documents.objects
    for key in (layout.report(CHURN, "drift", "old.json"), layout.explanation(CHURN, "abc")):
        objects.put(key, b"{}")
    retention = Retention(platform.catalog, lambda: datetime.now(UTC) + timedelta(days=3))
    retention.put(Rule("churn", {"reports": 7 * DAY}))
    assert [] == retention.run()
    retention.put(Rule("churn", {"reports": DAY}))
    assert [("reports", 2)] == [(r.kind, r.rows) for r in retention.run()]
    assert not objects.exists(layout.report(CHURN, "drift", "old.json"))


def test_a_table_that_cannot_be_read_is_told_and_the_others_go_on(platform: Platform) -> None:
    objects = platform.catalog.documents.objects
    objects.put(f"{layout.log_table(CHURN)}/_delta_log/{4:020d}.json", b"{damaged")
    retention = at(platform)
    retention.put(Rule("default", {"log": 30 * DAY}))
    found = {r.version: r for r in retention.run()}
    assert found["churn:1"].error
    assert 6 == found["other:1"].rows


def test_a_schedule_that_looks_back_further_is_told(platform: Platform) -> None:
    platform.schedules.put(Schedule("monthly", "0 3 1 * *", "churn:1", "30d"))
    assert ["schedule monthly looks back 30d, and the log of churn is kept for 7d"] == at(platform).put(
        Rule("default", {"log": 7 * DAY})
    )
    assert [] == at(platform).put(Rule("default", {"log": 31 * DAY}))


def test_what_makes_no_sense_is_refused_by_name(platform: Platform) -> None:
    client = create_app(platform).test_client()
    for body, field in (
        ({}, "log"),
        ({"log": "1h"}, "log"),
        ({"metrics": "soon"}, None),
        ({"weeks": "1d"}, None),
        ({"log": "99999999d"}, "log"),
    ):
        answer = client.put("/api/v1/retention/default", data=orjson.dumps(body))
        assert answer.status_code == 400
        assert field is None or field == answer.json["field"]
    with pytest.raises(NotFound):
        at(platform).put(Rule("ghost", {"log": DAY}))


def test_rules_are_set_listed_and_run_by_the_api(platform: Platform) -> None:
    client = create_app(platform).test_client()
    assert client.put("/api/v1/retention/churn", data=b'{"log": "30d"}').json["rule"]["log"] == "30d"
    assert [("churn", "30d")] == [(r["name"], r["log"]) for r in client.get("/api/v1/retention").json["items"]]
    dry = client.post("/api/v1/retention/run").json
    assert (False, ["churn:1"]) == (dry["removed"], [r["version"] for r in dry["items"]])
    assert client.post("/api/v1/retention/run?dry-run=false").json["removed"] is True
    assert client.delete("/api/v1/retention/churn").status_code == 204
    assert [] == client.get("/api/v1/retention").json["items"]
