"""Health as people meet it: shown by command and API, and counted anew."""

from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from controller_support import make_platform, release, serving
from fixtures_jobs import UNTIL, given_log
from headrace_controller.cli.entrypoint import front
from headrace_controller.client import Client
from headrace_controller.health import selection
from headrace_controller.health.writer import HealthWriter
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId

M = VersionId("m", 1)
SINCE, END = (UNTIL - timedelta(hours=1)).isoformat(), UNTIL.isoformat()


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path / "home")
    release(found.catalog, "m", inputs="x", outputs="y")
    version = found.catalog.get(M).version
    assert version is not None
    objects = found.catalog.documents.objects
    given_log(objects, version, {"x": [1.0, 3.0], "y": [0.0, 0.0]})
    given_log(objects, version, {"x": [5.0], "y": [0.0]}, outcome="failed", request="bad")
    writer = HealthWriter(objects, UNTIL.timestamp)
    writer.note(M)
    writer.round()
    return found


def test_health_is_told_by_bucket_with_the_fields_described_once(platform: Platform) -> None:
    with serving(platform) as url, Client(url) as client:
        found = client.health(M, since=SINCE, until=END, step=3600)
        (bucket,) = found.buckets
        assert ({"ok": 2, "failed": 1}, 3) == (bucket.outcomes, bucket.requests)
        assert (3.0, "input", "output") == (bucket.fields["x"]["mean"], *(f.side for f in found.fields))
        assert "bins" not in bucket.fields["x"]
        assert "bins" in client.health(M, since=SINCE, until=END, step=3600, bins=True).buckets[0].fields["x"]
        assert 60 == len(client.health(M, since=SINCE, until=END, step=60).buckets)


def test_health_of_some_rows_is_counted_when_it_is_asked_for(platform: Platform) -> None:
    version = platform.catalog.get(M).version
    assert version is not None
    given_log(
        platform.catalog.documents.objects, version, {"x": [7.0, 9.0], "y": [0.0, 0.0]}, request="s", sequence="pipe"
    )
    with serving(platform) as url, Client(url) as client:

        def counted(**only: str | int) -> tuple[int, float | None]:
            (bucket,) = client.health(M, since=SINCE, until=END, step=3600, **only).buckets
            return bucket.requests, bucket.fields["x"]["mean"] if "x" in bucket.fields else None

        assert (2, 8.0) == counted(sequence="pipe")
        assert (1, 9.0) == counted(sequence="pipe", where="in.x > 8")
        assert (2, 6.0) == counted(where="in.x > 3 AND in.x < 9")
        assert (0, None) == counted(sequence="pipe", stage=2)
        assert (0, None) == counted(sequence="o'ther")
        for only, said in (({"where": "1; drop"}, "where"), ({"stage": 1}, "stage: a sequence is required")):
            with pytest.raises(InvalidInput, match=said):
                counted(**only)


def test_more_rows_than_one_answer_counts_are_refused(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MOST_ROWS", 1)
    with (
        serving(platform) as url,
        Client(url) as client,
        pytest.raises(InvalidInput, match="more than 1 rows of this period satisfy the condition"),
    ):
        client.health(M, since=SINCE, until=END, step=3600, where="in.x > 0")


def test_health_is_shown_as_a_line_for_each_time_with_requests(platform: Platform) -> None:
    with serving(platform) as url:
        shown = CliRunner().invoke(front, ["health", "show", "m", "--since", SINCE, "--until", END, "--url", url])
        assert (0, 3) == (shown.exit_code, len(shown.output.splitlines()))
        assert ["START", "REQUESTS", "ERRORS"] == shown.output.split()[:3]
        told = CliRunner().invoke(
            front, ["health", "show", "m:1", "--since", SINCE, "--until", END, "--json", "--url", url]
        )
        assert "m:1" == orjson.loads(told.output)["version"]


def test_health_is_counted_anew_on_demand(platform: Platform) -> None:
    with serving(platform) as url:
        done = CliRunner().invoke(front, ["health", "rebuild", "m:1", "--url", url])
        assert "3 rows counted" == done.output.strip()


def test_bad_questions_about_health_name_what_is_wrong(platform: Platform) -> None:
    with serving(platform) as url, Client(url) as client:
        with pytest.raises(NotFound):
            client.health(VersionId("m", 9))
        with pytest.raises(InvalidInput, match="step"):
            client.health(M, step=61)
        with pytest.raises(InvalidInput, match="since"):
            client.health(M, since="yesterday")
