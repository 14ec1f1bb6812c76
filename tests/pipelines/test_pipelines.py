"""The pipelines that ``headrace ci init`` writes, by the tools that read them: actionlint, a real Airflow, the SDK of Kubeflow Pipelines. ``make test-pipelines``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from fixtures_platform import RunningPlatform, environment, headrace, platform, shared_environments
from pipelines_support import Project

__all__ = ["platform", "shared_environments"]

pytestmark = pytest.mark.timeout(900)
CACHE = Path(__file__).parents[2] / ".cache" / "pipelines"
ACTIONLINT = Path(__file__).parents[2] / ".cache" / "actionlint" / "actionlint"
PACKAGES = {"airflow": ["apache-airflow>=3.0"], "kubeflow": ["kfp>=2.14", "kfp-kubernetes>=2.14"]}


def tool(name: str) -> Path:
    """The Python of a tool, in an environment of its own."""
    python = CACHE / name / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, CACHE / name], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES[name]], check=True)
    return python


def written(project: Project, kind: str) -> Path:
    required = ("--require", "accuracy>=0.95", "--require", "accuracy>=baseline-0.05", "--target", "answer")
    done = headrace("ci", "init", str(project.folder), "--for", kind, "--check", "labelled.csv", *required)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_actionlint_finds_nothing_in_the_workflow(tmp_path: Path) -> None:
    file = written(Project(tmp_path, "loan"), "github")
    done = subprocess.run([ACTIONLINT, "-no-color", file], text=True, capture_output=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)
    file.write_text(file.read_text().replace("runs-on", "run-on"))
    assert 0 != subprocess.run([ACTIONLINT, file], capture_output=True, check=False).returncode


class Airflow:
    """An Airflow of its own home, without a scheduler: ``airflow dags test`` runs a DAG in its process."""

    def __init__(self, home: Path, dags: Path, url: str) -> None:
        self._airflow = tool("airflow").with_name("airflow")
        connection = {"conn_type": "http", "host": url, "password": "none"}
        self._environment = {
            **environment(),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_HEADRACE": orjson.dumps(connection).decode(),
        }
        assert self.run("db", "migrate").returncode == 0

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._airflow, *command], env=self._environment, text=True, capture_output=True, timeout=600, check=False
        )


def test_a_real_airflow_delivers_a_good_version_and_stops_a_bad_one(platform: RunningPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = Project(folder, "loan-airflow")
    file = written(project, "airflow")
    airflow = Airflow(tmp_path / "home", file.parent, platform.url)
    good = airflow.run("dags", "test", file.stem)
    assert (0, {"staging": 1, "production": 1}) == (good.returncode, project.aliases(platform)), (
        good.stdout + good.stderr
    )
    project.limit(20)
    bad = airflow.run("dags", "test", file.stem)
    assert {"staging": 2, "production": 1} == project.aliases(platform), bad.stdout + bad.stderr
    assert "accuracy>=0.95: it is 0.7" in bad.stdout + bad.stderr
    assert bad.returncode != 0 or "state=failed" in bad.stdout + bad.stderr, bad.stdout + bad.stderr


def test_the_kubeflow_pipeline_compiles_and_its_container_delivers(platform: RunningPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = Project(folder, "loan-kubeflow")
    file = written(project, "kubeflow")
    done = subprocess.run([tool("kubeflow"), file], cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    spec, platforms = yaml.safe_load_all((tmp_path / "headrace-loan-kubeflow.yaml").read_text())
    secrets = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-deliver"]["secretAsEnv"]
    assert "HEADRACE_API_KEY" == secrets[0]["keyToEnv"][0]["envVar"]
    container = spec["deploymentSpec"]["executors"]["exec-deliver"]["container"]
    # Artifacts come without a suffix, as Kubeflow's launcher names them.
    labelled = shutil.copy(project.labelled, tmp_path / "labelled")
    given = {
        "url": platform.url,
        "require": spec["root"]["inputDefinitions"]["parameters"]["require"]["defaultValue"],
        "staging": "staging",
        "alias": "production",
        "target": "answer",
    }
    result = tmp_path / "outputs" / "delivery"
    artifacts = {"inputs": {"project": str(folder), "labelled": str(labelled)}, "outputs": {"delivery": str(result)}}
    good = launched(container, given, artifacts)
    assert (0, True) == (good.returncode, orjson.loads(result.read_bytes())["delivered"]), good.stderr
    project.limit(20)
    bad = launched(container, given, artifacts)
    assert (3, {"staging": 2, "production": 1}) == (bad.returncode, project.aliases(platform)), bad.stderr
    assert orjson.loads(result.read_bytes())["reason"].startswith("accuracy>=0.95: it is 0.7")


def launched(
    container: dict[str, Any], parameters: dict[str, str], artifacts: dict[str, dict[str, str]]
) -> subprocess.CompletedProcess[str]:
    """The container's command, with placeholders filled as Kubeflow's launcher does."""

    def filled(text: str) -> str:
        for name, value in parameters.items():
            text = text.replace(f"{{{{$.inputs.parameters['{name}']}}}}", value)
        for side, found in artifacts.items():
            for name, path in found.items():
                text = text.replace(f"{{{{$.{side}.artifacts['{name}'].path}}}}", path)
        assert "{{$" not in text
        return text

    command = [filled(part) for part in (*container["command"], *container["args"])]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, env={**environment(), "PATH": path}, text=True, capture_output=True, timeout=300, check=False
    )
