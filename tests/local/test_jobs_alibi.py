"""What Alibi's engines do besides drift, in the environment that has them; without it these tests fail, they are not passed over."""

import importlib.util
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_jobs import (
    UNTIL,
    Answering,
    alibi_python,
    category,
    given_log,
    given_version,
    jobs_python,
    number,
    objects,
    run_job,
)
from fixtures_platform import ADDER, RunningPlatform, headrace, new_platform, shared_environments, until
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, dtype
from headrace_functions.storage.objects import ObjectStore

__all__ = ["alibi_python", "jobs_python", "new_platform", "objects", "shared_environments"]

pytestmark = pytest.mark.timeout(1500)  # the first run builds an environment

WINDOW = ("--model", "churn:1", "--window", "24h", "--until", UNTIL.isoformat(), "--address", "sync")
FIELDS = (number("age"), number("income"), number("constant"), category("plan"))


def rows(count: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "age": random.normal(40, 9, count),
        "income": random.normal(3, 1, count),
        "constant": np.full(count, 7.0),
        "plan": np.array(["free", "paid"], object)[random.integers(0, 2, count)],
        "score": random.random(count),
    }


def given_traffic(objects: ObjectStore) -> None:
    version = given_version(objects, FIELDS, rows(2000, 0))
    now = rows(300, 1)
    now["age"][:120] = 400.0
    given_log(objects, version, now)


