"""``headrace cluster check`` against a platform that is up: nothing is lacking, its store included; then something is."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from kubernetes import client

from .installed import FRAMEWORKS, Installed

pytestmark = pytest.mark.timeout(600)


def check(platform: Installed) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "headrace_controller.cli", "--context", platform.context]
    command += ["--namespace", platform.namespace, "cluster", "check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120, check=False)
    found = json.loads(done.stdout)
    return done.returncode, {c["check"]: c for c in found["checks"]}


def test_a_platform_that_is_up_lacks_nothing(platform: Installed) -> None:
    code, found = check(platform)
    assert [c for c in found.values() if c["level"] in ("lacking", "unknown")] == []
    assert code == 0
    assert found["store"]["level"] == "ok"
    assert found["runtime images"]["says"] == ", ".join(sorted(["python", "sklearn", *FRAMEWORKS]))


def test_a_right_that_was_taken_away_is_missed(platform: Installed) -> None:
    rights = client.RbacAuthorizationV1Api(platform.api)
    binding = rights.read_namespaced_role_binding("headrace", platform.namespace)
    rights.delete_namespaced_role_binding("headrace", platform.namespace)
    try:
        code, found = check(platform)
    finally:
        binding.metadata.resource_version = None
        rights.create_namespaced_role_binding(platform.namespace, binding)
    assert code == 1
    assert "create inferenceservices" in found["rights of account headrace"]["says"]
