"""From logged rows to an incident, and what people do about it by API and command."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from controller_support import make_platform, release, serving
from fixtures_jobs import UNTIL, given_log
from headrace_controller.api.application import create_app
from headrace_controller.cli.entrypoint import front
from headrace_controller.client import Client
from headrace_controller.health.writer import HealthWriter
from headrace_controller.incidents.limits import Limits
from headrace_controller.pages import blueprint
from headrace_controller.service.failures import Failures
from headrace_controller.service.incidents import Incidents
from headrace_controller.service.platform import Platform
from headrace_controller.service.watching import IncidentWatch
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.storage import layout

M = VersionId("m", 1)
MINUTE = timedelta(minutes=1)
NOW = UNTIL - timedelta(seconds=10)


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """``m:1``, trained on 0 to 128, with half an hour of such traffic and then three minutes a hundred times as big."""
    found = make_platform(tmp_path / "home")
    release(found.catalog, "m", inputs="x", outputs="y")
    version = found.catalog.get(M).version
    assert version is not None
    objects = found.catalog.documents.objects
    trained = {"x": np.linspace(0, 128, 2000)}
    found.catalog.documents.create(
        layout.profile(M), Profile.of_columns(trained, version.signature.inputs).to_document()
    )
    usual = np.tile(np.linspace(0, 128, 50), 30)
    given_log(objects, version, {"x": usual, "y": usual * 0}, until=UNTIL - 3 * MINUTE, span=30 * MINUTE)
    given_log(objects, version, {"x": usual[:150] * 100, "y": usual[:150] * 0}, request="big", span=3 * MINUTE)
    HealthWriter(objects, NOW.timestamp).count(M)
    found.aliases.move("m", "prod", 1)
    return found


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def watch(platform: Platform, time: Time) -> IncidentWatch:
    return watching(platform, time)


def watching(platform: Platform, time: Time) -> IncidentWatch:
    incidents = Incidents(platform.catalog, lambda: None, time)
    failures = Failures(platform.catalog, platform.jobs, platform.reports, platform.services.select)
    return IncidentWatch(
        platform.catalog, platform.health, incidents, failures, platform.segmentation, lambda: None, time
    )


def test_a_hundredfold_field_is_one_incident_with_the_sentence_that_says_so(
    platform: Platform, watch: IncidentWatch
) -> None:
    watch.step()
    assert [] == watch.problems
    (incident,) = platform.incidents.open()
    assert "`x`: mean 64 → 6,400 since 11:57 UTC; 97 % of rows; looks like a change of unit × 100" == incident.sentence
    assert ("severe", "m:1/moved/x", ("m:1",)) == (incident.severity, incident.identity, incident.versions)


def test_over_many_evaluations_and_a_restart_nothing_is_written_twice(
    platform: Platform, watch: IncidentWatch, time: Time
) -> None:
    for n in range(20):
        time.now = NOW + timedelta(seconds=n)
        watch.step()
    watching(platform, time).step()
    assert [1] == [i.entries for i in platform.incidents.lately()]


def test_what_was_changed_around_a_version_is_told_and_what_opened(platform: Platform, watch: IncidentWatch) -> None:
    watch.step()
    found = platform.incidents.changes_of(M, NOW - timedelta(days=3650), NOW + timedelta(days=3650))
    assert {"alias m@prod set to m:1", "version m:1 released"} == {c.sentence for c in found if c.kind != "incident"}
    assert ["1"] == [c.subject for c in found if c.kind == "incident"]


@pytest.fixture
def url(platform: Platform, watch: IncidentWatch) -> Iterator[str]:
    watch.step()
    with serving(platform) as found:
        yield found


def headrace(url: str, *arguments: str) -> Any:
    return CliRunner().invoke(front, ["incident", *arguments, "--url", url])


def test_people_list_show_note_acknowledge_silence_and_resolve(url: str) -> None:
    assert "mean 64" in headrace(url, "list").output
    assert "noted" == headrace(url, "note", "1", "cents?", "--by", "anna").output.strip()
    assert "incident 1 is acknowledged" == headrace(url, "acknowledge", "1", "--by", "anna").output.strip()
    assert headrace(url, "silence", "1", "--until", "2h").output.startswith("incident 1 is silenced until 20")
    assert "silenced" == orjson.loads(headrace(url, "list", "--state", "silenced", "--json").output)[0]["state"]
    assert "incident 1 is resolved" == headrace(url, "resolve", "1").output.strip()
    shown = headrace(url, "show", "1").output
    assert all(word in shown for word in ("`x`: mean 64", "cents?", "anna", "resolved"))
    assert "no incident" in headrace(url, "list").output + headrace(url, "list").stderr


def test_bad_words_about_incidents_name_what_is_wrong(url: str) -> None:
    with Client(url) as client:
        with pytest.raises(NotFound, match="incident 7"):
            client.incident(7)
        with pytest.raises(InvalidInput, match="state"):
            client.incidents("closed")
        with pytest.raises(InvalidInput, match="until"):
            client.tell_incident(1, "silence", until="2020-01-01T00:00:00Z")
        with pytest.raises(InvalidInput, match="note"):
            client.tell_incident(1, "notes", text=" ")
        client.tell_incident(1, "resolve")
        with pytest.raises(Conflict, match="resolved"):
            client.tell_incident(1, "acknowledge")


def test_a_function_that_does_not_start_is_an_incident_until_it_does(platform: Platform, time: Time) -> None:
    running = [{"version": "m:1", "state": "failed", "reason": "no module named 'torch'"}]
    incidents = Incidents(platform.catalog, lambda: None, time)
    failures = Failures(platform.catalog, platform.jobs, platform.reports, lambda: running)
    watch = IncidentWatch(
        platform.catalog, platform.health, incidents, failures, platform.segmentation, lambda: None, time
    )
    platform.rules.put("m", Limits("moved", off=True))
    watch.step()
    (incident,) = platform.incidents.open()
    assert ("service", "the function does not start: no module named 'torch'") == (incident.rule, incident.sentence)
    running[0] = {"version": "m:1", "state": "ready"}
    for _ in range(12):
        time.now += MINUTE
        watch.step()
    assert [] == platform.incidents.open()


def test_a_rule_that_is_off_opens_nothing(platform: Platform, watch: IncidentWatch) -> None:
    for rule in ("moved", "checks"):
        platform.rules.put("m", Limits(rule, off=True))
    watch.step()
    assert [] == platform.incidents.lately()


def test_an_incident_says_by_itself_what_sets_its_rows_apart(tmp_path: Path, time: Time) -> None:
    """Half of the requests are in another unit, those where ``g`` is 1."""
    found = make_platform(tmp_path / "home")
    release(found.catalog, "m", inputs="x g", outputs="y")
    version = found.catalog.get(M).version
    assert version is not None
    objects = found.catalog.documents.objects
    trained = {"x": np.linspace(0, 128, 2000), "g": np.tile([0.0, 1.0], 1000)}
    profile = Profile.of_columns(trained, version.signature.inputs)
    found.catalog.documents.create(layout.profile(M), profile.to_document())
    x, g = np.tile(np.linspace(0, 128, 50), 30), np.arange(1500) % 2.0
    given_log(objects, version, {"x": x, "g": g, "y": x}, until=UNTIL - 3 * MINUTE, span=30 * MINUTE)
    bad = np.where(g == 1, x * 100, x)[:300]
    checks = [["x:above-max"] if value > 128 else [] for value in bad]
    given_log(objects, version, {"x": bad, "g": g[:300], "y": bad}, request="odd", span=3 * MINUTE, checks=checks)
    HealthWriter(objects, NOW.timestamp).count(M)
    watching(found, time).step()
    (incident,) = found.incidents.open()
    assert "in.g = 1.0" in [s["where"] for s in incident.segments]
    page = create_app(found, blueprint(found)).test_client().get("/incidents/1").text
    assert "What sets its rows apart" in page