def outliers(python: Path, objects: ObjectStore, *options: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    done = run_job(python, "outliers", *WINDOW, "--storage", objects.url, *options)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer, json.loads(objects.get(answer["report"])), done.stderr


def test_alibis_detectors_of_outliers_are_learnt_under_its_notice_and_served_without_it(
    alibi_python: Path, objects: ObjectStore, tmp_path: Path
) -> None:
    """The function that the platform will serve is loaded here, where there is no Alibi Detect."""
    given_traffic(objects)
    answer, report, log = outliers(alibi_python, objects, "--engine", "alibi")
    assert (report["engine"], report["verdict"]) == ("alibi", "more-outliers")
    assert set(report["detector"]["candidates"]) == {"iforest", "online-mahalanobis"}
    assert {w["fields"][0]["name"] for w in report["worst"][:10]} == {"age"}
    assert "Business Source License" in report["licence"]
    assert "Business Source License" in log
    assert "licence notice" in objects.get(answer["report"].replace(".json", ".html")).decode()

    definition = json.loads(objects.get(answer["function"] + "definition.json"))
    assert "Business Source License" in definition["metadata"]["licence"]
    assert definition["requirements"] == ["numpy"]
    for name in definition["payload"]:
        (tmp_path / name).write_bytes(objects.get(answer["function"] + name))
    spec = importlib.util.spec_from_file_location("function", tmp_path / "function.py")
    assert spec is not None
    assert spec.loader is not None
    function = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(function)
    asked = {**rows(2, 2), "age": np.array([41.0, 400.0])}
    values = function.predict(function.load(str(tmp_path)), **{f.name: asked[f.name] for f in FIELDS})["value"]
    assert values[0] < 0.99 <= values[1]


def test_both_engines_of_outliers_come_to_one_verdict(
    jobs_python: Path, alibi_python: Path, objects: ObjectStore
) -> None:
    given_traffic(objects)
    found = [
        outliers(python, objects, "--engine", name)[1]
        for python, name in ((jobs_python, "native"), (alibi_python, "alibi"))
    ]
    assert [(r["verdict"], r["severity"]) for r in found] == [("more-outliers", "severe")] * 2
    assert found[0]["licence"] is None


def test_alibis_detectors_are_refused_where_they_are_not_installed(jobs_python: Path, objects: ObjectStore) -> None:
    given_traffic(objects)
    done = run_job(jobs_python, "outliers", *WINDOW, "--storage", objects.url, "--engine", "alibi")
    assert done.returncode == 1
    assert "jobs-alibi" in done.stdout


PARITY = """
import copy, json, logging
logging.disable()
import numpy as np
from headrace_jobs.detectors.alibi import outlier_detectors
from headrace_jobs.outliers import alibi
from headrace_jobs.outliers.scorer import METHODS
from headrace_jobs.outliers.series import spectral_residual

theirs, ours = outlier_detectors(), alibi.candidates()
random = np.random.default_rng(0)
known, new = random.normal(size=(3000, 6)), 3 * random.normal(size=(50, 6))
for rows in (known, new):
    rows[:, 4], rows[:, 5] = 2 * rows[:, 0], 7.0  # one column follows from another, one is constant
np.random.seed(0)
forest = theirs.IForest(threshold=0.0)
forest.fit(known)
distance = theirs.Mahalanobis(threshold=0.0, n_components=4, start_clip=100)
distance.score(known[:, :5])
alone = np.array([float(copy.deepcopy(distance).score(row[None, :5])[0]) for row in new])
series = 100 + 10 * np.sin(np.arange(240) / 20) + random.normal(size=240)
series[150] = 160
print(json.dumps({
    "iforest": float(np.abs(METHODS["iforest"](new, ours["iforest"](known)) - forest.score(new)).max()),
    "mahalanobis": float(np.abs(METHODS["online-mahalanobis"](new, ours["online-mahalanobis"](known)) / alone - 1).max()),
    "series": [int(alibi.series(series).argmax()), int(spectral_residual(series).argmax())],
}))
"""


def test_what_is_kept_of_alibis_detectors_scores_as_they_do(alibi_python: Path) -> None:
    """IForest and Mahalanobis to 1e-9; SpectralResidual and ours name the same time."""
    done = subprocess.run([str(alibi_python), "-c", PARITY], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["iforest"] < 1e-9
    assert found["mahalanobis"] < 1e-9
    assert found["series"] == [150, 150]


def explained(python: Path, objects: ObjectStore, url: str, *options: str) -> dict[str, Any]:
    asked = ("--model", "churn:1", "--request-id", "req-0", "--endpoint", url, "--method", "anchors")
    done = run_job(python, "explain", *asked, "--storage", objects.url, *options, timeout=500)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(objects.get(json.loads(done.stdout.splitlines()[-1])["report"]))
    return report


def test_both_engines_find_the_rule_that_decides(jobs_python: Path, alibi_python: Path, objects: ObjectStore) -> None:
    """Alibi's rule is read back exactly, measured as ours is, and bears its notice."""
    fields = (number("tiny"), number("age"), category("plan"))
    random = np.random.default_rng(0)

    def predict(tiny: np.ndarray, age: np.ndarray, plan: np.ndarray) -> dict[str, np.ndarray]:
        return {"label": np.where((tiny > 0.0002) & (plan == "paid"), "stay", "leave").astype(object)}

    training = {
        "tiny": random.uniform(0, 0.001, 400),
        "age": random.normal(40, 9, 400),
        "plan": np.array(["free", "paid"], object)[random.integers(0, 2, 400)],
    }
    label = category("label")
    version = given_version(objects, fields, training, (label,))
    given_log(objects, version, {"tiny": [0.0009], "age": [40.0], "plan": ["paid"], "label": ["stay"]})
    with Answering(version, predict) as endpoint:
        native = explained(jobs_python, objects, endpoint.url)
        alibi = explained(alibi_python, objects, endpoint.url, "--engine", "alibi")
    assert (native["engine"], native["licence"]) == ("native", None)
    assert alibi["engine"] == "alibi"
    assert "Business Source License" in alibi["licence"]
    for report in (native, alibi):
        rule = {part["name"]: part for part in report["rule"]}
        assert rule["plan"]["value"] == "paid"
        assert rule["tiny"]["relation"] == ">"
        assert 0.0002 <= rule["tiny"]["value"] < 0.0009
        assert report["precision"] >= 0.95
        assert report["held_out"] == 200


def test_alibi_tells_the_parts_of_an_image_that_hold_its_answer(alibi_python: Path, objects: ObjectStore) -> None:
    """The answer is whether the middle of the upper left is bright, whatever the rest is."""
    image = Field("image", dtype("float64"), (14, 14))
    random = np.random.default_rng(0)

    def predict(image: np.ndarray) -> dict[str, np.ndarray]:
        return {"label": np.where(image[:, 2, 2] > 0.8, "mark", "none").astype(object)}

    shown = np.zeros((14, 14))
    shown[2, 2], shown[3, 3] = 1.0, 0.9
    training = {"image": [row.reshape(-1).tolist() for row in random.uniform(0, 1, (50, 14, 14))]}
    version = given_version(objects, (image,), training, (category("label"),))
    given_log(objects, version, {"image": [shown.reshape(-1).tolist()], "label": ["mark"]})
    with Answering(version, predict) as endpoint:
        found = explained(alibi_python, objects, endpoint.url, "--engine", "alibi")
    held = np.array(found["held"])
    assert held[2, 2] == 1
    assert held.mean() < 0.1
    assert (found["rule"], found["input"], found["precision_low"]) == ([], "image", None)
    assert found["precision"] >= 0.95


def test_alibi_explains_by_anchors_alone(jobs_python: Path, objects: ObjectStore) -> None:
    asked = ("--model", "churn:1", "--request-id", "r", "--endpoint", "http://127.0.0.1:9", "--storage", objects.url)
    done = run_job(jobs_python, "explain", *asked, "--engine", "alibi")
    assert done.returncode == 1
    assert "anchors" in done.stdout


def test_mmd_and_lsdd_find_a_changed_correlation_where_torch_is_there(alibi_python: Path, objects: ObjectStore) -> None:
    has = subprocess.run([str(alibi_python), "-c", "import torch"], capture_output=True, check=False)
    if has.returncode:
        pytest.skip("torch is not in the environment of Alibi Detect: MMDDrift and LSDDDrift are not looked at")
    random = np.random.default_rng(0)

    def pairs(rho: float) -> dict[str, Any]:
        x, y = random.normal(size=(2, 2000))
        return {"x": x, "y": rho * x + np.sqrt(1 - rho**2) * y, "score": random.random(2000)}

    version = given_version(objects, (number("x"), number("y")), pairs(0))
    given_log(objects, version, pairs(0.6), span=timedelta(hours=20))
    options = ("--engine", "alibi", "--detector", "mmd,lsdd")
    done = run_job(alibi_python, "drift", *WINDOW, "--storage", objects.url, *options, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads(objects.get(json.loads(done.stdout.splitlines()[-1])["report"]))
    assert {w["method"] for w in report["whole"] if w["severity"] != "none"} == {"MMDDrift", "LSDDDrift"}


def test_the_platform_serves_what_alibi_learnt_and_explains_by_alibi(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    """A detector of Alibi Detect becomes a metric model whose environment has none of it; real traffic is scored by it and one request explained."""
    platform = new_platform()
    folder = tmp_path / "adder"
    folder.mkdir()
    known = np.random.default_rng(0).normal(50, 5, 400)
    (folder / "train.csv").write_text("x\n" + "\n".join(f"{v:.6f}" for v in known) + "\n")
    platform.apply_python("adder", ADDER, folder, **{"training-data": "train.csv"})
    with platform.client() as client:
        job = client.start_job("outliers", "adder:1", engine="alibi", window="1h")
        until(lambda: client.job(job.id).state in ("done", "failed"), "the detector is learnt", 900)
        done = client.job(job.id)
        assert done.state == "done", done.reason
        (metric,) = until(lambda: client.metrics(VersionId("adder", 1)), "the detector is served", 300)
        assert metric.model == "adder-outliers:1"
        assert "Business Source License" in client.version("adder-outliers:1").metadata["licence"]
        for name, value in (("usual", 50.0), ("odd", 5000.0)):
            assert platform.infer("adder", value, request_id=name).status_code == 200
        scored = until(
            lambda: found if len(found := client.metric(VersionId("adder", 1), "outliers", 10).values) == 2 else None,
            "both are scored",
            120,
        )
        assert {v["request_id"]: v["healthy"] for v in scored} == {"usual": True, "odd": False}
    told = headrace(
        "explain", "--url", platform.url, "adder:1", "odd", "--method", "anchors", "--engine", "alibi", "--json"
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Business Source License" in json.loads(told.stdout)["licence"]
    assert platform.stop() == 0
