"""The contract of backends, proven on a real cluster."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headrace_controller.backends.kserve.backend import KServeBackend
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.settings import ClusterSettings
from support.backend_contract import BROKEN, FUNCTION, BackendContract, Run, Subject, versions

from .conftest import Publisher


class TestKServeBackend(BackendContract):
    @pytest.fixture
    def on_backend(self, cluster_settings: ClusterSettings, publisher: Publisher) -> Run:
        good, other, bad = (
            publisher.publish(v, {"function.py": code.encode()})
            for v, code in zip(versions(), (FUNCTION, FUNCTION, BROKEN), strict=True)
        )

        def run(test: Callable[[Subject], Coroutine[Any, Any, None]]) -> None:
            async def whole() -> None:
                backend = KServeBackend(Cluster(cluster_settings))
                await backend.open()
                try:
                    await test(Subject(backend, good, other, bad))
                finally:
                    await backend.close()

            asyncio.run(whole())

        return run
