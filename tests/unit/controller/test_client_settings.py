"""What clients are given: a URL or a key that cannot be used is named, and is not a platform that does not answer."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from headrace_controller.client import Client
from headrace_controller.client_settings import key_header
from headrace_controller.inference_client import AsyncClient
from headrace_functions.errors import InvalidInput, Unreachable
from headrace_functions.names import VersionId, check_request_id


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url", ["", "foo", "127.0.0.1:8080", "localhost:8080", "ftp://host", "http://", "http://[", "http://host:99999"]
)
def test_what_is_no_url_of_a_platform_is_refused_before_anything_is_sent(kind: type[Client], url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the URL of a platform"):
        kind(url)


def test_a_url_without_a_scheme_suggests_one() -> None:
    with pytest.raises(InvalidInput) as told:
        Client("127.0.0.1:8080")
    assert "did you mean 'http://127.0.0.1:8080'?" == told.value.hint


def test_a_key_is_read_without_the_newline_that_files_end_with() -> None:
    assert {"x-api-key": "hrk_1"} == key_header(None, {"HEADRACE_API_KEY": "hrk_1\n"})
    assert {"x-api-key": "hrk_2"} == key_header(" hrk_2 ", {})
    assert {} == key_header("", {"HEADRACE_API_KEY": "hrk_1"})


@pytest.mark.parametrize("key", ["a\nb", "a b", "clé"])
def test_what_cannot_be_a_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(InvalidInput, match="not an API key") as told:
        Client("http://127.0.0.1:9", key=key)
    assert key not in str(told.value.details())


@pytest.mark.parametrize("given", ["", "order 1", "order\n", "é", "x" * 129])
def test_an_id_that_the_platform_would_replace_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the id of a request"):
        check_request_id(given)


def test_an_export_from_a_platform_that_is_away_says_so(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable, match="no platform answers"):
        client.export_log(VersionId("churn", 1), tmp_path / "rows.parquet")


class _Other(BaseHTTPRequestHandler):
    """A server that is no platform."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_is_no_platform_is_named() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Other)
    Thread(target=server.serve_forever, daemon=True).start()
    with Client(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(Unreachable) as told:
        client.status()
    server.shutdown()
    server.server_close()
    assert f"http://127.0.0.1:{server.server_port}/api/v1/status answered 404, but not as a platform does" == str(
        told.value
    )
