"""From a folder to a version behind an alias: released, staged, held against a labelled file, delivered or stopped with the reason."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fixtures_platform import RunningPlatform, headrace
from pipelines_support import LABELLED, Project

_numbers = itertools.count(1)


class Delivered(Project):
    """A project of one platform."""

    def __init__(self, folder: Path, platform: RunningPlatform) -> None:
        super().__init__(folder, f"loan-{next(_numbers)}")
        self.platform = platform

    def deliver(self, *require: str, check: Path | None = None) -> subprocess.CompletedProcess[str]:
        required = [part for text in require for part in ("--require", text)]
        file = str(check or self.labelled)
        command = ["deliver", "-f", str(self.folder), "--check", file, "--target", "answer", *required, "--json"]
        return headrace(*command, "--url", self.platform.url)

    def versions(self) -> dict[str, int | None]:
        return self.aliases(self.platform)


@pytest.fixture
def project(platform: RunningPlatform, tmp_path: Path) -> Delivered:
    return Delivered(tmp_path, platform)


def result(done: subprocess.CompletedProcess[str], code: int) -> dict[str, Any]:
    assert code == done.returncode, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_good_version_is_delivered_and_again_changes_nothing(project: Delivered) -> None:
    found = result(project.deliver("accuracy>=0.95"), 0)
    assert (True, None, f"{project.name}:1") == (found["delivered"], found["before"], found["version"])
    assert {"staging": 1, "production": 1} == project.versions()
    evaluation = found["evaluation"]
    assert (100, 0, 1.0) == (evaluation["asked"], evaluation["refused"], evaluation["figures"]["accuracy"])
    again = result(project.deliver("accuracy>=0.95"), 0)
    assert (False, f"{project.name}:1") == (again["created"], again["before"])


def test_a_bad_version_stays_at_staging_and_the_reason_says_by_how_much(project: Delivered) -> None:
    result(project.deliver("accuracy>=0.95"), 0)
    project.limit(20)
    found = result(project.deliver("accuracy>=0.95", "precision>=0.9"), 3)
    assert "accuracy>=0.95: it is 0.7" == found["reason"]
    assert {"staging": 2, "production": 1} == project.versions()


def test_a_version_that_is_worse_than_production_is_stopped_and_the_first_one_has_nothing_to_beat(
    project: Delivered,
) -> None:
    project.limit(40)
    first = result(project.deliver("accuracy>=baseline-0.05"), 0)
    assert "there is no baseline yet" == first["evaluation"]["requirements"][-1]["note"]
    project.limit(20)
    worse = result(project.deliver("accuracy>=baseline-0.05"), 3)
    assert "accuracy>=baseline-0.05: it is 0.7 (the limit is 0.85)" == worse["reason"]
    project.limit(45)
    better = result(project.deliver("accuracy>=baseline-0.05"), 0)
    assert (f"{project.name}:1", f"{project.name}:3") == (better["evaluation"]["baseline"], better["version"])
    assert {"staging": 3, "production": 3} == project.versions()


def test_rows_that_the_version_refuses_stop_it_unless_some_may_be_refused(project: Delivered, tmp_path: Path) -> None:
    file = tmp_path / "hard.csv"
    file.write_text(LABELLED + "-1,a,yes\n")
    found = result(project.deliver("accuracy>=0.9", check=file), 3)
    assert found["reason"].startswith("answered>=1: it is 0.990099")
    assert (1, 101) == (found["evaluation"]["refused"], found["evaluation"]["first_refused"][0]["row"])
    assert 0 == project.deliver("accuracy>=0.9", "answered>=0.95", check=file).returncode


def test_the_questions_of_an_evaluation_are_not_traffic(project: Delivered) -> None:
    result(project.deliver("accuracy>=0.9"), 0)
    assert [] == project.platform.logged(f"{project.name}:1")


def test_what_is_wrong_is_said_before_anything_is_built(project: Delivered, tmp_path: Path) -> None:
    for require, said in (
        ((), "no requirement is given"),
        (("accurcy>=0.9",), "there is no figure 'accurcy'"),
        (("accuracy=0.9",), "'accuracy=0.9' is not a requirement"),
    ):
        done = project.deliver(*require)
        assert (1, True) == (done.returncode, said in done.stderr), done.stderr
    with project.platform.client() as client:
        assert project.name not in [m.name for m in client.models()]


def test_a_file_without_the_label_or_an_input_is_refused_by_column(project: Delivered, tmp_path: Path) -> None:
    for header, said in (
        ("amount,plan", "has no column 'answer', the label column"),
        ("amount,answer", "has no column 'plan', the input"),
    ):
        file = tmp_path / "lacking.csv"
        file.write_text(f"{header}\n1,a\n")
        done = project.deliver("accuracy>=0.9", check=file)
        assert (1, True) == (done.returncode, said in done.stderr), done.stderr
    assert {"staging": 1} == project.versions()


def test_evaluate_exits_with_3_where_a_requirement_does_not_hold_and_lists_what_it_found(project: Delivered) -> None:
    project.platform.apply(project.folder)
    command = [
        "evaluate",
        project.name,
        "--data",
        str(project.labelled),
        "--target",
        "answer",
        "--url",
        project.platform.url,
    ]
    good = headrace(*command, "--require", "f1>=0.9")
    assert (0, True) == (good.returncode, "met: f1>=0.9" in good.stdout), good.stdout + good.stderr
    bad = headrace(*command, "--require", "mae<=1")
    assert (3, True) == (bad.returncode, "NOT MET: mae<=1 (the file gives no mae" in bad.stdout), bad.stdout
    with project.platform.client() as client:
        kept = client.evaluations(client.resolve(project.name))
    assert [False, True] == [e.passed for e in kept]
