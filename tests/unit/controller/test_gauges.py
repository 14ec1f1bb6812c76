"""Stored reports: what Prometheus is told of the last ones, and what is said of one that cannot be read."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from controller_support import make_platform
from headrace_controller.api.application import create_app
from headrace_controller.service.gauges import FRESH, Gauges
from headrace_controller.service.jobs import JobRequest
from headrace_controller.service.platform import Platform
from headrace_controller.service.reports import SCHEMA, Reports
from headrace_functions.errors import StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from support.reports import least, part


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "home")


@pytest.fixture
def client(platform: Platform) -> FlaskClient:
    return create_app(platform).test_client()


def given(platform: Platform, kind: str, name: str, **more: Any) -> None:
    document = least(kind, **more)
    platform.catalog.documents.objects.put(f"{layout.REPORTS}a/v1/{kind}/{name}.json", orjson.dumps(document))


def gauges(client: FlaskClient, path: str = "/api/v1/reports/gauges") -> dict[tuple[str, ...], float]:
    answer = client.get(path)
    assert answer.status_code == 200
    return {
        (
            s.name.removeprefix("headrace_report_"),
            *(v for k, v in sorted(s.labels.items()) if k not in ("model", "version")),
        ): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }


def test_the_last_report_of_each_kind_is_told_in_numbers(client: FlaskClient, platform: Platform) -> None:
    given(
        platform,
        "drift",
        "w",
        verdict="drift",
        severity="medium",
        fields=[part("FieldDrift", verdict="drift"), part("FieldDrift", verdict="no-drift")],
    )
    metric = part("MetricPerformance", name="f1", reference=0.9, estimated=0.8, realised=None)
    given(platform, "performance", "w", verdict="steady", severity="none", metrics=[metric])
    given(platform, "outliers", "w", verdict="not-enough-data", severity="none", rate=0.02, expected=0.01)
    given(platform, "explain", "request")
    found = gauges(client)
    assert found["severity", "drift"] == 2
    assert found["fields", "drift", "drift"] == found["fields", "drift", "no-drift"] == 1
    assert found["figure", "f1", "performance", "estimated"] == 0.8
    assert ("figure", "f1", "performance", "realised") not in found
    assert found["figure", "rate", "outliers", "window"] == 0.02
    assert found["enough_data", "outliers"] == 0
    assert not [key for key in found if "explain" in key]
    assert gauges(client, "/metrics") == found


def test_what_answers_depend_on_is_told_beside_training(client: FlaskClient, platform: Platform) -> None:
    fields = [
        part("AttributedField", name="age", share=0.7, trained=0.2, shift=0.5, told=True),
        part("AttributedField", name="plan", share=0.3, trained=0.8, shift=-0.5, told=True),
        part("AttributedField", name="debt", share=0.0, trained=None, shift=None, told=False),
    ]
    given(platform, "attribution", "w", chosen="sample", fields=fields)
    found = gauges(client)
    shares = {key[1:]: v for key, v in found.items() if key[0] == "attribution"}
    assert {
        ("age", "attribution", "window"): 0.7, ("age", "attribution", "training"): 0.2, ("plan", "attribution", "window"): 0.3,
        ("plan", "attribution", "training"): 0.8, ("debt", "attribution", "window"): 0.0,
    } == shares  # fmt: skip
    assert {"age": 1.0, "plan": -1.0} == {key[1]: v for key, v in found.items() if key[0] == "attribution_shift"}


def test_a_newer_report_takes_the_place_of_the_one_before(client: FlaskClient, platform: Platform) -> None:
    given(platform, "drift", "first", verdict="drift", severity="severe", fields=[])
    assert gauges(client)["severity", "drift"] == 3
    given(platform, "drift", "second", verdict="no-drift", severity="none", fields=[])
    platform.gauges.stale()
    assert gauges(client)["severity", "drift"] == 0


def test_a_scrape_looks_for_reports_only_after_a_job_or_a_minute(platform: Platform) -> None:
    """Nothing of the store is asked in between, however many reports there are."""
    clock = [1000.0]
    told = Gauges(platform.reports, lambda: clock[0])
    given(platform, "drift", "first", verdict="drift", severity="severe", fields=[])
    before = told.text()
    given(platform, "drift", "second", verdict="no-drift", severity="none", fields=[])

    clock[0] += FRESH - 1
    assert told.text() == before
    clock[0] += 1
    assert told.text() != before


def test_what_jobs_do_is_seen_by_the_next_scrape(client: FlaskClient, platform: Platform) -> None:
    given(platform, "drift", "first", verdict="drift", severity="severe", fields=[])
    assert gauges(client)["severity", "drift"] == 3
    given(platform, "drift", "second", verdict="no-drift", severity="none", fields=[])
    assert gauges(client)["severity", "drift"] == 3

    (platform.home / "jobs").mkdir()  # nobody works on the queue: that a job changes is enough
    platform.jobs.start(JobRequest("drift", VersionId("a", 1)))

    assert gauges(client)["severity", "drift"] == 0


def test_a_store_that_is_away_is_asked_again_by_the_next_scrape(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Gauges(platform.reports)
    given(platform, "drift", "first", verdict="drift", severity="severe", fields=[])

    def away(*_: object, **__: object) -> None:
        raise StorageFailed("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(Reports, "select", away)
        with pytest.raises(StorageFailed):
            told.text()

    assert "headrace_report_severity{" in told.text()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"schema": 1, "kind": "dri', "is damaged: no JSON"),
        (b"[]", "is damaged"),
        (b'{"kind": "drift", "model": "a:1"}', "is damaged: Field required"),
        (orjson.dumps({"schema": SCHEMA + 1, "kind": "drift", "model": "a:1"}), "this release reads up to"),
        (b'{"schema": 1, "kind": "drift", "model": "b:1"}', "says that it is drift of b:1"),
    ],
)
def test_a_report_that_cannot_be_read_says_why_and_hides_no_other(
    client: FlaskClient, platform: Platform, body: bytes, says: str
) -> None:
    given(platform, "performance", "w", verdict="steady", severity="none", metrics=[])
    platform.catalog.documents.objects.put(f"{layout.REPORTS}a/v1/drift/w.json", body)
    answer = client.get("/api/v1/reports/a/1/drift/w")
    assert answer.status_code == 500
    assert answer.json is not None
    assert says in answer.json["detail"]
    listed = client.get("/api/v1/reports?model=a:1").json
    assert listed is not None
    assert {r["kind"]: r["verdict"] for r in listed["items"]} == {"drift": "unreadable", "performance": "steady"}
    assert gauges(client)["severity", "performance"] == 0


@pytest.mark.parametrize(
    ("report", "says"),
    [
        ({"schema": 1, "kind": "drift", "model": "a:1"}, "is damaged: the document: 'engine' is a required property"),
        (least("drift", severity="awful"), "is damaged: severity: 'awful' is not one of"),
        (least("drift", notes=[{"name": "x"}]), "is damaged: notes[0]: 'reason' is a required property"),
        (least("drift", rows={"reference": "many"}), "is damaged: rows: 'window' is a required property"),
        ({**least("drift"), "kind": "dance"}, "this release knows no such kind"),
    ],
)
def test_a_report_is_held_whole_against_its_kind_and_the_wrong_member_is_named(
    client: FlaskClient, platform: Platform, report: dict[str, Any], says: str
) -> None:
    kind = report["kind"]
    platform.catalog.documents.objects.put(f"{layout.REPORTS}a/v1/{kind}/w.json", orjson.dumps(report))

    answer = client.get(f"/api/v1/reports/a/1/{kind}/w")

    assert answer.status_code == 500
    assert answer.json is not None
    assert says in answer.json["detail"]
