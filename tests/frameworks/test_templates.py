"""Each template's model, trained by its framework in an environment of its own, is applied, asked, logged, judged for drift and explained.

The environment is made as the template's README says; what the model runs in is made by the platform. ``make test-frameworks``.
"""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures_platform import RunningPlatform, headrace, new_platform, shared_environments, until

__all__ = ["new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(1800)

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "frameworks"
OTHER = ("python", "text", "embedding")
"""Templates with other inputs than numbers of a table: ``tests/local`` and ``test_text_templates`` have them."""
TEMPLATES = sorted(p.name for p in (ROOT / "templates").iterdir() if (p / "train.py").exists() and p.name not in OTHER)
ASKED = 200


def trained(template: str, folder: Path) -> Path:
    """A project from the template, trained by the Python that its README asks for."""
    assert headrace("new", "--template", template, str(folder)).returncode == 0
    install = re.search(r"^pip install ([^#\n]+)", (folder / "README.md").read_text(), re.MULTILINE)
    assert install, "the README says what to install"
    python = CACHE / template / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, CACHE / template], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *install[1].split()], check=True)
    done = subprocess.run([python, folder / "train.py"], check=True, capture_output=True, text=True)
    assert float(done.stdout.rpartition(" ")[2]) > 0.9, done.stdout
    return folder


def rows(file: Path) -> list[dict[str, float]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]


def ask(platform: RunningPlatform, name: str, row: dict[str, float], request_id: str) -> dict[str, Any]:
    inputs = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in row.items()]
    url, headers = f"{platform.url}/v2/models/{name}/infer", {"x-request-id": request_id}
    answer = httpx.post(url, json={"inputs": inputs}, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return {o["name"]: o["data"] for o in answer.json()["outputs"]}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_s_model_goes_the_whole_way(
    template: str, new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    folder = trained(template, tmp_path / f"my-{template}")
    platform, name = new_platform(), f"my-{template}"
    platform.apply(folder)
    known = rows(folder / "train.csv")
    right = 0
    for i, row in enumerate(known[:ASKED]):
        target = row.pop("malignant")
        moved = {k: v * 3 for k, v in row.items()} if i >= ASKED // 2 else row
        answer = ask(platform, name, moved, f"r-{i}")
        right += i < ASKED // 2 and int(answer["label"][0]) == target
    assert right >= 0.95 * ASKED / 2
    version = f"{name}:1"
    until(lambda: len(platform.logged(version)) == ASKED, "the requests are logged", 60)
    drift = headrace("analyze", "drift", version, "--window", "1h", "--json", "--url", platform.url, seconds=900)
    assert drift.returncode == 0, drift.stdout + drift.stderr
    with platform.client() as client:
        report = client.report(str(json.loads(drift.stdout)["report"]))
    assert "severe" == report["severity"]
    explained = headrace("explain", name, "r-0", "--json", "--url", platform.url, seconds=600)
    assert explained.returncode == 0, explained.stdout + explained.stderr
    found = json.loads(explained.stdout)
    total = found["base"] + sum(c["shap"] for c in found["contributions"])
    assert total == pytest.approx(found["prediction"], abs=1e-5)
    assert platform.stop() == 0
