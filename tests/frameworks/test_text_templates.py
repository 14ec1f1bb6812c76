"""Texts and vectors are functions like others: trained, applied, asked by clients that we did not write, logged, judged for drift, explained.

``make test-frameworks``.
"""

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures_platform import RunningPlatform, headrace, new_platform, shared_environments, until
from frameworks.test_templates import CACHE, trained

__all__ = ["new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(900)

OTHERS = [
    "der",
    "die",
    "das",
    "und",
    "nicht",
    "mit",
    "ein",
    "ist",
    "auf",
    "für",
    "Rechnung",
    "Paket",
    "Konto",
    "verloren",
    "bezahlt",
    "Antwort",
    "warten",
    "heute",
    "gestern",
]
ASKED = 120
CLIENT = """
import json, sys
from openai import BadRequestError, OpenAI
client = OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
texts = json.load(sys.stdin)
found = client.embeddings.create(model=sys.argv[2], input=texts)
lists = client.embeddings.create(model=sys.argv[2], input=texts[:3], encoding_format="float")
try:
    client.embeddings.create(model=sys.argv[2], input="a", dimensions=7)
    refused = ""
except BadRequestError as error:
    refused = str(error)
print(json.dumps({"vectors": [d.embedding for d in found.data], "lists": [d.embedding for d in lists.data], "refused": refused}))
"""


def texts_of(folder: Path) -> list[str]:
    with (folder / "train.csv").open(newline="", encoding="utf-8") as lines:
        return [row["text"] for row in csv.DictReader(lines)]


def in_another_language(count: int) -> list[str]:
    chance = random.Random(1)
    return [" ".join(chance.choices(OTHERS, k=9)) for _ in range(count)]


def drift(platform: RunningPlatform, version: str) -> dict[str, Any]:
    done = headrace("analyze", "drift", version, "--window", "1h", "--json", "--url", platform.url, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    with platform.client() as client:
        found: dict[str, Any] = client.report(str(json.loads(done.stdout)["report"]))
    return found


def test_a_classifier_of_texts_is_served_watched_and_explained(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    folder = trained("text", tmp_path / "tickets")
    platform = new_platform()
    platform.apply(folder)
    for i, text in enumerate([*texts_of(folder)[: ASKED // 2], *in_another_language(ASKED // 2)]):
        inputs = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]
        answer = httpx.post(
            f"{platform.url}/v2/models/tickets/infer",
            json={"inputs": inputs},
            headers={"x-request-id": f"t-{i}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
    until(lambda: len(platform.logged("tickets:1")) == ASKED, "the requests are logged", 60)
    found = drift(platform, "tickets:1")
    assert "text content" in {f["name"] for f in found["fields"] if f["side"] == "input"}
    assert "drift" == found["verdict"]
    explained = headrace("explain", "tickets", "t-0", "--json", "--url", platform.url, seconds=600)
    assert explained.returncode == 0, explained.stdout + explained.stderr
    assert platform.stop() == 0


def openai() -> Path:
    python = CACHE / "openai" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, CACHE / "openai"], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "openai", "numpy"], check=True)
    return python


def test_texts_become_vectors_for_openai_s_own_client(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    folder = trained("embedding", tmp_path / "sentences")
    platform = new_platform()
    platform.apply(folder)
    given = [*texts_of(folder)[: ASKED // 2], *in_another_language(ASKED // 2)]
    command = [openai(), "-c", CLIENT, platform.url, "sentences"]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [32] * len(given) == [len(v) for v in found["vectors"]]
    for packed, plain in zip(found["vectors"], found["lists"], strict=False):
        assert plain == pytest.approx(packed, abs=1e-6)
    assert "the vectors of sentences have 32" in found["refused"]
    until(lambda: len(platform.logged("sentences:1")) == len(given) + 3, "every text is a line of the log", 60)
    assert "drift" == drift(platform, "sentences:1")["verdict"]
    assert platform.stop() == 0
