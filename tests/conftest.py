"""What all tests share: fixtures of other files, and that benchmarks run only when they are asked for."""

from pathlib import Path

import pytest

pytest_plugins = ["fixtures_platform", "fixtures_s3"]

_BENCHMARKS = Path(__file__).parent / "benchmarks"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Benchmarks are collected only where the command line names them (``make bench``)."""
    asked = any("benchmarks" in argument for argument in config.args)
    return True if collection_path == _BENCHMARKS and not asked else None
