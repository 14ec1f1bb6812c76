"""What is different about some rows of a log: failing ones, unhealthy ones, wrong ones; and an incident says it by itself."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from controller_support import make_platform, release, serving
from fixtures_jobs import UNTIL, given_log
from headrace_controller.api.application import create_app
from headrace_controller.cli.entrypoint import front
from headrace_controller.collector.scoring import Scoring
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.pages import blueprint
from headrace_controller.requestlog.model_requests import Reply
from headrace_controller.requestlog.reader import LogQuery
from headrace_controller.service.platform import Platform
from headrace_controller.service.segmentation import Segmentation, Selection
from headrace_controller.training import tables
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.version import Version

M = VersionId("m", 1)
N = 1200


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """``m:1`` answers ``y = x``; where ``g`` is above 3, nine of ten rows are above ten, of the others one."""
    found = make_platform(tmp_path / "home")
    release(found.catalog, "m", inputs="x g", outputs="y")
    version = found.catalog.get(M).version
    assert version is not None
    random = np.random.default_rng(4)
    g = random.integers(0, 5, N).astype(float)
    big = random.random(N) < np.where(g > 3, 0.9, 0.05)
    x = np.where(big, 20.0, 1.0)
    given_log(found.catalog.documents.objects, version, {"x": x.tolist(), "g": g.tolist(), "y": x.tolist()})
    found.metrics.attach(M, MetricSpec("big", None, "<=", 10.0, "y * 1"))
    Scoring(found.catalog.documents.objects, lambda _v, _b: Reply(500, b"")).round()
    return found


def test_rows_that_a_metric_calls_unhealthy_lead_to_the_slice(platform: Platform) -> None:
    found = platform.segmentation.of(M, Selection(metric="big"))
    conditions = [s for s in found.segments if s.fields == ("in.g",)]
    assert N == found.rows
    assert conditions[0].where in ("in.g = 4.0", "in.g >= 4")
    assert conditions[0].share > 3 * conditions[0].usual


def test_a_filter_leads_there_too_and_is_not_told_back(platform: Platform) -> None:
    found = platform.segmentation.of(M, Selection("in.x > 10"))
    assert "in.g" in found.segments[0].where or "out.y" in found.segments[0].where
    assert not any("in.x" in s.fields for s in found.segments)


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({}, "no rows are selected"),
        ({"where": "in.x > 1", "metric": "big"}, "more than one selection"),
        ({"where": " "}, "no rows are selected"),
    ],
)
def test_one_selection_is_given(selection: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Selection(**selection)


def test_an_unknown_metric_and_missing_labels_say_what_to_do(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="no value of a metric 'nobody'"):
        platform.segmentation.of(M, Selection(metric="nobody"))
    with pytest.raises(InvalidInput, match="no label says"):
        platform.segmentation.of(M, Selection(wrong=True))


def test_the_command_and_the_page_show_it(platform: Platform) -> None:
    with serving(platform) as url:
        done = CliRunner().invoke(front, ["analyze", "segments", "m:1", "--metric", "big", "--url", url])
        assert "in.g" in done.output, done.output
        none = CliRunner().invoke(front, ["analyze", "segments", "m:1", "--url", url])
        assert 1 == none.exit_code
    client = create_app(platform, blueprint(platform)).test_client()
    day = timedelta(days=30)
    span = f"since={(UNTIL - day):%Y-%m-%dT%H:%M:%SZ}&until={(UNTIL + day):%Y-%m-%dT%H:%M:%SZ}"
    page = client.get(f"/segments?version=m:1&metric=big&{span}").text
    assert f"of {N:,} rows that big calls unhealthy" in page
    assert "in.g" in page
    assert "cannot be part of it" in client.get(f"/segments?version=m:1&where=1;&{span}").text
    assert 200 == client.get("/segments?version=m:1").status_code
    assert 404 == client.get("/segments?version=nobody:1").status_code


def test_the_worst_slice_by_labels_is_where_answers_are_wrong(platform: Platform) -> None:
    """Labels are 30 off where ``g`` is 2."""
    version = platform.catalog.get(M).version
    assert version is not None
    rows = platform.logs.rows(M, LogQuery(limit=N))
    columns = {
        "request_id": np.array([r["request_id"] for r in rows], object),
        "row": np.array([r["row"] for r in rows], np.int32),
        "t": np.array([r["in.x"] + 30.0 * (r["in.g"] == 2) for r in rows]),
    }
    catalog = _Labelled(platform, replace(version, target=("t",)))
    with TemporaryDirectory() as folder:
        tables.write(columns, Path(folder) / "labels.parquet")
        platform.catalog.documents.objects.create(
            layout.label_file(M, 1), (Path(folder) / "labels.parquet").read_bytes()
        )
    found = Segmentation(catalog, platform.logs, platform.logs).of(M, Selection(wrong=True))  # type: ignore[arg-type]
    assert "in.g" in found.segments[0].fields
    assert found.selected == sum(r["in.g"] == 2 for r in rows)


class _Labelled:
    """A catalogue whose one version has a target."""

    def __init__(self, platform: Platform, version: Version) -> None:
        self.documents = platform.catalog.documents
        self._version = version

    def get(self, version: VersionId) -> "_Labelled":
        assert version == M
        return self

    @property
    def version(self) -> Version:
        return self._version
