"""Pages: they say what is there, have JSON twins, work without JavaScript and escape what users wrote."""

from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
from flask.testing import FlaskClient

from controller_support import FakeServices, fail, make_platform, release
from fixtures_jobs import given_log
from headrace_controller.api.application import create_app
from headrace_controller.definitions import SequenceDefinition
from headrace_controller.health.plan import plan_of
from headrace_controller.health.table import HealthTables
from headrace_controller.health.writer import HealthWriter
from headrace_controller.incidents.model import Movement, entry, told
from headrace_controller.pages import blueprint, links
from headrace_controller.pages.figures import chance
from headrace_controller.pages.overview import _row
from headrace_controller.service.platform import Platform
from headrace_functions.profile import Profile


def make(home: Path) -> Platform:
    services = FakeServices([{"name": "a-v1", "version": "a:1", "state": "ready", "replicas": 1, "reason": ""}])
    found = make_platform(home, services)
    release(found.catalog, "a", metadata={"note": "<script>alert(1)</script>"})
    fail(found.catalog, "broken", "the pickle <raised>")
    found.aliases.move("a", "prod", 1)
    found.sequences.apply(SequenceDefinition.model_validate({"name": "s", "pipeline": [[{"model": "a:1"}]]}))
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """For tests that change nothing."""
    platform = make(tmp_path_factory.mktemp("pages") / "home")
    return create_app(platform, blueprint(platform)).test_client()


PAGES = [
    "/", "/?range=7d&q=a", "/models/a", "/models/a?version=1", "/models/broken", "/models/a?tab=versions",
    "/models/a?tab=signature", "/models/a?tab=reports", "/models/a?tab=metrics", "/models/broken?tab=logs", "/sequences/s", "/sequences/s/edit",
    "/requests", "/requests?version=a:1", "/reports", "/runs", "/rules", "/incidents", "/settings", "/compare",
]  # fmt: skip
SECTIONS = ["Overview", "Incidents", "Requests", "Reports", "Runs", "Rules", "Settings"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_whole_and_links_to_its_json_twin(client: FlaskClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert page.text.rstrip().endswith("</html>")
    twin = page.text.split("This page as JSON")[0].rsplit('href="', 1)[1].split('"')[0]
    answer = client.get(twin.replace("&amp;", "&"))
    assert answer.status_code == 200
    assert answer.is_json


@pytest.mark.parametrize("path", PAGES)
def test_pages_load_only_from_here_and_run_no_script_of_their_own_text(client: FlaskClient, path: str) -> None:
    page = client.get(path)
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "alert(1)</script>" not in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "").replace("http://127.0.0.1:8080", "")
    assert "https://" not in page.text.replace("https://hooks.example.org", "")


def test_the_overview_says_states_aliases_and_sequences_without_javascript(client: FlaskClient) -> None:
    text = client.get("/").text
    for said in ("a:1", "@prod", "broken:1", "not built", "the pickle &lt;raised&gt;", 'href="/sequences/s"', "rev 1"):
        assert said in text


def test_a_failed_version_shows_its_reason_escaped(client: FlaskClient) -> None:
    assert "the pickle &lt;raised&gt;" in client.get("/models/broken").text


def test_a_page_of_what_is_not_there_is_a_readable_404(client: FlaskClient) -> None:
    page = client.get("/models/none")
    assert page.status_code == 404
    assert "no model" in page.text
    assert client.get("/models/none.json").content_type == "application/problem+json"


@pytest.mark.parametrize("name", ["tokens.css", "ui.css", "ui.js", "icon.svg"])
def test_assets_are_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    answer.close()


@pytest.mark.parametrize("path", ["/", "/models/a", "/sequences/s"])
def test_every_part_of_a_page_can_be_asked_for_alone_and_says_what_the_page_says(
    client: FlaskClient, path: str
) -> None:
    page = client.get(path).text
    names = [n.split('"')[0] for n in page.split('data-part="')[1:]]

    parts = client.get(f"{path}?parts={','.join(names)}").get_json()

    assert set(names) == set(parts)
    assert all(part.strip() in page for part in parts.values())


def test_pages_say_where_they_are_in_the_navigation(client: FlaskClient) -> None:
    text = client.get("/runs").text
    assert [f">{s}" in text for s in SECTIONS] == [True] * len(SECTIONS)
    assert 'href="/runs" aria-current="page"' in text


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/?range=2h", "range"),
        ("/runs?state=x", "one of queued, running, done, failed"),
        ("/?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "is not before until"),
        ("/?since=yesterday", "is not a time"),
        ("/?since=1999-01-01T00:00:00Z", "longer than 400 days"),
        ("/models/a?tab=none", "not a tab"),
        ("/models/a?version=one", "not a version number"),
        ("/requests?version=nothing", "not a version"),
        ("/requests/a/1/x?row=-1", "not a row number"),
    ],
)
def test_a_url_that_asks_for_nonsense_gets_a_page_that_says_so(client: FlaskClient, path: str, named: str) -> None:
    page = client.get(path)
    assert page.status_code == 400
    assert named in page.text
    assert "Try again" in page.text


