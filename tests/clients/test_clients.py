"""The default HTTP client of each language is answered: bodies of known and of unknown length, and errors that it can read.

Each program beside this file sends the same three requests and prints a line for each answer. ``make test-clients``; what a
client sends is held, byte for byte, by ``tests/contracts/test_request_heads.py``.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures_platform import RunningPlatform, platform, shared_environments

__all__ = ["platform", "shared_environments"]

pytestmark = pytest.mark.timeout(600)

HERE = Path(__file__).parent
CURL = """
for more in "" "-H Transfer-Encoding:chunked" "-H Expect:100-continue" "--http2"; do
  curl -sS $more -w ' %{http_code}\\n' -H content-type:application/json -d '{"instances": [{"x": 1}]}' "$1/v1/models/adder:predict"
done
"""


def run(command: list[str], **environment: str) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def go(url: str, folder: Path) -> list[str]:
    return run(["go", "run", str(HERE / "ask.go"), url], GOFLAGS="-mod=mod", GOCACHE=str(folder / "go"))


def node(url: str, folder: Path) -> list[str]:
    del folder
    return run(["node", str(HERE / "ask.mjs"), url])


def java(url: str, folder: Path) -> list[str]:
    del folder
    return run(["java", str(HERE / "Ask.java"), url])


def cargo(url: str, folder: Path) -> list[str]:
    """Built in a folder of its own, so that no lock and no target appear beside the sources."""
    shutil.copytree(HERE / "rust", folder / "rust")
    return run(["cargo", "run", "--quiet", "--manifest-path", str(folder / "rust" / "Cargo.toml"), "--", url])


@pytest.mark.parametrize("client", [go, node, java, cargo], ids=lambda c: c.__name__)
def test_the_default_client_of_a_language_is_answered(
    client: Callable[[str, Path], list[str]], platform: RunningPlatform, tmp_path: Path
) -> None:
    if shutil.which(client.__name__) is None:
        pytest.skip(f"{client.__name__} is not installed here")
    known, stream, refused = client(platform.url, tmp_path)
    assert ("200", {"predictions": [2.0]}) == answer(known) == answer(stream)
    status, problem = answer(refused)
    assert ("404", True) == (status, "missing" in problem["error"])


def test_curl_is_answered_whatever_it_offers(platform: RunningPlatform) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    lines = run(["sh", "-c", CURL, "curl", platform.url])
    assert [({"predictions": [2.0]}, "200")] * 4 == [
        (json.loads(text), status) for text, _, status in (line.rpartition(" ") for line in lines)
    ]


def answer(line: str) -> tuple[str, dict[str, object]]:
    status, _, text = line.partition(" ")
    return status, json.loads(text)
