"""The page of requests: the newest rows that a filter fits, what they have, and how far back it was searched."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from flask.testing import FlaskClient

from controller_support import make_platform, release
from headrace_controller.api.application import create_app
from headrace_controller.collector.rows import schema
from headrace_controller.pages import blueprint, request_list
from headrace_functions.logtable import PARTITION
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

ROWS = 120
"""Rows of the log, one a minute."""


def log_rows(objects: ObjectStore, version: Version, values: dict[str, list[Any]]) -> None:
    """Requests of one row each, a minute apart, the last one now."""
    count, end = len(next(iter(values.values()))), datetime.now(UTC)
    received = [end - timedelta(minutes=count - 1 - n) for n in range(count)]
    known = {
        "request_id": [f"req-{n}" for n in range(count)],
        "row": [0] * count,
        "received": received,
        PARTITION: [f"{r:%Y-%m-%d}" for r in received],
        "latency_ms": [1.0] * count,
        "outcome": ["ok"] * count,
        "status": [200] * count,
        **values,
    }
    wanted = schema(version)
    rows = pa.table([pa.array(known.get(f.name, [None] * count), f.type) for f in wanted], schema=wanted)
    write_deltalake(objects.table_url(layout.log_table(version.id)), rows, partition_by=[PARTITION])


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """``x`` is 1 in the oldest row and 0 in the others. A page has all the time that it needs."""
    monkeypatch.setattr(request_list, "SECONDS", 600.0)
    platform = make_platform(tmp_path / "home")
    version = release(platform.catalog, "m", inputs="x", outputs="y")
    found = platform.catalog.get(version).version
    assert found is not None
    log_rows(platform.catalog.documents.objects, found, {"in.x": [1.0] + [0.0] * (ROWS - 1)})
    return create_app(platform, blueprint(platform)).test_client()


def shown(client: FlaskClient, **more: str) -> dict[str, Any]:
    answer = client.get(f"/requests.json?{urlencode({'version': 'm:1', **more})}")
    assert 200 == answer.status_code
    return dict(answer.get_json())


def ids(found: dict[str, Any]) -> list[str]:
    return [row["request_id"] for row in found["rows"]]


def test_a_search_that_takes_too_long_says_how_far_back_it_came_and_goes_on_when_asked(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_list, "SECONDS", 0.0)
    first = shown(client, where="in.x = 1")
    page = client.get(f"/requests?{urlencode({'version': 'm:1', 'where': 'in.x = 1'})}").text
    whole = client.get(first["further"].replace("/requests?", "/requests.json?")).get_json()

    assert ([], ["req-0"]) == (ids(first), ids(whole))
    assert "Searched back to" in page
    assert "Search the rest of the range" in page
    assert "searched" not in whole


def test_a_page_is_whole_where_there_is_time(client: FlaskClient) -> None:
    found = shown(client, where="in.x = 1")
    assert (["req-0"], False) == (ids(found), "further" in found)


def test_pages_follow_one_another_without_a_gap(client: FlaskClient) -> None:
    first = shown(client)
    second = client.get(first["older"].replace("/requests?", "/requests.json?")).get_json()
    assert [f"req-{n}" for n in range(ROWS - 1, ROWS - 101, -1)] == ids(first) + ids(second)


@pytest.mark.parametrize("row", ["", "-1", "x", "²", "9" * 5000])
def test_a_place_that_is_none_is_said_on_the_page(client: FlaskClient, row: str) -> None:
    found = shown(client, before=f"2026-11-22T12:00:00.000Z~req-1~{row}")
    assert [] == found["rows"]
    assert "is not a position in the list" in found["error"]


def test_facets_say_how_many_rows_they_count(client: FlaskClient) -> None:
    found = shown(client, where="in.x = 0")
    page = client.get(f"/requests?{urlencode({'version': 'm:1', 'where': 'in.x = 0'})}").text
    assert (ROWS - 1, ROWS) == (found["counted"], found["counted_of"])
    assert f"Counted over {ROWS - 1} of these rows; the tick is the share in {ROWS} rows of the range." in page


def test_links_to_a_request_say_when_it_came_and_one_without_finds_it_too(client: FlaskClient) -> None:
    (found,) = shown(client, where="in.x = 1")["rows"]
    near, anywhere = (
        client.get(found["href"].split("?")[0] + f".json{at}").get_json()
        for at in (f"?at={found['received']}", "?at=2026-01-01")
    )
    assert f"/requests/m/1/req-0?at={found['received']}" == found["href"]
    assert ("req-0", "req-0") == (near["request_id"], anywhere["request_id"])
    assert {"newer"} == set(near["neighbours"])