@pytest.mark.parametrize(
    "path", ["/runs", "/explanations", "/sequences/s/rollback", "/sequences/s/edit", "/models/a/aliases/prod"]
)
@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://elsewhere.test"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}]
)
def test_a_form_of_another_site_changes_nothing(client: FlaskClient, path: str, headers: dict[str, str]) -> None:
    assert client.post(path, data={"to": "1"}, headers=headers).status_code == 403


def test_a_form_of_our_own_pages_moves_an_alias_and_comes_back(tmp_path: Path) -> None:
    platform = make(tmp_path / "home")
    client = create_app(platform, blueprint(platform)).test_client()
    release(platform.catalog, "a")

    answer = client.post("/models/a/aliases/prod", data={"to": "2"}, headers={"sec-fetch-site": "same-origin"})

    assert (303, "/models/a") == (answer.status_code, answer.headers["location"])
    assert {"prod": 2} == platform.catalog.alias_positions("a")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a", "/models/a"),
        ("a:1", "/models/a?version=1"),
        ("s", "/sequences/s"),
        ("7", "/incidents/7"),
        ("x&y", "/?q=x%26y"),
    ],
)
def test_go_to_finds_models_versions_sequences_and_incidents(client: FlaskClient, text: str, place: str) -> None:
    assert place == client.get("/find", query_string={"q": text}).headers["location"]


def test_pages_are_compressed_for_who_takes_it_and_static_files_may_be_kept(client: FlaskClient) -> None:
    page = client.get("/", headers={"accept-encoding": "gzip"})
    assert "gzip" == page.headers["content-encoding"]
    url = client.get("/").text.split('href="/static/ui.css')[1].split('"')[0]
    style = client.get(f"/static/ui.css{url}")
    assert "immutable" in style.headers["cache-control"]
    style.close()


@pytest.mark.parametrize("prefix", ["order/7", "a?b=c", "x#y", "50%41", "it's<b>", "a.json"])
def test_a_request_of_any_id_that_callers_may_choose_has_its_page_its_twin_and_its_neighbours(
    tmp_path: Path, prefix: str
) -> None:
    platform = make_platform(tmp_path / "home")
    version = release(platform.catalog, "m", inputs="x", outputs="y")
    found = platform.catalog.get(version).version
    assert found is not None
    given_log(platform.catalog.documents.objects, found, {"x": [1.0, 2.0], "y": [0.0, 0.0]}, request=prefix)
    client = create_app(platform, blueprint(platform)).test_client()
    first, second = f"{prefix}-0", f"{prefix}-1"

    page = client.get(links.request(version, second))
    twin = client.get(unescape(page.text.split("This page as JSON")[0].rsplit('href="', 1)[1].split('"')[0]))
    shown = twin.get_json()
    older = client.get(shown["neighbours"]["older"].replace("?at=", ".json?at=")).get_json()
    (of_api,) = client.get(f"/api/v1/logs/m/1/requests/{quote(second, safe='')}").get_json()["rows"]
    nobody = client.get(links.request(version, f"{prefix}-nobody"))

    assert (200, second) == (page.status_code, shown["request_id"])
    assert (first, second) == (older["request_id"], of_api["request_id"])
    assert (404, True) == (nobody.status_code, quote(f"{prefix}-nobody") in nobody.text)


@pytest.mark.parametrize(("said", "p"), [("–", None), ("< 10⁻¹⁶", 0.0), ("0.003", 0.0031)])
def test_a_p_value_is_never_shown_as_0(said: str, p: float | None) -> None:
    assert said == chance(p)


def test_a_model_without_training_data_says_that_its_fields_are_not_judged(client: FlaskClient) -> None:
    assert client.get("/models/a.json").get_json()["unjudged"].startswith("Fields are not judged")


