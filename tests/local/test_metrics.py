"""Metrics in real processes: a learnt detector that the platform builds, serves and asks about what is logged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_platform import ADDER, RunningPlatform, new_platform, shared_environments, until
from headrace_functions.names import VersionId

__all__ = ["new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(900)  # the first analysis builds its environment

ADDER_1 = VersionId("adder", 1)


def scored(platform: RunningPlatform, name: str) -> list[dict[str, Any]]:
    with platform.client() as client:
        return client.metric(ADDER_1, name, 1000).values


def test_a_metric_model_scores_what_is_logged_and_goes_on_after_a_kill(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    """A definition names its metric; the collector is killed on the way: each row has one value, and no question is logged."""
    platform = new_platform()
    watch = {
        "outputs": {"value": {"shape": "scalar", "type": "double"}},
        "inputs": {"x": {"shape": "scalar", "type": "double"}},
    }
    code = "def predict(model, x):\n    return {'value': abs(x)}\n"
    platform.apply_python("watch", code, tmp_path / "watch", contract=watch)
    monitoring = [{"name": "size", "config": {"monitoring-model": "watch:1", "threshold": 10}}]
    platform.apply_python("adder", ADDER, tmp_path / "adder", monitoring=monitoring)
    for i in range(30):
        assert platform.infer("adder", float(i), request_id=f"r-{i}").status_code == 200
        if i == 15:
            platform.kill("collector")
    values = until(lambda: found if len(found := scored(platform, "size")) >= 30 else None, "all rows are scored", 60)
    assert {v["request_id"]: v["healthy"] for v in values} == {f"r-{i}": i <= 10 for i in range(30)}
    assert len(values) == 30
    assert platform.logged("watch:1") == [], "questions of the platform are no traffic"


def test_a_metric_attached_while_nothing_runs_scores_the_log(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    """The collector has ended long ago: attaching starts it."""
    platform = new_platform()
    watch = {
        "outputs": {"value": {"shape": "scalar", "type": "double"}},
        "inputs": {"x": {"shape": "scalar", "type": "double"}},
    }
    code = "def predict(model, x):\n    return {'value': abs(x)}\n"
    platform.apply_python("watch", code, tmp_path / "watch", contract=watch)
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    assert platform.infer("adder", 3.0, request_id="early").status_code == 200
    until(lambda: platform.logged("adder:1"), "the request is logged")
    until(lambda: not platform.pids("collector"), "the collector has nothing to do and ends", 90)
    with platform.client() as client:
        client.put_metric(ADDER_1, "size", model="watch:1", operator="<=", threshold=1.0)
    values = until(lambda: scored(platform, "size"), "the log is scored", 60)
    assert [(v["request_id"], v["value"], v["healthy"]) for v in values] == [("early", 3.0, False)]


def test_a_broken_metric_holds_up_nothing(new_platform: Callable[..., RunningPlatform], tmp_path: Path) -> None:
    platform = new_platform()
    monitoring = [{"name": "gone", "config": {"monitoring-model": "nobody:1", "threshold": 1}}]
    platform.apply_python("adder", ADDER, tmp_path / "adder", monitoring=monitoring)
    for i in range(5):
        assert platform.infer("adder", float(i)).status_code == 200
    until(lambda: len(platform.logged("adder:1")) == 5, "the log is whole")
    assert scored(platform, "gone") == []
    assert platform.stop() == 0


def test_outliers_are_learnt_served_and_scored_because_the_definition_asks(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    platform = new_platform()
    folder = tmp_path / "adder"
    folder.mkdir()
    numbers = np.random.default_rng(0).normal(50, 5, 400)
    (folder / "train.csv").write_text("x\n" + "\n".join(f"{v:.6f}" for v in numbers) + "\n")
    asks = {"training-data": "train.csv", "monitoring": [{"name": "outliers", "config": {"rate": 0.02}}]}
    platform.apply_python("adder", ADDER, folder, **asks)
    with platform.client() as client:
        (metric,) = until(lambda: client.metrics(ADDER_1), "the detector is served", 800)
    assert (metric.model, metric.threshold) == ("adder-outliers:1", 0.98)
    for name, value in (("usual", 50.0), ("odd", 5000.0)):
        assert platform.infer("adder", value, request_id=name).status_code == 200
    values = until(lambda: found if len(found := scored(platform, "outliers")) == 2 else None, "both are scored", 120)
    assert {v["request_id"]: v["healthy"] for v in values} == {"usual": True, "odd": False}
