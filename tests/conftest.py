"""What all tests share: fixtures of other files, and that benchmarks and cluster tests run only when they are asked for."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine making an example takes long, which says nothing of what is tested.
settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")

pytest.register_assert_rewrite("support.backend_contract")

pytest_plugins = ["fixtures_kafka", "fixtures_platform", "fixtures_protocols", "fixtures_s3"]

_HOW = {
    "benchmarks": "make bench",
    "cluster": "make test-cluster, which needs a Kubernetes with Knative and KServe",
    "tests/frameworks": "make test-frameworks, which trains a model of each framework in an environment of its own",
    "tests/pipelines": "make test-pipelines, which installs Airflow and the SDK of Kubeflow Pipelines",
    "tests/registries": "make test-registries, which builds an OCI registry and a server of Google's storage API with Go, and installs OpenSSF's model signing",
    "tests/clients": "make test-clients, which builds a client in each language",
    "tests/streams": "make test-streams, a million messages through a real Kafka broker while parts are killed",
    "tests/oidc": "make test-oidc, which installs a login provider with npm",
    "tests/chaos": "make chaos, which kills parts of a platform round after round, and make soak, which watches its memory for an hour",
    "tests/api": "make test-api, which asks every operation with every role, by Schemathesis",
    "tests/monitoring": "make test-monitoring, which builds AlertManager with Go",
}
_ON_DEMAND = {Path(__file__).parent / name.removeprefix("tests/") for name in _HOW}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Benchmarks and cluster tests are collected only where the command line names them (``make bench``, ``test-cluster``)."""
    asked = any(collection_path.name in argument for argument in config.args)
    return True if collection_path in _ON_DEMAND and not asked else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start platforms come first: where several processes share the work, the long ones must not be left for the end."""
    items.sort(key=lambda item: "tests/local" not in item.path.as_posix())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out, so that nobody takes it for tested."""
    for name, how in _HOW.items():
        if not any(name in argument for argument in config.args):
            terminalreporter.write_line(f"not run here: tests/{name.removeprefix('tests/')} ({how})")
