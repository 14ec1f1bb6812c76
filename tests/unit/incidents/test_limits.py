"""Limits that a person sets win over defaults and bands; those that cannot be are refused naming the field."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from controller_support import make_platform, release, serving
from headrace_controller.cli.entrypoint import front
from headrace_controller.incidents.limits import Limits, chosen
from headrace_controller.incidents.rules import Known, findings
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, NotFound
from health_buckets import NOW, QUIET, bucket, hour, latency, number


def found(buckets: list[Any], *own: Limits) -> list[tuple[str, str]]:
    return [(m.what, m.severity) for m in findings("churn:1", buckets, NOW, Known(own))]


def test_a_lower_limit_finds_what_the_default_does_not() -> None:
    buckets = hour(outcomes={"ok": 98, "failed": 2})
    assert [] == found(buckets)
    assert [("errors", "severe")] == found(buckets, Limits("errors", levels={"medium": 0.01, "severe": 0.02}))


def test_a_higher_limit_says_nothing_of_what_the_default_finds() -> None:
    buckets = hour(fields={"x": number(6400.0, 0.5)})
    assert [("moved", "medium")] == found(buckets)
    assert [] == found(buckets, Limits("moved", levels={"severe": 0.8}))
    assert [] == found(buckets, Limits("moved", off=True))


def test_a_field_s_own_limit_wins_over_that_of_every_field() -> None:
    own = (Limits("moved", levels={"low": 0.9}), Limits("moved", "x", {"low": 0.3}))
    assert own[1] is chosen(own, "moved", "x")
    assert own[0] is chosen(own, "moved", "y")
    assert [("moved", "low")] == found(hour(fields={"x": number(6400.0, 0.5)}), *own)


def test_a_limit_of_latency_is_in_milliseconds_and_needs_no_history() -> None:
    buckets = hour(latency=latency(100.0))[-5:]
    assert [] == found(buckets)
    assert [("latency", "medium")] == found(buckets, Limits("latency", levels={"medium": 80.0}))


def test_as_many_looks_are_wanted_as_were_set() -> None:
    buckets = [bucket(m, outcomes={"ok": 0, "failed": 100} if m == -3 else {"ok": 100}) for m in range(-QUIET, 1)]
    assert [] == found(buckets)
    assert [("errors", "severe")] == found(buckets, Limits("errors", levels={"severe": 0.5}, wanted=1, looks=5))


def test_silence_is_told_after_the_minutes_that_were_set() -> None:
    buckets = [bucket(m) for m in range(-QUIET, -29)]
    own = Limits("silence", levels={"low": 20.0, "severe": 25.0})
    assert [("silence", "medium")] == found([bucket(m) for m in range(-QUIET - 30, -11)])
    assert [] == found([bucket(m) for m in range(-QUIET - 30, -11)], own)
    assert [("silence", "severe")] == found([bucket(m) for m in range(-3 * QUIET, -29)], own)
    assert [] == found(buckets, Limits("silence", off=True))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rule": "moves", "off": True}, "rule"),
        ({"rule": "moved"}, "low"),
        ({"rule": "moved", "levels": {"low": 1.5}}, "low"),
        ({"rule": "moved", "levels": {"low": 0.5, "severe": 0.4}}, "severe"),
        ({"rule": "moved", "levels": {"low": float("nan")}}, "low"),
        ({"rule": "latency", "levels": {"medium": 0.0}}, "medium"),
        ({"rule": "silence", "levels": {"low": 1000.0}}, "low"),
        ({"rule": "drift", "levels": {"low": 0.1}}, "off"),
        ({"rule": "errors", "levels": {"low": 0.1}, "wanted": 4}, "wanted"),
    ],
)
def test_limits_that_cannot_be_are_refused_naming_the_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Limits(**given)
    assert field == caught.value.field


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path / "home")
    release(found.catalog, "m", inputs="x", outputs="y")
    return found


def test_people_set_list_and_reset_limits_by_command_and_page(platform: Platform) -> None:
    with serving(platform) as url:

        def run(*command: str) -> Any:
            return CliRunner().invoke(front, ["rule", *command, "--url", url])

        assert "m: moved of x: low from 0.3\n" == run("set", "m", "moved", "--field", "x", "--low", "0.3").output
        assert "m: silence: is off\n" == run("set", "m", "silence", "--off").output
        assert "m: silence: medium from 20\n" == run("set", "m", "silence", "--medium", "20").output
        (moved, silence) = orjson.loads(run("list", "--json").output)
        assert ("moved", "x", {"low": 0.3}) == (moved["rule"], moved["field"], moved["levels"])
        assert {"medium": 20.0} == silence["levels"]
        assert "2 of 3" in run("list").output
        assert 0 == run("reset", "m", "silence").exit_code
        assert 1 == run("reset", "m", "silence").exit_code
        bad = run("set", "m", "moved", "--field", "z", "--low", "0.3")
        assert (1, True) == (bad.exit_code, "m:1 has no field 'z'" in bad.output + bad.stderr)
    assert [("m", "moved")] == [(model, own.rule) for model, own in platform.rules.select()]


def test_limits_survive_a_restart(platform: Platform) -> None:
    platform.rules.put("m", Limits("errors", levels={"low": 0.1}))
    again = make_platform(platform.home)
    assert [Limits("errors", levels={"low": 0.1})] == again.rules.of("m")


def test_an_unknown_model_and_a_field_of_the_whole_version_are_refused(platform: Platform) -> None:
    with pytest.raises(NotFound, match="no model 'n'"):
        platform.rules.put("n", Limits("errors", off=True))
    with pytest.raises(InvalidInput, match="applies to the version as a whole"):
        platform.rules.put("m", Limits("errors", "x", off=True))
