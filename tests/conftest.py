"""What all tests share: fixtures of other files, and that benchmarks and cluster tests run only when they are asked for."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.backend_contract")

pytest_plugins = ["fixtures_platform", "fixtures_s3"]

_ON_DEMAND = {Path(__file__).parent / name for name in ("benchmarks", "cluster")}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Benchmarks and cluster tests are collected only where the command line names them (``make bench``, ``test-cluster``)."""
    asked = any(collection_path.name in argument for argument in config.args)
    return True if collection_path in _ON_DEMAND and not asked else None
