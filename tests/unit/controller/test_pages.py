"""Pages: they say what is there, have JSON twins, work without JavaScript and escape what users wrote."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from controller_support import FakeServices, fail, make_platform, release
from headrace_controller.api import create_app
from headrace_controller.definitions import SequenceDefinition
from headrace_controller.pages import blueprint
from headrace_controller.service.platform import Platform


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    services = FakeServices([{"name": "a-v1", "version": "a:1", "state": "ready", "replicas": 1, "reason": ""}])
    found = make_platform(tmp_path / "home", services)
    release(found.catalog, "a", metadata={"note": "<script>alert(1)</script>"})
    fail(found.catalog, "broken", "the pickle <raised>")
    found.aliases.move("a", "prod", 1)
    found.sequences.apply(SequenceDefinition.model_validate({"name": "s", "pipeline": [[{"model": "a:1"}]]}))
    return found


@pytest.fixture
def client(platform: Platform) -> FlaskClient:
    return create_app(platform, blueprint(platform)).test_client()


PAGES = ["/", "/models/a", "/models/a?version=1", "/models/broken", "/sequences/s"]


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
    assert "https://" not in page.text


def test_the_overview_says_states_aliases_and_sequences_without_javascript(client: FlaskClient) -> None:
    text = client.get("/").text
    for said in ("a:1", "ready", "@prod", "broken:1", "failed", 'href="/sequences/s"'):
        assert said in text


def test_a_failed_version_shows_its_reason_escaped(client: FlaskClient) -> None:
    assert "the pickle &lt;raised&gt;" in client.get("/models/broken").text


def test_a_page_of_what_is_not_there_is_a_readable_404(client: FlaskClient) -> None:
    page = client.get("/models/none")
    assert page.status_code == 404
    assert "no model" in page.text
    assert client.get("/models/none.json").content_type == "application/problem+json"


@pytest.mark.parametrize("name", ["headrace.css", "headrace.js"])
def test_assets_are_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    answer.close()
