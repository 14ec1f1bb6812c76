"""A version says what it runs in and why, to programs, at the terminal and on its page, in both homes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from controller_support import FakeServices, describe, make_platform, release, serving
from headrace_controller.api.application import create_app
from headrace_controller.cli.entrypoint import front
from headrace_controller.pages import blueprint
from headrace_controller.service.platform import Platform
from headrace_functions.names import VersionId
from headrace_functions.version import Runtime, Version

IMAGE, LOCK, LAYER = "registry.example/function-sklearn:1", "a" * 64, "b" * 64
NEEDS, LACKS = ("scikit-learn==1.9.1", "pandas>=2"), ("pandas>=2 (not there)",)

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "environment": (
        {"requirements": NEEDS},
        {"kind": "environment", "image": None, "layer": None, "requirements": list(NEEDS), "lacking": []},
        ["environment", "pandas>=2", "virtual environment"],
    ),
    "image": (
        {"runtime": Runtime(IMAGE, LOCK), "requirements": NEEDS[:1]},
        {"kind": "image", "image": IMAGE, "lock": LOCK, "layer": None, "requirements": list(NEEDS[:1])},
        [IMAGE, "scikit-learn==1.9.1", "smallest runtime image"],
    ),
    "image and layer": (
        {"runtime": Runtime(IMAGE, LOCK, LAYER), "requirements": NEEDS, "lacking": LACKS},
        {"kind": "image and layer", "image": IMAGE, "layer": LAYER, "lacking": list(LACKS)},
        [IMAGE, LAYER[:12], "pandas>=2 (not there)", "lacks least"],
    ),
    "own image": (
        {"runtime": Runtime("registry.example/churn:3")},
        {"kind": "own image", "image": "registry.example/churn:3", "lock": None, "requirements": [], "lacking": []},
        ["registry.example/churn:3", "the definition names it"],
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    return CASES[request.param]


@pytest.fixture
def platform(tmp_path: Path, case: tuple[dict[str, Any], dict[str, Any], list[str]], monkeypatch: Any) -> Platform:
    """With the version ``m:1``, built as the case says."""

    def described(version: VersionId, inputs: str, outputs: str) -> Version:
        return replace(describe(version, inputs, outputs), **case[0])

    monkeypatch.setattr("controller_support.describe", described)
    found = make_platform(tmp_path / "home", FakeServices())
    release(found.catalog, "m")
    return found


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    with serving(platform) as found:
        yield found


def show(url: str, *more: str) -> str:
    return CliRunner().invoke(front, ["version", "show", "m:1", "--url", url, *more], catch_exceptions=False).stdout


def test_the_answer_of_the_api_has_it(platform: Platform, case: tuple[Any, dict[str, Any], Any]) -> None:
    answer = create_app(platform, blueprint(platform)).test_client().get("/api/v1/models/m/versions/1").json
    assert answer is not None
    assert answer["runtime"].items() >= case[1].items()


def test_it_is_shown_at_the_terminal_and_in_json(url: str, case: tuple[Any, dict[str, Any], list[str]]) -> None:
    shown = show(url)
    for words in case[2]:
        assert words in shown
    assert json.loads(show(url, "--json"))["runtime"].items() >= case[1].items()


def test_it_is_on_the_versions_page(platform: Platform, case: tuple[Any, Any, list[str]]) -> None:
    page = create_app(platform, blueprint(platform)).test_client().get("/models/m?version=1&tab=signature").text
    for words in case[2]:
        assert words.replace(">", "&gt;").casefold() in page.casefold()


@given(st.lists(st.text(min_size=1)), st.lists(st.text(min_size=1)))
def test_a_version_keeps_what_it_was_built_to_run_on(wanted: list[str], lacking: list[str]) -> None:
    it = replace(describe(VersionId("m", 1)), requirements=tuple(wanted), lacking=tuple(lacking))
    assert Version.from_document(it.to_document()) == it


def test_a_version_that_is_older_than_this_has_no_requirements() -> None:
    it = replace(describe(VersionId("m", 1)), requirements=NEEDS, lacking=LACKS)
    document = {k: v for k, v in it.to_document().items() if k not in ("requirements", "lacking")}
    assert Version.from_document(document) == replace(it, requirements=(), lacking=())
