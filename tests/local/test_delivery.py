"""From a folder to a version behind an alias: released, staged, held against a labelled file, delivered or stopped with the reason."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures_platform import NUMBER, RunningPlatform, headrace

WORD = {"shape": "scalar", "type": "string", "profile": "categorical"}
LOAN = """
import numpy as np
def predict(model, amount, plan):
    if (amount < 0).any():
        raise ValueError("no such amount")
    return {"answer": np.where(amount > LIMIT, "no", "yes").astype(object)}
"""
LABELLED = "amount,plan,answer\n" + "".join(f"{i},a,{'no' if i > 50 else 'yes'}\n" for i in range(100))


_numbers = itertools.count(1)


class Project:
    """A folder with a model and a labelled file; ``limit`` decides how good the model is: 50 is right always."""

    def __init__(self, folder: Path, name: str, platform: RunningPlatform) -> None:
        self.folder, self.name, self.platform = folder, name, platform
        self.labelled = folder / "labelled.csv"
        self.labelled.write_text(LABELLED)
        self.limit(50)

    def limit(self, limit: int) -> None:
        (self.folder / "function.py").write_text(LOAN.replace("LIMIT", str(limit)))
        definition = {
            "kind": "Model",
            "name": self.name,
            "framework": "python",
            "payload": ["function.py"],
            "contract": {"inputs": {"amount": NUMBER, "plan": WORD}, "outputs": {"answer": WORD}},
        }
        (self.folder / "headrace.yaml").write_text(yaml.safe_dump(definition))

    def deliver(self, *require: str, check: Path | None = None) -> subprocess.CompletedProcess[str]:
        required = [part for text in require for part in ("--require", text)]
        file = str(check or self.labelled)
        command = ["deliver", "-f", str(self.folder), "--check", file, "--target", "answer", *required, "--json"]
        return headrace(*command, "--url", self.platform.url)

    def aliases(self) -> dict[str, int | None]:
        with self.platform.client() as client:
            return {a.name: a.version for a in client.aliases(self.name)}


@pytest.fixture
def project(platform: RunningPlatform, tmp_path: Path) -> Project:
    return Project(tmp_path, f"loan-{next(_numbers)}", platform)


def result(done: subprocess.CompletedProcess[str], code: int) -> dict[str, Any]:
    assert code == done.returncode, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_good_version_is_delivered_and_again_changes_nothing(project: Project) -> None:
    found = result(project.deliver("accuracy>=0.95"), 0)
    assert (True, None, f"{project.name}:1") == (found["delivered"], found["before"], found["version"])
    assert {"staging": 1, "production": 1} == project.aliases()
    evaluation = found["evaluation"]
    assert (100, 0, 1.0) == (evaluation["asked"], evaluation["refused"], evaluation["figures"]["accuracy"])
    again = result(project.deliver("accuracy>=0.95"), 0)
    assert (False, f"{project.name}:1") == (again["created"], again["before"])


def test_a_bad_version_stays_at_staging_and_the_reason_says_by_how_much(project: Project) -> None:
    result(project.deliver("accuracy>=0.95"), 0)
    project.limit(20)
    found = result(project.deliver("accuracy>=0.95", "precision>=0.9"), 3)
    assert "accuracy>=0.95: it is 0.7" == found["reason"]
    assert {"staging": 2, "production": 1} == project.aliases()


def test_a_version_that_is_worse_than_production_is_stopped_and_the_first_one_has_nothing_to_beat(
    project: Project,
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
    assert {"staging": 3, "production": 3} == project.aliases()


def test_rows_that_the_version_refuses_stop_it_unless_some_may_be_refused(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "hard.csv"
    file.write_text(LABELLED + "-1,a,yes\n")
    found = result(project.deliver("accuracy>=0.9", check=file), 3)
    assert found["reason"].startswith("answered>=1: it is 0.990099")
    assert (1, 101) == (found["evaluation"]["refused"], found["evaluation"]["first_refused"][0]["row"])
    assert 0 == project.deliver("accuracy>=0.9", "answered>=0.95", check=file).returncode


def test_the_questions_of_an_evaluation_are_not_traffic(project: Project) -> None:
    result(project.deliver("accuracy>=0.9"), 0)
    assert [] == project.platform.logged(f"{project.name}:1")


def test_what_is_wrong_is_said_before_anything_is_built(project: Project, tmp_path: Path) -> None:
    for require, said in (
        ((), "no requirement is given"),
        (("accurcy>=0.9",), "there is no figure 'accurcy'"),
        (("accuracy=0.9",), "'accuracy=0.9' is not a requirement"),
    ):
        done = project.deliver(*require)
        assert (1, True) == (done.returncode, said in done.stderr), done.stderr
    with project.platform.client() as client:
        assert project.name not in [m.name for m in client.models()]


def test_a_file_without_the_label_or_an_input_is_refused_by_column(project: Project, tmp_path: Path) -> None:
    for header, said in (
        ("amount,plan", "has no column 'answer', the label column"),
        ("amount,answer", "has no column 'plan', the input"),
    ):
        file = tmp_path / "lacking.csv"
        file.write_text(f"{header}\n1,a\n")
        done = project.deliver("accuracy>=0.9", check=file)
        assert (1, True) == (done.returncode, said in done.stderr), done.stderr
    assert {"staging": 1} == project.aliases()


def test_evaluate_exits_with_3_where_a_requirement_does_not_hold_and_lists_what_it_found(project: Project) -> None:
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
    assert (0, True) == (good.returncode, "held: f1>=0.9" in good.stdout), good.stdout + good.stderr
    bad = headrace(*command, "--require", "mae<=1")
    assert (3, True) == (bad.returncode, "NOT HELD: mae<=1 (the file gives no mae" in bad.stdout), bad.stdout
    with project.platform.client() as client:
        kept = client.evaluations(client.resolve(project.name))
    assert [False, True] == [e.passed for e in kept]
