"""``headrace ci init`` writes pipelines; what the GitHub workflow runs is run here, against a platform that asks who calls."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures_platform import RunningPlatform, environment, headrace
from pipelines_support import Project


def init(project: Project, *more: str) -> subprocess.CompletedProcess[str]:
    return headrace("ci", "init", str(project.folder), "--check", "labelled.csv", *more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A model in a folder of a repository."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "models" / "loan"
    folder.mkdir(parents=True)
    return Project(folder, "loan")


def workflow(project: Project) -> dict[Any, Any]:
    file = project.folder.parents[1] / ".github" / "workflows" / "headrace-loan.yml"
    found: dict[Any, Any] = yaml.safe_load(file.read_text())
    return found


def run_steps(found: dict[Any, Any], project: Project, url: str, key: str) -> list[subprocess.CompletedProcess[str]]:
    """The workflow's own commands but the installation, by the shell and in the folder that it names."""
    given = {**environment(), "HEADRACE_URL": url, "HEADRACE_API_KEY": key}
    given |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    given |= {"GITHUB_STEP_SUMMARY": str(project.folder.parents[1] / "summary")}
    settings = found["defaults"]["run"]
    folder = project.folder.parents[1] / settings["working-directory"]
    steps = [s["run"] for s in found["jobs"]["deliver"]["steps"] if "run" in s and s["name"] != "Install"]
    command = [settings["shell"], "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    return [
        subprocess.run(
            [*command, step], cwd=folder, env=given, text=True, capture_output=True, timeout=120, check=False
        )
        for step in steps
    ]


def test_the_steps_of_the_github_workflow_deliver_a_good_version_and_stop_a_bad_one(
    new_platform: Callable[..., RunningPlatform], project: Project
) -> None:
    platform = new_platform("--auth")
    first = platform.settings.first_key.read_text().strip()
    with platform.client(first) as client:
        key = client.create_key("ci-loan", ["developer:loan", "operator:loan"]).key
    done = init(project, "--require", "accuracy >= 0.95", "--target", "answer")
    assert 0 == done.returncode, done.stderr
    (good,) = run_steps(workflow(project), project, platform.url, key)
    assert (0, True) == (good.returncode, "delivered: loan@production is loan:1" in good.stdout), good.stderr
    assert "delivered: loan@production is loan:1" in (project.folder.parents[1] / "summary").read_text()
    project.limit(20)
    (bad,) = run_steps(workflow(project), project, platform.url, key)
    assert 3 == bad.returncode, bad.stdout + bad.stderr
    assert "not delivered: accuracy>=0.95: it is 0.7; loan@production stays loan:1" in bad.stdout
    assert '"delivered": false' in (project.folder / "delivery.json").read_text()
    assert {"staging": 2, "production": 1} == project.aliases(platform, key)


def test_the_workflow_names_what_has_to_be_set_and_nothing_of_it_is_in_the_file(project: Project) -> None:
    done = init(project, "--require", "f1>=0.5")
    assert "HEADRACE_API_KEY" in done.stderr
    assert "headrace access key create ci-loan --role developer:loan --role operator:loan" in done.stderr
    found = workflow(project)
    assert {"contents": "read"} == found["permissions"]
    assert "${{ secrets.HEADRACE_API_KEY }}" == found["jobs"]["deliver"]["env"]["HEADRACE_API_KEY"]
    assert "models/loan" == found["defaults"]["run"]["working-directory"]


@pytest.mark.parametrize("kind", ["airflow", "kubeflow"])
def test_the_other_pipelines_are_python_without_a_placeholder(project: Project, kind: str) -> None:
    done = init(project, "--for", kind, "--require", "f1>=0.5", "--target", "it's")
    assert 0 == done.returncode, done.stderr
    text = Path(done.stdout.strip()).read_text()
    assert ("TEMPLATE" in text.upper().replace("TEMPLATES", ""), "it's" in ast.unparse(ast.parse(text))) == (
        False,
        True,
    )


def test_a_file_that_is_there_is_not_overwritten(project: Project) -> None:
    assert 0 == init(project, "--require", "f1>=0.5").returncode
    again = init(project, "--require", "f1>=0.6")
    assert (1, True) == (again.returncode, "is there already" in again.stderr)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "no requirement is given"),
        (("--require", "f2>=1"), "there is no figure 'f2'"),
        (("--require", "f1>=1", "--check", "other.csv"), "other.csv does not exist"),
    ],
)
def test_what_cannot_be_written_is_refused_by_field(project: Project, more: tuple[str, ...], said: str) -> None:
    done = init(project, *more)
    assert (1, True) == (done.returncode, said in done.stderr), done.stderr
