"""Every operation of the OpenAPI document with every role, by requests that Schemathesis makes up: no internal error, nothing of others."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fixtures_platform import ADDER, RunningPlatform, body, headrace, until
from headrace_functions.access.roles import ROLES

TOOLS = Path(__file__).parents[2] / ".cache" / "tools" / "bin" / "st"
EXAMPLES = int(os.environ.get("HEADRACE_API_EXAMPLES") or 10)
"""Requests that are made up for each operation and role, beside those that its schema's limits suggest."""
PHASES = os.environ.get("HEADRACE_API_PHASES") or "coverage,fuzzing"
"""``coverage`` tries the limits of each schema, which is most of the time; ``fuzzing`` what is made up."""
ENDLESS = "/events$|/tail$"
"""Operations whose answers do not end."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[RunningPlatform]:
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    running = RunningPlatform(home, "--auth")
    try:
        running.start()
        prepare(running)
        yield running
    finally:
        assert running._process is None or running.stop() == 0


def prepare(running: RunningPlatform) -> None:
    """Two models, of which the keys of roles see one: each with an alias and a logged row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_API_KEY", first_key(running))
        for name in ("mine-adder", "hidden-adder"):
            running.apply_python(name, ADDER, running.home / name)
            assert headrace("alias", "set", f"{name}@prod", f"{name}:1", "--url", running.url).returncode == 0
            answer = httpx.post(
                f"{running.url}/v2/models/{name}/infer",
                json=body(1.0),
                headers={"x-api-key": first_key(running)},
                timeout=30,
            )
            assert 200 == answer.status_code
    until(lambda: running.logged("mine-adder:1") and running.logged("hidden-adder:1"), "both are logged")


def first_key(platform: RunningPlatform) -> str:
    return (platform.home / "run" / "first-admin-key").read_text().strip()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("role", [*ROLES, "everything"])
def test_no_operation_fails_inside_nor_says_what_the_role_may_not_see(
    platform: RunningPlatform, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each role is held on ``mine-*`` alone; ``everything`` is an administrator of all, who may see all."""
    key, hidden = first_key(platform), "hidden-"
    monkeypatch.setenv("HEADRACE_API_KEY", key)
    if role == "everything":
        hidden = ""
    else:
        made = headrace("access", "key", "create", f"api-{role}", "--role", f"{role}:mine-*", "--url", platform.url)
        assert 0 == made.returncode, made.stderr
        key = made.stdout.strip()
    given = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "checks",
        "PYTHONPATH": str(Path(__file__).parent),
        "HEADRACE_TEST_HIDDEN": hidden,
    }
    command = [
        str(TOOLS), "run", f"{platform.url}/api/v1/openapi.json", "--header", f"x-api-key:{key}", "--checks",
        "no_internal_error,nothing_of_others", "--phases", PHASES, "--max-examples", str(EXAMPLES),
        "--exclude-path-regex", ENDLESS, "--exclude-path-regex", "/access/keys/|/access/blocks|/access/secret", "--request-timeout", "20", "--suppress-health-check", "all",
        "--continue-on-failure", "--no-color", "--warnings", "off", "--seed", "7",
    ]  # fmt: skip
    done = subprocess.run(command, env=given, text=True, capture_output=True, timeout=1700, check=False)
    tested = re.search(r"(\d+) generated", done.stdout)
    sys.stderr.write(f"{role}: {tested[0] if tested else done.stdout[-300:]}\n")
    assert 0 == done.returncode, done.stdout[-6000:] + done.stderr[-1000:]