def test_a_version_that_was_not_built_says_so_once_and_shows_no_empty_charts(client: FlaskClient) -> None:
    page = client.get("/models/broken").text
    assert (1, 0) == (page.count("the pickle &lt;raised&gt;"), page.count("Service and answers"))


def test_programs_get_a_problem_document_for_a_path_that_nothing_is_at(client: FlaskClient) -> None:
    assert "not-found" == client.get("/nothing", headers={"accept": "application/json"}).get_json()["code"]


def test_the_overview_shows_versions_with_traffic_or_an_incident_beside_the_current_one(tmp_path: Path) -> None:
    platform = make_platform(tmp_path / "home")
    silent, busy, troubled, newest = (release(platform.catalog, "m") for _ in range(4))
    now = datetime.now(UTC)
    known = platform.catalog.get(busy).version
    assert known is not None
    objects = platform.catalog.documents.objects
    given_log(objects, known, {"x": [1.0, 2.0], "y": [0.0, 0.0]}, until=now, span=timedelta(minutes=5))
    HealthWriter(objects).count(busy)
    platform.health.stamp(busy)  # as the watch does of every version
    moved = Movement(str(troubled), "moved", "x", "input", now, "low", 1.0, "x moved since 11:57 UTC")
    platform.incidents.store.open([moved], now, [], [])
    client = create_app(platform, blueprint(platform)).test_client()
    shown = [row["name"] for group in client.get("/index.json").json["models"] for row in group]
    assert {str(v) for v in (busy, troubled, newest)} == set(shown)
    assert str(silent) not in shown


def test_an_output_that_has_the_name_of_an_input_has_its_row_and_its_chart(tmp_path: Path) -> None:
    platform = make_platform(tmp_path / "home")
    version = release(platform.catalog, "scale", inputs="x", outputs="x")
    known, now = platform.catalog.get(version).version, datetime.now(UTC)
    assert known is not None
    objects, trained = platform.catalog.documents.objects, {"x": np.linspace(0, 128, 2000)}
    inputs = Profile.of_columns(trained, known.signature.inputs)
    HealthTables(objects).begin(version, plan_of(known, inputs, Profile.of_columns(trained, known.signature.outputs)))
    given_log(objects, known, {"x": [float(i) for i in range(100)]}, until=now, span=timedelta(minutes=2))
    HealthWriter(objects).count(version)
    shown = create_app(platform, blueprint(platform)).test_client().get("/models/scale.json?range=1h").json
    rows = {group["name"]: [row["name"] for row in group["rows"]] for group in shown["groups"]}
    assert {"inputs": ["x"], "outputs": ["out.x"]} == {side: rows[side] for side in ("inputs", "outputs")}
    assert "Mean out.x" == shown["charts"][-1]["name"]


def test_a_version_whose_health_was_not_read_yet_has_the_state_of_its_incident(tmp_path: Path) -> None:
    platform = make_platform(tmp_path / "home")
    version = platform.catalog.get(release(platform.catalog, "m"))
    unread = SimpleNamespace(buckets_in_time=lambda _version: None, step=60, words="minute")
    incident = SimpleNamespace(severity="severe", short="x moved", number=7)
    rows = [_row(platform, version, unread, None, one) for one in (None, incident)]
    assert [("not read yet", 0), ("severe", 3)] == [(row["state"], row["level"]) for row in rows]


def test_settings_count_one_thing_as_one(client: FlaskClient) -> None:
    text = client.get("/settings").text
    assert "2 models, 1 sequence, 0 schedules" in text


def test_a_time_in_the_timeline_of_an_incident_can_be_shown_in_the_readers_zone(tmp_path: Path) -> None:
    platform = make_platform(tmp_path / "home")
    release(platform.catalog, "m")
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    platform.incidents.store.open([Movement("m:1", "moved", "x", "input", now, "low", 1.0, "x moved")], now, [], [])
    for minute in (1, 2):
        chain = [Movement("m:1", "moved", "x", "input", now, "low", 1.0 / minute, "x moved")]
        platform.incidents.store.append(1, {**entry("grew", now + timedelta(minutes=minute)), **told(chain)})
    page = create_app(platform, blueprint(platform)).test_client().get("/incidents/1").text
    assert 'Grew 2 times since <span class="utc">12:01 UTC</span>' in page
