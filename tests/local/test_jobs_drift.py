"""Options of drift, maps and profiles as the controller runs them: processes in environments of their own."""

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fixtures_jobs import (
    SCORE,
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
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.inputs import read_version

__all__ = ["alibi_python", "jobs_python", "objects"]

pytestmark = pytest.mark.timeout(600)  # the first run builds an environment

WINDOW = ("--model", "churn:1", "--window", "24h", "--until", "2026-11-22T12:00:00Z")
FLOAT32 = 1e-6


def rows(count: int, seed: int, move: float = 0.0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    words = np.array(["no", "yes"], object)
    return {
        "age": random.normal(move, 1, count),
        "size": random.normal(0, 1, count),
        "member": words[(random.random(count) < 0.3 + 0.1 * move).astype(int)],
        "score": random.beta(2 + move, 5, count),
    }


def given_traffic(objects: ObjectStore, before: dict[str, Any], now: dict[str, Any]) -> None:
    fields = [number("age"), number("size"), category("member")]
    version = given_version(objects, fields, before, (SCORE,), {"score": before["score"]})
    given_log(objects, version, now, span=timedelta(hours=20))


def done(python: Path, kind: str, objects: ObjectStore, *options: str) -> dict[str, Any]:
    """The report of a run that succeeded."""
    finished = run_job(python, kind, *WINDOW, "--storage", objects.url, *options)
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    report: dict[str, Any] = json.loads(objects.get(answer["report"]))
    assert objects.exists(answer["report"].replace(".json", ".html"))
    return report


def of_field(report: dict[str, Any], name: str) -> dict[str, Any]:
    field = next(f for f in report["fields"] if f["name"] == name)
    return next(t for t in field["tests"] if t["test"] == "distribution")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("drift", ("--against", "previous", "--chunks", "2h", "--method", "age=ks,categorical=g")),
        ("drift", ("--detector", "joint,mmd,reconstruction,uncertainty", "--chunks", "6h")),
        ("profile", ()),
        ("projection", ("--points", "100", "--layout", "pca", "--request-id", "req-7")),
    ],
)
def test_ray_and_this_process_give_the_same_report(
    jobs_python: Path, objects: ObjectStore, kind: str, options: tuple[str, ...]
) -> None:
    given_traffic(objects, rows(800, 0), rows(600, 1, 0.5))
    version = read_version(objects, VersionId("churn", 1))
    given_log(
        objects, version, rows(300, 2), until=UNTIL - timedelta(hours=30), span=timedelta(hours=10), request="old"
    )

    reports = [done(jobs_python, kind, objects, *options, "--address", address) for address in ("local", "sync")]

    assert reports[0] == reports[1]


def test_alibis_statistics_are_those_of_scipy_to_float32(alibi_python: Path, objects: ObjectStore) -> None:
    before, now = rows(800, 0), rows(600, 1, 0.3)
    given_traffic(objects, before, now)

    by_default = done(alibi_python, "drift", objects, "--engine", "alibi", "--address", "sync")
    chosen = done(
        alibi_python,
        "drift",
        objects,
        "--engine",
        "alibi",
        "--address",
        "sync",
        "--method",
        "numerical=cvm,member=fisher",
    )

    table = [[(np.asarray(side["member"]) == w).sum() for w in ("no", "yes")] for side in (before, now)]
    ks = stats.ks_2samp(before["age"], now["age"], method="asymp")
    cvm = stats.cramervonmises_2samp(before["age"], now["age"])
    chi2 = stats.chi2_contingency(table, correction=True)
    expected = [
        ("KSDrift", by_default, "age", ks.pvalue),
        ("CVMDrift", chosen, "age", cvm.pvalue),
        ("ChiSquareDrift", by_default, "member", chi2.pvalue),
        ("FETDrift", chosen, "member", stats.fisher_exact(table).pvalue),
    ]
    for method, report, name, p in expected:
        found = of_field(report, name)
        assert found["method"] == method
        assert found["p"] == pytest.approx(p, rel=0.02 if method == "KSDrift" else 1e-4, abs=FLOAT32), method


def test_native_and_alibi_agree_to_float32_where_they_do_the_same_test(
    jobs_python: Path, alibi_python: Path, objects: ObjectStore
) -> None:
    given_traffic(objects, rows(800, 0), rows(600, 1, 0.3))
    options = ("--method", "numerical=cvm", "--detector", "uncertainty", "--address", "sync")

    native = done(jobs_python, "drift", objects, *options)
    alibi = done(alibi_python, "drift", objects, "--engine", "alibi", *options)

    for name in ("age", "size", "score"):
        assert of_field(alibi, name)["p"] == pytest.approx(of_field(native, name)["p"], rel=1e-4, abs=FLOAT32)
    assert alibi["whole"][0]["effect"] == native["whole"][0]["effect"]
    assert alibi["whole"][0]["statistic"] == pytest.approx(native["whole"][0]["statistic"], abs=FLOAT32)


def test_alibis_tests_of_all_fields_find_a_changed_correlation(alibi_python: Path, objects: ObjectStore) -> None:
    before, now = rows(1500, 0), rows(1500, 1)
    now["age"] = 0.8 * now["size"] + 0.6 * now["age"] + 0.5
    given_traffic(objects, before, now)

    report = done(
        alibi_python,
        "drift",
        objects,
        "--engine",
        "alibi",
        "--detector",
        "joint,classifier,tabular",
        "--address",
        "sync",
    )

    assert [(t["test"], t["severity"] != "none") for t in report["whole"]] == [
        ("joint", True),
        ("classifier", True),
        ("tabular", True),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "alibi", "--detector", "mmd"), "needs torch"),
        (("--engine", "alibi", "--detector", "reconstruction"), "has no 'reconstruction'"),
        (("--engine", "alibi", "--method", "member=g"), "cannot test member by g"),
        (("--engine", "alibi", "--chunks", "1h"), "chunks: the alibi engine"),
    ],
)
def test_what_alibi_cannot_do_here_is_said(
    alibi_python: Path, objects: ObjectStore, options: tuple[str, ...], said: str
) -> None:
    given_traffic(objects, rows(100, 0), rows(100, 1))

    finished: subprocess.CompletedProcess[str] = run_job(
        alibi_python, "drift", *WINDOW, "--storage", objects.url, "--address", "sync", *options
    )

    assert finished.returncode == 2
    assert said in finished.stderr
    assert "Traceback" not in finished.stderr
