"""The contract of backends, proven on the fake and on local processes; ``tests/cluster`` proves it on a cluster."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from headrace_controller.backends.local.launcher import LocalLauncher, Prepared
from headrace_controller.backends.local.node import LocalNode
from headrace_controller.settings import Settings
from headrace_functions.version import Version
from support.backend_contract import BROKEN, FUNCTION, BackendContract, Run, Subject, versions
from support.fake_backend import FakeBackend


@asynccontextmanager
async def fake(_: Path) -> AsyncIterator[Subject]:
    good, other, bad = versions()
    backend = FakeBackend()
    backend.failing[bad.id] = "broken on purpose"
    yield Subject(backend, good, other, bad)
    await backend.close()


@asynccontextmanager
async def local(tmp_path: Path) -> AsyncIterator[Subject]:
    good, other, bad = versions()
    settings = Settings(tmp_path)
    for folder in (settings.run, settings.logs, settings.spool):
        folder.mkdir()
    for it, code in ((good, FUNCTION), (other, FUNCTION), (bad, BROKEN)):
        (tmp_path / it.id.service).mkdir()
        (tmp_path / it.id.service / "function.py").write_text(code)
        (tmp_path / f"{it.id.service}.json").write_bytes(orjson.dumps(it.to_document()))

    def prepare(it: Version) -> Prepared:
        return Prepared(Path(sys.executable), tmp_path / it.id.service, tmp_path / f"{it.id.service}.json")

    node = LocalNode(LocalLauncher(settings, prepare))
    await node.open()
    yield Subject(node, good, other, bad)
    await node.close()
    if settings.sockets != settings.run:
        shutil.rmtree(settings.sockets)


BACKENDS = {"fake": fake, "local": local}


class TestBackend(BackendContract):
    @pytest.fixture(params=BACKENDS)
    def on_backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Run:
        def run(test: Callable[[Subject], Coroutine[Any, Any, None]]) -> None:
            async def whole() -> None:
                async with BACKENDS[request.param](tmp_path) as subject:
                    await test(subject)

            asyncio.run(whole())

        return run
