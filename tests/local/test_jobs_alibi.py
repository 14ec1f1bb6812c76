"""What Alibi's engines do besides drift, in the environment that has them; without it these tests fail, they are not passed over."""

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_jobs import (
    UNTIL,
    alibi_python,
    category,
    given_log,
    given_version,
    jobs_python,
    number,
    objects,
    run_job,
)
from headrace_functions.storage.objects import ObjectStore

__all__ = ["alibi_python", "jobs_python", "objects"]

pytestmark = pytest.mark.timeout(900)  # the first run builds an environment

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
