"""Every kind of analysis runs in the image of the jobs, on a log that requests through the gateway made."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from .installed import Installed, until
from .tumours import FIELDS, ROWS, project, request_of

pytestmark = pytest.mark.timeout(600)
SHIFTED = 200
"""Of the rows asked about, those that were measured wrongly."""


@pytest.fixture(scope="module")
def request_id(platform: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of one row; all rows are logged."""
    platform.headrace("apply", "-f", str(project(tmp_path_factory.mktemp("ward") / "ward", 1.0, "ward")))
    name = uuid.uuid4().hex
    rows = ROWS.copy()
    rows[-SHIFTED:] *= 1.5
    with httpx.Client(base_url=platform.gateway_url, timeout=90, trust_env=False) as caller:
        for chosen, headers in ((rows[:1], {"x-request-id": name}), (rows[1:300], {}), (rows[300:], {})):
            caller.post("/v2/models/ward/infer", json=request_of(chosen), headers=headers).raise_for_status()
    listed = ("log", "query", "ward:1", "--limit", "1000", "--json")
    until(lambda: len(platform.headrace(*listed)) == len(rows), "every row is logged")
    yield name
    for model in ("ward", "ward-outliers"):
        platform.headrace("model", "delete", model, "--yes")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("profile", ()),
        ("drift", ("--detector", "joint,concept,mmd,reconstruction,uncertainty")),
        ("performance", ()),
        ("fairness", ("--group", FIELDS[0])),
        ("outliers", ()),
        ("attribution", ("--rows", "drifted", "--count", "10")),
        ("projection", ("--points", "200")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_leaves_a_report(platform: Installed, request_id: str, kind: str, options: tuple[str, ...]) -> None:
    job = platform.headrace("analyze", kind, "ward:1", "--window", "1h", *options, "--json")
    assert job["state"] == "done", platform.headrace("analyze", "log", job["id"])[-3000:]
    assert kind == platform.headrace("report", "show", job["report"], "--json")["kind"]


@pytest.mark.parametrize("method", ["shap", "anchors", "counterfactual"])
def test_a_request_is_explained(platform: Installed, request_id: str, method: str) -> None:
    found = platform.headrace("explain", "ward:1", request_id, "--method", method, "--json")
    assert request_id == found["request_id"]
